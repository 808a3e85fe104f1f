"""`artifacts/manifest.json`: what was made, from what, where, and whether it is good. Other programs read it."""

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import RecipeError
from core.files import write_file

VERSION = 1
NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Input:
    """One source that went into an artifact."""

    name: str
    version: str
    sha256: str
    url: str
    """Where the bytes came from."""
    licence: str


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file of `artifacts/files/`. Sizes in bytes, times in seconds."""

    product: str
    release: str
    target: str
    packed: bool
    path: str
    size: int
    sha256: str
    engine: str
    isolated: bool
    key: str
    seconds: dict[str, float]
    verdict: dict[str, Any]
    smoke: dict[str, Any]
    inputs: tuple[Input, ...]
    cached: bool = False
    """Not written: only the run that made the artifact knows."""

    def as_dict(self) -> dict[str, Any]:
        """The manifest's entry."""
        entry = asdict(self)
        del entry["cached"]
        entry["inputs"] = list(entry["inputs"])
        return entry


def read_manifest(directory: Path) -> list[dict[str, Any]]:
    """Return the entries of the manifest in ``directory``; none when there is no manifest.

    Raises RecipeError when it is not one, or of a version that this program does not know.
    """
    path = directory / NAME
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["version"] != VERSION:
            msg = f"{path} has version {data['version']}; this program knows version {VERSION}."
            raise RecipeError(msg, next="inv clean, then build again")
        entries: list[dict[str, Any]] = [entry for entry in data["artifacts"] if entry["path"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise RecipeError(msg, next="inv clean, then build again") from error
    return entries


def write_manifest(directory: Path, artifacts: Iterable[Artifact]) -> None:
    """Put ``artifacts`` into the manifest; entries of other files that are still there stay.

    Runs at the same time wait for each other, so that none loses what another has added.
    """
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _merge(directory, artifacts)
    finally:
        os.close(handle)  # and the lock with it


def _merge(directory: Path, artifacts: Iterable[Artifact]) -> None:
    entries = {entry["path"]: entry for entry in read_manifest(directory)}
    entries |= {artifact.path: artifact.as_dict() for artifact in artifacts}
    kept = [entries[path] for path in sorted(entries) if (directory / path).is_file()]
    text = json.dumps({"version": VERSION, "artifacts": kept}, indent=2) + "\n"
    write_file(directory / NAME, text.encode())
