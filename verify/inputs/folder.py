"""The ELF files below a directory of this machine: links are not followed, and nothing but regular files is opened."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from verify.inputs.archive import ELF, LARGEST_TEXT, is_loaders_text
from verify.inputs.limits import LIMITS, InputLimits
from verify.inputs.subject import Batch, Subject
from verify.inputs.tree import TreeFile


def folder_batch(directory: Path) -> Batch:
    """Return every ELF file below ``directory``, in alphabetical order; what cannot be opened has a problem."""
    subjects: list[Subject] = []
    others = 0
    for path in _files(directory, subjects):
        start = _start(path)
        if isinstance(start, str):
            subjects.append(Subject(path=path, problem=start))
        elif start == ELF:
            subjects.append(Subject(path=path))
        else:
            others += 1
    return Batch(subjects=tuple(sorted(subjects, key=lambda it: str(it.path))), others=others)


@dataclass(frozen=True, kw_only=True)
class DirectoryRoot:
    """A root file system that is unpacked already: each path is looked at when somebody asks for it."""

    directory: Path
    limits: InputLimits = field(default=LIMITS)

    def find(self, name: str) -> TreeFile | None:
        """Return the file that a program in it would open; links are followed inside it."""
        path = self._walk(name)
        try:
            if path is None or not stat.S_ISREG((found := path.lstat()).st_mode):
                return None
            with path.open("rb") as file:
                start = file.read(LARGEST_TEXT if is_loaders_text(name) else len(ELF))
        except OSError:
            return None
        elf = path if start.startswith(ELF) else None
        return TreeFile(mode=found.st_mode, elf=elf, text=b"" if elf else start)

    def names(self, directory: str) -> tuple[str, ...]:
        """Return what is in a directory of it, sorted."""
        path = self._walk(directory)
        try:
            return tuple(sorted(entry.name for entry in path.iterdir())) if path else ()
        except OSError:
            return ()

    def _walk(self, name: str) -> Path | None:
        above = [self.directory]
        left = list(reversed(name.split("/")))
        for _ in range(self.limits.steps):
            if not left:
                return above[-1]
            part = left.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                above = above[:-1] or above
                continue
            try:
                target = str((above[-1] / part).readlink())
            except (OSError, ValueError):  # it is no link, or not there
                above.append(above[-1] / part)
                continue
            if target.startswith("/"):
                above = [self.directory]
            left += reversed(target.split("/"))
        return None


def _files(directory: Path, problems: list[Subject]) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        problems.append(
            Subject(path=Path(error.filename), problem=f"could not be opened: {error.strerror}")
        )

    for above, directories, files in os.walk(directory, onerror=failed):
        directories.sort()
        for name in sorted(files):
            path = Path(above, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _start(path: Path) -> bytes | str:
    """Return how a file begins, or why nobody can tell."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return os.read(number, len(ELF))
        finally:
            os.close(number)
    except OSError as error:
        return f"could not be opened: {error.strerror}"
