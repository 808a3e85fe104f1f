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
# ".gnu_debuglink" is not among them: it only names a separate file, and makes this one no bigger.
DEBUG_NAMES: Final = (".debug", ".zdebug", ".stab", ".gdb_index", ".gnu_debugdata")
_MAX_NAMES: Final = 1024 * 1024
_SHF_EXECINSTR: Final = 4


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section header. Offset, address and size in bytes; ``type`` as in ``SHT_SYMTAB``."""

    name: str
    """The first MAX_NAME bytes, printable."""
    name_at: int
    """Where its name begins among the names."""
    type: str
    offset: int
    address: int
    size: int
    executable: bool

    @property
    def file_end(self) -> int:
        """The first file offset after it; 0 where the file holds no bytes of it."""
        return 0 if self.type in {"SHT_NOBITS", "SHT_NULL"} else self.offset + self.size


def read_sections(elf: ElfFile) -> tuple[Section, ...] | str:
    """Return the section headers, none when the file has none, or why they cannot be read."""
    offset, count, index = (elf.header[f"e_sh{name}"] for name in ("off", "num", "strndx"))
    if offset == 0:
        return ()
    size = elf.entry_size("Elf_Shdr")
    if (entry_size := elf.header["e_shentsize"]) != size:
        return f"section headers of {entry_size} B, not {size} B"
    # 0 means "more than fit": over 65,279 of them, an object file's number, not a program's.
    if not 0 < count <= MAX_SECTIONS:
        return f"claims {count} section headers"
    if elf.sections_end > elf.size:
        return "the section header table lies outside the file"
    if index >= count:
        return "the section names cannot be found"
    rows = elf.entries("Elf_Shdr", elf.at(offset, size * count))
    naming = rows[index]
    names = elf.at(naming["sh_offset"], min(naming["sh_size"], _MAX_NAMES))
    return tuple(
        Section(
            name=printable(names[row["sh_name"] : row["sh_name"] + MAX_NAME].partition(b"\0")[0]),
            name_at=row["sh_name"],
            type=str(row["sh_type"]),
            offset=row["sh_offset"],
            address=row["sh_addr"],
            size=row["sh_size"],
            executable=bool(row["sh_flags"] & _SHF_EXECINSTR),
        )
        for row in rows
    )
