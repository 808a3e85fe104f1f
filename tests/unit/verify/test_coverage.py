"""Every byte of a file is accounted for, and a payload is found wherever it is put."""

import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.make_elf import (
    AMD64,
    ARM64,
    GOOD,
    I386,
    PPC64,
    SECRET,
    SHT_NOTE,
    SHT_PROGBITS,
    SHT_STRTAB,
    UNLOADED,
    Load,
    Machine,
    Program,
    R,
)
from verify.coverage import MAX_GAPS
from verify.facts import ElfFacts, read_facts
from verify.rules import verify_facts
from verify.verdict import Policy

CPU_SECONDS = 2
ARM = Machine(number=40, bits=32, order="<", exit=bytes.fromhex("0000a0e3 0170a0e3 000000ef"))
GNU_ATTRIBUTES = 0x6FFFFFF5


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coverage") / "file"


def facts_of(file: Path, content: bytes) -> ElfFacts:
    file.write_bytes(content)
    return read_facts(file)


def rules(facts: ElfFacts) -> set[str]:
    return {finding.rule for finding in verify_facts(facts, Policy()).findings}


def unloaded(name: bytes, kind: int, content: bytes, machine: Machine = AMD64) -> bytes:
    return replace(GOOD, machine=machine, unloaded=((name, kind, content),), flags=2).build()


def note(owner: bytes, kind: int, content: bytes, order: str = "<", align: int = 4) -> bytes:
    """A note as a compiler writes it: name and contents are padded."""
    name = owner + b"\0"
    head = struct.pack(order + "3I", len(name), len(content), kind) + name
    head += bytes(-len(head) % align)
    return head + content + bytes(-len(content) % align)


@settings(max_examples=150, deadline=None)
@given(
    before=st.integers(0, 5000),
    payload=st.binary(min_size=1, max_size=300),
    after=st.integers(0, 5000),
)
def test_whatever_lies_in_a_hole_is_found_where_it_lies(
    file: Path, before: int, payload: bytes, after: int
) -> None:
    start = len(replace(GOOD, sections=False).build())
    facts = facts_of(file, replace(GOOD, hole=bytes(before) + payload + bytes(after)).build())
    used = payload.strip(b"\0")
    if not used:
        assert rules(facts) == set()
        return
    first = start + before + len(payload) - len(payload.lstrip(b"\0"))
    assert facts.gaps is not None
    assert [(gap.offset, gap.size) for gap in facts.gaps] == [(first, len(used))]
    assert rules(facts) == {"all-bytes-described"}
    assert facts.appended == 0


@settings(max_examples=100, deadline=None)
@given(padding=st.integers(0, 5000), payload=st.binary(max_size=100))
def test_zeros_at_the_end_are_padding_and_all_else_is_appended(
    file: Path, padding: int, payload: bytes
) -> None:
    facts = facts_of(file, GOOD.build() + bytes(padding) + payload)
    used = bool(payload.strip(b"\0"))
    assert facts.appended == (padding + len(payload) if used else 0)
    assert rules(facts) == ({"no-appended-data"} if used else set())


KNOWN: dict[str, tuple[bytes, int, bytes]] = {
    "comment": UNLOADED[0],
    "build-id": UNLOADED[1],
    "debug link": UNLOADED[2],
    "shared debug link": (b".gnu_debugaltlink", SHT_PROGBITS, b"/usr/lib/x.debug\0" + bytes(20)),
    "warning": (b".gnu.warning.gets", SHT_PROGBITS, b"the 'gets' function is dangerous"),
    "gold": (b".note.gnu.gold-version", SHT_NOTE, note(b"GNU", 4, b"gold 1.16\0")),
    "probe": (
        b".note.stapsdt",
        SHT_NOTE,
        note(b"stapsdt", 3, bytes(24) + b"libc\0setjmp\08@%rdi\0"),
    ),
    "property": (b".note.gnu.property", SHT_NOTE, note(b"GNU", 5, bytes(32), align=8)),
    "two notes": (b".note", SHT_NOTE, note(b"GNU", 3, bytes(20)) + note(b"Go", 4, b"an/id")),
    "package": (b".note.package", SHT_NOTE, note(b"FDO", 0xCAFE1A7E, b'{"type":"deb"}\0')),
    "annobin": (b".gnu.build.attributes", SHT_NOTE, note(b"GA$\x013p1113", 0x100, bytes(16))),
    "attributes": (
        b".gnu.attributes",
        GNU_ATTRIBUTES,
        b"A" + struct.pack("<I", 15) + b"gnu\0\1\7\0\0\0\4\x09",
    ),
}
UNKNOWN: dict[str, tuple[bytes, int, bytes]] = {
    "a name of its own": (b".data.more", SHT_PROGBITS, b"x"),
    "a string table": (b".strings", SHT_STRTAB, b"\0x\0"),
    "symbols of nothing": (b".strtab", SHT_STRTAB, b"\0x\0"),
    "a key in the comment": (b".comment", SHT_PROGBITS, SECRET + b"\n" + SECRET),
    "bytes in the comment": (b".comment", SHT_PROGBITS, bytes(range(128, 200))),
    "a long line in the comment": (b".comment", SHT_PROGBITS, b"x" * 257),
    "a long comment": (b".comment", SHT_PROGBITS, (b"x" * 200 + b"\0") * 100),
    "a payload as warning": (b".gnu.warning.x", SHT_PROGBITS, bytes(range(256))),
    "an owner that nobody knows": (b".note.x", SHT_NOTE, note(b"Me", 1, SECRET)),
    "a type that nobody knows": (b".note.gnu", SHT_NOTE, note(b"GNU", 77, SECRET)),
    "a build-id of a kilobyte": (b".note.gnu", SHT_NOTE, note(b"GNU", 3, bytes(1024))),
    "a note that is cut off": (b".note.gnu", SHT_NOTE, note(b"GNU", 3, bytes(20))[:-1]),
    "something in a note's padding": (b".note", SHT_NOTE, note(b"GNU", 3, bytes(17))[:-1] + b"x"),
    "something after a note": (b".note.gnu", SHT_NOTE, note(b"GNU", 3, bytes(20)) + SECRET),
    "a link with an attachment": (b".gnu_debuglink", SHT_PROGBITS, b"x\0" + SECRET * 9),
    "a link without an end": (b".gnu_debuglink", SHT_PROGBITS, b"some/other/text.here"),
    "a link to a directory's file": (b".gnu_debuglink", SHT_PROGBITS, b"a/b\0" + bytes(4)),
    "a link with more than padding": (b".gnu_debuglink", SHT_PROGBITS, b"ab\0x" + bytes(4)),
    "a link without a checksum": (b".gnu_debuglink", SHT_PROGBITS, b"abc\0"),
    "attributes that are none": (b".gnu.attributes", GNU_ATTRIBUTES, b"A" + SECRET),
    "attributes of a megabyte": (
        b".gnu.attributes",
        GNU_ATTRIBUTES,
        b"A" + struct.pack("<I", 1 << 20) + bytes((1 << 20) - 4),
    ),
}


