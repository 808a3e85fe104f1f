"""The engines, and which one is taken: the one asked for, or the first that works. A new engine is a row here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builders.engines.base import make_docker
from builders.engines.docker import examine_docker
from builders.engines.engine import Engine, EngineSetup
from builders.engines.host import HostEngine
from builders.engines.sandbox import SandboxEngine, examine_sandbox
from builders.engines.scratch_root import docker_environment, find_emulator, sandbox_environment
from core.errors import EngineError
from core.scratch import SmokeEnvironment
from core.target import Target

AUTO = "auto"
"""What ``--engine`` calls the first engine that works."""


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """A row of the table. The functions raise EngineError where the engine does not work."""

    name: str
    make: Callable[[EngineSetup], Engine]
    examine: Callable[[EngineSetup], Iterable[tuple[bool, str]]]
    """Whether it works here, in each of its ways, and why: what `inv doctor` shows. Makes nothing."""
    smoke: Callable[[EngineSetup, Path | None], SmokeEnvironment] | None = None
    """Makes empty roots for programs that the emulator runs, or the machine itself."""
    smoke_unasked: bool = False
    """Its empty roots are used whichever engine is asked for."""


ENGINES = (
    EngineKind(name="docker", make=make_docker, examine=examine_docker, smoke=docker_environment),
    EngineKind(
        name="sandbox",
        make=SandboxEngine,
        examine=examine_sandbox,
        smoke=sandbox_environment,
        smoke_unasked=True,
    ),
    EngineKind(
        name="host",
        make=HostEngine,
        examine=lambda _: [(True, "always works; a step is not isolated")],
    ),
)
"""In the order in which they are tried."""

ENGINE_NAMES = (AUTO, *(kind.name for kind in ENGINES))
"""What ``--engine`` takes."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One engine, looked at."""

    name: str
    works: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Chooser(EngineSetup):
    """Makes engines by name."""

    def make(self, name: str) -> Engine:
        """Return the engine called ``name``. Raises EngineError when it does not work here, with every reason."""
        if name != AUTO:
            (kind,) = (kind for kind in ENGINES if kind.name == name)
            return kind.make(self)
        reasons: list[str] = []
        for kind in ENGINES:
            try:
                return kind.make(self)
            except EngineError as error:
                reasons.append(error.what)
        msg = "No engine works here:\n  " + "\n  ".join(reasons)
        raise EngineError(msg, next="inv doctor")

    def candidates(self) -> Iterator[Candidate]:
        """Look at every engine, without making anything."""
        for kind in ENGINES:
            for works, reason in kind.examine(self):
                yield Candidate(name=kind.name, works=works, reason=reason)


def smoke_environment(target: Target, engine: str, setup: EngineSetup) -> SmokeEnvironment | str:
    """Return what makes empty roots for programs for ``target`` when ``engine`` is asked for, or why nothing does."""
    emulator = None
    if not target.runs_natively:
        emulator = find_emulator(target)
        if emulator is None:
            return (
                f"qemu-{target.qemu}-static is not installed (apt-get install -y qemu-user-static)"
            )
    reason = ""
    for kind in ENGINES:
        if kind.smoke and (kind.smoke_unasked or engine in {AUTO, kind.name}):
            try:
                return kind.smoke(setup, emulator)
            except EngineError as error:
                reason = error.what
    return f"no empty root can be made: {reason}"
