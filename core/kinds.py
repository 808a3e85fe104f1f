"""What a cache keeps, each kind apart: no result of one can be taken for a result of another."""

from enum import StrEnum


class EntryKind(StrEnum):
    """What an entry is. All but a blob are results: JSON, signed together with its kind and its key."""

    BLOB = "blob"
    ACTION = "action"
    """What a step made."""
    VERDICT = "verdict"
    """Whether a file is what its recipe says."""
    SMOKE = "smoke"
    """How a file ran."""
    TOOK = "took"
    """How long a step took."""
    REBUILT = "rebuilt"
    """How a file was built again, elsewhere, with the same bytes."""
    ORIGIN = "origin"
    """Where a source came from."""
