"""A box that is a folder of this machine: what the sandbox and the host engine share."""

import shutil
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from builders.engines.engine import Command, Stop, Usage, not_a_file
from builders.sources.disk import disk_errors
from builders.toolchain import Toolchain


class FolderBox(ABC):
    """Copies in and out of a folder; how a command runs in it is left open."""

    def __init__(self, folder: Path, toolchain: Toolchain, stop: Stop) -> None:
        self.folder = folder
        self.parts = toolchain
        self.stop = stop
        self.usage = Usage()

    @property
    @abstractmethod
    def root(self) -> PurePosixPath:
        """The folder as the step sees it."""

    @property
    @abstractmethod
    def toolchain(self) -> PurePosixPath:
        """The toolchain as the step sees it."""

    @abstractmethod
    def run(self, command: Command) -> int:
        """Run once; see `builders.engines.engine.Box`."""

    def put(self, path: Path, inside: PurePosixPath) -> None:
        """Copy a file or a folder in."""
        place = self.folder / inside
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(path, place)

    def get(self, inside: PurePosixPath, path: Path) -> None:
        """Copy a folder out. What a step left is not trusted: no link is followed, no device read."""
        place = self.folder / inside
        for one in (place, *sorted(place.rglob("*"))):
            if one.is_symlink() or not (one.is_dir() or one.is_file()):
                raise not_a_file(str(one.relative_to(self.folder)))
        with disk_errors(path):
            shutil.copytree(place, path, dirs_exist_ok=True)
