"""One source from one HTTP server that may be slow, broken or hostile.

Retried with growing waits: what can heal (connection faults, silence, 408, 425, 429, 5xx, a body
that breaks off, which is resumed). Everything else is left to the next mirror at once.
"""

import contextlib
import hashlib
import io
import itertools
import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from errno import EHOSTUNREACH, ENETUNREACH
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from builders.sources.client import Client, Refused, Trouble
from core.errors import causes_of
from core.files import CHUNK, disk_errors
from core.progress import Progress
from recipes.model import Source

if TYPE_CHECKING:
    import requests

HEALING = frozenset({408, 425, 429})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PAGE = re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|script)\b")
ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".whl")
PORTAL = "answers with a web page instead of the file (captive portal, login or error page?)"


class Fault(Exception):
    """An attempt failed in a way that the next may not; ``wait`` in seconds, if the server said."""

    def __init__(self, reason: str, *, wait: float | None = None, tries: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        self.tries = tries


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file that grows, and from where: only the same URL with the same validator may go on."""

    path: Path

    @property
    def data(self) -> Path:
        """The bytes so far."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def _origin(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        """How many bytes there are so far."""
        with disk_errors(self.data):
            return self.data.stat().st_size if self.data.exists() else 0

    def came_from(self, url: str) -> bool:
        """Tell whether the bytes so far are from ``url``."""
        return self._origin_data().get("url") == _fingerprint(url)

    def validator(self, url: str) -> str | None:
        """Return the ETag or date that the bytes so far came with from ``url``, if they did."""
        validator = self._origin_data().get("validator")
        return validator if isinstance(validator, str) and self.came_from(url) else None

    def begin(self, url: str, validator: str | None) -> None:
        """Start from zero. The order keeps a crash from pairing old bytes with a new origin."""
        self.discard()
        with disk_errors(self.data):
            self.data.touch()
            origin = {"url": _fingerprint(url), "validator": validator}
            self._origin.write_text(json.dumps(origin), encoding="utf-8")

    def _origin_data(self) -> dict[str, object]:
        try:
            origin = json.loads(self._origin.read_bytes())
        except (OSError, ValueError):
            return {}
        return origin if isinstance(origin, dict) else {}

    def discard(self) -> None:
        """Forget the bytes so far."""
        with disk_errors(self.data):
            self._origin.unlink(missing_ok=True)
            self.data.unlink(missing_ok=True)


def download(
    url: str, shown: str, source: Source, part: Part, *, client: Client, progress: Progress
) -> None:
    """Make ``part`` hold ``source.size`` bytes from ``url``; their hash is for the caller to check.

    Raises Refused when this mirror is of no use, StorageError when the disk is not. An interrupt
    leaves the bytes so far, to be resumed by the next run.
    """
    with client.session() as session:
        retry(
            lambda: _attempt(session, url, shown, source, part, client=client, progress=progress),
            shown,
            client=client,
            progress=progress,
        )


def retry(attempt: Callable[[], None], shown: str, *, client: Client, progress: Progress) -> None:
    """Call ``attempt`` until it raises no Fault, with growing waits. Raises Refused in the end."""
    limits = client.limits
    for number in itertools.count(1):
        try:
            attempt()
            return
        except Fault as fault:
            if number >= min(limits.tries, fault.tries or limits.tries):
                msg = f"{fault.reason} (tried {number} times)"
                raise Refused(msg) from fault
            wait = fault.wait
            if wait is None:
                longest = min(limits.backoff_cap, limits.backoff * 2 ** (number - 1))
                wait = client.random() * longest
            elif wait > limits.retry_after_cap:
                msg = f"{fault.reason}, and asks to come back in {wait:.0f} s"
                raise Refused(msg) from fault
            progress.note(f"{shown}: {fault.reason}; trying again in {wait:.1f} s")
            client.sleep(wait)


def _attempt(
    session: "requests.Session",
    url: str,
    shown: str,
    source: Source,
    part: Part,
    *,
    client: Client,
    progress: Progress,
) -> None:
    offset = part.size
    headers = {"Accept-Encoding": "identity", "User-Agent": "fromscratch"}
    validator = part.validator(url)
    if validator is None or not 0 < offset < source.size:
        offset = 0
    else:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    with contextlib.closing(open_url(session, url, headers, client)) as response:
        offset = _agreed_offset(response, offset, source, part, client.now())
        _refuse_headers(response, source.size - offset, source)
        if offset == 0:
            part.begin(url, _validator(response.headers))
        progress.started(source.filename, source.size, shown)
        progress.advanced(offset)
        _receive(response, offset, source, part, client=client, progress=progress)


def open_url(
    session: "requests.Session", url: str, headers: Mapping[str, str], client: Client
) -> "requests.Response":
    """Ask for ``url``, following redirects; the response's body has not been read."""
    import requests  # noqa: PLC0415

    limits = client.limits
    for _ in range(limits.redirects + 1):
        # Not `session.get`: it reads the whole body of a redirect, however long that is.
        try:
            request = session.prepare_request(requests.Request("GET", url, headers=dict(headers)))
            settings = session.merge_environment_settings(url, {}, True, session.verify, None)
            response = session.get_adapter(url).send(
                request,
                stream=True,
                timeout=(limits.connect, limits.read),
                verify=settings["verify"] or False,
                cert=settings["cert"],
                proxies=settings["proxies"],
            )
        except (requests.RequestException, ValueError) as error:
            raise _connection_fault(error, limits.connect_tries) from error
        if response.status_code not in REDIRECTS:
            return response
        response.close()
        url = _redirected(url, response.headers.get("Location", ""))
    msg = f"redirects more than {limits.redirects} times"
    raise Refused(msg)


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    scheme = urlsplit(target).scheme
    if not location or scheme not in {"http", "https"}:
        msg = "redirects to nowhere"
        raise Refused(msg)
    if urlsplit(url).scheme == "https" and scheme != "https":
        msg = "redirects from https to plain http"
        raise Refused(msg, trouble=Trouble.WRONG)
    return target


def _connection_fault(error: Exception, connect_tries: int) -> Refused | Fault:
    """Say why there is no response. Never quotes the outer error: it holds the whole URL."""
    import requests  # noqa: PLC0415

    causes = list(causes_of(error))
    root = causes[-1]
    if isinstance(error, requests.exceptions.SSLError):
        return Refused(f"TLS failed: {root}")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Refused("its host name cannot be resolved")
    if isinstance(error, requests.exceptions.ProxyError):
        return Refused(f"the proxy does not let us through: {root}")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Refused("connection refused")
    if any(getattr(cause, "errno", None) in {ENETUNREACH, EHOSTUNREACH} for cause in causes):
        return Refused("no route to it")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Fault("does not answer", tries=connect_tries)
    if isinstance(error, requests.exceptions.Timeout):
        return Fault("stopped answering")
    if isinstance(error, requests.exceptions.ConnectionError):
        return Fault(f"connection failed: {root}")
    return Refused(f"cannot be asked: {type(error).__name__}")


def _agreed_offset(
    response: "requests.Response", asked: int, source: Source, part: Part, now: float
) -> int:
    """Return where the body begins; raises for a status that brings no body of ours."""
    status = response.status_code
    if status == HTTPStatus.OK:
        return 0
    if status == HTTPStatus.PARTIAL_CONTENT and asked:
        expected = f"bytes {asked}-{source.size - 1}/{source.size}"
        if response.headers.get("Content-Range", "").strip().lower() == expected:
            return asked
    if asked and status in {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        part.discard()
        msg = "does not resume where it was asked to; starting from zero"
        raise Fault(msg, wait=0.0)
    raise refusal(response, now)


def refusal(response: "requests.Response", now: float) -> Fault | Refused:
    """Return what to raise for a status that brings no body of ours."""
    status = response.status_code
    msg = f"HTTP {status} {response.reason or ''}".rstrip()
    if status in HEALING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Fault(msg, wait=_retry_after(response.headers, now))
    return Refused(msg)


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a server asks us to wait: a number or a date, RFC 9110, 10.2.3."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rarely needed, never when warm

    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - now)


def _refuse_headers(response: "requests.Response", expected: int, source: Source) -> None:
    """Raise Refused when the headers alone show that the body is not the file."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        msg = f"sends Content-Encoding '{encoding}' though it was told not to"
        raise Refused(msg, trouble=Trouble.WRONG)
    declared = response.headers.get("Content-Length", str(expected)).strip()
    if declared != str(expected):
        media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if _is_archive(source) and (media == "text/html" or PAGE.match(read_some(response))):
            raise Refused(PORTAL, trouble=Trouble.WRONG)
        msg = f"declares {declared} bytes where {expected} were pinned"
        raise Refused(msg, trouble=Trouble.WRONG)


def _receive(
    response: "requests.Response",
    offset: int,
    source: Source,
    part: Part,
    *,
    client: Client,
    progress: Progress,
) -> None:
    began = client.monotonic()
    received = 0
    with disk_errors(part.data):
        file = part.data.open("ab", buffering=0)
    with file:
        while chunk := read_some(response, full=offset + received == source.size):
            if offset + received == 0 and _is_archive(source) and PAGE.match(chunk):
                part.discard()
                raise Refused(PORTAL, trouble=Trouble.WRONG)
            received += len(chunk)
            if offset + received > source.size:
                part.discard()
                msg = f"sends more than the {source.size} bytes that were pinned"
                raise Refused(msg, trouble=Trouble.WRONG)
            with disk_errors(part.data):
                _write_all(file, chunk)
            progress.advanced(len(chunk))
            elapsed = client.monotonic() - began
            if elapsed > client.limits.grace and received < elapsed * client.limits.min_rate:
                msg = f"is too slow: {received} bytes in {elapsed:.0f} s"
                raise Refused(msg)
    if offset + received < source.size:
        msg = f"the body ended after {offset + received} of {source.size} bytes"
        raise Fault(msg)


def read_some(response: "requests.Response", *, full: bool = False) -> bytes:
    """Return the next bytes as they arrive; empty at the end.

    With ``full``, all bytes are here already: how the connection ends does not matter then.
    """
    import http.client  # noqa: PLC0415

    import urllib3  # noqa: PLC0415

    try:
        # read1, not read: a drip of single bytes must come back to us, not fill a buffer first.
        return response.raw.read1(CHUNK, decode_content=False) or b""
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        if full:
            return b""
        *_, root = causes_of(error)
        msg = f"the body broke off: {root}"
        raise Fault(msg) from error


def _write_all(file: io.RawIOBase, chunk: bytes) -> None:
    """An unbuffered write may take a part only, on a disk that is about to be full."""
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) or 0 :]


def _validator(headers: Mapping[str, str]) -> str | None:
    """Return what If-Range may hold: https://www.rfc-editor.org/rfc/rfc9110#name-if-range."""
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified") or None


def _is_archive(source: Source) -> bool:
    return source.filename.endswith(ARCHIVES)


def _fingerprint(url: str) -> str:
    """Name a URL without storing the password it may hold."""
    return hashlib.sha256(url.encode()).hexdigest()
