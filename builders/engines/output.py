"""What a step left in its output directory: plain files and directories within bounds, whatever it tried."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from builders.engines.engine import not_a_file
from core.errors import StepError

HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""What may be opened without permission to read it, and without waking a device or a pipe."""

CHUNK = 1 << 20
TOP = PurePosixPath()


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much a step may leave."""

    depth: int = 64
    """Directories below each other, with the last name."""
    entries: int = 100_000
    """Files and directories."""
    size: int = 4 << 30
    """Bytes of all files together, holes too."""
    path: int = 1024
    """Bytes of one path."""

    @property
    def archive(self) -> int:
        """Bytes of a tar that holds as much: with headers, a long name's too, and padding."""
        return self.size + (self.entries + 1) * (self.path + 4096)


BOUNDS = Bounds()


class Tally:
    """What was found so far; raises StepError for what is too much."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.entries = 0
        self.size = 0

    def entry(self, path: PurePosixPath) -> None:
        bounds = self.bounds
        self.entries += 1
        if self.entries > bounds.entries:
            raise too_much(path, f"it holds more than {bounds.entries:,} files and directories")
        if len(path.parts) > bounds.depth:
            raise too_much(path, f"it is more than {bounds.depth} directories deep")
        if len(os.fsencode(path)) > bounds.path:
            raise too_much(path, f"a path in it is longer than {bounds.path:,} bytes")

    def file(self, path: PurePosixPath, size: int) -> None:
        self.size += size
        if self.size > self.bounds.size:
            raise too_much(path, f"its files are more than {self.bounds.size:,} bytes together")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A directory, or a file that is open until the next one is asked for."""

    path: PurePosixPath
    """Below the top."""
    file: BinaryIO | None
    """None for a directory."""
    size: int = 0
    executable: bool = False

    @property
    def mode(self) -> int:
        """The only two modes that a file can have behind a step, and the one of directories."""
        return 0o755 if self.executable or self.file is None else 0o644

    def copy(self, path: Path) -> None:
        """Make a copy that has no time and no owner of the original. What grows meanwhile is cut off."""
        if self.file is None:
            path.mkdir(exist_ok=True)
            return
        left = self.size
        with path.open("wb") as copy:
            while left and (chunk := self.file.read(min(CHUNK, left))):
                copy.write(chunk)
                left -= len(chunk)
        path.chmod(self.mode)


def walk(top: Path, inside: PurePosixPath = TOP, *, bounds: Bounds = BOUNDS) -> Iterator[Found]:
    """Yield what is in the directory ``inside`` below ``top``, sorted, each directory before what is in it.

    Nothing is followed and nothing waited for, even when a process that the step left behind changes it meanwhile:
    what was looked at is what is opened. What its owner may not read is made readable first.

    Raises StepError for anything but files and directories, for what cannot be read, and beyond ``bounds``.
    """
    tally = Tally(bounds)
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened = [here]
    try:
        shown = TOP
        for part in inside.parts:
            shown /= part
            here, state = _open(part, here, shown)
            opened.append(here)
            if not stat.S_ISDIR(state.st_mode):
                raise not_a_file(str(shown))
        levels = [(TOP, _names(here, TOP, tally))]
        while levels:
            above, names = levels[-1]
            if not names:
                levels.pop()
                os.close(opened.pop())
                continue
            path = above / names.pop()
            number, state = _open(path.name, opened[-1], path)
            if stat.S_ISDIR(state.st_mode):
                opened.append(number)
                yield Found(path=path, file=None)
                levels.append((path, _names(number, path, tally)))
                continue
            with os.fdopen(number, "rb") as file:
                size, executable = state.st_size, bool(state.st_mode & stat.S_IXUSR)
                tally.file(path, size)
                yield Found(path=path, file=file, size=size, executable=executable)
    finally:
        for number in opened:
            os.close(number)


def _names(here: int, above: PurePosixPath, tally: Tally) -> list[str]:
    """Return what is in a directory, the first one last."""
    names = []
    with os.scandir(here) as found:
        for entry in found:
            tally.entry(above / entry.name)
            names.append(entry.name)
    return sorted(names, reverse=True)


def _open(name: str, here: int, shown: PurePosixPath) -> tuple[int, os.stat_result]:
    """Open a file or a directory for reading; return it, and its state before that."""
    try:
        handle = os.open(name, HANDLE, dir_fd=here)
    except FileNotFoundError as error:
        raise not_a_file(str(shown)) from error
    try:
        state = os.fstat(handle)
        directory = stat.S_ISDIR(state.st_mode)
        if not (directory or stat.S_ISREG(state.st_mode)):
            raise not_a_file(str(shown))
        needed = stat.S_IRUSR | (stat.S_IXUSR if directory else 0)
        # By what is open, not by a name, which could lead elsewhere by now.
        itself = Path(f"/proc/self/fd/{handle}")
        try:
            if state.st_mode & needed != needed and state.st_uid == os.geteuid():
                itself.chmod(stat.S_IMODE(state.st_mode) | needed)
            return os.open(itself, os.O_RDONLY | os.O_CLOEXEC), state
        except PermissionError as error:
            msg = f"'{shown}' in the output of the step cannot be read: {error.strerror}."
            raise StepError(msg, next="let the step make it readable (chmod u+r)") from error
    finally:
        os.close(handle)


def too_much(path: PurePosixPath, limit: str) -> StepError:
    """The error for a step whose output goes beyond its bounds."""
    text = str(path)
    msg = f"The output of the step is too much: {limit}."
    where = text if len(text) <= 80 else f"{text[:40]}…{text[-40:]}"
    return StepError(msg, why=f"at '{where}'", next="let the step write less to $OUT")
