"""Every error a user can meet, in one place, each with its own exit code.

A message is a small paragraph: what happened, the likely cause, what to do next.
Only ``tasks.py`` turns an error into an exit code; a traceback is shown with ``--debug`` alone.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """Exit codes of every ``inv`` command; other programs rely on them."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    RECIPE = 3
    SOURCE = 4
    STEP = 5
    ENGINE = 6
    PUBLISH = 7
    INTERRUPTED = 130


class FromscratchError(Exception):
    """Root of what a user can correct: ``what`` happened, ``why`` likely, what to do ``next``."""

    code: ClassVar[ExitCode]

    def __init__(self, what: str, *, why: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.next = next

    def __reduce__(self) -> tuple[Any, ...]:
        # Whatever a class wants to be told when it is made: an error of another process is one that was made already.
        return _made_elsewhere, (type(self), self.args, dict(vars(self)))

    def __str__(self) -> str:
        cause = f"\n  likely cause: {self.why}" if self.why else ""
        return self.what + cause + (f"\n  next step:    {self.next}" if self.next else "")


def _made_elsewhere(
    kind: type[FromscratchError], args: tuple[object, ...], state: dict[str, object]
) -> FromscratchError:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class VerdictError(FromscratchError):
    """A file failed verification or a smoke run."""

    code = ExitCode.REFUSED


class UsageError(FromscratchError):
    """The command line asks for something that does not exist."""

    code = ExitCode.USAGE


class RecipeError(FromscratchError):
    """A recipe or a setting is wrong."""

    code = ExitCode.RECIPE


class StorageError(FromscratchError):
    """A directory that the settings name cannot be used: full, read-only, not ours or failing; no half file is left."""

    code = ExitCode.RECIPE


class SourceError(FromscratchError):
    """A pinned source could not be had, or is not what was pinned."""

    code = ExitCode.SOURCE


class StepError(FromscratchError):
    """A build step failed; the message names the log."""

    code = ExitCode.STEP


class LostInputs(StepError):
    """What a step needs was made or fetched, and is gone: whoever made it may make it again."""

    def __init__(self, what: str, *, names: Sequence[str], why: str = "", next: str = "") -> None:
        super().__init__(what, why=why, next=next)
        self.names = tuple(names)
        """The sha256 of what is gone."""


class StoreError(FromscratchError):
    """What machines share cannot be reached, or does not do its part; nothing here is damaged by it."""

    code = ExitCode.SOURCE


class EngineError(FromscratchError):
    """No engine, or no tool, to run a step with."""

    code = ExitCode.ENGINE


class ProgramError(EngineError):
    """A program of the machine failed, or took too long."""


class MissingToolError(EngineError):
    """A program of the machine is missing; says which package brings it."""

    def __init__(self, *, program: str, package: str, purpose: str) -> None:
        super().__init__(
            f"'{program}' was not found; it is needed to {purpose}.",
            why=f"the package '{package}' is not installed",
            next=f"apt-get install -y {package}",
        )


class PublishError(FromscratchError):
    """An artifact could not be published."""

    code = ExitCode.PUBLISH


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps, outermost first: requests and urllib3 do it three ways."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        inner = (getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__)
        cause = next((item for item in inner if isinstance(item, BaseException)), None)
