"""A file is read as the kernels for its machine read it, and what it says otherwise is said."""

import struct
from dataclasses import replace
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from elftools.elf import enums
from elftools.elf.elffile import ELFFile

from core.target import Target
from tests.fixtures.make_elf import (
    AMD64,
    ARM64,
    DIRECTORY,
    GOOD,
    I386,
    PPC64,
    S390X,
    Machine,
    class_lies,
    fixtures,
)
from verify.elf_file import open_elf
from verify.facts import read_facts
from verify.layout import KERNELS, Kind, Layout, identify
from verify.rules import verify_file
from verify.verdict import Policy

ORDINARY = {
    name: content
    for name, content in fixtures().items()
    if content[:4] == b"\x7fELF"
    and name not in {"x32", "class-lies", "byte-order-lies", "truncated-header"}
}
"""Fixtures that pyelftools, which believes what they say of themselves, reads as a kernel does."""
KINDS: tuple[Kind, ...] = ("Elf_Ehdr", "Elf_Phdr", "Elf_Shdr", "Elf_Dyn")


def rules(file: Path, content: bytes, policy: Policy | None = None) -> set[str]:
    file.write_bytes(content)
    return {finding.rule for finding in verify_file(file, policy or Policy()).findings}


def test_no_machine_is_another_one_in_the_other_byte_order() -> None:
    swapped = {(number & 255) << 8 | number >> 8 for number in KERNELS}
    assert not swapped & set(KERNELS)


def test_a_machine_has_each_of_its_layouts_once() -> None:
    for layouts in KERNELS.values():
        assert len(set(layouts)) == len(layouts) > 0


@pytest.mark.parametrize("target", Target)
def test_every_target_is_read_as_it_is_built(target: Target) -> None:
    number = enums.ENUM_E_MACHINE[target.machine.elf_machine]
    assert Layout(target.machine.bits, target.machine.little_endian) in KERNELS[number]


@pytest.mark.parametrize("name", ORDINARY)
def test_headers_are_read_as_pyelftools_reads_them(name: str) -> None:
    content = ORDINARY[name]
    identity = identify(content)
    assert identity is not None
    structs = ELFFile(BytesIO(content[:64])).structs
    with open_elf(DIRECTORY / name) as elf:
        header = dict(structs.Elf_Ehdr.parse(content))
        header["e_ident"] = {"EI_OSABI": header["e_ident"]["EI_OSABI"]}
        header["e_version"] = 1  # which nobody reads
        assert dict(elf.header) == header
        for kind in KINDS[1:]:
            size = getattr(structs, kind).sizeof()
            assert elf.entry_size(kind) == size
            rows = elf.entries(kind, content[: 8 * size + 1])
            assert len(rows) == min(8, len(content) // size)
            for number, row in enumerate(rows):
                theirs: dict[str, Any] = dict(
                    getattr(structs, kind).parse(content[number * size :])
                )
                theirs.pop("d_ptr", None)
                assert dict(row) == theirs


@pytest.mark.parametrize("machine", [AMD64, ARM64, I386, PPC64, S390X])
@pytest.mark.parametrize("ident", list(product(range(4), range(4))))
def test_whatever_class_and_byte_order_a_file_claims_it_is_read_as_its_kernel_reads_it(
    tmp_path: Path, machine: Machine, ident: tuple[int, int]
) -> None:
    layouts = KERNELS[machine.number]
    own = Layout(machine.bits, machine.order == "<")
    claimed = Layout(32 * ident[0], ident[1] == 1) if {*ident} <= {1, 2} else None
    found = rules(tmp_path / "file", replace(GOOD, machine=machine, ident=ident, flags=2).build())
    if claimed == own:
        assert found == set()
        return
    assert "readable-elf" in found or "consistent-header" in found or claimed in layouts
    assert not verify_file(tmp_path / "file", Policy())
    if len([layout for layout in layouts if layout.little_endian == own.little_endian]) == 1:
        # It has one layout, and is read by it whatever is claimed.
        assert found == {"consistent-header"}
        facts = read_facts(tmp_path / "file")
        assert (facts.bits, facts.little_endian) == (own.bits, own.little_endian)
        assert facts.machine == enums_name(machine.number)
        assert facts.segments == read_facts(good(tmp_path, machine)).segments


def good(directory: Path, machine: Machine) -> Path:
    path = directory / "good"
    path.write_bytes(replace(GOOD, machine=machine, flags=2).build())
    return path


def enums_name(number: int) -> str:
    return next(name for name, value in enums.ENUM_E_MACHINE.items() if value == number)


def test_two_headers_in_one_file_hide_no_loader(tmp_path: Path) -> None:
    for policy in (Policy(), Policy(target=Target.AMD64)):
        found = rules(tmp_path / "file", class_lies(), policy)
        assert {"consistent-header", "no-interpreter"} <= found


@pytest.mark.parametrize("number", [0, 1, 5, 19, 255, 0x1234, 0x3E00, 0xFFFF])
@pytest.mark.parametrize("policy", [Policy(), Policy(target=Target.AMD64)])
def test_a_machine_that_nobody_knows_is_refused(
    tmp_path: Path, number: int, policy: Policy
) -> None:
    for order in ("<", ">"):
        machine = replace(AMD64, number=number, order=order)
        found = rules(tmp_path / "file", replace(GOOD, machine=machine).build(), policy)
        # 0x3e00 is x86-64's number in the other byte order: read so, the tables lie nowhere.
        swapped = {"readable-elf"} if number == 0x3E00 and order == ">" else set()
        assert found & {"known-machine", "consistent-header", *swapped}


def test_every_machine_that_is_known_is_no_finding(tmp_path: Path) -> None:
    for number, layouts in KERNELS.items():
        for layout in layouts:
            machine = Machine(
                number=number,
                bits=64 if layout.bits == 64 else 32,
                order="<" if layout.little_endian else ">",
                exit=bytes(16),
            )
            program = replace(GOOD, machine=machine, flags=2, base=0x400000)
            assert rules(tmp_path / "file", program.build()) == set()


@pytest.mark.parametrize("size", [0, 52, 63, 65, 0xFFFF])
def test_a_header_of_another_size_is_a_contradiction(tmp_path: Path, size: int) -> None:
    content = bytearray(GOOD.build())
    content[52:54] = struct.pack("<H", size)
    assert rules(tmp_path / "file", bytes(content)) == {"consistent-header"}
