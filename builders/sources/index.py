"""One wheel or source archive from Python's package index, as this machine's pip is configured to reach it."""

import subprocess
import sys
from pathlib import Path

from builders.sources.client import Client, Refused, Trouble
from recipes.model import Source

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


def _platform(filename: str) -> list[str]:
    """Ask for the pinned wheel's platform, not for whatever suits the machine we run on."""
    platforms = filename.removesuffix(".whl").rpartition("-")[2].split(".")
    if not filename.endswith(".whl") or platforms == ["any"]:
        return []
    return [part for name in platforms for part in ("--platform", name)]
