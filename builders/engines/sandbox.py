"""The engine without a daemon: a step sees the machine's programs read-only, its own files, and no network."""

from collections.abc import Iterator
from pathlib import Path

from builders.engines.directory import DirectoryEngine, DirectorySandbox
from builders.engines.engine import Command, EngineKind, EngineSetup
from builders.engines.isolation import (
    Backend,
    Bind,
    Isolation,
    View,
    backends,
    find_backend,
    system_binds,
    try_backend,
)
from builders.engines.scratch_root import sandbox_environment
from builders.engines.user import give, step_user
from builders.toolchain import BOX, INSIDE
from core.cancel import CancelToken


class IsolatedSandbox(DirectorySandbox):
    """A directory that is seen as /box, always, so that no path of this machine can get into a result."""

    root = BOX
    toolchain = INSIDE

    def __init__(self, directory: Path, engine: "SandboxEngine", cancel: CancelToken) -> None:
        """``directory`` holds the step's own, ``box``, and what isolates it."""
        super().__init__(directory / "box", engine.setup.toolchain, cancel)
        self.isolation = Isolation(backend=engine.backend, files=directory)
        self.directory.mkdir()

    def run(self, command: Command) -> int:
        user = step_user()
        binds, links = system_binds()
        binds.append(Bind(path=self.directory, inside=BOX, writable=True))
        # Bubblewrap would need the mount points below a read-only bind, so each part is bound alone.
        binds += [
            Bind(path=path, inside=INSIDE / inside) for inside, path in self.installed.parts()
        ]
        view = View(binds=binds, links=links, directory=str(BOX))
        argv = self.isolation.command(command.argv, view, user=user, accounted=True)
        if user is not None:
            self.directory.parent.chmod(0o711)
            give(self.directory, user)
        return self.run_logged(argv, command, env={"PATH": "/usr/bin:/bin", **command.env})


class SandboxEngine(DirectoryEngine):
    """Bubblewrap where it works, else plain namespaces; for root the other way round."""

    name = "sandbox"
    isolated = True

    def __init__(self, setup: EngineSetup, backend: Backend | None = None) -> None:
        """Takes the best backend when none is named. Raises EngineError when none works here."""
        super().__init__(setup)
        self.backend = backend or find_backend(setup.scratch, needed=_needed(setup))

    def open(self, directory: Path, cancel: CancelToken) -> IsolatedSandbox:
        return IsolatedSandbox(directory, self, cancel)


def _needed(setup: EngineSetup) -> list[Path]:
    return [path for _, path in setup.toolchain.parts()]


def examine_sandbox(setup: EngineSetup) -> Iterator[tuple[bool, str]]:
    """Yield whether each backend works here, and why."""
    for backend in backends():
        reason = try_backend(backend, setup.scratch, needed=_needed(setup))
        yield not reason, f"{backend.value}: {reason or 'works'}"


ENGINE = EngineKind(
    make=SandboxEngine, examine=examine_sandbox, smoke=sandbox_environment, smoke_unasked=True
)
