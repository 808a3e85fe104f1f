"""The engine without walls: steps run as ordinary programs of this machine. The last resort."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from builders.engines.directory import DirectorySandbox
from builders.engines.engine import Command, EngineName
from builders.engines.process import run_process
from builders.toolchain import Toolchain
from core.cancel import CancelToken


class HostSandbox(DirectorySandbox):
    """A directory, seen as what it is."""

    @property
    def root(self) -> PurePosixPath:
        """The directory itself."""
        return PurePosixPath(self.directory / "box")

    @property
    def toolchain(self) -> PurePosixPath:
        """Links beside the box."""
        return PurePosixPath(self.directory / "toolchain")

    def put(self, path: Path, inside: PurePosixPath) -> None:
        """Copy in, below the box's own directory."""
        super().put(path, PurePosixPath("box") / inside)

    def get(self, inside: PurePosixPath, path: Path) -> None:
        """Copy out, from below the box's own directory."""
        super().get(PurePosixPath("box") / inside, path)

    def run(self, command: Command) -> int:
        """Run as an ordinary program."""
        for place, path in self.parts.parts():
            link = Path(self.toolchain) / place
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        cwd = Path(self.root)
        cwd.mkdir(exist_ok=True)
        ended = run_process(command.argv, command, env=command.env, cwd=cwd, cancel=self.cancel)
        self.usage = ended.usage
        return ended.code


class HostEngine:
    """Nothing is hidden from a step but the environment."""

    name = EngineName.HOST
    isolated = False

    def __init__(self, toolchain: Toolchain, scratch: Path, cancel: CancelToken) -> None:
        self.toolchain = toolchain
        self.scratch = scratch
        self.cancel = cancel

    @contextmanager
    def sandbox(self) -> Iterator[HostSandbox]:
        """Open a box in a fresh directory."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        prefix = f"host-{os.getpid()}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.scratch) as directory:
            yield HostSandbox(Path(directory).resolve(), self.toolchain, self.cancel)
