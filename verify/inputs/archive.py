"""A tar, read once: its names go into a `Tree`, its ELF files onto the disk, and nothing else anywhere.

No name of an archive becomes a name on this machine: what is taken out is numbered.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from verify.inputs.limits import LIMITS, InputError, InputLimits
from verify.inputs.tree import Tree, TreeFile
from verify.inputs.unpack import Stream

ELF: Final = b"\x7fELF"
CAPABILITY: Final = "SCHILY.xattr.security.capability"
_CHUNK: Final = 1 << 20
LARGEST_TEXT: Final = 64 << 10
_TEXTS: Final = ("etc/ld.so.conf", "etc/ld.so.cache", "etc/ld-musl-")
"""How the names of files begin that loaders read."""


@dataclass(kw_only=True)
class Scratch:
    """A directory for the files that are taken out of archives, and how much of it is used."""

    directory: Path
    limits: InputLimits = LIMITS
    _used: int = 0
    _count: int = 0
    problems: list[str] = field(default_factory=list)

    def keep(self, stream: Stream, start: bytes, size: int) -> Path:
        """Write ``start`` and what follows, ``size`` bytes in all. Raises InputError when the archive ends before."""
        self._used += size
        if self._used > self.limits.extracted:
            msg = f"it holds more than {self.limits.extracted:,} bytes of programs"
            raise InputError(msg)
        self._count += 1
        path = self.directory / str(self._count)
        left = size - len(start)
        with path.open("xb") as file:
            file.write(start)
            while left > 0:
                data = stream.read(min(_CHUNK, left))
                if not data:
                    msg = "it ends in the middle of a file"
                    raise InputError(msg, why="it is truncated")
                file.write(data)
                left -= len(data)
        return path


def is_loaders_text(name: str) -> bool:
    """Whether a file is one that loaders read as text."""
    return name.removeprefix("./").lstrip("/").startswith(_TEXTS)


def read_tar(stream: Stream, tree: Tree, scratch: Scratch, *, layer: bool = True) -> None:
    """Put the entries of a tar into ``tree``, as one more layer of it, whiteouts obeyed when it is a ``layer``.

    An entry that cannot be taken is written down in ``scratch.problems``, or as the problem of its file. Raises
    InputError when the archive cannot be read to its end.
    """
    tree.next_layer()
    for member in members(stream, tree.limits):
        try:
            if not (layer and tree.whiteout(member.name)):
                _add(member, stream, tree, scratch)
        except InputError as error:
            if tree.entries > tree.limits.entries or error.why:
                raise
            if len(scratch.problems) < 100:
                scratch.problems.append(error.what)


def members(stream: Stream, limits: InputLimits) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of a tar, the stream each time at the bytes of one. Raises InputError when it is damaged."""
    try:
        with stream.header():
            tar = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115
        for _ in range(limits.entries * 2):
            with stream.header():
                member = tar.next()
            if member is None:
                return
            tar.members.clear()  # type: ignore[attr-defined] # it would remember them all
            yield member
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, UnicodeError) as error:
        msg = f"it is no whole tar archive ({error!s:.100})"
        raise InputError(msg, why="it is truncated or damaged") from error
    msg = f"it has more than {limits.entries * 2:,} entries"
    raise InputError(msg, why="it is made to be read for ever")


def _add(member: tarfile.TarInfo, stream: Stream, tree: Tree, scratch: Scratch) -> None:
    if member.isdir():
        tree.add_directory(member.name)
    elif member.issym():
        tree.add_link(member.name, member.linkname)
    elif member.islnk():
        tree.add_hard_link(member.name, member.linkname)
    elif member.isreg():
        tree.add_file(member.name, _file(member, stream, scratch))


def _file(member: tarfile.TarInfo, stream: Stream, scratch: Scratch) -> TreeFile:
    attribute = member.pax_headers.get(CAPABILITY, "")
    # Attributes are bytes; those that are no UTF-8 come as surrogates.
    capability = attribute.encode("utf-8", "surrogateescape")
    if member.issparse():
        return TreeFile(mode=member.mode, problem="is stored with holes, and was not looked into")
    start = stream.read(min(len(ELF), max(0, member.size)))
    if start == ELF:
        if member.size > scratch.limits.file:
            problem = (
                f"has {member.size} B, more than the {scratch.limits.file} B that are looked at"
            )
            return TreeFile(mode=member.mode, capability=capability, problem=problem)
        elf = scratch.keep(stream, start, member.size)
        return TreeFile(mode=member.mode, capability=capability, elf=elf)
    text = b""
    if is_loaders_text(member.name):
        text = start + stream.read(max(0, min(member.size, LARGEST_TEXT) - len(start)))
    return TreeFile(mode=member.mode, capability=capability, text=text)