@pytest.mark.parametrize("section", KNOWN.values(), ids=KNOWN)
def test_what_linkers_leave_beside_a_program_is_known(
    file: Path, section: tuple[bytes, int, bytes]
) -> None:
    assert rules(facts_of(file, unloaded(*section))) == set()


@pytest.mark.parametrize("section", UNKNOWN.values(), ids=UNKNOWN)
def test_any_other_section_that_is_not_loaded_is_a_finding(
    file: Path, section: tuple[bytes, int, bytes]
) -> None:
    facts = facts_of(file, unloaded(*section))
    assert rules(facts) == {"all-bytes-described"}
    assert facts.gaps is not None
    assert [(gap.size, "is not loaded" in gap.why) for gap in facts.gaps] == [
        (len(section[2]), True)
    ]


def test_notes_are_read_in_the_byte_order_of_the_file(file: Path) -> None:
    big = note(b"GNU", 3, bytes(range(20)), ">")
    assert rules(facts_of(file, unloaded(b".note", SHT_NOTE, big, PPC64))) == set()
    found = rules(facts_of(file, unloaded(b".note", SHT_NOTE, big, AMD64)))
    assert found == {"all-bytes-described"}


@pytest.mark.parametrize(
    "text",
    [b"/home/ann/curl/lib/url.c", b"built in /build/curl/lib by root", b"-I/home/ann/include"],
)
def test_build_paths_are_looked_for_in_what_is_not_loaded(file: Path, text: bytes) -> None:
    assert rules(facts_of(file, unloaded(b".comment", SHT_PROGBITS, text))) == {"no-build-paths"}
    package = note(b"FDO", 0xCAFE1A7E, text)
    assert rules(facts_of(file, unloaded(b".note.package", SHT_NOTE, package))) == {
        "no-build-paths"
    }


def test_a_build_path_across_two_sections_is_found(file: Path) -> None:
    path = b"/home/ann/curl/lib/url.c"
    for at in range(1, len(path) - 1):
        pieces = ((b".comment", path[:at]), (b".gnu.warning.x", path[at:] + b"\0"))
        sections = tuple((name, SHT_PROGBITS, text) for name, text in pieces)
        assert rules(facts_of(file, replace(GOOD, unloaded=sections).build())) == {"no-build-paths"}


def test_names_that_no_section_has_are_a_payload(file: Path) -> None:
    content = GOOD.build()
    names = content.index(b"\0.text\0.shstrtab\0")
    assert rules(facts_of(file, content)) == set()
    changed = content[: names + 1] + b"a" + content[names + 2 :]  # another name is no payload
    assert rules(facts_of(file, changed)) == set()
    table = int.from_bytes(content[40:48], "little")
    at = table + 64  # sh_name of the second section: what was its name belongs to nobody
    unnamed = content[:at] + struct.pack("<I", 0) + content[at + 4 :]
    assert rules(facts_of(file, unnamed)) == {"all-bytes-described"}


