"""Where a program starts, and whether it needs anybody to do so."""

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.make_elf import (
    AMD64,
    DF_1_PIE,
    DT_DEBUG,
    DT_FLAGS_1,
    DT_NEEDED,
    DT_SONAME,
    GOOD,
    I386,
    PIE,
    PPC64,
    S390X,
    Machine,
)
from verify.dynamic_symbols import MAX_SYMBOLS
from verify.facts import ElfFacts, read_facts
from verify.rules import verify_file
from verify.verdict import Policy

DT_HASH, DT_SYMTAB, DT_GNU_HASH = 4, 6, 0x6FFFFEF5
GLOBAL, WEAK, LOCAL = 1, 2, 0
MARK = b"here the tables begin, eight by eight..."


def facts_of(directory: Path, content: bytes) -> ElfFacts:
    (directory / "file").write_bytes(content)
    return read_facts(directory / "file")


@pytest.mark.parametrize("flags", [0, 1])
def test_powerpc64_s_first_abi_starts_where_a_descriptor_says(tmp_path: Path, flags: int) -> None:
    program = replace(GOOD, machine=PPC64, flags=flags, descriptor=True)
    facts = facts_of(tmp_path, program.build())
    assert facts.code is not None
    assert facts.code != facts.entry
    content = (tmp_path / "file").read_bytes()
    assert content[facts.code - GOOD.base :].startswith(PPC64.exit)
    assert verify_file(tmp_path / "file", Policy())


def test_the_second_abi_and_other_machines_have_no_descriptors(tmp_path: Path) -> None:
    little = replace(PPC64, order="<")
    for machine, flags in ((PPC64, 2), (little, 0), (S390X, 0), (AMD64, 1)):
        facts = facts_of(tmp_path, replace(GOOD, machine=machine, flags=flags).build())
        assert facts.code == facts.entry


@pytest.mark.parametrize("entry", [0, 0x400001, 0x500000, (1 << 64) - 4])
def test_a_descriptor_that_is_not_there_or_names_no_code_is_a_finding(
    tmp_path: Path, entry: int
) -> None:
    content = replace(GOOD, machine=PPC64, flags=1, descriptor=True, entry=entry).build()
    facts = facts_of(tmp_path, content)
    assert facts.code is None or not 0x400000 <= facts.code < 0x401000
    found = {finding.rule for finding in verify_file(tmp_path / "file", Policy()).findings}
    assert found == {"entry-point"}


Symbol = tuple[int, bool]
"""How it is bound, and whether it is defined."""


def with_symbols(
    symbols: list[Symbol],
    *,
    machine: Machine = AMD64,
    gnu: bool = False,
    exports: bool = False,
    more: tuple[tuple[int, int], ...] = (),
    count: int | None = None,
) -> bytes:
    """A static-pie without its mark, with these symbols after the first, which is empty, and a hash table of a kind."""
    wide, order = machine.bits == 64, machine.order
    rows = [(0, False), *symbols]
    table = b""
    for bind, defined in rows:
        index = 1 if defined else 0
        table += (
            struct.pack(order + "IBBHQQ", 0, bind << 4, 0, index, 0, 0)
            if wide
            else struct.pack(order + "IIIBBH", 0, 0, 0, bind << 4, 0, index)
        )
    number = len(rows) if count is None else count
    if gnu:
        bloom = bytes(8 if wide else 4)
        hashes = struct.pack(order + "4I", 1, number, 1, 0) + bloom
        hashes += struct.pack(order + "I", number if exports else 0)
    else:
        hashes = struct.pack(order + ("2Q" if machine.number == 22 else "2I"), 1, number)
    strings = MARK + table + hashes

    def program(symbols_at: int, hashes_at: int) -> bytes:
        entries = ((DT_SYMTAB, symbols_at), (DT_GNU_HASH if gnu else DT_HASH, hashes_at), *more)
        return replace(PIE, machine=machine, strings=strings, dynamic=entries).build()

    at = program(0, 0).index(MARK) + len(MARK)
    return program(at, at + len(table))


