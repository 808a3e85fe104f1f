"""The engine without a daemon: a step sees the machine's programs read-only, its own files, and no network."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from builders.engines.engine import Command, EngineName, Stop
from builders.engines.folder import FolderBox
from builders.engines.process import run_process
from builders.engines.walls import Bind, Wall, shut_in, system_binds
from builders.toolchain import BOX, INSIDE, Toolchain


class SandboxBox(FolderBox):
    """A folder, seen as /box from behind the wall."""

    def __init__(
        self, folder: Path, toolchain: Toolchain, stop: Stop, *, wall: Wall, empty: Path
    ) -> None:
        super().__init__(folder, toolchain, stop)
        self.wall = wall
        self.empty = empty

    @property
    def root(self) -> PurePosixPath:
        """Always the same place, so that no path of this machine can get into a result."""
        return BOX

    @property
    def toolchain(self) -> PurePosixPath:
        """Always the same place."""
        return INSIDE

    def run(self, command: Command) -> int:
        """Run behind the wall."""
        binds, links = system_binds()
        binds.append(Bind(path=self.folder, place=BOX, writable=True))
        # Bubblewrap would need the mount points below a read-only bind, so each part is bound alone.
        binds += [Bind(path=path, place=INSIDE / place) for place, path in self.parts.parts()]
        words = shut_in(
            self.wall,
            command.argv,
            binds=binds,
            links=links,
            cwd=str(BOX),
            accounted=True,
            empty=self.empty,
        )
        env = {**command.env, "PATH": command.env.get("PATH", "/usr/bin:/bin")}
        ended = run_process(words, command, env=env, cwd=None, stop=self.stop)
        self.usage = ended.usage
        return ended.code


class SandboxEngine:
    """Bubblewrap where it works, else plain namespaces."""

    name = EngineName.SANDBOX
    isolated = True

    def __init__(self, toolchain: Toolchain, scratch: Path, stop: Stop, *, wall: Wall) -> None:
        self.toolchain = toolchain
        self.scratch = scratch
        self.stop = stop
        self.wall = wall

    @contextmanager
    def box(self) -> Iterator[SandboxBox]:
        """Open a box in a fresh folder."""
        empty = self.scratch / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        prefix = f"sandbox-{os.getpid()}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.scratch) as folder:
            yield SandboxBox(
                Path(folder).resolve(), self.toolchain, self.stop, wall=self.wall, empty=empty
            )
