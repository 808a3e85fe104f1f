"""What a step needs of where it runs: three verbs. Paths inside are PurePosixPath, outside Path."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Protocol

from builders.engines.limits import Limits
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.errors import StepError
from core.scratch import SmokeEnvironment


@dataclass(frozen=True, kw_only=True)
class EngineSetup:
    """All that is needed to make an engine of any kind."""

    toolchain: Toolchain
    scratch: Path
    cancel: CancelToken
    base_image: str = ""
    """A registry image by digest, or ''."""
    mirrors: tuple[str, ...] = ()
    """Debian base URLs for the base of the builder image."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a run took, as the kernel accounts it; None is what this engine cannot know."""

    cpu: float | None = None
    """Seconds of all processes together, user and system."""
    rss: int | None = None
    """Bytes: the resident peak of the largest single process; None too when none was larger than this one."""
    memory: int | None = None
    """Bytes: the peak of all processes together with the files that the kernel kept for them."""

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> "Usage":
        """Return what a cache remembers; another version may remember more, or less."""
        return cls(cpu=table.get("cpu"), rss=table.get("rss"), memory=table.get("memory"))


@dataclass(frozen=True, kw_only=True)
class Command:
    """One run inside a sandbox."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment: nothing of the caller's leaks in."""
    log: Path
    """Where both output streams go."""
    seconds: float
    """Deadline."""
    limits: Limits = field(default_factory=Limits)
    """What else ends it."""

    def __str__(self) -> str:
        return " ".join(self.argv)


class Sandbox(Protocol):
    """A fresh directory for one step, and what runs in it."""

    root: PurePosixPath
    """The step's own directory as the step sees it."""
    toolchain: PurePosixPath
    """The toolchain as the step sees it."""
    usage: Usage
    """What `run` took; nothing is known before it has ended."""

    def put(self, path: Path, inside: PurePosixPath, *, move: bool = False) -> None:
        """Copy a file or a directory in, to ``inside`` below the root. Before `run` only.

        With ``move`` the caller needs it no more: it stays until `run`, or is gone at once.
        """

    def run(self, command: Command) -> int:
        """Run once and return the exit code. Raises Cancelled or StepError (deadline, limits)."""

    def get(self, inside: PurePosixPath, path: Path) -> None:
        """Copy a directory below the root out, to ``path``. After `run` only."""


class Engine(Protocol):
    """Where steps run."""

    @property
    def name(self) -> str:
        """What ``--engine`` and the manifest call it."""

    @property
    def isolated(self) -> bool:
        """False when a step could see the network or change the machine."""

    def sandbox(self, cancel: CancelToken | None = None) -> AbstractContextManager[Sandbox]:
        """Open a fresh sandbox; leaving it removes everything, whatever happened.

        ``cancel`` ends what runs in it; the engine's own token does where it is None.
        """


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """What runs programs for another machine: static, so it can be in an empty root with them."""

    path: Path
    cpu: str
    """The oldest CPU that the target promises: a program that needs more is to fail."""

    def command(self, path: PurePath) -> tuple[str, ...]:
        """The words that come before the program's own, where the emulator is at ``path``."""
        return (str(path), "-cpu", self.cpu)


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """An engine, as `builders.engines.choose` lists it. The functions raise EngineError where it does not work."""

    make: Callable[[EngineSetup], Engine]
    examine: Callable[[EngineSetup], Iterable[tuple[bool, str]]]
    """Whether it works here, in each of its ways, and why: what `inv doctor` shows. Makes nothing."""
    smoke: Callable[[EngineSetup, Emulator | None], SmokeEnvironment] | None = None
    """Makes empty roots for programs that the emulator runs, or the machine itself."""
    smoke_unasked: bool = False
    """Its empty roots are used whichever engine is asked for."""


def not_a_file(name: str) -> StepError:
    """The error for a step whose output holds a link, a device or a pipe."""
    msg = f"The output of a step must be plain files and directories; '{name}' is neither."
    return StepError(msg, why="it is a link or a device", next="copy what the link names")


def overdue(command: Command) -> StepError:
    """The error for a step that ran into its deadline."""
    msg = f"'{' '.join(command.argv[:2])}' did not end within {command.seconds:.0f} s."
    return StepError(
        msg,
        why="a hanging program or a very slow machine",
        next=f"read {command.log}; FROMSCRATCH_STEP_MINUTES allows more",
    )
