"""What only some commands need: locked by hash as everything else, and installed when one of them is first used."""

import fcntl
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from core.errors import EngineError, StorageError

ROOT = Path(__file__).parents[1]


class Extra(StrEnum):
    """A file ``requirements-*.txt`` beside the usual ones."""

    CLUSTER = "cluster"
    REPORT = "report"
    STORE = "store"

    @property
    def what(self) -> str:
        match self:
            case Extra.CLUSTER:
                return "Dask, which runs steps on other machines; about 10 MB to download"
            case Extra.REPORT:
                return "Vega, which draws the report's charts; about 34 MB to download"
            case Extra.STORE:
                return "fsspec and what it reaches buckets and folders with"
            case _:
                assert_never(self)


def require(
    extra: Extra,
    *,
    say: Callable[[str], None],
    root: Path = ROOT,
    environment: Path = Path(sys.prefix),
    command: tuple[str, ...] = (sys.executable, "-m", "pip"),
) -> None:
    """Install an extra into the project's environment, unless it is there; ``say`` is told of it.

    Raises EngineError when it cannot be had, and StorageError when the environment cannot be written to.
    """
    locked, noted = root / f"requirements-{extra}.txt", environment / f"installed-{extra}.txt"
    if _same(locked, noted):
        return
    try:
        with (root / ".venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as `inv` does: a second run waits for the first
            if _same(locked, noted):
                return
            say(f"installing {extra.what} into {environment} (once)")
            _install(locked, extra, command)
            noted.write_bytes(locked.read_bytes())
    except OSError as error:
        msg = f"{extra.what.partition(';')[0]} cannot be noted as installed: {error}."
        raise StorageError(msg, next=f"make {environment} writable for this user") from error


def _install(locked: Path, extra: Extra, command: tuple[str, ...]) -> None:
    words = [*command, "--disable-pip-version-check", "--quiet"]
    words += ["install", "--require-hashes", "--requirement", str(locked)]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = "\n".join(f"    {line}" for line in done.stderr.splitlines()[-5:])
        msg = f"The requirements of '{extra}' could not be installed:\n{last}"
        next = "check the network or pip's settings (pip config list), then run this again"
        raise EngineError(msg, next=next)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False
