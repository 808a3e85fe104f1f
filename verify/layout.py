"""How a kernel reads an ELF file: by the machine it is for, whatever else the file says of itself.

Linux looks at ``e_machine``, in its own byte order, and reads all that follows as its own: no kernel for x86-64 looks
at ``EI_CLASS``, and none at all at ``EI_DATA``. A file that says something else of itself is one thing to whoever
inspects it, and another to the kernel. Where a machine has several layouts (RISC-V, s390, MIPS) the kernel takes the
class.
Source: ``elf_check_arch`` and ``compat_elf_check_arch`` in https://elixir.bootlin.com/linux/v6.12/source/arch, and
https://elixir.bootlin.com/linux/v6.12/source/fs/binfmt_elf.c
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from elftools.elf import enums

Kind = Literal["Elf_Ehdr", "Elf_Phdr", "Elf_Shdr", "Elf_Dyn"]
Row = Mapping[str, Any]
"""The fields of one entry under their own names: numbers, or the name that pyelftools knows for one."""

IDENT_SIZE: Final = 16
_MACHINE_END: Final = 20
# P is a word of the class, S one with a sign; all else as ``struct`` has it.
_FIELDS: Final[Mapping[Kind, tuple[str, str, str]]] = {
    "Elf_Ehdr": (
        "e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum"
        " e_shentsize e_shnum e_shstrndx",
        "HHIPPPIHHHHHH",
        "HHIPPPIHHHHHH",
    ),
    "Elf_Phdr": (
        "p_type p_offset p_vaddr p_paddr p_filesz p_memsz p_flags p_align",
        "IPPPPPIP",
        "IIPPPPPP",
    ),
    "Elf_Shdr": (
        "sh_name sh_type sh_flags sh_addr sh_offset sh_size sh_link sh_info sh_addralign sh_entsize",
        "IIPPPPIIPP",
        "IIPPPPIIPP",
    ),
    "Elf_Dyn": ("d_tag d_val", "SP", "SP"),
}
_WIDE_PHDR: Final = "p_type p_flags p_offset p_vaddr p_paddr p_filesz p_memsz p_align"


@dataclass(frozen=True)
class Layout:
    """The class, in bits, and the byte order of a file."""

    bits: int
    little_endian: bool

    def __str__(self) -> str:
        return f"{self.bits} bits, {'little' if self.little_endian else 'big'}-endian"

    @property
    def header_size(self) -> int:
        """Bytes of the ELF header, with what identifies the file."""
        return IDENT_SIZE + self.entry_size("Elf_Ehdr")

    def entry_size(self, kind: Kind) -> int:
        """Return the size in bytes of one ``kind``."""
        return _reader(self, kind)[0].size

    def rows(self, kind: Kind, table: bytes, machine: str = "") -> Iterator[Row]:
        """Yield the whole entries in ``table``; names follow ``machine``, where it has its own."""
        reader, fields = _reader(self, kind)
        whole = len(table) - len(table) % reader.size
        known = _names(kind, machine)
        for values in reader.iter_unpack(memoryview(table)[:whole]):
            row = dict(zip(fields, values, strict=True))
            for field, names in known:
                row[field] = names.get(row[field], row[field])
            yield row


@cache
def _reader(layout: Layout, kind: Kind) -> tuple[struct.Struct, tuple[str, ...]]:
    fields, narrow, wide = _FIELDS[kind]
    order, text = ("<" if layout.little_endian else ">"), narrow
    if layout.bits == 64:
        text, fields = wide, _WIDE_PHDR if kind == "Elf_Phdr" else fields
    word, signed = ("Q", "q") if layout.bits == 64 else ("I", "i")
    return struct.Struct(order + text.replace("P", word).replace("S", signed)), tuple(
        fields.split()
    )


@cache
def _names(kind: Kind, machine: str) -> tuple[tuple[str, Mapping[int, str]], ...]:
    """The fields of ``kind`` that have names, and those of each."""
    match kind:
        case "Elf_Ehdr":
            return (
                ("e_type", _decoded(enums.ENUM_E_TYPE)),
                ("e_machine", _decoded(enums.ENUM_E_MACHINE)),
            )
        case "Elf_Phdr":
            own = {
                "EM_ARM": enums.ENUM_P_TYPE_ARM,
                "EM_AARCH64": enums.ENUM_P_TYPE_AARCH64,
                "EM_MIPS": enums.ENUM_P_TYPE_MIPS,
                "EM_RISCV": enums.ENUM_P_TYPE_RISCV,
            }
            return (("p_type", _decoded(own.get(machine, enums.ENUM_P_TYPE_BASE))),)
        case "Elf_Shdr":
            own = {
                "EM_ARM": enums.ENUM_SH_TYPE_ARM,
                "EM_AARCH64": enums.ENUM_SH_TYPE_AARCH64,
                "EM_X86_64": enums.ENUM_SH_TYPE_AMD64,
                "EM_MIPS": enums.ENUM_SH_TYPE_MIPS,
                "EM_RISCV": enums.ENUM_SH_TYPE_RISCV,
            }
            return (("sh_type", _decoded(own.get(machine, enums.ENUM_SH_TYPE_BASE))),)
        case "Elf_Dyn":
            extra = enums.ENUMMAP_EXTRA_D_TAG_MACHINE.get(machine, {})
            return (("d_tag", _decoded({**enums.ENUM_D_TAG_COMMON, **extra})),)


def _decoded(encoding: Mapping[str, Any]) -> Mapping[int, str]:
    """Turn pyelftools' names around, as its own reader does."""
    return {value: name for name, value in encoding.items() if isinstance(value, int)}


