"""The engine without a daemon: a step sees the machine's programs read-only, its own files, and no network."""

from collections.abc import Iterator
from pathlib import Path

from builders.engines.directory import DirectoryEngine, DirectorySandbox
from builders.engines.engine import Command, EngineKind, EngineSetup
from builders.engines.isolation import (
    Backend,
    Bind,
    find_backend,
    make_empty,
    sandbox_command,
    system_binds,
    try_backend,
)
from builders.engines.scratch_root import sandbox_environment
from builders.toolchain import BOX, INSIDE


class IsolatedSandbox(DirectorySandbox):
    """A directory that is seen as /box, always, so that no path of this machine can get into a result."""

    root = BOX
    toolchain = INSIDE

    def __init__(self, directory: Path, engine: "SandboxEngine") -> None:
        super().__init__(directory, engine.setup.toolchain, engine.setup.cancel)
        self.engine = engine

    def run(self, command: Command) -> int:
        binds, links = system_binds()
        binds.append(Bind(path=self.directory, inside=BOX, writable=True))
        # Bubblewrap would need the mount points below a read-only bind, so each part is bound alone.
        binds += [
            Bind(path=path, inside=INSIDE / inside) for inside, path in self.installed.parts()
        ]
        argv = sandbox_command(
            self.engine.backend,
            command.argv,
            binds=binds,
            links=links,
            cwd=str(BOX),
            accounted=True,
            empty=make_empty(self.engine.setup.scratch),
        )
        return self.run_logged(argv, command, env={"PATH": "/usr/bin:/bin", **command.env})


class SandboxEngine(DirectoryEngine):
    """Bubblewrap where it works, else plain namespaces."""

    name = "sandbox"
    isolated = True

    def __init__(self, setup: EngineSetup, backend: Backend | None = None) -> None:
        """Takes the best backend when none is named. Raises EngineError when none works here."""
        super().__init__(setup)
        self.backend = backend or find_backend(setup.scratch)

    def open(self, directory: Path) -> IsolatedSandbox:
        return IsolatedSandbox(directory, self)


def examine_sandbox(setup: EngineSetup) -> Iterator[tuple[bool, str]]:
    """Yield whether each backend works here, and why."""
    for backend in Backend:
        reason = try_backend(backend, setup.scratch)
        yield not reason, f"{backend.value}: {reason or 'works'}"


ENGINE = EngineKind(
    make=SandboxEngine, examine=examine_sandbox, smoke=sandbox_environment, smoke_unasked=True
)
