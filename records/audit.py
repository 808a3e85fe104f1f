"""`artifacts/audit.json`: which known vulnerabilities the last ``inv audit`` found, and in what it looked."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from records.store import BadRecordError, flag, moment, read_record, rows, text, write_record

VERSION: Final = 1
NAME: Final = "audit.json"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A component that was asked about."""

    name: str
    version: str
    products: tuple[str, ...]
    named: bool
    """False: no database that was asked could name it, so nothing is known of it."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A vulnerability that concerns products."""

    id: str
    component: str
    severity: str
    counts: bool
    """It is as bad as the threshold, or worse."""
    products: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """One run of ``inv audit``."""

    when: str
    """In UTC, as ``2026-11-28T12:00:00Z``."""
    threshold: str
    databases: tuple[str, ...]
    """Those that answered."""
    blind: bool
    """A database failed, and somebody was looked up nowhere because of that."""
    components: tuple[Looked, ...]
    known: tuple[Known, ...]


def remember_audit(artifacts: Path, audit: AuditRecord) -> None:
    """Keep it, in the place of the one before. Raises OSError."""
    write_record(artifacts / NAME, {"version": VERSION, **asdict(audit)})


def read_audit(artifacts: Path) -> AuditRecord | None:
    """Return the last one; None: not recorded. Raises RecipeError for a damaged record."""
    return read_record(artifacts / NAME, VERSION, _audit)


def _audit(table: dict[str, Any]) -> AuditRecord:
    return AuditRecord(
        when=moment(table["when"], "when"),
        threshold=text(table["threshold"], "threshold"),
        databases=_texts(table["databases"], "databases"),
        blind=flag(table["blind"], "blind"),
        components=tuple(
            Looked(
                name=text(row["name"], "name"),
                version=text(row["version"], "version"),
                products=_texts(row["products"], "products"),
                named=flag(row["named"], "named"),
            )
            for row in rows(table["components"], "components")
        ),
        known=tuple(
            Known(
                id=text(row["id"], "id"),
                component=text(row["component"], "component"),
                severity=text(row["severity"], "severity"),
                counts=flag(row["counts"], "counts"),
                products=_texts(row["products"], "products"),
            )
            for row in rows(table["known"], "known")
        ),
    )


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        msg = f"'{what}' is no list: {value!r:.50}"
        raise BadRecordError(msg)
    return tuple(text(item, what) for item in value)
