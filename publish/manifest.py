"""`artifacts/manifest.json`: what was made, from what, where, and whether it is good. Other programs read it."""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from core.errors import RecipeError
from core.files import write_file
from core.target import Target
from verify.smoke import Smoke
from verify.verdict import Finding

VERSION = 1
NAME = "manifest.json"
NOT_PACKED = "not-packed"
"""The rule of a warning: the recipe asks for a packed form, and there is none."""


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
class Seconds:
    """How long it took to make an artifact, the first time."""

    fetch: float
    build: float


@dataclass(frozen=True, kw_only=True)
class VerdictSummary:
    """What is kept of a `verify.verdict.Verdict`."""

    ok: bool
    findings: tuple[Finding, ...]

    @classmethod
    def from_dict(cls, summary: object) -> "VerdictSummary":
        """Read what `as_dict` of an artifact has. Raises ValueError."""
        return _read(cls, summary, "verdict")  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file of `artifacts/files/`. Sizes in bytes."""

    product: str
    release: str
    target: Target
    packed: bool
    path: str
    size: int
    sha256: str
    engine: str
    isolated: bool
    key: str
    seconds: Seconds
    verdict: VerdictSummary
    smoke: Smoke
    inputs: tuple[Input, ...]
    reproduced_by: tuple[str, ...] = ()
    """The ids of other builders' keys, trusted here, that signed that the step which made it makes the same bytes."""
    budget: int | None = None
    """The most that the recipe allows, with the trust anchors; None: it says nothing for this target."""
    anchors: int | None = None
    """Bytes of trust anchors inside; None, as below: an older version of this program did not say."""
    gzip: int | None = None
    """Its size after gzip, level 9, without a time or a name."""
    cached: bool = field(default=False, metadata={"written": False})
    """Only the run that made the artifact knows."""

    @classmethod
    def from_dict(cls, entry: object) -> "Artifact":
        """Read the manifest's entry. Raises ValueError for a key that is missing, unknown or of another type."""
        return _read(cls, entry, "entry")  # type: ignore[no-any-return]

    @property
    def not_packed(self) -> str:
        """Why there is no packed form beside it; empty when there is, or when none was asked for."""
        found = (it.message for it in self.verdict.findings if it.rule == NOT_PACKED)
        return next(found, "")

    def as_dict(self) -> dict[str, Any]:
        """The manifest's entry."""
        entry = asdict(self)
        del entry["cached"]
        return entry | {"smoke": self.smoke.as_dict()}


def _read(kind: Any, value: Any, name: str) -> Any:
    """Return JSON's ``value`` as a ``kind``: nothing is missing, converted or left over. Raises ValueError."""
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, dict):
            msg = f"{name} must be an object, not {value!r:.50}"
            raise ValueError(msg)
        known = {key.name: key for key in fields(kind) if key.metadata.get("written", True)}
        required = {name for name, key in known.items() if key.default is MISSING}
        for problem, keys in (
            ("lacks", required - set(value)),
            ("has an unknown", set(value) - set(known)),
        ):
            if keys:
                msg = f"{name} {problem} '{min(keys)}'"
                raise ValueError(msg)
        return kind(**{key: _read(known[key].type, value[key], key) for key in value})
    if get_origin(kind) is UnionType:
        return None if value is None else _read(get_args(kind)[0], value, name)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_read(get_args(kind)[0], item, name) for item in value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    msg = f"{name} must be {kind.__name__}, not {value!r:.50}"
    raise ValueError(msg)


def read_manifest(directory: Path) -> tuple[Artifact, ...]:
    """Return what the manifest in ``directory`` lists; nothing when there is no manifest.

    Raises RecipeError when it is not one, or of a version that this program does not know.
    """
    path = directory / NAME
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["version"] != VERSION:
            msg = f"{path} has version {data['version']}; this program knows version {VERSION}."
            raise RecipeError(msg, next="inv clean, then build again")
        return tuple(Artifact.from_dict(entry) for entry in data["artifacts"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise RecipeError(msg, next="inv clean, then build again") from error


def write_manifest(
    directory: Path,
    artifacts: Iterable[Artifact],
    *,
    staged: Mapping[str, Path] | None = None,
    gone: Iterable[str] = (),
) -> None:
    """Put ``artifacts`` into the manifest; entries of other files that are still there stay.

    ``staged`` are whole files that get their places below ``directory`` now, by the path that the manifest names;
    those of ``gone`` go, if they are there.
    A file that is there always has its row, at every moment and after a crash at any: what it takes the place of goes
    first, then comes the row, then the file. A row whose file did not come any more is mended by the next call.
    Runs at the same time wait for each other, so that none loses what another has added.
    """
    staged = staged or {}
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        rows = {artifact.path: artifact for artifact in (*read_manifest(directory), *artifacts)}
        for path in gone:
            (directory / path).unlink(missing_ok=True)
        text = _text(
            rows[path] for path in sorted(rows) if path in staged or (directory / path).is_file()
        )
        for path in staged:
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).unlink(missing_ok=True)
        write_file(directory / NAME, text)
        for path, whole in staged.items():
            whole.replace(directory / path)
    finally:
        os.close(handle)  # and the lock with it


def _text(rows: Iterable[Artifact]) -> bytes:
    table = {"version": VERSION, "artifacts": [row.as_dict() for row in rows]}
    return (json.dumps(table, indent=2) + "\n").encode()
