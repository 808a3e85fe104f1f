"""One blob to a registry: in one body, or in pieces when something on the way takes no large ones.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs. A try that failed is begun anew:
what a broken upload has left behind is the registry's to tidy up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from core.body import Body
from core.errors import PublishError
from publish.oci.layout import Descriptor
from publish.registry.answer import Fault, Response
from publish.registry.conversation import HttpClient

OCTETS = {"Content-Type": "application/octet-stream"}


def upload(
    talk: HttpClient, url: str, descriptor: Descriptor, source: bytes | Path, label: str
) -> Response:
    """Return the registry's last word on ``descriptor``'s bytes, sent to the upload address ``url``.

    Raises PublishError when patience is at its end, or when no piece is small enough.
    """
    one = _Upload(talk=talk, url=url, descriptor=descriptor, source=source, label=label)
    whole = descriptor.size
    piece = whole

    def attempt(number: int) -> Response:
        nonlocal piece
        while True:
            talk.progress.started(label, descriptor.size)
            try:
                answer = one.whole() if piece >= whole else one.pieces(piece)
            except Fault as fault:
                # A proxy that cuts long bodies often just hangs up; once can be chance.
                if fault.sent and number > 1 and piece >= whole > talk.outside.patience.piece:
                    piece = talk.outside.patience.piece
                raise
            if answer.status != 413:
                return answer
            piece = _smaller(piece, talk, label)

    try:
        return talk.patiently(attempt)
    finally:
        talk.progress.finished()


def _smaller(piece: int, talk: HttpClient, label: str) -> int:
    patience = talk.outside.patience
    smaller = min(piece // 2, patience.piece)
    if smaller < patience.smallest_piece:
        msg = f"{talk.repository.host} takes no body of {piece} bytes ({label})."
        raise PublishError(
            msg,
            why="a proxy before it limits the size of requests",
            next="raise the limit (nginx: client_max_body_size), or push past the proxy",
        )
    talk.progress.note(f"{talk.repository.host} takes no such body; sending {smaller} at a time")
    return smaller


@dataclass(frozen=True, kw_only=True)
class _Upload:
    talk: HttpClient
    url: str
    descriptor: Descriptor
    source: bytes | Path
    label: str

    def whole(self) -> Response:
        begun = self.talk.once("POST", self.url)
        if begun.status != 202:
            return begun
        place = _with_digest(begun.location(), self.descriptor.digest)
        return self._last(place, self._body(0, self.descriptor.size))

    def pieces(self, piece: int) -> Response:
        begun = answer = self.talk.once("POST", self.url)
        if begun.status != 202:
            return begun
        least = begun.headers.get("oci-chunk-min-length", "")
        if least.isdecimal() and int(least) > piece:
            piece = int(least)
        for offset in range(0, self.descriptor.size, piece):
            size = min(piece, self.descriptor.size - offset)
            last = offset + size - 1
            headers = {**OCTETS, "Content-Range": f"{offset}-{last}"}
            place = answer.location()
            answer = self.talk.once("PATCH", place, headers=headers, body=self._body(offset, size))
            self._lost(answer)
            if answer.status not in {201, 202, 204}:
                return answer
            if answer.headers.get("range", f"0-{last}").removeprefix("bytes=") != f"0-{last}":
                msg = f"lost count after {last + 1} bytes"
                raise Fault(msg)
        return self._last(_with_digest(answer.location(), self.descriptor.digest), None)

    def _last(self, place: str, body: Body | None) -> Response:
        answer = self.talk.once("PUT", place, headers=OCTETS, body=body)
        self._lost(answer)
        if answer.status == 400 and b"DIGEST_INVALID" in answer.content:
            msg = f"received other bytes than were sent ({self.label})"
            raise Fault(msg)
        return answer

    def _lost(self, answer: Response) -> None:
        """An upload that the registry knows nothing of any more, or disagrees about, is begun anew."""
        if answer.status in {404, 416} or b"BLOB_UPLOAD_UNKNOWN" in answer.content:
            msg = f"lost an upload half-way: HTTP {answer.status}"
            raise Fault(msg)

    def _body(self, offset: int, size: int) -> Body | None:
        if not size:
            return None
        return Body(source=self.source, size=size, offset=offset, watch=self._watch())

    def _watch(self) -> Callable[[int], None]:
        outside, progress = self.talk.outside, self.talk.progress
        began, sent = outside.monotonic(), 0

        def watch(size: int) -> None:
            nonlocal sent
            sent += size
            progress.advanced(size)
            elapsed = outside.monotonic() - began
            if elapsed > outside.patience.grace and sent < elapsed * outside.patience.min_rate:
                msg = f"takes bytes too slowly: {sent} in {elapsed:.0f} s"
                raise Fault(msg)

        return watch


def _with_digest(url: str, digest: str) -> str:
    """Add to whatever query the registry wrote, as it wrote it: it may be signed."""
    return f"{url}{'&' if urlsplit(url).query else '?'}digest={quote(digest, safe=':')}"
