"""What is packed is known by its shape when somebody wiped the marks; what is not packed has none of these shapes."""

import random
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.make_elf import (
    AMD64,
    DIRECTORY,
    GOOD,
    PACKED,
    PAGE,
    PIE,
    SHT_PROGBITS,
    Load,
    Program,
    R,
    W,
    X,
    marks_wiped,
)
from verify.facts import ElfFacts, Packing, read_facts
from verify.packing import (
    DENSE,
    DENSE_CODE,
    GROWING_CODE,
    ROOM_BELOW,
    TRAILER_SIZE,
    TWICE,
    UNDESCRIBED,
    PackHeader,
    read_pack_header,
)
from verify.rules import verify_facts
from verify.verdict import Policy, Severity

CHANCE = random.Random("dense")
NOISE = CHANCE.randbytes(16 * PAGE)
COMPRESSED = zlib.compress(
    b"".join(b"%d is %d\n" % (n, CHANCE.getrandbits(60)) for n in range(12000)), 9
)[: 16 * PAGE]
TEXT = b"".join(b"line %d of a text that a program may hold\n" % n for n in range(4000))[
    : 16 * PAGE
]


def facts_of(directory: Path, program: Program | bytes) -> ElfFacts:
    content = program if isinstance(program, bytes) else program.build()
    (directory / "file").write_bytes(content)
    return read_facts(directory / "file")


def far(size: int, *, flags: int, file_size: int = 0, offset: int = 0, at: int = 0x800000) -> Load:
    return Load(offset=offset, vaddr=at, file_size=file_size, mem_size=size, flags=flags)


def test_the_file_s_start_as_room_and_again_as_code_is_upx_without_its_marks(
    tmp_path: Path,
) -> None:
    facts = facts_of(tmp_path, marks_wiped())
    assert (facts.packing, facts.packing_signs) == (Packing.UNKNOWN, (TWICE.meaning,))
    findings = verify_facts(facts, Policy(unpacked_verified=True)).findings
    assert [finding.rule for finding in findings] == ["packed-contents"]
    assert TWICE.meaning in findings[0].message


def test_marks_that_are_there_decide(tmp_path: Path) -> None:
    assert facts_of(tmp_path, replace(PACKED, strings=NOISE)).packing is Packing.UPX


@pytest.mark.parametrize("size", [PAGE, 0x100000])
def test_executable_memory_that_the_file_does_not_fill_is_for_what_is_unpacked(
    tmp_path: Path, size: int
) -> None:
    facts = facts_of(tmp_path, replace(GOOD, loads=(far(size, flags=R | X),)))
    assert facts.packing_signs == (GROWING_CODE.meaning,)
    assert facts_of(tmp_path, replace(GOOD, loads=(far(size, flags=R | W),))).packing_signs == ()


def test_room_below_code_that_no_section_describes_is_for_what_is_unpacked(tmp_path: Path) -> None:
    room = far(0x100000, flags=R | W, at=0x10000)
    low = replace(GOOD, loads=(room,), base=0x400000)
    described = facts_of(tmp_path, low)
    assert described.packing_signs == ()  # tools that move code behind all else keep the sections
    bare = facts_of(tmp_path, replace(low, sections=False))
    assert bare.packing_signs == (ROOM_BELOW.meaning, UNDESCRIBED.meaning)
    above = replace(GOOD, loads=(far(0x100000, flags=R | W),), sections=False)
    assert facts_of(tmp_path, above).packing is Packing.NONE  # what every program with a heap has


@pytest.mark.parametrize("content", [NOISE, COMPRESSED], ids=["encrypted", "compressed"])
@pytest.mark.parametrize("base", [GOOD, PIE])
def test_code_that_is_compressed_is_a_packer_s(
    tmp_path: Path, content: bytes, base: Program
) -> None:
    facts = facts_of(tmp_path, replace(base, strings=content))
    assert facts.packing_signs == (DENSE_CODE.meaning,)
    assert facts_of(tmp_path, replace(base, strings=content[:PAGE] + TEXT)).packing_signs == ()
    assert facts_of(tmp_path, replace(base, strings=TEXT)).packing_signs == ()


