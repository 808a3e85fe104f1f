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


@dataclass(kw_only=True)
class Machine:
    """All that is known about a target; to build for one more, add a row to `Target`."""

    platform: str
    """The name Docker gives it."""
    uname: tuple[str, ...]
    """What ``uname -m`` says on such a machine."""
    arch: str = ""
    """The architecture, as most others call it; what ``uname`` says first, unless told otherwise."""
    triple: str = ""
    """The target triple that zig takes, always against musl; begins with ``arch``, unless told otherwise."""
    cpu: str = "baseline"
    """The oldest CPU that the platform promises, as zig's ``-mcpu``."""
    qemu_cpu: str
    """The same CPU as qemu's ``-cpu``, or the oldest one beside it that qemu has."""
    clang: str = ""
    """The target as clang's flags: triple, CPU and ABI; the triple alone, unless told otherwise."""
    kernel_arch: str = ""
    """The name of the kernel's architecture, as zig's header directories have it; ``arch``, unless told otherwise."""
    musl_arch: str = ""
    """The name of musl's ``arch/`` directory; ``arch``, unless told otherwise."""
    elf_machine: str
    """``e_machine`` as pyelftools names it."""
    bits: int = 64
    """The ELF class: 32 or 64."""
    little_endian: bool = True
    """The ELF data encoding."""
    page: int = 4096
    """Bytes of the largest page that its kernels may have; segments and what RELRO locks end at such a page."""
    outlines: bool = True
    """False where LLVM's machine outliner makes wrong code. ARM: in a linked probe 3 was not equal to 3. x86:
    it moves what an address is counted from, and nothing is position independent any more."""
    runs_on: str = ""
    """Another platform whose kernels and CPUs run its files without emulation."""

    def __post_init__(self) -> None:
        self.arch = self.arch or self.uname[0]
        self.triple = self.triple or f"{self.arch}-linux-musl"
        self.clang = self.clang or f"--target={self.triple}"
        self.kernel_arch = self.kernel_arch or self.arch
        self.musl_arch = self.musl_arch or self.arch


class Target(StrEnum):
    """A Linux platform. The value is the name Docker gives it."""

    machine: Machine

    AMD64 = Machine(
        platform="linux/amd64",
        uname=("x86_64", "amd64"),
        qemu_cpu="Opteron_G1,pni=off",  # the first one, without SSE3
        kernel_arch="x86",
        elf_machine="EM_X86_64",
    )
    ARM64 = Machine(
        platform="linux/arm64",
        uname=("aarch64", "arm64"),
        qemu_cpu="cortex-a53",
        elf_machine="EM_AARCH64",
        page=65536,
    )
    ARM_V7 = Machine(
        platform="linux/arm/v7",
        uname=("armv7l",),
        arch="arm",
        triple="arm-linux-musleabihf",
        cpu="generic+v7a+vfp3d16-neon-d32",  # to zig v7a implies NEON, which not every such CPU has
        qemu_cpu="cortex-a9,neon=off",
        clang="--target=armv7-linux-musleabihf -mfpu=vfpv3-d16",
        elf_machine="EM_ARM",
        page=65536,
        bits=32,
        outlines=False,
    )
    ARM_V6 = Machine(
        platform="linux/arm/v6",
        uname=("armv6l",),
        arch="arm",
        triple="arm-linux-musleabihf",
        cpu="arm1176jzf_s",
        qemu_cpu="arm1176",
        clang="--target=armv6-linux-musleabihf -mcpu=arm1176jzf-s -mfpu=vfpv2 -marm",
        elf_machine="EM_ARM",
        page=65536,
        bits=32,
        outlines=False,
    )
    I386 = Machine(
        platform="linux/386",
        uname=("i386", "i486", "i586", "i686"),
        triple="x86-linux-musl",
        cpu="pentium4",
        qemu_cpu="pentium3,sse2=on",
        clang="--target=i686-linux-musl -march=pentium4",
        kernel_arch="x86",
        elf_machine="EM_386",
        bits=32,
        outlines=False,
        runs_on="linux/amd64",
    )
    RISCV64 = Machine(
        platform="linux/riscv64",
        uname=("riscv64",),
        qemu_cpu="sifive-u54",
        clang="--target=riscv64-linux-musl -march=rv64gc -mabi=lp64d",
        kernel_arch="riscv",
        elf_machine="EM_RISCV",
    )
    PPC64LE = Machine(
        platform="linux/ppc64le",
        uname=("ppc64le",),
        triple="powerpc64le-linux-musl",
        qemu_cpu="power8",
        clang="--target=powerpc64le-linux-musl -mcpu=pwr8 -mlong-double-64",
        kernel_arch="powerpc",
        musl_arch="powerpc64",
        elf_machine="EM_PPC64",
        page=65536,
    )
    S390X = Machine(
        platform="linux/s390x",
        uname=("s390x",),
        cpu="arch8",  # z10, as in `clang`; zig's baseline is the z13
        qemu_cpu="max,vx=off,vxeh=off,vxeh2=off",  # it cannot be a z10; this one lacks what came with the z13
        clang="--target=s390x-linux-musl -march=z10",
        elf_machine="EM_S390",
        little_endian=False,
    )
    LOONG64 = Machine(
        platform="linux/loong64",
        uname=("loongarch64",),
        cpu="generic_la64+d+ual",  # zig's baseline has LSX, which `clang` leaves out
        qemu_cpu="la464",  # the only one; newer ones of qemu have LSX in it
        clang="--target=loongarch64-linux-musl -mabi=lp64d -msimd=none",
        kernel_arch="loongarch",
        elf_machine="EM_LOONGARCH",
        page=65536,
    )

    # Typed for callers too, to whom `Target("linux/arm64")` looks one up; only a row gets here.
    def __new__(cls, machine: Machine | str) -> Self:
        assert isinstance(machine, Machine)
        member = str.__new__(cls, machine.platform)
        member._value_ = machine.platform
        member.machine = machine
        return member

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the target called ``name``; raises UsageError with a guess when there is none."""
        if name in list(cls):
            return cls(name)
        msg = f"Unknown target '{name}'.{suggestion(name, cls, cutoff=0.4)}"
        raise UsageError(msg, next=f"choose one of: {', '.join(cls)}, or 'all'")

    @classmethod
    def native(cls) -> Self:
        """Return the target of the machine this runs on."""
        name = platform.machine().lower()
        for target in cls:
            if name in target.machine.uname:
                return target
        msg = f"This machine ('{name}') is none of the known targets."
        raise UsageError(msg, next="name one with --target")

    @property
    def slug(self) -> str:
        """The name as part of a file name: ``linux-arm-v7``."""
        return self.value.replace("/", "-")

    @property
    def runs_natively(self) -> bool:
        """True when this machine's kernel and CPU run such a file without emulation."""
        return Target.native() in {self.value, self.machine.runs_on}
