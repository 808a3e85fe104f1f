"""One wheel or source archive from Python's package index, as this machine's pip is configured to reach it."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from builders.sources.client import FailureKind, MirrorError
from core.cancel import CancelToken
from core.errors import EngineError
from core.process import Completed, failed, run_program
from core.retry import ClientOptions
from recipes.model import Source

ARCHIVE = 64 << 20
"""Bytes that an archive of unknown size is given the time for."""
RATES = 64
"""pip cannot be watched: it gets the policy's grace, and the time that so many times the minimum rate takes."""
LINES = 5
"""How much of pip's complaint is quoted: it can list a hundred versions."""


def pip_download(requirement: str, source: Source, into: Path, *, options: ClientOptions) -> Path:
    """Download ``name==version`` into a directory and return the file; its bytes are not yet checked.

    Raises MirrorError when pip cannot. pip is killed when it takes too long, and on an interrupt.
    """
    # A source archive is looked into by pip, which runs its setup code: only ever after the hash was right.
    wheel = source.filename.endswith(".whl")
    done = _download(
        f"{requirement} --hash=sha256:{source.sha256}",
        into,
        wheel=wheel,
        platforms=_platforms(source.filename) if wheel else (),
        seconds=options.policy.grace + source.size / (RATES * options.policy.min_rate),
        cancel=options.cancel,
    )
    if done.returncode:
        raise _complaint(done)
    files = sorted(into.iterdir())
    if len(files) != 1:
        msg = f"pip left {len(files)} files instead of one"
        raise MirrorError(msg)
    return files[0]


def pip_versions(name: str, *, options: ClientOptions) -> frozenset[str]:
    """Return the versions of a package that suit this Python, pre-releases left out. Raises MirrorError."""
    done = _pip("index", "versions", name, seconds=options.policy.grace, cancel=options.cancel)
    found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise _complaint(done)
    return frozenset(found[1].replace(",", " ").split())


def pip_sha256(requirement: str, into: Path, *, wheel: bool, options: ClientOptions) -> str:
    """Return the sha256 of what pip would download for ``name==version``. Raises MirrorError.

    pip is told a hash that no file has: it fetches the file, says what the hash really is, and stops, before it looks
    into a source archive by running its code. So what runs later is what was pinned, or nothing.
    """
    done = _download(
        f"{requirement} --hash=sha256:{'0' * 64}",
        into / "never",
        wheel=wheel,
        platforms=(),
        seconds=options.policy.grace + ARCHIVE / (RATES * options.policy.min_rate),
        cancel=options.cancel,
    )
    if "yanked" in done.stderr:
        msg = "it was yanked from the index"
        raise MirrorError(msg)
    found = re.search(r"^\s*Got\s+([0-9a-f]{64})\s*$", done.stderr, re.MULTILINE)
    if found is None:
        raise _complaint(done)
    return found[1]


def _download(
    line: str,
    into: Path,
    *,
    wheel: bool,
    platforms: Iterable[str],
    seconds: float,
    cancel: CancelToken,
) -> Completed:
    """Let pip download what one line of a requirements file says."""
    wanted = into.parent / f"{into.name}.txt"
    wanted.write_text(f"{line}\n", "utf-8")
    try:
        return _pip(
            *("download", "--require-hashes", "--requirement", str(wanted), "--no-deps"),
            *("--only-binary" if wheel else "--no-binary", ":all:"),
            *(word for name in platforms for word in ("--platform", name)),
            *("--no-cache-dir", "--quiet", "--progress-bar", "off", "--dest", str(into)),
            seconds=seconds,
            cancel=cancel,
        )
    finally:
        wanted.unlink(missing_ok=True)


def _pip(*words: str, seconds: float, cancel: CancelToken) -> Completed:
    quiet = ("--disable-pip-version-check", "--no-input", "--no-color", "--retries", "2")
    try:
        return run_program(
            [sys.executable, "-m", "pip", *words, *quiet],
            seconds=seconds,
            package="python3",
            purpose="run pip",
            check=False,
            cancel=cancel,
        )
    except EngineError as error:
        raise MirrorError(error.what) from error


def _complaint(done: Completed) -> MirrorError:
    mismatch = "DO NOT MATCH THE HASHES" in done.stderr
    return MirrorError(
        failed(done, since="ERROR:", lines=LINES).what,
        kind=FailureKind.WRONG if mismatch else FailureKind.GONE,
    )


def _platforms(wheel: str) -> list[str]:
    """The pinned wheel's platforms, not whatever suits the machine we run on."""
    platforms = wheel.removesuffix(".whl").rpartition("-")[2].split(".")
    return [] if platforms == ["any"] else platforms
