"""`artifacts/rebuilds.json`: which files were built again elsewhere, what was different there, and what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from records.store import BadRecordError, flag, moment, read_record, rows, text, write_record

VERSION: Final = 1
NAME: Final = "rebuilds.json"


@dataclass(frozen=True, kw_only=True)
class Twice:
    """One file, built twice."""

    product: str
    target: str
    packed: bool
    path: str
    """Below `artifacts/`."""
    sha256: tuple[str, str]
    """Of the first build's file, which is that of the manifest, and of the second one's."""

    @property
    def equal(self) -> bool:
        return self.sha256[0] == self.sha256[1]


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """One run of ``inv build --rebuild-and-compare``."""

    when: str
    """In UTC, as ``2026-11-28T12:00:00Z``."""
    varied: Mapping[str, str]
    """What was different around the second build, and how."""
    files: tuple[Twice, ...]

    @property
    def equal(self) -> bool:
        return all(file.equal for file in self.files)


def remember_rebuild(artifacts: Path, rebuild: Rebuild) -> None:
    """Put it before the older ones, which lose what was built again now. Raises OSError, RecipeError."""
    again = {file.path for file in rebuild.files}
    older = (_without(one, again) for one in read_rebuilds(artifacts))
    kept = [one for one in (rebuild, *older) if one.files]
    write_record(
        artifacts / NAME, {"version": VERSION, "rebuilds": [_as_dict(one) for one in kept]}
    )


def read_rebuilds(artifacts: Path) -> tuple[Rebuild, ...]:
    """Return all of them, the newest first, each file once; none: not recorded. Raises RecipeError."""
    return read_record(artifacts / NAME, VERSION, _rebuilds) or ()


def _without(rebuild: Rebuild, paths: Iterable[str]) -> Rebuild:
    return replace(rebuild, files=tuple(one for one in rebuild.files if one.path not in paths))


def _as_dict(rebuild: Rebuild) -> dict[str, Any]:
    return {
        "when": rebuild.when,
        "equal": rebuild.equal,
        "varied": dict(rebuild.varied),
        "files": [{**asdict(file), "equal": file.equal} for file in rebuild.files],
    }


def _rebuilds(table: dict[str, Any]) -> tuple[Rebuild, ...]:
    found = tuple(map(_rebuild, rows(table["rebuilds"], "rebuilds")))
    paths = [file.path for one in found for file in one.files]
    if len(paths) != len(set(paths)):
        msg = "a file stands in it twice"
        raise BadRecordError(msg)
    return found


def _rebuild(row: dict[str, Any]) -> Rebuild:
    varied = row["varied"]
    if not isinstance(varied, dict):
        msg = f"'varied' is no object: {varied!r:.50}"
        raise BadRecordError(msg)
    rebuild = Rebuild(
        when=moment(row["when"], "when"),
        varied={text(name, "varied"): text(how, "varied") for name, how in varied.items()},
        files=tuple(map(_twice, rows(row["files"], "files"))),
    )
    if flag(row["equal"], "equal") != rebuild.equal:
        msg = "it says of files that differ that they are equal, or the other way round"
        raise BadRecordError(msg)
    return rebuild


def _twice(row: dict[str, Any]) -> Twice:
    digests = row["sha256"]
    if not isinstance(digests, list) or len(digests) != 2:
        msg = f"'sha256' is no pair: {digests!r:.50}"
        raise BadRecordError(msg)
    file = Twice(
        product=text(row["product"], "product"),
        target=text(row["target"], "target"),
        packed=flag(row["packed"], "packed"),
        path=text(row["path"], "path"),
        sha256=(text(digests[0], "sha256"), text(digests[1], "sha256")),
    )
    if flag(row["equal"], "equal") != file.equal:
        msg = f"it says the wrong thing of {file.path:.80}"
        raise BadRecordError(msg)
    return file
