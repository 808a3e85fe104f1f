"""What section headers alone can tell: symbols and debug info left in the file.

Nothing that makes a file static is decided here; UPX, and anyone, may drop the section headers.
Layout: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.sheader.html
"""

from dataclasses import dataclass
from typing import Final

from verify.elf_file import ElfFile
from verify.printable import printable

# Linked programs have some 30; more than this is refused, not walked.
MAX_SECTIONS: Final = 4096
_MAX_NAMES: Final = 1024 * 1024
# ".gnu_debuglink" is not among them: it only names a separate file, and makes this one no bigger.
_DEBUG: Final = (".debug", ".zdebug", ".stab", ".gdb_index", ".gnu_debugdata")


@dataclass(frozen=True, kw_only=True)
class Sections:
    """Section facts; both are None when ``problem`` says why they could not be read.

    ``end`` is the first file offset after everything that the section headers describe.
    """

    problem: str | None
    symbol_table: bool | None
    debug: tuple[str, ...] | None
    end: int


def read_sections(elf: ElfFile) -> Sections:
    """Read the section headers; a file without any is stripped. Raises MalformedElfError."""
    header = elf.header
    if header.sections_offset == 0:
        return Sections(problem=None, symbol_table=False, debug=(), end=0)
    size = elf.entry_size("Elf_Shdr")
    table_end = header.sections_offset + size * header.sections_count
    if header.sections_entry_size != size:
        return _unreadable(f"section headers of {header.sections_entry_size} B, not {size} B")
    # 0 means "more than fit": over 65,279 of them, an object file's number, not a program's.
    if not 0 < header.sections_count <= MAX_SECTIONS:
        return _unreadable(f"claims {header.sections_count} section headers")
    if table_end > elf.size:
        return _unreadable("the section header table lies outside the file")
    if header.section_names_index >= header.sections_count:
        return _unreadable("the section names cannot be found")
    table = elf.at(header.sections_offset, size * header.sections_count)
    rows = elf.entries("Elf_Shdr", table)
    naming = rows[header.section_names_index]
    names = elf.at(naming["sh_offset"], min(naming["sh_size"], _MAX_NAMES))
    found = [
        (row["sh_type"], names[row["sh_name"] : row["sh_name"] + 256].partition(b"\0")[0])
        for row in rows
    ]
    ends = [
        row["sh_offset"] + row["sh_size"]
        for row in rows
        if row["sh_type"] not in ("SHT_NOBITS", "SHT_NULL")
    ]
    if max(ends, default=0) > elf.size:
        return _unreadable("a section lies outside the file")
    return Sections(
        problem=None,
        symbol_table=any(kind == "SHT_SYMTAB" for kind, _ in found),
        debug=tuple(
            printable(name) for _, name in found if name.decode("latin-1").startswith(_DEBUG)
        ),
        end=max([table_end, *ends]),
    )


def _unreadable(problem: str) -> Sections:
    return Sections(problem=problem, symbol_table=None, debug=None, end=0)
