"""An engine whose steps find their surroundings changed: another clock, another number of CPU cores.

What a step makes must not depend on these, and nothing but a build that has other ones can tell.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from builders.engines.engine import Command, Engine, Sandbox
from core.cancel import CancelToken
from core.errors import EngineError

INSIDE = PurePosixPath("clock")
UNMOVED = 97
"""Exit code of a step whose clock did not move."""

DAY = 86400


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Another day for every program that is linked dynamically; static ones ask the kernel."""

    library: Path
    """Debian's libfaketime: https://github.com/wolfcw/libfaketime."""
    days: int

    @classmethod
    def of_this_machine(cls, days: int) -> "Clock | None":
        """Return a clock that is so many days ahead, if the library is installed."""
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        return cls(library=found[0], days=days) if found else None

    def applied(self, command: Command, root: PurePosixPath, now: float) -> Command:
        """Return the command as it runs on this clock, at ``now`` in seconds since 1970; it first looks at it."""
        before = int(now) + (self.days - 1) * DAY
        check = f'[ "$(date +%s)" -gt {before} ] || exit {UNMOVED}; exec "$@"'
        faked = (  # not in the command's environment: the program that isolates it does not see the library
            f"LD_PRELOAD={root / INSIDE / self.library.name}",
            f"FAKETIME=+{self.days}d",
            "FAKETIME_DISABLE_SHM=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        )
        return replace(command, argv=("env", *faked, "sh", "-c", check, "sh", *command.argv))


class VariedSandbox:
    """A sandbox that changes the command, and hands all else on."""

    def __init__(self, sandbox: Sandbox, engine: "VariedEngine") -> None:
        self.sandbox = sandbox
        self.engine = engine
        self.root, self.toolchain, self.usage = sandbox.root, sandbox.toolchain, sandbox.usage
        self.put, self.get = sandbox.put, sandbox.get

    def run(self, command: Command) -> int:
        """Run with other surroundings. Raises EngineError when the clock does not move in there."""
        clock = self.engine.clock
        command = replace(command, env={**command.env, **self.engine.env})
        if clock:
            self.sandbox.put(clock.library, INSIDE / clock.library.name)
            command = clock.applied(command, self.root, self.engine.now)
        code = self.sandbox.run(command)
        self.usage = self.sandbox.usage
        if clock and code == UNMOVED:
            msg = f"{clock.library} does not move the clock of a step."
            raise EngineError(
                msg,
                why="the base of the steps has another C library than this machine",
                next="choose another engine, or remove libfaketime: the clock is then left alone",
            )
        return code


@dataclass(frozen=True, kw_only=True)
class VariedEngine:
    """Another engine with other surroundings."""

    engine: Engine
    clock: Clock | None
    now: float
    """The true time, in seconds since 1970."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of the steps that no action key depends on, such as ``JOBS``."""

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def isolated(self) -> bool:
        return self.engine.isolated

    @contextmanager
    def sandbox(self, cancel: CancelToken | None = None) -> Iterator[VariedSandbox]:
        with self.engine.sandbox(cancel) as sandbox:
            yield VariedSandbox(sandbox, self)
