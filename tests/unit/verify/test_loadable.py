"""The digest over what is mapped changes with what the kernel sees, and with nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.make_elf import ARM64, DIRECTORY, GOOD, I386, PIE, S390X, Load, Program
from verify.facts import MalformedElfError, NotElfError
from verify.loadable import MAX_TIMES, loadable_bytes_digest


def digest(directory: Path, content: bytes) -> str:
    file = directory / "program"
    file.write_bytes(content)
    return loadable_bytes_digest(file)


PROGRAMS = {
    "amd64": GOOD,
    "static-pie": PIE,
    "arm64": replace(GOOD, machine=ARM64),
    "386": replace(GOOD, machine=I386),
    "s390x": replace(GOOD, machine=S390X),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_section_headers_and_appended_bytes_do_not_count(tmp_path: Path, program: Program) -> None:
    plain = digest(tmp_path, program.build())
    assert digest(tmp_path, replace(program, sections=False).build()) == plain
    assert digest(tmp_path, replace(program, debug=True, symbols=True).build()) == plain
    assert digest(tmp_path, program.build() + b"more") == plain


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_loaded_byte_outside_the_section_fields_counts(
    tmp_path: Path, program: Program
) -> None:
    content = replace(program, sections=False).build()
    plain = digest(tmp_path, content)
    wide = program.machine.bits == 64
    unseen = {*range(40, 48), *range(58, 64)} if wide else {*range(32, 36), *range(46, 52)}
    for position in range(16, len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        try:
            same = digest(tmp_path, bytes(changed)) == plain
        except MalformedElfError:
            continue
        assert same is (position in unseen), position


def test_permissions_count(tmp_path: Path) -> None:
    writable = replace(GOOD, text_flags=7)
    assert digest(tmp_path, writable.build()) != digest(tmp_path, GOOD.build())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("object-file", MalformedElfError),
        ("segment-outside-file", MalformedElfError),
        ("header-count-lies", MalformedElfError),
        ("empty", NotElfError),
    ],
)
def test_what_cannot_be_loaded_has_no_digest(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        loadable_bytes_digest(DIRECTORY / name)


@pytest.mark.parametrize("times", [MAX_TIMES, MAX_TIMES + 1])
def test_segments_that_claim_the_same_bytes_again_and_again_are_refused(
    tmp_path: Path, times: int
) -> None:
    program = replace(
        GOOD,
        sections=False,
        loads=(Load(offset=0, vaddr=0, file_size=0, mem_size=0),) * (times - 1),
    )
    size = len(program.build())
    loads = tuple(
        Load(offset=0, vaddr=0x500000 * n, file_size=size, mem_size=size) for n in range(1, times)
    )
    content = replace(program, loads=loads).build()
    if times <= MAX_TIMES:
        assert digest(tmp_path, content)
    else:
        with pytest.raises(MalformedElfError, match="loads more than 2 times"):
            digest(tmp_path, content)