WHOLE: dict[str, list[Symbol]] = {
    "no symbols": [],
    "weak ones": [(WEAK, False), (WEAK, False)],
    "its own": [(LOCAL, True)],
}


@pytest.mark.parametrize("machine", [AMD64, I386, S390X])
@pytest.mark.parametrize("gnu", [False, True])
@pytest.mark.parametrize("symbols", WHOLE.values(), ids=WHOLE)
def test_a_program_that_needs_nobody_s_symbols_is_a_static_pie_without_its_mark(
    tmp_path: Path, symbols: list[Symbol], gnu: bool, machine: Machine
) -> None:
    content = with_symbols(symbols, gnu=gnu, machine=machine)
    assert facts_of(tmp_path, content).is_static_pie
    assert verify_file(tmp_path / "file", Policy())


@pytest.mark.parametrize("machine", [AMD64, I386, S390X])
@pytest.mark.parametrize("gnu", [False, True])
def test_what_waits_for_a_loader_is_no_static_pie(
    tmp_path: Path, gnu: bool, machine: Machine
) -> None:
    wanting = with_symbols([(WEAK, False), (GLOBAL, False)], gnu=gnu, machine=machine)
    assert not facts_of(tmp_path, wanting).is_static_pie
    named = with_symbols([], gnu=gnu, machine=machine, more=((DT_SONAME, 1),))
    assert not facts_of(tmp_path, named).is_static_pie
    for more, good in (((), False), (((DT_DEBUG, 0),), True)):
        giving: list[Symbol] = [] if gnu else [(GLOBAL, True)]
        content = with_symbols(giving, gnu=gnu, exports=True, machine=machine, more=more)
        assert facts_of(tmp_path, content).is_static_pie is good


@pytest.mark.parametrize("gnu", [False, True])
@pytest.mark.parametrize("count", [MAX_SYMBOLS, MAX_SYMBOLS + 1, (1 << 32) - 1, 500])
def test_symbols_that_are_not_there_need_a_loader(tmp_path: Path, gnu: bool, count: int) -> None:
    assert not facts_of(tmp_path, with_symbols([], gnu=gnu, count=count)).is_static_pie


def test_symbols_without_a_table_of_their_number_need_a_loader(tmp_path: Path) -> None:
    content = replace(PIE, dynamic=((DT_SYMTAB, 0x40),)).build()
    assert not facts_of(tmp_path, content).is_static_pie


def test_the_mark_does_not_make_a_library_s_user_static(tmp_path: Path) -> None:
    needing = replace(PIE, dynamic=((DT_NEEDED, "libc.so.6"), (DT_FLAGS_1, DF_1_PIE)))
    assert not facts_of(tmp_path, needing.build()).is_static_pie


@pytest.mark.parametrize(
    ("flags", "static"),
    [
        (["-static-pie"], True),
        (["-static-pie", "-Wl,--hash-style=sysv"], True),
        (["-shared"], False),
        (["-shared", "-Wl,-soname,libx.so"], False),
    ],
)
def test_what_gcc_links_is_told_apart_without_the_mark(
    tmp_path: Path, flags: list[str], static: bool
) -> None:
    """The same code each time, with an entry point: only what surrounds it differs."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    (tmp_path / "x.c").write_text("void _start(void) { for (;;); }\n", "utf-8")
    made = tmp_path / "made"
    words = ["gcc", "-nostdlib", "-fPIC", "-s", *flags, "-o", str(made), str(tmp_path / "x.c")]
    subprocess.run(words, check=True, capture_output=True)
    content = made.read_bytes()
    for order in ("<", ">"):
        mark = struct.pack(order + "QQ", DT_FLAGS_1, DF_1_PIE)
        content = content.replace(mark, struct.pack(order + "QQ", DT_FLAGS_1, 0))
    facts = facts_of(tmp_path, content)
    assert facts.is_static_pie is static
