"""Where a program starts: at its entry point or, for PowerPC64's first ABI, where that points."""

from typing import Final

from verify.elf_file import ElfFile, Segment

_EF_PPC64_ABI: Final = 3
_DESCRIPTOR: Final = 8


def code_address(elf: ElfFile, segments: tuple[Segment, ...]) -> int | None:
    """Return the address of the first instruction; None when a descriptor should say it and is not in the file.

    ELFv1 (big-endian, ``e_flags`` 0 or 1) enters functions by descriptors, and the kernel does so too:
    https://elixir.bootlin.com/linux/v6.12/source/arch/powerpc/kernel/process.c (start_thread).
    """
    header = elf.header
    entry: int = header["e_entry"]
    first_abi = header["e_flags"] & _EF_PPC64_ABI < 2 and not elf.layout.little_endian
    if header["e_machine"] != "EM_PPC64" or not first_abi:
        return entry
    for segment in segments:
        inside = entry - segment.vaddr
        if segment.type == "PT_LOAD" and 0 <= inside <= segment.file_size - _DESCRIPTOR:
            return int.from_bytes(elf.at(segment.offset + inside, _DESCRIPTOR), "big")
    return None
