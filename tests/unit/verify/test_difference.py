"""Two files, and where they differ: the part, the byte, what stands there and beside it."""

import json
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.make_elf import DIRECTORY, GOOD, Load, Program
from verify.difference import BYTES, SHOWN, Difference, find_difference, loaded_as, regions
from verify.elf_file import Segment

TEXT = b"\0\0built on 2026-11-25 by ann\0\0tail of the text"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def compare(directory: Path, one: bytes, two: bytes) -> Difference:
    (directory / "one").write_bytes(one)
    (directory / "two").write_bytes(two)
    return find_difference(directory / "one", directory / "two")


def test_equal_files_do_not_differ(directory: Path) -> None:
    found = compare(directory, GOOD.build(), GOOD.build())
    assert not found
    assert found.hunks == ()


def test_a_changed_byte_of_the_code_is_found_in_its_section(directory: Path) -> None:
    data = GOOD.build()
    at = data.index(GOOD.machine.exit)
    changed = bytearray(data)
    changed[at + 1] ^= 0xFF
    found = compare(directory, data, bytes(changed))
    (hunk,) = found.hunks
    assert hunk.region == ".text (r-x)"
    assert (hunk.first.offset, hunk.second.offset) == (at + 1, at + 1)
    assert (hunk.first.bytes, hunk.second.bytes) == (
        data[at + 1 : at + 2],
        bytes(changed[at + 1 : at + 2]),
    )
    assert f"at {at + 1:#x}, 1 B: ff" in found.text() or f"at {at + 1:#x}, 1 B:" in found.text()


def test_strings_beside_a_hunk_are_shown_of_both_files(directory: Path) -> None:
    one = replace(GOOD, strings=TEXT).build()
    two = replace(GOOD, strings=TEXT.replace(b"2026-11-25", b"2027-12-30")).build()
    found = compare(directory, one, two)
    assert found.count == 1
    (hunk,) = found.hunks
    assert any("built on 2026-11-25 by ann" in text for text in hunk.first.strings)
    assert any("built on 2027-12-30 by ann" in text for text in hunk.second.strings)
    assert "built on 2026-11-25" in found.text()


def test_a_file_without_sections_is_shown_by_its_segments(directory: Path) -> None:
    program = replace(GOOD, sections=False, strings=TEXT)
    one, two = program.build(), replace(program, strings=TEXT.replace(b"ann", b"bob")).build()
    (hunk,) = compare(directory, one, two).hunks
    assert hunk.region == "segment 0 (r-x)"


def test_one_byte_more_does_not_make_the_rest_differ(directory: Path) -> None:
    data = replace(GOOD, symbols=True, debug=True).build()
    text = b"debug information"
    at, table = data.index(text), int.from_bytes(data[40:48], "little")
    # As a linker would do it: the section is longer, the next one further on, and the padding shorter.
    longer = bytearray(data[:at] + b"debug  information" + data[at + len(text) :])
    assert longer.pop(table) == 0

    def move(offset: int, by: tuple[int, int]) -> None:
        row = longer.index(offset.to_bytes(8, "little"), table)
        for place, more in zip((row, row + 8), by, strict=True):
            number = int.from_bytes(longer[place : place + 8], "little") + more
            longer[place : place + 8] = number.to_bytes(8, "little")

    move(at + len(text), (1, 0))
    move(at, (0, 1))
    found = compare(directory, data, bytes(longer))
    assert [row for row in found.resized if "gap" not in row[0]] == [
        (".debug_info (not loaded)", 17, 18)
    ]
    differing = {hunk.region for hunk in found.hunks if "gap" not in hunk.region}
    assert differing == {".debug_info (not loaded)", "section headers (not loaded)"}
    (debug,) = [hunk for hunk in found.hunks if hunk.region.startswith(".debug_info")]
    assert (debug.first.size, debug.second.size) == (0, 1)
    assert debug.second.bytes == b" "
    assert any("debug  information" in text for text in debug.second.strings)


def test_a_region_that_only_one_file_has_is_shown(directory: Path) -> None:
    found = compare(directory, GOOD.build(), replace(GOOD, debug=True).build())
    assert (".debug_info (not loaded)", 0, 17) in found.resized


def test_data_is_compared_too(directory: Path) -> None:
    found = compare(directory, b"text one", b"text two")
    (hunk,) = found.hunks
    assert (hunk.region, hunk.first.offset) == ("file", 5)
    assert hunk.first.strings == ("text one",)


