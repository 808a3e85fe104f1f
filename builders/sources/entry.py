"""A result's file: what is signed, and what is read out of it with suspicion."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from core.kinds import EntryKind

VERSION = 2

LARGEST = 4 << 20
"""Bytes: a verdict with a thousand findings has a tenth."""


class Result(NamedTuple):
    """What a file holds; whether it is to be believed is another question."""

    value: dict[str, Any]
    signatures: tuple[str, ...]


def seconds_of(value: Mapping[str, Any], default: float) -> float:
    """Return ``value["seconds"]`` when it is a time, else ``default``: the cache may hold anything."""
    seconds = value.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return default
    return float(seconds) if 0 <= seconds < 1e9 else default


TOO_DEEP = "it is nested too deeply"


def canonical(value: object) -> bytes:
    """The one spelling of a value. Raises ValueError when it is nested too deeply: 3.14 reads more than it writes."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error


def signed_part(kind: EntryKind, key: str, value: Mapping[str, object]) -> bytes:
    """What a signature is over: a result cannot be moved to another key, or to another kind."""
    return canonical({"key": key, "kind": kind.value, "value": dict(value)})


def encode(
    kind: EntryKind, key: str, value: Mapping[str, object], signatures: Sequence[str]
) -> bytes:
    """Return the file's bytes."""
    whole = {
        "version": VERSION,
        "kind": kind.value,
        "key": key,
        "value": dict(value),
        "signatures": list(signatures),
    }
    return canonical(whole)


def decode(data: bytes, kind: EntryKind, key: str) -> Result:
    """Undo `encode`. One of an older version has no signatures.

    Raises ValueError when it is damaged, or the entry of another key or kind.
    """
    try:
        entry = json.loads(data)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except ValueError as error:
        msg = "it is no JSON"
        raise ValueError(msg) from error
    if not isinstance(entry, dict) or entry.get("key") != key:
        msg = "it is not the entry of this key"
        raise ValueError(msg)
    if entry.get("version") == 1:
        return Result({}, ())
    signatures, value = entry.get("signatures"), entry.get("value")
    if entry.get("version") != VERSION or entry.get("kind") != kind.value:
        msg = "it is the entry of another kind or version"
        raise ValueError(msg)
    if not isinstance(value, dict) or not isinstance(signatures, list):
        msg = "it is no result with signatures"
        raise ValueError(msg)
    return Result(value, tuple(text for text in signatures if isinstance(text, str)))
