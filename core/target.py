"""The machines we build for, named as Docker platforms, with all that is known about each.

Names: https://github.com/containerd/platforms (``os/arch[/variant]``).
ELF machine numbers: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html and
https://github.com/bminor/binutils-gdb/blob/master/include/elf/common.h
"""

import difflib
import platform
from enum import StrEnum
from typing import Self

from core.errors import UsageError


class Target(StrEnum):
    """A Linux platform. The value is the name Docker gives it."""

    AMD64 = "linux/amd64"
    ARM64 = "linux/arm64"
    ARM_V7 = "linux/arm/v7"
    ARM_V6 = "linux/arm/v6"
    I386 = "linux/386"
    RISCV64 = "linux/riscv64"
    PPC64LE = "linux/ppc64le"
    S390X = "linux/s390x"
    LOONG64 = "linux/loong64"
    MIPS64LE = "linux/mips64le"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the target called ``name``; raises UsageError with a guess when there is none."""
        for target in cls:
            if target.value == name:
                return target
        known = [target.value for target in cls]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        guess = f" Perhaps you meant '{near[0]}'." if near else ""
        msg = f"Unknown target '{name}'.{guess}"
        raise UsageError(msg, next=f"choose one of: {', '.join(known)}, or 'all'")

    @classmethod
    def native(cls) -> Self:
        """Return the target of the machine this runs on."""
        machine = platform.machine().lower()
        names = {
            "x86_64": cls.AMD64,
            "amd64": cls.AMD64,
            "aarch64": cls.ARM64,
            "arm64": cls.ARM64,
            "armv7l": cls.ARM_V7,
            "armv6l": cls.ARM_V6,
            "i386": cls.I386,
            "i686": cls.I386,
            "riscv64": cls.RISCV64,
            "ppc64le": cls.PPC64LE,
            "s390x": cls.S390X,
            "loongarch64": cls.LOONG64,
            "mips64": cls.MIPS64LE,
        }
        if machine not in names:
            msg = f"This machine ('{machine}') is none of the known targets."
            raise UsageError(msg, next="name one with --target")
        return names[machine]

    @property
    def slug(self) -> str:
        """The name as part of a file name: ``linux-arm-v7``."""
        return self.value.replace("/", "-")

    @property
    def triple(self) -> str:
        """The target triple that zig takes, always against musl."""
        match self:
            case Target.AMD64:
                return "x86_64-linux-musl"
            case Target.ARM64:
                return "aarch64-linux-musl"
            case Target.ARM_V7 | Target.ARM_V6:
                return "arm-linux-musleabihf"
            case Target.I386:
                return "x86-linux-musl"
            case Target.RISCV64:
                return "riscv64-linux-musl"
            case Target.PPC64LE:
                return "powerpc64le-linux-musl"
            case Target.S390X:
                return "s390x-linux-musl"
            case Target.LOONG64:
                return "loongarch64-linux-musl"
            case Target.MIPS64LE:
                return "mips64el-linux-muslabi64"

    @property
    def cpu(self) -> str:
        """The oldest CPU that the platform promises, as zig's ``-mcpu``."""
        match self:
            case Target.ARM_V7:
                return "generic+v7a+vfp3d16"
            case Target.ARM_V6:
                return "arm1176jzf_s"
            case Target.I386:
                return "pentium4"
            case Target.LOONG64:
                return "generic_la64+d+ual"  # zig's baseline has LSX, which `clang` leaves out
            case Target.S390X:
                return "arch8"  # z10, as in `clang`; zig's baseline is the z13
            case _:
                return "baseline"

    @property
    def clang(self) -> str:
        """The target as clang's flags: triple, CPU and ABI."""
        match self:
            case Target.AMD64:
                return "--target=x86_64-linux-musl"
            case Target.ARM64:
                return "--target=aarch64-linux-musl"
            case Target.ARM_V7:
                return "--target=armv7-linux-musleabihf -mfpu=vfpv3-d16"
            case Target.ARM_V6:
                return "--target=armv6-linux-musleabihf -mcpu=arm1176jzf-s -mfpu=vfpv2 -marm"
            case Target.I386:
                return "--target=i686-linux-musl -march=pentium4"
            case Target.RISCV64:
                return "--target=riscv64-linux-musl -march=rv64gc -mabi=lp64d"
            case Target.PPC64LE:
                return "--target=powerpc64le-linux-musl -mcpu=pwr8 -mlong-double-64"
            case Target.S390X:
                return "--target=s390x-linux-musl -march=z10"
            case Target.LOONG64:
                return "--target=loongarch64-linux-musl -mabi=lp64d -msimd=none"
            case Target.MIPS64LE:
                return "--target=mips64el-linux-muslabi64 -march=mips64r2"

    @property
    def kernel_arch(self) -> str:
        """The name of the kernel's architecture, as zig's header directories have it."""
        match self:
            case Target.AMD64 | Target.I386:
                return "x86"
            case Target.ARM64:
                return "aarch64"
            case Target.ARM_V7 | Target.ARM_V6:
                return "arm"
            case Target.RISCV64:
                return "riscv"
            case Target.PPC64LE:
                return "powerpc"
            case Target.S390X:
                return "s390x"
            case Target.LOONG64:
                return "loongarch"
            case Target.MIPS64LE:
                return "mips"

    @property
    def musl_arch(self) -> str:
        """The name of musl's ``arch/`` directory."""
        match self:
            case Target.AMD64:
                return "x86_64"
            case Target.ARM64:
                return "aarch64"
            case Target.ARM_V7 | Target.ARM_V6:
                return "arm"
            case Target.I386:
                return "i386"
            case Target.RISCV64:
                return "riscv64"
            case Target.PPC64LE:
                return "powerpc64"
            case Target.S390X:
                return "s390x"
            case Target.LOONG64:
                return "loongarch64"
            case Target.MIPS64LE:
                return "mips64"

    @property
    def qemu(self) -> str:
        """The suffix of qemu-user's program for this machine: ``qemu-<suffix>-static``."""
        match self:
            case Target.AMD64:
                return "x86_64"
            case Target.ARM64:
                return "aarch64"
            case Target.ARM_V7 | Target.ARM_V6:
                return "arm"
            case Target.I386:
                return "i386"
            case Target.RISCV64:
                return "riscv64"
            case Target.PPC64LE:
                return "ppc64le"
            case Target.S390X:
                return "s390x"
            case Target.LOONG64:
                return "loongarch64"
            case Target.MIPS64LE:
                return "mips64el"

    @property
    def elf_machine(self) -> str:
        """``e_machine`` as pyelftools names it."""
        match self:
            case Target.AMD64:
                return "EM_X86_64"
            case Target.ARM64:
                return "EM_AARCH64"
            case Target.ARM_V7 | Target.ARM_V6:
                return "EM_ARM"
            case Target.I386:
                return "EM_386"
            case Target.RISCV64:
                return "EM_RISCV"
            case Target.PPC64LE:
                return "EM_PPC64"
            case Target.S390X:
                return "EM_S390"
            case Target.LOONG64:
                return "EM_LOONGARCH"
            case Target.MIPS64LE:
                return "EM_MIPS"

    @property
    def bits(self) -> int:
        """The ELF class: 32 or 64."""
        return 32 if self in {Target.ARM_V7, Target.ARM_V6, Target.I386} else 64

    @property
    def little_endian(self) -> bool:
        """The ELF data encoding."""
        return self is not Target.S390X

    @property
    def outlines(self) -> bool:
        """False where LLVM's machine outliner makes wrong code: in a linked probe 3 was not equal to 3."""
        return self is not Target.ARM_V6

    @property
    def runs_natively(self) -> bool:
        """True when this machine's kernel and CPU run such a file without emulation."""
        native = Target.native()
        return self is native or (self is Target.I386 and native is Target.AMD64)