TRAPS = {
    "amd64": (AMD64, b"\xcc\xcc\xcc\xcc"),
    "386": (I386, b"\xcc\xcc\xcc\xcc"),
    "arm": (ARM, b"\xd4\xd4\xd4\xd4"),
    "ppc64": (PPC64, bytes.fromhex("7fe00008")),
}


def with_traps(machine: Machine, filling: bytes) -> bytes:
    """A program whose code is followed, up to the end of the page, by ``filling`` again and again."""
    program = Program(machine=machine, sections=False, flags=2, base=0x10000)
    load = Load(offset=0, vaddr=0x30000, file_size=0, mem_size=0x10, flags=R)
    end = len(replace(program, loads=(load,)).build())
    data = Load(offset=0x1000, vaddr=0x31000, file_size=16, mem_size=16, flags=R)
    content = replace(program, loads=(data,)).build()
    return content + (filling * 1024)[end % 4 : 0x1000 - end + end % 4] + bytes(16)


@pytest.mark.parametrize(("machine", "trap"), TRAPS.values(), ids=TRAPS)
def test_traps_between_code_and_the_next_page_are_padding(
    file: Path, machine: Machine, trap: bytes
) -> None:
    content = with_traps(machine, trap)
    assert rules(facts_of(file, content)) == set()
    for at in (0xA00, 0xFFF):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        assert rules(facts_of(file, changed)) == {"all-bytes-described"}
    assert rules(facts_of(file, with_traps(machine, b"\x90\x90\x90\x91"))) == {
        "all-bytes-described"
    }
    assert rules(facts_of(file, with_traps(ARM64, trap))) == {"all-bytes-described"}


def test_a_segment_that_is_never_in_memory_describes_nothing(file: Path) -> None:
    size = len(replace(GOOD, sections=False, loads=(_nowhere(0, 0),)).build())
    content = replace(GOOD, sections=False, loads=(_nowhere(size, len(SECRET)),)).build() + SECRET
    assert "loadable-segments" in rules(facts_of(file, content))


def _nowhere(offset: int, size: int) -> Load:
    return Load(offset=offset, vaddr=0x500000 + offset, file_size=size, mem_size=0, flags=R)


def test_notes_that_only_a_segment_describes_are_looked_into(file: Path) -> None:
    content = bytearray(replace(GOOD, sections=False).build())
    stack = 64 + 56  # becomes PT_NOTE
    for text, found in (
        (note(b"GNU", 3, bytes(20)), set()),
        (note(b"Me", 3, SECRET), {"all-bytes-described"}),
    ):
        content[stack : stack + 4] = struct.pack("<I", 4)
        content[stack + 8 : stack + 16] = struct.pack("<Q", len(content))
        content[stack + 32 : stack + 40] = struct.pack("<Q", len(text))
        facts = facts_of(file, bytes(content) + text)
        assert rules(facts) - {"stack-not-executable"} == found
    for kind in (
        0,
        6,
        7,
        0x6474E551,
        0x12345678,
    ):  # and no other segment describes what is not loaded
        content[stack : stack + 4] = struct.pack("<I", kind)
        assert "all-bytes-described" in rules(facts_of(file, bytes(content) + text))


def test_sections_over_each_other_describe_nothing_twice(file: Path) -> None:
    comment = b"GCC\0" * 8
    names = (b".comment", b".gnu.warning.x")
    sections = tuple((name, SHT_PROGBITS, comment) for name in names)
    content = bytearray(replace(GOOD, unloaded=sections).build())
    table = int.from_bytes(content[40:48], "little")
    first = content[table + 2 * 64 + 24 : table + 2 * 64 + 40]
    content[table + 3 * 64 + 24 : table + 3 * 64 + 40] = first
    facts = facts_of(file, bytes(content))
    assert facts.gaps is not None
    assert [gap.why for gap in facts.gaps] == [
        "section '.gnu.warning.x' lies over another one",
        "no header describes it",
    ]


def test_findings_of_one_rule_are_shown_with_their_number(file: Path) -> None:
    sections = tuple((b".x%d" % number, SHT_PROGBITS, SECRET) for number in range(30))
    facts = facts_of(file, replace(GOOD, unloaded=sections).build())
    assert facts.gaps is not None
    assert len(facts.gaps) == MAX_GAPS
    messages = [finding.message for finding in verify_facts(facts, Policy()).findings]
    assert len(messages) == 6
    assert messages[-1].startswith("15 more such places, from offset ")


@pytest.mark.parametrize("kind", [SHT_NOTE, SHT_PROGBITS, SHT_STRTAB])
def test_thousands_of_sections_over_the_same_megabyte_take_no_thousand_times_the_time(
    file: Path, kind: int
) -> None:
    count, size = 4000, 1 << 20
    content = bytearray(replace(GOOD, sections=False).build())
    start = len(content)
    row = struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, start, size, 0, 0, 1, 0)
    content[40:48] = struct.pack("<Q", start + size)
    content[58:64] = struct.pack("<3H", 64, count, 0)
    began = time.thread_time()
    facts = facts_of(file, bytes(content) + b"\1\0\0\0" * (size // 4) + row * count)
    assert "all-bytes-described" in rules(facts)
    assert time.thread_time() - began < CPU_SECONDS
