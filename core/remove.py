"""Removes a tree that somebody else made: however deep it is, whatever its modes, whatever it links to."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""What may be opened without permission to read it."""


@dataclass(frozen=True, kw_only=True)
class _Level:
    """A directory on the way down."""

    name: str
    identity: tuple[int, int]
    left: list[str]
    """The directories in it that are still to be removed."""


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it; one that is not there is removed already.

    No link is followed, in the tree or when somebody puts one into it meanwhile. It holds one directory open at a
    time, and no path grows with the tree, so depth has no limit. What it may not read or write is given to its owner
    first. One thing that cannot be removed does not keep the rest: the first OSError is raised at the end, with the
    name of ``path``.
    """
    try:
        here = os.open(path.parent, HANDLE)
    except FileNotFoundError:
        return
    errors: list[OSError] = []
    levels = [_Level(name="", identity=_identity(here), left=[path.name])]
    try:
        while True:
            level = levels[-1]
            if level.left:
                name = level.left.pop()
                with _noted(errors):
                    below = _open(name, here)
                    os.close(here)
                    here = below
                    levels.append(_Level(name=name, identity=_identity(here), left=[]))
                    levels[-1].left.extend(_unlink_files(here, errors))
            elif len(levels) > 1:
                levels.pop()
                above = os.open("..", HANDLE, dir_fd=here)
                os.close(here)
                here = above
                if _identity(here) != levels[-1].identity:
                    msg = "somebody moves it while it is removed"
                    raise OSError(0, msg, str(path))
                with _noted(errors):
                    os.rmdir(level.name, dir_fd=here)
            else:
                break
    finally:
        os.close(here)
    if errors:
        raise OSError(errors[0].errno, errors[0].strerror, str(path)) from errors[0]


def remove(path: Path) -> None:
    """Remove a file, a link or a directory, as `remove_tree` does."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


@contextlib.contextmanager
def temporary_tree(*, prefix: str, directory: Path | None = None) -> Iterator[Path]:
    """Lend a new directory in ``directory`` (the machine's own for such, unless told otherwise); remove it whatever
    was put into it."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=directory)).resolve()
    try:
        yield path
    finally:
        remove_tree(path)


def _open(name: str, here: int) -> int:
    """Open a directory to empty it."""
    handle = os.open(name, HANDLE | os.O_NOFOLLOW, dir_fd=here)
    try:
        if os.fstat(handle).st_mode & 0o700 != 0o700:
            # By what is open, not by its name: that could be a link by now.
            with contextlib.suppress(PermissionError):
                Path(f"/proc/self/fd/{handle}").chmod(0o700)
        return os.open(".", HERE, dir_fd=handle)
    finally:
        os.close(handle)


def _unlink_files(here: int, errors: list[OSError]) -> list[str]:
    """Remove all but the directories, and return their names."""
    with os.scandir(here) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_directory in entries:
        if not is_directory:
            with _noted(errors):
                os.unlink(name, dir_fd=here)
    return [name for name, is_directory in entries if is_directory]


@contextlib.contextmanager
def _noted(errors: list[OSError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        errors.append(error)


def _identity(number: int) -> tuple[int, int]:
    state = os.fstat(number)
    return state.st_dev, state.st_ino
