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
MAX_NAME: Final = 256
_MAX_NAMES: Final = 1024 * 1024
# ".gnu_debuglink" is not among them: it only names a separate file, and makes this one no bigger.
_DEBUG: Final = (".debug", ".zdebug", ".stab", ".gdb_index", ".gnu_debugdata")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section header. Offset and size in bytes; ``type`` as in ``SHT_SYMTAB``."""

    name: str
    """The first MAX_NAME bytes, printable."""
    type: str
    offset: int
    size: int

    @property
    def in_file(self) -> bool:
        """False where the file holds no bytes of it."""
        return self.type not in {"SHT_NOBITS", "SHT_NULL"}


@dataclass(frozen=True, kw_only=True)
class SectionFacts:
    """Both facts are None when ``problem`` says why they could not be read.

    ``end`` is the first file offset after everything that the section headers describe.
    """

    problem: str | None
    symbol_table: bool | None
    debug: tuple[str, ...] | None
    end: int


def read_sections(elf: ElfFile) -> tuple[Section, ...] | str:
    """Return the section headers, none when the file has none, or why they cannot be read.

    Raises MalformedElfError.
    """
    header = elf.header
    if header.sections_offset == 0:
        return ()
    size = elf.entry_size("Elf_Shdr")
    if header.sections_entry_size != size:
        return f"section headers of {header.sections_entry_size} B, not {size} B"
    # 0 means "more than fit": over 65,279 of them, an object file's number, not a program's.
    if not 0 < header.sections_count <= MAX_SECTIONS:
        return f"claims {header.sections_count} section headers"
    if header.sections_end > elf.size:
        return "the section header table lies outside the file"
    if header.section_names_index >= header.sections_count:
        return "the section names cannot be found"
    table = elf.at(header.sections_offset, size * header.sections_count)
    rows = elf.entries("Elf_Shdr", table)
    naming = rows[header.section_names_index]
    names = elf.at(naming["sh_offset"], min(naming["sh_size"], _MAX_NAMES))
    return tuple(
        Section(
            name=printable(names[row["sh_name"] : row["sh_name"] + MAX_NAME].partition(b"\0")[0]),
            type=str(row["sh_type"]),
            offset=row["sh_offset"],
            size=row["sh_size"],
        )
        for row in rows
    )


def read_section_facts(elf: ElfFile) -> SectionFacts:
    """Read what sections tell; a file without any is stripped. Raises MalformedElfError."""
    found = read_sections(elf)
    end = 0
    if found and not isinstance(found, str):
        ends = [section.offset + section.size for section in found if section.in_file]
        if max(ends, default=0) > elf.size:
            found = "a section lies outside the file"
        end = max([elf.header.sections_end, *ends])
    if isinstance(found, str):
        return SectionFacts(problem=found, symbol_table=None, debug=None, end=0)
    return SectionFacts(
        problem=None,
        symbol_table=any(section.type == "SHT_SYMTAB" for section in found),
        debug=tuple(section.name for section in found if section.name.startswith(_DEBUG)),
        end=end,
    )