def with_data(data: bytes) -> bytes:
    """A small program beside so much that is read, in a segment of its own, with the sections of an ordinary one."""
    load = Load(offset=PAGE, vaddr=0x801000, file_size=len(data), mem_size=len(data), flags=R)
    content = bytearray(replace(GOOD, loads=(load,), sections=False).build().ljust(PAGE, b"\0"))
    return bytes(content) + data


def test_a_small_program_beside_much_that_is_compressed_is_a_packer(tmp_path: Path) -> None:
    assert facts_of(tmp_path, with_data(NOISE)).packing_signs == (DENSE.meaning,)
    assert facts_of(tmp_path, with_data(NOISE[: 7 * PAGE] + TEXT[: 9 * PAGE])).packing_signs == ()
    assert facts_of(tmp_path, with_data(TEXT)).packing_signs == ()
    assert (
        facts_of(tmp_path, with_data(NOISE[: 3 * PAGE])).packing_signs == ()
    )  # too little to tell


def test_much_that_is_compressed_is_an_error_until_a_policy_says_that_it_is_data(
    tmp_path: Path,
) -> None:
    facts = facts_of(tmp_path, with_data(NOISE))
    for policy, severities in (
        (Policy(), [Severity.ERROR]),
        (Policy(levels={"no-dense-data": Severity.WARNING}), [Severity.WARNING]),
        (Policy(levels={"no-dense-data": None}), []),
    ):
        found = [it for it in verify_facts(facts, policy).findings if "pack" in it.message]
        assert [it.severity for it in found] == severities
        assert {it.rule for it in found} <= {"no-dense-data"}


def test_no_policy_for_dense_data_lets_dense_code_pass(tmp_path: Path) -> None:
    program = replace(GOOD, strings=NOISE, unloaded=((b".comment", SHT_PROGBITS, b"GCC"),))
    facts = facts_of(tmp_path, program)
    assert facts.packing_signs == (DENSE_CODE.meaning,)
    policy = Policy(levels={"no-dense-data": None})
    assert "packed-contents" in {it.rule for it in verify_facts(facts, policy).findings}


def test_dense_instructions_are_no_compressed_ones(tmp_path: Path) -> None:
    """RISC-V's compressed instructions have up to 7.4 bits a byte."""
    often = [number for number in range(256) for _ in range(1 + 8 * (number % 8 == 0))]
    code = bytes(CHANCE.choices(often, k=16 * PAGE))
    assert facts_of(tmp_path, replace(GOOD, strings=code)).packing_signs == ()


@pytest.mark.parametrize(
    "name", sorted(path.name for path in DIRECTORY.iterdir() if path.name.startswith("good"))
)
def test_no_good_fixture_has_the_shape_of_a_packed_one(name: str) -> None:
    facts = read_facts(DIRECTORY / name)
    assert (facts.packing, facts.packing_signs) == (Packing.NONE, ())


@pytest.mark.parametrize("path", ["/bin/busybox", "/usr/sbin/ldconfig", "/bin/bash", "/bin/ls"])
def test_no_program_of_this_machine_has_the_shape_of_a_packed_one(path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    assert read_facts(Path(path)).packing_signs == ()


def test_sections_that_lie_do_not_describe_away_what_is_dense(tmp_path: Path) -> None:
    """The shape of UPX 3: one segment of code with all in it; a section of code laid over the entry point."""
    program = replace(GOOD, strings=NOISE, unloaded=((b".comment", SHT_PROGBITS, b"GCC"),))
    assert facts_of(tmp_path, program).packing is Packing.UNKNOWN


def test_the_pack_header_is_read_where_upx_writes_it() -> None:
    content = (DIRECTORY / "packed").read_bytes()
    assert read_pack_header(content) == PackHeader(method=8, level=10, filter=0)
    assert read_pack_header(content[-TRAILER_SIZE:]) == read_pack_header(content)
    for damaged in (content[:-1], b"", content[-TRAILER_SIZE + 1 :], content + b"x"):
        assert read_pack_header(damaged) is None


def test_a_segment_s_memory_is_counted_whatever_its_offset(tmp_path: Path) -> None:
    content = bytearray(replace(GOOD, sections=False).build())
    content[64 + 40 : 64 + 48] = struct.pack(
        "<Q", 0x9000
    )  # p_memsz of the only segment, which is code
    facts = facts_of(tmp_path, bytes(content))
    assert AMD64.number == 62
    assert facts.packing_signs == (GROWING_CODE.meaning,)
