"""What the engines without a daemon share: a sandbox that is a directory of this machine."""

import errno
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from builders.engines.engine import Command, EngineSetup, Usage, overdue
from builders.engines.log import capped_log
from builders.engines.output import walk
from builders.engines.process import run_process
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.errors import EngineError
from core.files import disk_errors, temporary_directory


class DirectorySandbox(ABC):
    """Copies in and out of a directory; how a command runs in it is left open."""

    root: PurePosixPath
    """The directory as the step sees it."""
    toolchain: PurePosixPath
    """The toolchain as the step sees it."""

    def __init__(self, directory: Path, toolchain: Toolchain, cancel: CancelToken) -> None:
        self.directory = directory
        self.installed = toolchain
        self.cancel = cancel
        self.usage = Usage()

    @abstractmethod
    def run(self, command: Command) -> int:
        """Run once; see `builders.engines.engine.Sandbox`."""

    def put(self, path: Path, inside: PurePosixPath, *, move: bool = False) -> None:
        copy = self.directory / inside
        with disk_errors(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            if move and _moved(path, copy):
                return
            if path.is_dir():
                shutil.copytree(
                    path, copy, symlinks=True, dirs_exist_ok=True, copy_function=self._copy
                )
            else:
                shutil.copy2(path, copy)

    def _copy(self, path: str, copy: str) -> str:
        self.cancel.check(f"copy {path}")
        return shutil.copy2(path, copy)

    def get(self, inside: PurePosixPath, path: Path) -> None:
        """Copy a directory out. What a step left is not trusted: see `builders.engines.output`."""
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            for found in walk(self.directory, inside):
                self.cancel.check(f"copy {found.path}")
                found.copy(path / found.path)

    def run_logged(
        self,
        argv: Sequence[str],
        command: Command,
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> int:
        """Run ``argv``, which is ``command`` or wraps it, with both streams going to the command's log."""
        with capped_log(command.log) as log:
            ended = run_process(
                argv,
                stdout=log,
                stderr=log,
                env=env,
                cwd=cwd,
                seconds=command.seconds,
                cancel=self.cancel,
                doing=str(command),
                limits=command.limits,
                writes=self.directory,
            )
        if ended is None:
            raise overdue(command)
        self.usage = ended.usage
        return ended.code


class DirectoryEngine(ABC):
    """Opens every sandbox in a fresh directory, which is removed at the end."""

    name: str

    def __init__(self, setup: EngineSetup) -> None:
        self.setup = setup

    @abstractmethod
    def open(self, directory: Path, cancel: CancelToken) -> DirectorySandbox:
        """Return a sandbox in an empty directory."""

    @contextmanager
    def sandbox(self, cancel: CancelToken | None = None) -> Iterator[DirectorySandbox]:
        with fresh_directory(self.setup.scratch, self.name) as directory:
            refuse_noexec(directory)
            yield self.open(directory, self.setup.cancel if cancel is None else cancel)


def _moved(path: Path, place: Path) -> bool:
    """Move, which takes no time however much it is; False where only a copy will do."""
    if path.is_symlink() or os.path.lexists(place):
        return False  # a copy follows the link, and adds to a directory that is there
    try:
        path.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:  # another file system
            raise
        return False
    return True


def refuse_noexec(directory: Path, flags: Callable[[Path], int] | None = None) -> None:
    """Raise EngineError when no program can run from ``directory``: its file system is mounted so."""
    if not (flags(directory) if flags else os.statvfs(directory).f_flag) & os.ST_NOEXEC:
        return
    mount = next(path for path in (directory, *directory.parents) if path.is_mount())
    msg = f"No program can run below {directory.parent}: {mount} is mounted with the option noexec."
    raise EngineError(
        msg,
        why="steps, and the programs that they made, run from the cache's directory",
        next="name a directory of another file system: FROMSCRATCH_CACHE",
    )


@contextmanager
def fresh_directory(scratch: Path, name: str) -> Iterator[Path]:
    """Make a directory below ``scratch``, named after this process, and remove it at the end."""
    with temporary_directory(scratch, prefix=f"{name}-{os.getpid()}-") as directory:
        yield directory.resolve()
