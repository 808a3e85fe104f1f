"""The toolchain of every step: where its parts lie on this machine, what they are, how they are called."""

import hashlib
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from core.errors import EngineError
from core.target import Target
from recipes.model import Hardening

INSIDE = PurePosixPath("/toolchain")
"""Where an isolated step sees it."""

BOX = PurePosixPath("/box")
"""The root of a step's own files, in every isolated engine."""

SEEN: Final = (
    (
        PurePosixPath("zig"),
        "ziglang",
        (
            "zig",
            "lib/std",
            "lib/include",
            "lib/compiler_rt.zig",
            "lib/compiler_rt",
            "lib/libc/include/*-linux-any",
            "lib/libcxx",
            "lib/libcxxabi",
            "lib/libunwind",
        ),
    ),
    (
        PurePosixPath("cmake"),
        "cmake/data",
        ("bin/cmake", "share/cmake-*/Modules", "share/cmake-*/Templates"),
    ),
)
"""What a step sees of the wheels: (place below the toolchain's directory, directory of the wheel, patterns in it).

The rest is other systems' C libraries, sanitizers and documentation: 15,000 files that nothing here reads, and that
would have to be hashed to be trusted.
"""


@dataclass(frozen=True, kw_only=True)
class HardeningFlags:
    """How the compiler and the linker are told to take one measure, or to leave it."""

    summary: str
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    link_off: tuple[str, ...] = ()
    unsupported: Mapping[Target, str] = field(default_factory=dict)
    """Targets that cannot have it, with the reason."""

    def compile_flags(self, *, wanted: bool) -> tuple[str, ...]:
        return self.on if wanted else self.off

    def link_flags(self, *, wanted: bool) -> tuple[str, ...]:
        return self.link if wanted else self.link_off


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """clang, lld, cmake and ninja out of the installed wheels, and our scripts around them."""

    packages: Path
    """The directory that the wheels were installed into (``site-packages``)."""
    programs: Path
    """The directory of the installed scripts (``.venv/bin``)."""
    scripts: Path
    """`recipes/toolchain`."""

    @classmethod
    def installed(cls, recipes: Path) -> "Toolchain":
        packages, programs = (Path(sysconfig.get_path(name)) for name in ("purelib", "scripts"))
        return cls(packages=packages, programs=programs, scripts=recipes / "toolchain")

    def parts(self) -> Iterator[tuple[PurePosixPath, Path]]:
        """Yield (path below the toolchain's directory, file or directory of this machine).

        Raises EngineError when a wheel is not installed.
        """
        parts = [
            (inside / path.relative_to(self.packages / wheel), path)
            for inside, wheel, patterns in SEEN
            for pattern in patterns
            for path in self._matching(wheel, pattern)
        ]
        parts.append((PurePosixPath("bin/ninja"), self.programs / "ninja"))
        names = ("cc", "ld", "ar", "ranlib", "configure", "toolchain.cmake", "patch.awk")
        parts += [(PurePosixPath("bin") / name, self.scripts / name) for name in names]
        for inside, path in parts:
            if not path.exists():
                msg = f"The toolchain lacks '{inside}': {path} does not exist."
                raise EngineError(
                    msg,
                    why="the virtual environment is damaged",
                    next="rm -r .venv, then run again",
                )
            yield inside, path

    def _matching(self, wheel: str, pattern: str) -> list[Path]:
        """Every path of a wheel that ``pattern`` names; without any, the pattern itself, which does not exist."""
        directory = self.packages / wheel
        return sorted(directory.glob(pattern)) or [directory / pattern]

    @cached_property
    def digest(self) -> str:
        """sha256 over all that can change what a step makes: the wheels' files and our scripts.

        The wheels are known by their RECORD (https://packaging.python.org/en/latest/specifications/
        recording-installed-packages/): pip wrote it from files whose hash was locked. That the files are still
        those, `builders.integrity` looks.
        """
        digest = hashlib.sha256()
        for record in self.records():
            for line in recorded(record):
                digest.update(line.encode() + b"\n")
        for path in sorted(self.scripts.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def records(self) -> list[Path]:
        """What pip noted of each wheel."""
        wheels = sorted(self._settings["wheels"])
        return [next(self.packages.glob(f"{wheel}-*.dist-info/RECORD")) for wheel in wheels]

    @cached_property
    def compile_flags(self) -> tuple[str, ...]:
        return tuple(self._settings["compile"]["flags"])

    @cached_property
    def link_flags(self) -> tuple[str, ...]:
        return tuple(self._settings["link"]["flags"])

    @cached_property
    def hardening(self) -> Mapping[Hardening, HardeningFlags]:
        """The flags of each measure."""
        return {
            Hardening(name): HardeningFlags(
                summary=row["summary"],
                on=tuple(row.get("on", ())),
                off=tuple(row.get("off", ())),
                link=tuple(row.get("link", ())),
                link_off=tuple(row.get("link_off", ())),
                unsupported={Target(name): why for name, why in row.get("unsupported", {}).items()},
            )
            for name, row in self._settings.get("hardening", {}).items()
        }

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return tomllib.loads((self.scripts / "toolchain.toml").read_text("utf-8"))


def recorded(record: Path) -> list[str]:
    """Return what a wheel brought, by the lines of its RECORD.

    Not what pip adds by itself: bytecode (no hash), launchers that name this Python.
    """
    return [
        line
        for line in sorted(record.read_text("utf-8").splitlines())
        if "sha256=" in line and ".dist-info/" not in line and not line.startswith("../")
    ]
