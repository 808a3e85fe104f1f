"""A box that is a directory of this machine: what the sandbox and the host engine share."""

import shutil
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from builders.engines.engine import Command, Usage, not_a_file
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.files import disk_errors


class DirectorySandbox(ABC):
    """Copies in and out of a directory; how a command runs in it is left open."""

    def __init__(self, directory: Path, toolchain: Toolchain, cancel: CancelToken) -> None:
        self.directory = directory
        self.parts = toolchain
        self.cancel = cancel
        self.usage = Usage()

    @property
    @abstractmethod
    def root(self) -> PurePosixPath:
        """The directory as the step sees it."""

    @property
    @abstractmethod
    def toolchain(self) -> PurePosixPath:
        """The toolchain as the step sees it."""

    @abstractmethod
    def run(self, command: Command) -> int:
        """Run once; see `builders.engines.engine.Sandbox`."""

    def put(self, path: Path, inside: PurePosixPath) -> None:
        """Copy a file or a directory in."""
        place = self.directory / inside
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(path, place)

    def get(self, inside: PurePosixPath, path: Path) -> None:
        """Copy a directory out. What a step left is not trusted: no link is followed, no device read."""
        place = self.directory / inside
        for one in (place, *sorted(place.rglob("*"))):
            if one.is_symlink() or not (one.is_dir() or one.is_file()):
                raise not_a_file(str(one.relative_to(self.directory)))
        with disk_errors(path):
            shutil.copytree(place, path, dirs_exist_ok=True)
