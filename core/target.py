"""The machines we build for, named as Docker platforms: one row for each, with all that is known about it.

Names: https://github.com/containerd/platforms (``os/arch[/variant]``).
ELF machine numbers: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html and
https://github.com/bminor/binutils-gdb/blob/master/include/elf/common.h
"""

import platform
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from core.errors import UsageError
from core.suggest import suggestion


@dataclass(frozen=True, kw_only=True)
class Machine:
    """All that is known about a target; to build for one more, add a row to `Target`."""

    platform: str
    """The name Docker gives it."""
    uname: tuple[str, ...]
    """What ``uname -m`` says on such a machine."""
    triple: str
    """The target triple that zig takes, always against musl."""
    cpu: str = "baseline"
    """The oldest CPU that the platform promises, as zig's ``-mcpu``."""
    clang: str
    """The target as clang's flags: triple, CPU and ABI."""
    kernel_arch: str
    """The name of the kernel's architecture, as zig's header directories have it."""
    musl_arch: str
    """The name of musl's ``arch/`` directory."""
    qemu: str
    """The suffix of qemu-user's program for this machine: ``qemu-<suffix>-static``."""
    elf_machine: str
    """``e_machine`` as pyelftools names it."""
    bits: int = 64
    """The ELF class: 32 or 64."""
    little_endian: bool = True
    """The ELF data encoding."""
    outlines: bool = True
    """False where LLVM's machine outliner makes wrong code: in a linked probe 3 was not equal to 3."""
    runs_on: str = ""
    """Another platform whose kernels and CPUs run its files without emulation."""


class Target(StrEnum):
    """A Linux platform. The value is the name Docker gives it."""

    AMD64 = Machine(
        platform="linux/amd64",
        uname=("x86_64", "amd64"),
        triple="x86_64-linux-musl",
        clang="--target=x86_64-linux-musl",
        kernel_arch="x86",
        musl_arch="x86_64",
        qemu="x86_64",
        elf_machine="EM_X86_64",
    )
    ARM64 = Machine(
        platform="linux/arm64",
        uname=("aarch64", "arm64"),
        triple="aarch64-linux-musl",
        clang="--target=aarch64-linux-musl",
        kernel_arch="aarch64",
        musl_arch="aarch64",
        qemu="aarch64",
        elf_machine="EM_AARCH64",
    )
    ARM_V7 = Machine(
        platform="linux/arm/v7",
        uname=("armv7l",),
        triple="arm-linux-musleabihf",
        cpu="generic+v7a+vfp3d16",
        clang="--target=armv7-linux-musleabihf -mfpu=vfpv3-d16",
        kernel_arch="arm",
        musl_arch="arm",
        qemu="arm",
        elf_machine="EM_ARM",
        bits=32,
    )
    ARM_V6 = Machine(
        platform="linux/arm/v6",
        uname=("armv6l",),
        triple="arm-linux-musleabihf",
        cpu="arm1176jzf_s",
        clang="--target=armv6-linux-musleabihf -mcpu=arm1176jzf-s -mfpu=vfpv2 -marm",
        kernel_arch="arm",
        musl_arch="arm",
        qemu="arm",
        elf_machine="EM_ARM",
        bits=32,
        outlines=False,
    )
    I386 = Machine(
        platform="linux/386",
        uname=("i386", "i486", "i586", "i686"),
        triple="x86-linux-musl",
        cpu="pentium4",
        clang="--target=i686-linux-musl -march=pentium4",
        kernel_arch="x86",
        musl_arch="i386",
        qemu="i386",
        elf_machine="EM_386",
        bits=32,
        runs_on="linux/amd64",
    )
    RISCV64 = Machine(
        platform="linux/riscv64",
        uname=("riscv64",),
        triple="riscv64-linux-musl",
        clang="--target=riscv64-linux-musl -march=rv64gc -mabi=lp64d",
        kernel_arch="riscv",
        musl_arch="riscv64",
        qemu="riscv64",
        elf_machine="EM_RISCV",
    )
    PPC64LE = Machine(
        platform="linux/ppc64le",
        uname=("ppc64le",),
        triple="powerpc64le-linux-musl",
        clang="--target=powerpc64le-linux-musl -mcpu=pwr8 -mlong-double-64",
        kernel_arch="powerpc",
        musl_arch="powerpc64",
        qemu="ppc64le",
        elf_machine="EM_PPC64",
    )
    S390X = Machine(
        platform="linux/s390x",
        uname=("s390x",),
        triple="s390x-linux-musl",
        cpu="arch8",  # z10, as in `clang`; zig's baseline is the z13
        clang="--target=s390x-linux-musl -march=z10",
        kernel_arch="s390x",
        musl_arch="s390x",
        qemu="s390x",
        elf_machine="EM_S390",
        little_endian=False,
    )
    LOONG64 = Machine(
        platform="linux/loong64",
        uname=("loongarch64",),
        triple="loongarch64-linux-musl",
        cpu="generic_la64+d+ual",  # zig's baseline has LSX, which `clang` leaves out
        clang="--target=loongarch64-linux-musl -mabi=lp64d -msimd=none",
        kernel_arch="loongarch",
        musl_arch="loongarch64",
        qemu="loongarch64",
        elf_machine="EM_LOONGARCH",
    )

    # Typed for callers too, to whom `Target("linux/arm64")` looks one up; only a row gets here.
    def __new__(cls, machine: Machine | str) -> Self:
        assert isinstance(machine, Machine)
        member = str.__new__(cls, machine.platform)
        member._value_ = machine.platform
        return member

    def __init__(self, machine: Machine | str) -> None:
        assert isinstance(machine, Machine)
        self.uname = machine.uname
        self.triple = machine.triple
        self.cpu = machine.cpu
        self.clang = machine.clang
        self.kernel_arch = machine.kernel_arch
        self.musl_arch = machine.musl_arch
        self.qemu = machine.qemu
        self.elf_machine = machine.elf_machine
        self.bits = machine.bits
        self.little_endian = machine.little_endian
        self.outlines = machine.outlines
        self.runs_on = machine.runs_on

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the target called ``name``; raises UsageError with a guess when there is none."""
        for target in cls:
            if target.value == name:
                return target
        msg = f"Unknown target '{name}'.{suggestion(name, cls, cutoff=0.4)}"
        raise UsageError(msg, next=f"choose one of: {', '.join(cls)}, or 'all'")

    @classmethod
    def native(cls) -> Self:
        """Return the target of the machine this runs on."""
        machine = platform.machine().lower()
        for target in cls:
            if machine in target.uname:
                return target
        msg = f"This machine ('{machine}') is none of the known targets."
        raise UsageError(msg, next="name one with --target")

    @property
    def slug(self) -> str:
        """The name as part of a file name: ``linux-arm-v7``."""
        return self.value.replace("/", "-")

    @property
    def runs_natively(self) -> bool:
        """True when this machine's kernel and CPU run such a file without emulation."""
        return Target.native() in {self.value, self.runs_on}
