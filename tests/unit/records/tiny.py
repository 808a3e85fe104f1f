"""Small programs of random pieces, whose owners are known, with the map that a linker would have written of them."""

import random
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HEAD = "             VMA              LMA     Size Align Out     In      Symbol\n"
OPTIMISED = "app.lto.o"
OWN = "app"
NEEDS = {"tls-small": "tls", "musl-base": "musl"}

PROGBITS, STRTAB, NOBITS = 1, 3, 8
ALLOC, WRITE, EXEC = 2, 1, 4


@dataclass
class Piece:
    """What the map says of one piece of an object."""

    object: str
    section: str
    size: int
    align: int
    symbols: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, offset and size."""


@dataclass
class Section:
    name: str
    flags: int
    kind: int = PROGBITS
    pieces: list[Piece] = field(default_factory=list)
    address: int = 0
    size: int = 0
    starts: list[int] = field(default_factory=list)

    def lay_out(self, address: int) -> int:
        """Give addresses to its pieces; return where it ends."""
        self.address = at = address if self.flags & ALLOC else 0
        self.starts = []
        for piece in self.pieces:
            at += -at % piece.align
            self.starts.append(at)
            at += piece.size
        self.size = at - self.address
        return address + self.size


@dataclass
class Tiny:
    """A program of 64 bits, its map, and who brought its optimised code."""

    sections: list[Section]
    owners: dict[str, str]

    def program(self) -> bytes:
        """The file."""
        names = b"\0"
        offsets: list[tuple[int, int]] = []
        address = 0x400
        for section in self.sections:
            address += -address % 16
            address = section.lay_out(address)
        content = bytearray(64 + 56)
        for section in self.sections:
            content += bytes(-len(content) % 16)
            offsets.append((len(names), len(content)))
            names += section.name.encode() + b"\0"
            if section.kind != NOBITS:
                content += bytes(section.size)
        # The names are the last section, and as long as the pieces say.
        last = self.sections[-1]
        start = offsets[-1][1]
        assert last.size >= len(names)
        content[start : start + len(names)] = names
        content += bytes(-len(content) % 8)
        table = len(content)
        rows = [bytes(64)]
        for section, (name, offset) in zip(self.sections, offsets, strict=True):
            rows.append(
                struct.pack(
                    "<IIQQQQIIQQ",
                    *(name, section.kind, section.flags, section.address, offset, section.size),
                    *(0, 0, 1, 0),
                )
            )
        content += b"".join(rows)
        ident = b"\x7fELF\2\1\1" + bytes(9)
        content[:64] = ident + struct.pack(
            "<HHIQQQIHHHHHH",
            *(3, 62, 1, 0, 64, table, 0, 64, 56, 1, 64, len(rows), len(rows) - 1),
        )
        content[64:120] = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, len(content), len(content), 16)
        return bytes(content)

    def link_map(self) -> str:
        """The map, once the program was made."""
        lines = []
        for section in self.sections:
            lines.append(_line(section.address, section.size, 1, section.name))
            for piece, start in zip(section.pieces, section.starts, strict=True):
                named = f"        {piece.object}:({piece.section})"
                lines.append(_line(start, piece.size, piece.align, named))
                for name, offset, size in piece.symbols:
                    lines.append(_line(start + offset, size, 1, " " * 16 + name))
        return HEAD + "".join(lines)

    def owners_list(self) -> str:
        """The linker's list of symbols that prevailed."""
        return "".join(f"-r={module},{name},pl\n" for name, module in self.owners.items())

    def write(self, directory: Path) -> Path:
        """Put the program there."""
        path = directory / "app-1.0-linux-amd64"
        path.write_bytes(self.program())
        return path


def _line(address: int, size: int, align: int, name: str) -> str:
    return f"{address:>16x} {address:>16x} {size:>8x} {align:>5} {name}\n"


MODULES = (
    "obj/main.o",
    "lib/libapp.a(one.o)",
    "lib/libapp.a(two.o)",
    "/box/needs/tls-small/lib/libtls.a(hand.o)",
    "/box/needs/tls-small/lib/libtls.a(shake.o)",
)
PLAIN = ("/box/needs/musl-base/lib/libc.a(puts.o)", "/box/needs/musl-base/lib/crt1.o")


def tiny(seed: int) -> Tiny:
    """A program with code, constants, data and memory that the file has no bytes of."""
    chance = random.Random(seed)
    owners: dict[str, str] = {}
    sections = [
        Section(".dynsym", ALLOC, pieces=[Piece("<internal>", ".dynsym", 24, 8)]),
        Section(".rodata", ALLOC, pieces=list(_constants(chance, owners))),
        Section(".text", ALLOC | EXEC, pieces=list(_pieces(chance, owners, ".text"))),
        Section(".data", ALLOC | WRITE, pieces=list(_pieces(chance, owners, ".data"))),
        Section(".bss", ALLOC | WRITE, NOBITS, list(_pieces(chance, owners, ".bss"))),
        Section(".shstrtab", 0, STRTAB, [Piece("<internal>", ".shstrtab", 60, 1)]),
    ]
    return Tiny(sections=sections, owners=owners)


def _constants(chance: random.Random, owners: dict[str, str]) -> Iterator[Piece]:
    yield Piece("<internal>", ".rodata.str1.1", chance.randrange(1, 900), 1)
    yield Piece("<internal>", ".rodata.cst16", 16 * chance.randrange(1, 9), 16)
    yield from _pieces(chance, owners, ".rodata")


def _pieces(chance: random.Random, owners: dict[str, str], section: str) -> Iterator[Piece]:
    for number, module in enumerate(PLAIN):
        name = f"{section[1:]}_plain_{number}"
        size = chance.randrange(1, 300)
        symbols = [(name, 0, chance.randrange(size + 1))]
        yield Piece(module, f"{section}.{name}", size, chance.choice((1, 4, 16)), symbols)
    for number, module in enumerate(MODULES):
        for function in range(chance.randrange(1, 6)):
            name = f"{section[1:]}_{number}_{function}"
            size = chance.randrange(1, 500)
            # The first of each module has a name that others see.
            if not function or chance.random() < 0.5:
                owners[name] = module
            yield Piece(
                OPTIMISED,
                f"{section}.{name}",
                size,
                chance.choice((1, 2, 16)),
                [(name, 0, size)] if chance.random() < 0.9 or name in owners else [],
            )
        if section == ".text" and chance.random() < 0.5:
            name = f"OUTLINED_FUNCTION_{number}"
            yield Piece(OPTIMISED, f".text.{name}", 7, 1, [(name, 0, 7)])


def truth(pieces: Sequence[Piece]) -> Counter[str]:
    """Bytes of optimised pieces by the number of the module that their names have."""
    sizes: Counter[str] = Counter()
    for piece in pieces:
        if piece.object == OPTIMISED and "OUTLINED" not in piece.section:
            sizes[piece.section.split("_")[1]] += piece.size
    return sizes
