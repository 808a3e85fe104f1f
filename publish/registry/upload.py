"""One blob to a registry: in one body, or in pieces when something on the way takes no large ones.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs. A try that failed is begun anew:
what a broken upload has left behind is the registry's to tidy up.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from core.body import Body
from core.errors import PublishError
from core.http import Response, number_in
from core.retry import Fault
from publish.oci.layout import Descriptor
from publish.registry.client import RegistryClient

OCTETS = {"Content-Type": "application/octet-stream"}
PIECE = 512 << 10
"""Bytes that are sent at a time to a registry that does not take a file in one body."""
SMALLEST_PIECE = 64 << 10
"""Below this nobody's limit is served."""


def upload(
    client: RegistryClient, descriptor: Descriptor, source: bytes | Path, label: str
) -> Response:
    """Return the registry's last answer about ``descriptor``'s bytes, once they are sent.

    Raises PublishError when it takes them in no way.
    """
    blob = _Upload(client=client, descriptor=descriptor, source=source, label=label)
    piece = whole = descriptor.size

    def attempt(number: int) -> Response:
        nonlocal piece
        while True:
            client.progress.started(label, whole)
            try:
                response = blob.send_whole() if piece >= whole else blob.send_pieces(piece)
            except Fault as fault:
                # A proxy that cuts long bodies often just hangs up; once can be chance.
                if fault.sent and number > 1 and piece >= whole > PIECE:
                    piece = PIECE
                raise
            if response.status != 413:
                return response
            piece = _smaller(piece, client, label)

    try:
        return client.with_retries(attempt)
    finally:
        client.progress.finished()


def _smaller(piece: int, client: RegistryClient, label: str) -> int:
    smaller = min(piece // 2, PIECE)
    if smaller < SMALLEST_PIECE:
        msg = f"{client.name} takes no body of {piece} bytes ({label})."
        raise PublishError(
            msg,
            why="a proxy before it limits the size of requests",
            next="raise the limit (nginx: client_max_body_size), or push past the proxy",
        )
    client.progress.note(f"{client.name} takes no such body; sending {smaller} at a time")
    return smaller


@dataclass(frozen=True, kw_only=True)
class _Upload:
    client: RegistryClient
    descriptor: Descriptor
    source: bytes | Path
    label: str

    def send_whole(self) -> Response:
        begun = self._begin()
        if begun.status != 202:
            return begun
        return self._finish(begun, self._body(0, self.descriptor.size))

    def send_pieces(self, piece: int) -> Response:
        response = self._begin()
        if response.status != 202:
            return response
        piece = max(piece, number_in(response.headers.get("OCI-Chunk-Min-Length", "")) or 0)
        for offset in range(0, self.descriptor.size, piece):
            size = min(piece, self.descriptor.size - offset)
            last = offset + size - 1
            headers = {**OCTETS, "Content-Range": f"{offset}-{last}"}
            response = self.client.open(
                "PATCH", response.location(), headers=headers, body=self._body(offset, size)
            ).read()
            self._check_known(response)
            if response.status not in {201, 202, 204}:
                return response
            if response.headers.get("Range", f"0-{last}").removeprefix("bytes=") != f"0-{last}":
                msg = f"lost count after {last + 1} bytes"
                raise Fault(msg)
        return self._finish(response, None)

    def _begin(self) -> Response:
        return self.client.open("POST", self.client.url("blobs/uploads/")).read()

    def _finish(self, before: Response, body: Body | None) -> Response:
        # Added to whatever query the registry wrote, as it wrote it: it may be signed.
        url = before.location()
        join = "&" if urlsplit(url).query else "?"
        url = f"{url}{join}digest={quote(self.descriptor.digest, safe=':')}"
        response = self.client.open("PUT", url, headers=OCTETS, body=body).read()
        self._check_known(response)
        if response.status == 400 and b"DIGEST_INVALID" in response.content:
            msg = f"received other bytes than were sent ({self.label})"
            raise Fault(msg)
        return response

    def _check_known(self, response: Response) -> None:
        """An upload that the registry knows nothing of any more, or disagrees about, is begun anew."""
        if response.status in {404, 416} or b"BLOB_UPLOAD_UNKNOWN" in response.content:
            msg = f"lost an upload half-way: HTTP {response.status}"
            raise Fault(msg)

    def _body(self, offset: int, size: int) -> Body | None:
        if not size:
            return None
        watch = self.client.progress.advanced
        return Body(source=self.source, size=size, offset=offset, watch=watch)
