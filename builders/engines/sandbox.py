"""The engine without a daemon: a step sees the machine's programs read-only, its own files, and no network."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from builders.engines.directory import DirectorySandbox
from builders.engines.engine import Command, EngineName
from builders.engines.isolation import Backend, Bind, sandbox_command, system_binds
from builders.engines.process import run_process
from builders.toolchain import BOX, INSIDE, Toolchain
from core.cancel import CancelToken


class IsolatedSandbox(DirectorySandbox):
    """A directory, seen as /box from behind the wall."""

    def __init__(
        self,
        directory: Path,
        toolchain: Toolchain,
        cancel: CancelToken,
        *,
        backend: Backend,
        empty: Path,
    ) -> None:
        super().__init__(directory, toolchain, cancel)
        self.backend = backend
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
        binds.append(Bind(path=self.directory, place=BOX, writable=True))
        # Bubblewrap would need the mount points below a read-only bind, so each part is bound alone.
        binds += [Bind(path=path, place=INSIDE / place) for place, path in self.parts.parts()]
        words = sandbox_command(
            self.backend,
            command.argv,
            binds=binds,
            links=links,
            cwd=str(BOX),
            accounted=True,
            empty=self.empty,
        )
        env = {**command.env, "PATH": command.env.get("PATH", "/usr/bin:/bin")}
        ended = run_process(words, command, env=env, cwd=None, cancel=self.cancel)
        self.usage = ended.usage
        return ended.code


class SandboxEngine:
    """Bubblewrap where it works, else plain namespaces."""

    name = EngineName.SANDBOX
    isolated = True

    def __init__(
        self, toolchain: Toolchain, scratch: Path, cancel: CancelToken, *, backend: Backend
    ) -> None:
        self.toolchain = toolchain
        self.scratch = scratch
        self.cancel = cancel
        self.backend = backend

    @contextmanager
    def sandbox(self) -> Iterator[IsolatedSandbox]:
        """Open a box in a fresh directory."""
        empty = self.scratch / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        prefix = f"sandbox-{os.getpid()}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.scratch) as directory:
            yield IsolatedSandbox(
                Path(directory).resolve(),
                self.toolchain,
                self.cancel,
                backend=self.backend,
                empty=empty,
            )
