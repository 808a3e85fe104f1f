"""A mirror over HTTP, and what it means when one is of no use."""

from enum import StrEnum

from core.http import Headers, HttpClient, Response
from core.retry import HttpError, InsecureRedirect


class FailureKind(StrEnum):
    """Why a mirror is of no use."""

    GONE = "gone"
    """It has not got the file, cannot be reached, or is too slow: another release may do."""
    WRONG = "wrong bytes"
    """It answered with something else than what was pinned: somebody should look at that."""


class MirrorError(Exception):
    """This mirror will not help: ask the next one. ``reason`` is for people, without any secret."""

    def __init__(self, reason: str, *, kind: FailureKind = FailureKind.GONE) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


class MirrorClient(HttpClient):
    """Every failure is a MirrorError."""

    def failure(self, error: HttpError) -> MirrorError:
        insecure = isinstance(error, InsecureRedirect)
        kind = FailureKind.WRONG if insecure else FailureKind.GONE
        return MirrorError(self.redacted(str(error)), kind=kind)

    def get(self, url: str, headers: Headers | None = None) -> Response:
        """Begin to fetch ``url``: the answer's body is as it was stored. Raises Fault and MirrorError."""
        response = self.open("GET", url, headers=headers)
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            response.__exit__()
            msg = self.redacted(f"sends Content-Encoding '{encoding}' though it was told not to")
            raise MirrorError(msg, kind=FailureKind.WRONG)
        return response
