"""What goes to a worker, and what comes back. The bytes themselves go through the store."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from builders.action import LARGEST
from core.errors import StepError
from core.files import SHA256
from core.kinds import EntryKind

TOPIC: Final = "fromscratch"
"""Where workers say what they begin, and the name of what they work with."""

KINDS: Final = (EntryKind.ACTION, EntryKind.VERDICT, EntryKind.SMOKE)


@dataclass(frozen=True, kw_only=True)
class Errand:
    """One thing to do on some worker, as JSON."""

    kind: EntryKind
    key: str
    """What its result is kept under."""
    name: str
    """What people call it."""
    data: str
    """All that the worker is told of it, as JSON."""
    again: bool = False
    """It was done, and what it made is lost: do it, whatever is known of it."""

    @property
    def id(self) -> str:
        """What Dask calls it: the same for everybody who wants the same, so that it is done once for all of them."""
        kind = "step" if self.kind is EntryKind.ACTION else self.kind.value
        return f"{kind}-{self.key}" + ("-again" if self.again else "")

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Errand":
        """Undo `text`. Raises StepError for anything that no client of ours writes."""
        try:
            if len(text) > 2 * LARGEST:
                raise ValueError
            table: dict[str, Any] = json.loads(text)
            table["kind"] = EntryKind(table["kind"])
            errand = cls(**table)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            msg = "What a worker was sent is no errand."
            raise StepError(msg, why=_OTHER) from error
        kinds = [isinstance(table[name], str) for name in ("key", "name", "data")]
        if not all(kinds) or not SHA256.fullmatch(errand.key) or errand.kind not in KINDS:
            msg = "What a worker was sent is no errand that it runs."
            raise StepError(msg, why=_OTHER)
        return errand


_OTHER = "client and worker are of different versions"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How an errand ended. What it made lies in the store, signed: a reply is believed for nothing but this."""

    worker: str
    lane: str
    """The worker, and which of the things that it does at a time."""
    seconds: float
    """On the worker, from beginning to end."""
    ran: bool
    """False when the result was known there."""
    builder: str
    """The line of the public key that it signs with."""
    log: bytes = b""
    """The end of the step's log, compressed by zlib."""
    value: str = ""
    """What is not signed and not kept: how a smoke run failed, as JSON."""
