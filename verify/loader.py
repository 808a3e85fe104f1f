"""What a program's loader would find in the root that the program is in: itself, and every library.

Looked up as glibc does (https://man7.org/linux/man-pages/man8/ld.so.8.html) and as musl does
(https://git.musl-libc.org/cgit/musl/tree/ldso/dynlink.c), with an environment that says nothing about it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from verify.elf_file import MalformedElfError, NotElfError
from verify.facts import Depth, ElfFacts, read_facts
from verify.place import Place

MAX_LIBRARIES: Final = 4096
"""Of one program."""
_MAX_CONFIGURED: Final = 256
_MULTIARCH: Final = {
    ("EM_X86_64", 64): "x86_64-linux-gnu",
    ("EM_386", 32): "i386-linux-gnu",
    ("EM_AARCH64", 64): "aarch64-linux-gnu",
    ("EM_ARM", 32): "arm-linux-gnueabihf",
    ("EM_RISCV", 64): "riscv64-linux-gnu",
    ("EM_PPC64", 64): "powerpc64le-linux-gnu",
    ("EM_S390", 64): "s390x-linux-gnu",
    ("EM_LOONGARCH", 64): "loongarch64-linux-gnu",
}
"""Debian's directories: https://wiki.debian.org/Multiarch/Tuples"""
_MUSL_ITSELF: Final = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
"""Names that musl answers for without looking."""


class RootFile(Protocol):
    """A regular file of a root."""

    @property
    def mode(self) -> int: ...
    @property
    def elf(self) -> Path | None:
        """Its bytes on this machine, when it is an ELF file."""

    @property
    def text(self) -> bytes:
        """Its bytes when a loader reads it as text."""


class Root(Protocol):
    """Files by the absolute paths that programs in them use; links are followed inside."""

    def find(self, name: str) -> RootFile | None: ...
    def names(self, directory: str) -> tuple[str, ...]: ...


