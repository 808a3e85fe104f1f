"""Whatever the bytes are, there is a verdict, soon, and no traceback."""

import contextlib
import json
import struct
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fixtures.make_elf import fixtures
from verify.elf_file import MalformedElfError, NotElfError
from verify.loadable import loadable_bytes_digest
from verify.rules import verify_file
from verify.verdict import Policy, Verdict

ELVES = {name: content for name, content in fixtures().items() if content[:4] == b"\x7fELF"}
CPU_SECONDS = 2
EXTREMES = [0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "file"


def verified(file: Path, content: bytes) -> Verdict:
    """Return the verdict, which takes little of the processor, however busy the machine is."""
    file.write_bytes(content)
    began = time.thread_time()
    verdict = verify_file(file, Policy(packed=False, build_paths=("/build",)))
    assert time.thread_time() - began < CPU_SECONDS
    json.dumps(verdict.as_dict())
    assert len(verdict.text().splitlines()) == len(verdict.findings) + verdict.ok
    with contextlib.suppress(NotElfError, MalformedElfError):
        loadable_bytes_digest(file)
    return verdict


def broken_rules(file: Path, content: bytes) -> set[str]:
    return {finding.rule for finding in verified(file, content).findings}


bytes_changed = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=12)
numbers_changed = st.lists(
    st.tuples(st.integers(4, 900), st.sampled_from([2, 4, 8]), st.sampled_from(EXTREMES)),
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(ELVES)),
    flips=bytes_changed,
    numbers=numbers_changed,
    cut=st.one_of(st.none(), st.integers(4, 900)),
)
def test_damaged_files_get_a_verdict(
    file: Path,
    name: str,
    flips: list[tuple[int, int]],
    numbers: list[tuple[int, int, int]],
    cut: int | None,
) -> None:
    content = bytearray(ELVES[name])
    for position, value in flips:
        content[4 + position % (len(content) - 4)] = value
    for position, width, number in numbers:
        at = 4 + position % (len(content) - 12)
        content[at : at + width] = struct.pack("<Q", number)[:width]
    try:
        verified(file, bytes(content[:cut]))
    except Exception as error:
        error.add_note(f"fixture {name}")
        raise


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=600))
@example(content=b"")
@example(content=b"\x7fELF")
@example(content=b"\x7fELF\x02\x01\x01" + bytes(57))
def test_any_bytes_after_the_magic_get_a_verdict(file: Path, content: bytes) -> None:
    verified(file, content)
    assert not verified(file, b"\x7fELF" + content)


def test_every_truncation_of_a_good_file_is_refused(file: Path) -> None:
    content = ELVES["good-amd64"]
    for size in range(len(content)):
        assert not verified(file, content[:size]), size


def test_a_thousand_segments_over_the_same_megabytes_take_no_thousand_times_the_time(
    file: Path,
) -> None:
    count, size = 1170, 4 * 1024 * 1024
    head = bytearray(ELVES["good-no-sections"][:64])
    head[56:58] = struct.pack("<H", count)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000)
    broken = broken_rules(file, bytes(head + segment * count).ljust(size, b"/"))
    assert broken == {"loadable-segments", "packed-contents", "stack-not-executable"}


def test_section_counts_without_end_are_not_walked(file: Path) -> None:
    content = bytearray(ELVES["good-amd64"])
    for count in (0, 0xFFFF):  # 0 means that the number stands elsewhere
        content[60:62] = struct.pack("<H", count)
        broken = broken_rules(file, bytes(content))
        assert broken == {"no-symbols", "no-debug", "no-appended-data", "all-bytes-described"}


def test_a_section_table_that_describes_no_bytes_is_read(file: Path) -> None:
    content = bytearray(ELVES["good-amd64"])
    for back in (64, 128):  # sh_type of both sections becomes SHT_NOBITS
        at = len(content) - back + 4
        content[at : at + 4] = struct.pack("<I", 8)
    broken = broken_rules(file, bytes(content))
    assert broken == {"all-bytes-described"}  # the names, which no header describes now


def test_a_section_that_claims_bytes_beyond_the_file_does_not_hide_appended_ones(
    file: Path,
) -> None:
    content = bytearray(ELVES["good-amd64"])
    names = len(content) - 64 + 32  # sh_size of the last section
    content[names : names + 8] = struct.pack("<Q", 1 << 40)
    broken = broken_rules(file, bytes(content) + b"appended")
    assert broken == {"no-symbols", "no-debug", "no-appended-data", "all-bytes-described"}


def test_a_dynamic_segment_of_all_the_file_is_bounded(file: Path) -> None:
    content = bytearray(ELVES["dynamic-unterminated"])
    content += b"\x01" * 1024 * 1024  # tags that nobody knows, none of them the last
    at = 64 + 56  # the second program header, PT_DYNAMIC: offset and size
    content[at + 8 : at + 16] = struct.pack("<Q", len(content) - 1024 * 1024)
    content[at + 32 : at + 40] = struct.pack("<Q", 1024 * 1024)
    broken = broken_rules(file, bytes(content))
    assert {"no-needed", "no-rpath"} <= broken


@pytest.mark.parametrize("pattern", [b"/a" * 512, b"/home/" * 512, b"/" * 1024, b"/a.c" * 256])
def test_strings_made_to_confuse_the_path_search_cost_little(file: Path, pattern: bytes) -> None:
    content = bytearray(ELVES["good-no-sections"]) + pattern * 1024
    for at in (64 + 32, 64 + 40):
        content[at : at + 8] = struct.pack("<Q", len(content))
    verified(file, bytes(content))