def test_an_empty_file_and_another(directory: Path) -> None:
    found = compare(directory, b"", b"abcdef")
    (hunk,) = found.hunks
    assert (hunk.region, hunk.first.size, hunk.second.size) == ("file", 0, 6)
    assert found.resized == (("file", 0, 6),)


def test_hunks_close_together_are_one_and_far_ones_are_counted(directory: Path) -> None:
    one = bytearray(9000)
    two = bytearray(one)
    two[100] = two[104] = 1
    for number in range(20):
        two[200 + 100 * number] = 1
    found = compare(directory, bytes(one), bytes(two))
    assert found.count == 21
    assert len(found.hunks) == SHOWN
    assert (found.hunks[0].first.offset, found.hunks[0].first.size) == (100, 5)
    assert f"and {21 - SHOWN} more" in found.text()


def test_a_long_hunk_shows_its_beginning(directory: Path) -> None:
    found = compare(directory, bytes(10000), b"\1" * 10000)
    (hunk,) = found.hunks
    assert (hunk.first.size, len(hunk.first.bytes)) == (10000, BYTES)
    assert " …" in found.text()


def test_what_is_found_is_json(directory: Path) -> None:
    found = compare(directory, b"text one", b"text two")
    report = json.loads(json.dumps(found.as_dict()))
    assert report["places"][0]["first"] == {
        "offset": 5,
        "size": 3,
        "bytes": b"one".hex(),
        "strings": ["text one"],
    }


def test_text_of_a_file_cannot_write_on_the_terminal(directory: Path) -> None:
    found = compare(directory, b"\x1b[2Jtext one", b"\x1b[2Jtext two")
    assert "\x1b" not in found.text()


@pytest.mark.parametrize("path", sorted(DIRECTORY.iterdir()), ids=lambda path: path.name)
def test_the_regions_of_any_file_are_the_whole_file(path: Path) -> None:
    end = 0
    for region in regions(path):
        assert region.offset == end
        assert region.size > 0
        end += region.size
    assert end == path.stat().st_size
    names = [region.name for region in regions(path)]
    assert len(set(names)) == len(names)


def test_segments_that_overlap_are_counted_once(directory: Path) -> None:
    program: Program = replace(
        GOOD,
        sections=False,
        loads=(Load(offset=0, vaddr=0x500000, file_size=64, mem_size=64),),
    )
    (directory / "one").write_bytes(program.build())
    assert sum(region.size for region in regions(directory / "one")) == len(program.build())


@given(
    loads=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(0, 7)), max_size=12
    )
)
def test_a_place_is_loaded_as_the_first_segment_that_has_it_says(
    loads: list[tuple[int, int, int]],
) -> None:
    segments = [
        Segment(
            type="PT_LOAD",
            offset=offset,
            vaddr=0,
            file_size=size,
            mem_size=size,
            align=1,
            readable=bool(flags & 4),
            writable=bool(flags & 2),
            executable=bool(flags & 1),
        )
        for offset, size, flags in loads
    ]
    rows = loaded_as(segments)
    starts = [start for start, _ in rows]
    for place in range(100):
        first = next(
            (s.permissions for s in segments if s.offset <= place < s.file_end), "not loaded"
        )
        assert rows[bisect_right(starts, place) - 1][1] == first


@settings(deadline=None)
@given(
    start=st.integers(0, 9000),
    tail=st.integers(0, 9000),
    one=st.binary(max_size=4),
    two=st.binary(max_size=4),
)
def test_what_was_put_in_is_found_between_what_is_equal(
    tmp_path_factory: pytest.TempPathFactory, start: int, tail: int, one: bytes, two: bytes
) -> None:
    data, other = (b"-" * start + middle + b"=" * tail for middle in (one, two))
    found = compare(tmp_path_factory.mktemp("put"), data, other)
    assert bool(found) is (data != other)
    for hunk in found.hunks:
        assert hunk.first.size <= max(len(one), len(two))
        assert data[: hunk.first.offset] == other[: hunk.second.offset]


@given(data=st.binary(max_size=300), cut=st.integers(0, 300), more=st.binary(max_size=40))
def test_every_change_is_found_and_lies_where_it_is_said_to(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int, more: bytes
) -> None:
    other = data[:cut] + more + data[cut + len(more) :]
    found = compare(tmp_path_factory.mktemp("any"), data, other)
    assert bool(found) is (data != other)
    for hunk in found.hunks:
        for side, whole in ((hunk.first, data), (hunk.second, other)):
            assert whole[side.offset :].startswith(side.bytes)