@dataclass(kw_only=True)
class Loader:
    """Looks for one root's programs. Remembers what it has read; not thread-safe."""

    root: Root
    _facts: dict[Path, ElfFacts | None] = field(default_factory=dict)
    _listed: tuple[str, ...] | None = None

    def place(self, facts: ElfFacts, where: str) -> Place:
        """Return what the root has for the file that stands at ``where`` in it."""
        if facts.dynamic_problem:
            return Place(rooted=True)
        return Place(
            rooted=True,
            loader_problem=self._loader_problem(facts),
            missing=tuple(self._missing(facts, where)),
        )

    def _loader_problem(self, facts: ElfFacts) -> str:
        if facts.interpreter is None:
            return ""
        if not facts.interpreter.startswith("/"):
            return "is looked for from wherever it is started"
        found = self.root.find(facts.interpreter)
        if found is None:
            return "is not there"
        if not found.mode & 0o111:
            return "nobody may run"
        loader = self._read(found)
        if loader is None:
            return "is no ELF file"
        if not _alike(loader, facts):
            return f"is for {loader.machine}, {loader.bits} bits"
        return ""

    def _missing(self, program: ElfFacts, where: str) -> Iterator[str]:
        """Yield the libraries that are not found, each once, as a loader comes to them."""
        musl = PurePosixPath(program.interpreter or "").name.startswith("ld-musl")
        loader = PurePosixPath(program.interpreter or "").name
        seen: set[str] = set()
        waiting = [(program, where)]
        while waiting and len(seen) < MAX_LIBRARIES:
            asks, its_path = waiting.pop(0)
            for name in asks.needed:
                if name in seen or (musl and _MUSL_ITSELF.match(name)) or name == loader:
                    continue
                seen.add(name)
                found = self._find(name, asks, its_path, program, where, musl=musl)
                if found is None:
                    yield name
                else:
                    waiting.append(found)

    def _find(
        self, name: str, asks: ElfFacts, its_path: str, program: ElfFacts, where: str, *, musl: bool
    ) -> tuple[ElfFacts, str] | None:
        if "/" in name:
            paths = list(_expanded(name, its_path, asks))
        else:
            paths = [
                f"{directory}/{name}"
                for directory in self._directories(asks, its_path, program, where, musl=musl)
            ]
        for path in paths:
            found = self.root.find(path)
            library = self._read(found) if found else None
            if library is not None and _alike(library, asks):
                return library, path
        return None

    def _directories(
        self, asks: ElfFacts, its_path: str, program: ElfFacts, where: str, *, musl: bool
    ) -> Iterator[str]:
        # RPATH counts for what a file's libraries need as well, and not at all beside RUNPATH.
        if asks.runpath is None or musl:
            yield from _expanded(asks.rpath, its_path, asks)
            yield from _expanded(program.rpath, where, program)
        yield from _expanded(asks.runpath, its_path, asks)
        if musl:
            yield from _expanded(program.runpath, where, program)
            yield from self._musl_directories(program)
            return
        if self._listed is None:
            self._listed = tuple(self._configured())
        yield from self._listed
        multiarch = _MULTIARCH.get((asks.machine, asks.bits))
        for directory in ("/lib", "/usr/lib"):
            if multiarch:
                yield f"{directory}/{multiarch}"
            if asks.bits == 64:
                yield f"{directory}64"
            yield directory

    def _musl_directories(self, program: ElfFacts) -> Iterator[str]:
        # /lib/ld-musl-x86_64.so.1 reads /etc/ld-musl-x86_64.path
        stem = PurePosixPath(program.interpreter or "").name.partition(".so")[0]
        listed = self.root.find(f"/etc/{stem}.path")
        if listed is None:
            yield from ("/lib", "/usr/local/lib", "/usr/lib")
        else:
            yield from re.split(r"[:\n]", listed.text.decode("utf-8", "replace"))[:_MAX_CONFIGURED]

    def _configured(self) -> Iterator[str]:
        """Yield what ``ld.so.conf`` lists; a loader reads it out of its cache, so that without one nothing counts."""
        if self.root.find("/etc/ld.so.cache") is None:
            return
        files = ["/etc/ld.so.conf"]
        files += [f"/etc/ld.so.conf.d/{name}" for name in self.root.names("/etc/ld.so.conf.d")]
        count = 0
        for path in files:
            found = self.root.find(path)
            for line in (found.text.decode("utf-8", "replace") if found else "").splitlines():
                text = line.partition("#")[0].strip()
                if text.startswith("/") and (count := count + 1) <= _MAX_CONFIGURED:
                    yield text.rstrip("/")

    def _read(self, file: RootFile) -> ElfFacts | None:
        if file.elf is None:
            return None
        if file.elf not in self._facts:
            try:
                self._facts[file.elf] = read_facts(file.elf, depth=Depth.HEADERS)
            except (NotElfError, MalformedElfError):
                self._facts[file.elf] = None
        return self._facts[file.elf]


def _alike(one: ElfFacts, other: ElfFacts) -> bool:
    return (one.machine, one.bits, one.little_endian) == (
        other.machine,
        other.bits,
        other.little_endian,
    )


def _expanded(paths: str | None, where: str, facts: ElfFacts) -> Iterator[str]:
    """Yield the directories of a search path, its words in place: ``$LIB`` is one of several, by distribution."""
    origin = str(PurePosixPath(where).parent)
    multiarch = _MULTIARCH.get((facts.machine, facts.bits), "")
    libs = [f"lib/{multiarch}", "lib64" if facts.bits == 64 else "lib32", "lib"]
    for path in (paths or "").split(":")[:_MAX_CONFIGURED]:
        text = path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
        if not text.startswith("/"):
            continue  # from wherever it is started
        if "$LIB" in text or "${LIB}" in text:
            for lib in libs:
                yield text.replace("${LIB}", lib).replace("$LIB", lib)
        else:
            yield text.rstrip("/") or "/"
