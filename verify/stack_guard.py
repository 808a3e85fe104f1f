"""The stack protector, seen in machine code: a stripped file has no symbols, and the instructions stay.

A protected function reads a secret value, the guard, when it begins and once more before it returns. On some machines
it stands at a fixed place beside the thread's own data, which nothing else reads that way:

* x86-64 and x86: ``%fs:40`` and ``%gs:20``
* PowerPC64: ``-28688(%r13)``
* s390x: 40 bytes behind what ``%a0`` and ``%a1`` name

(https://github.com/llvm/llvm-project/blob/llvmorg-22.1.0/llvm/lib/Target/X86/X86ISelLowering.cpp and the other targets'
``getIRStackGuard``, ``LOAD_STACK_GUARD``.) On the others, ARM, RISC-V and LoongArch among them, it is a variable of the
C library, ``__stack_chk_guard``, found relative to the code as every variable is: without symbols nothing says which.
"""

import re
from typing import Final

from verify.elf_file import ElfFile, Segment, file_ranges

_WINDOW: Final = 1024 * 1024
_LONGEST: Final = 16


def _x86(prefix: bytes, offset: int) -> bytes:
    """mov, cmp, xor or sub of a register and a place in a thread's segment."""
    any_register = rb"[\x04\x0c\x14\x1c\x24\x2c\x34\x3c]\x25"
    return (
        prefix + rb"[\x8b\x3b\x39\x33\x2b]" + any_register + re.escape(offset.to_bytes(4, "little"))
    )


def _s390x() -> bytes:
    """ear %rX,%a1, then lg or cg with 40(%rX)."""
    return b"|".join(
        rb"\xb2\x4f\x00"
        + re.escape(bytes([x << 4 | 1]))
        + rb"\xe3."
        + re.escape(bytes([x << 4]) + b"\x28\0")
        + rb"[\x04\x20]"
        for x in range(1, 16)
    )


_READS: Final = {
    "EM_X86_64": re.compile(_x86(rb"\x64[\x48\x4c]", 40), re.DOTALL),
    "EM_386": re.compile(
        rb"\x65(?:\xa1|[\x8b\x3b\x39\x33\x2b][\x05\x0d\x15\x1d\x25\x2d\x35\x3d])\x14\0\0\0",
        re.DOTALL,
    ),
    # ld %rX,-28688(%r13): 58 << 26 | X << 21 | 13 << 16 | 0x8ff0
    "EM_PPC64": re.compile(rb"\xf0\x8f[\x0d\x2d\x4d\x6d\x8d\xad\xcd\xed][\xe8-\xeb]", re.DOTALL),
    "EM_S390": re.compile(_s390x(), re.DOTALL),
}


def count_guard_reads(elf: ElfFile, segments: tuple[Segment, ...], machine: str) -> int | None:
    """Return how often executable code reads the guard; None where the machine has no place of its own for it.

    Reads every byte once, in windows, however the segments overlap.
    """
    pattern = _READS.get(machine)
    if pattern is None:
        return None
    code = (s for s in segments if s.type == "PT_LOAD" and s.executable)
    return sum(
        1
        for start, end in file_ranges(code, elf.size)
        for position in range(start, end, _WINDOW)
        for match in pattern.finditer(elf.at(position, min(_WINDOW + _LONGEST, end - position)))
        if match.start() < _WINDOW
    )