def os_abi_name(number: int) -> int | str:
    """Return the name of EI_OSABI, or the number where there is none."""
    return _decoded(enums.ENUM_EI_OSABI).get(number, number)


_LE64, _BE64 = Layout(64, little_endian=True), Layout(64, little_endian=False)
_LE32, _BE32 = Layout(32, little_endian=True), Layout(32, little_endian=False)
KERNELS: Final[Mapping[int, tuple[Layout, ...]]] = {
    2: (_BE32,),  # SPARC
    3: (_LE32,),  # 386
    4: (_BE32,),  # 68k
    6: (_LE32,),  # 486, which kernels for x86 take as well
    8: (_LE32, _LE64, _BE32, _BE64),  # MIPS
    15: (_BE32, _BE64),  # PA-RISC
    18: (_BE32,),  # SPARC32PLUS
    20: (_BE32,),  # PowerPC
    21: (_LE64, _BE64),  # PowerPC64
    22: (_BE64, _BE32),  # S/390
    40: (_LE32, _BE32),  # ARM
    42: (_LE32, _BE32),  # SuperH
    43: (_BE64,),  # SPARC V9
    50: (_LE64,),  # IA-64
    62: (_LE64,),  # x86-64; x32 (32 bits) is read so too by every kernel that was built without it
    92: (_BE32,),  # OpenRISC
    93: (_LE32, _BE32),  # ARC
    94: (_LE32, _BE32),  # Xtensa
    113: (_LE32,),  # Nios II
    164: (_LE32,),  # Hexagon
    183: (_LE64, _BE64),  # AArch64
    189: (_LE32, _BE32),  # MicroBlaze
    195: (_LE32, _BE32),  # ARCv2
    243: (_LE64, _LE32),  # RISC-V
    252: (_LE32,),  # C-SKY
    258: (_LE64, _LE32),  # LoongArch
    0x9026: (_LE64,),  # Alpha
}
"""What the kernels for each ``e_machine`` read. No number is another one's with its two bytes swapped."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """How a file is read, and in what it contradicts itself; ``known`` says whether a Linux runs such a machine."""

    layout: Layout
    known: bool
    contradictions: tuple[str, ...]


def identify(start: bytes) -> Identity | None:
    """Return how the kernel reads the file that begins so; None when neither machine nor file says it."""
    if len(start) < _MACHINE_END:
        return None
    bits = {1: 32, 2: 64}.get(start[4])
    little = {1: True, 2: False}.get(start[5])
    claimed = None if bits is None or little is None else Layout(bits, little_endian=little)
    for order in (True, False) if little is not False else (False, True):
        number = int.from_bytes(start[18:_MACHINE_END], "little" if order else "big")
        layouts = [layout for layout in KERNELS.get(number, ()) if layout.little_endian is order]
        if claimed in layouts:
            return Identity(layout=claimed, known=True, contradictions=())
        if number in KERNELS:
            read = layouts or KERNELS[number]
            # Of several the one of the class, which the kernels of such machines look at.
            layout = next((layout for layout in read if layout.bits == bits), read[0])
            said = str(claimed) if claimed else f"class {start[4]} and data encoding {start[5]}"
            machine = _decoded(enums.ENUM_E_MACHINE).get(number, f"EM_{number:#x}")
            problem = f"says {said}; Linux reads a file for {machine} as {layout}"
            return Identity(layout=layout, known=True, contradictions=(problem,))
    return Identity(layout=claimed, known=False, contradictions=()) if claimed else None
