"""One wheel or source archive from Python's package index, as this machine's pip is configured to reach it."""

import re
import subprocess
import sys
from pathlib import Path

from builders.sources.client import Client, Refused, Trouble
from recipes.model import Source

ARCHIVE = 64 << 20
"""Bytes that an archive of unknown size is given the time for."""
LINES = 5
"""How much of pip's complaint is quoted."""


def pip_download(requirement: str, source: Source, into: Path, *, client: Client) -> Path:
    """Download ``name==version`` into a folder and return the file; its bytes are not yet checked.

    Raises Refused when pip cannot. pip is killed when it takes too long, and on an interrupt.
    """
    # A source archive is looked into by pip, which runs its setup code: only ever after the hash was right.
    wanted = into.parent / f"{into.name}.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{source.sha256}\n", "utf-8")
    form = "--only-binary" if source.filename.endswith(".whl") else "--no-binary"
    command = [
        *(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--require-hashes",
            "--requirement",
            str(wanted),
        ),
        *("--no-deps", form, ":all:", "--no-cache-dir"),
        *("--disable-pip-version-check", "--no-input", "--quiet", "--progress-bar", "off"),
        *("--retries", "2"),
        *_platform(source.filename),
        *("--dest", str(into)),
    ]
    seconds = client.limits.grace + source.size / client.limits.pip_rate
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"pip took more than {seconds:.0f} s"
        raise Refused(msg) from error
    except subprocess.CalledProcessError as error:
        said = "\n".join(error.stderr.strip().splitlines()[-LINES:])
        msg = f"pip ended with {error.returncode}: {said}"
        lied = "DO NOT MATCH THE HASHES" in error.stderr
        raise Refused(msg, trouble=Trouble.WRONG if lied else Trouble.GONE) from error
    finally:
        wanted.unlink(missing_ok=True)
    files = sorted(into.iterdir())
    if len(files) != 1:
        msg = f"pip left {len(files)} files instead of one"
        raise Refused(msg)
    return files[0]


def pip_versions(name: str, *, client: Client) -> frozenset[str]:
    """Return the versions of a package that suit this Python, pre-releases left out. Raises Refused."""
    command = [sys.executable, "-m", "pip", "index", "versions", name]
    done = _ask(command, seconds=client.limits.grace)
    found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise _complaint(done)
    return frozenset(found[1].replace(",", " ").split())


def pip_sha256(requirement: str, into: Path, *, wheel: bool, client: Client) -> str:
    """Return the sha256 of what pip would download for ``name==version``. Raises Refused.

    pip is told a hash that no file has: it fetches the file, says what the hash really is, and stops, before it looks
    into a source archive by running its code. So what runs later is what was pinned, or nothing.
    """
    wanted = into / "requirement.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{'0' * 64}\n", "utf-8")
    form = "--only-binary" if wheel else "--no-binary"
    command = [
        *(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--require-hashes",
            "--requirement",
            str(wanted),
        ),
        *("--no-deps", form, ":all:", "--no-cache-dir", "--dest", str(into / "never")),
    ]
    done = _ask(command, seconds=client.limits.grace + ARCHIVE / client.limits.pip_rate)
    if "yanked" in done.stderr:
        msg = "it was yanked from the index"
        raise Refused(msg)
    found = re.search(r"^\s*Got\s+([0-9a-f]{64})\s*$", done.stderr, re.MULTILINE)
    if found is None:
        raise _complaint(done)
    return found[1]


def _ask(command: list[str], *, seconds: float) -> "subprocess.CompletedProcess[str]":
    quiet = ("--disable-pip-version-check", "--no-input", "--no-color", "--retries", "2")
    try:
        return subprocess.run(
            [*command, *quiet],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"pip took more than {seconds:.0f} s"
        raise Refused(msg) from error


def _complaint(done: "subprocess.CompletedProcess[str]") -> Refused:
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    return Refused(f"pip ended with {done.returncode}: {' '.join(said[-LINES:])}")


def _platform(filename: str) -> list[str]:
    """Ask for the pinned wheel's platform, not for whatever suits the machine we run on."""
    platforms = filename.removesuffix(".whl").rpartition("-")[2].split(".")
    if not filename.endswith(".whl") or platforms == ["any"]:
        return []
    return [part for name in platforms for part in ("--platform", name)]
