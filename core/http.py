"""One HTTP client, for servers that may be slow, broken or hostile.

Retried with growing waits: what can heal (connection faults, silence, 408, 425, 429, most of 5xx, a body that breaks
off). Everything else is an answer, or fails at once. No header can raise anything but Fault or HttpError.
"""

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from errno import EHOSTUNREACH, ENETUNREACH
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from core.body import Body, Content
from core.errors import FromscratchError, causes_of
from core.exchange import Exchange
from core.files import CHUNK
from core.progress import Progress
from core.retry import (
    ClientOptions,
    Fault,
    HttpError,
    InsecureRedirect,
    RetryPolicy,
    TlsError,
    UnknownHost,
    retry_after,
)

if TYPE_CHECKING:
    import ssl

    import requests

REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEALING = frozenset({408, 425, 429})
LASTING = frozenset({501, 505, 506, 507, 508, 510, 511})
"""The server errors that say something lasting of the request or the server."""
LARGEST_TEXT = 4 << 20
"""Bytes of an answer that is kept in memory, unless said otherwise."""

Headers = Mapping[str, str]
_T = TypeVar("_T")


def number_in(value: str) -> int | None:
    """Return what a header says in plain digits; None for all else, and for more than any size has."""
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value.strip()) else None


def redirected(url: str, location: str) -> str:
    """Return where ``location`` leads from ``url``. Raises HttpError when that is nowhere safe."""
    before = urlsplit(url)
    try:
        target = urlsplit(urljoin(url, location))
        sound = target.scheme in {"http", "https"} and bool(target.hostname) and target.port != 0
    except ValueError:
        target, sound = before, False
    if not location or not sound:
        msg = "invalid redirect"
        raise HttpError(msg)
    if target.scheme == "http" and before.scheme == "https":
        if target.netloc.removesuffix(":80") != before.netloc.removesuffix(":443"):
            msg = "redirects from https to plain http"
            raise InsecureRedirect(msg)
        # The server itself, which does not know that it stands behind TLS.
        target = target._replace(scheme="https", netloc=before.netloc)
    return urlunsplit(target)


def explain(error: Exception, policy: RetryPolicy, sent: int = 0) -> HttpError | Fault:
    """Say why there is no answer. Never quotes the outer error: it holds the whole URL."""
    import requests  # noqa: PLC0415

    causes = list(causes_of(error))
    root = getattr(causes[-1], "strerror", None) or causes[-1]
    if isinstance(error, requests.exceptions.SSLError):
        return TlsError(f"TLS failed: {root}")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return UnknownHost("its host name cannot be resolved")
    if isinstance(error, requests.exceptions.ProxyError):
        return HttpError(f"the proxy does not let us through: {root}")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Fault("connection refused", tries=policy.futile_tries)
    if any(getattr(cause, "errno", None) in {ENETUNREACH, EHOSTUNREACH} for cause in causes):
        return Fault("no route to it", tries=policy.futile_tries)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Fault("does not answer", tries=policy.connect_tries)
    if isinstance(error, requests.exceptions.Timeout):
        return Fault("stopped answering", sent=sent)
    if isinstance(error, requests.exceptions.ConnectionError):
        return Fault(f"connection failed: {root}", sent=sent)
    return HttpError(f"cannot be asked: {type(error).__name__}")


class Response:
    """An answer, the body of which has not been read yet. To be closed."""

    def __init__(self, response: "requests.Response", url: str, exchange: Exchange) -> None:
        self.status = response.status_code
        self.headers: Headers = response.headers
        self.url = url
        self.content = b""
        """What `read` has read."""
        self._response = response
        self._exchange = exchange

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def __str__(self) -> str:
        phrases = {status.value: status.phrase for status in HTTPStatus}
        return f"HTTP {self.status} {phrases.get(self.status, '')}".rstrip()

    @property
    def length(self) -> int | None:
        """Bytes of the body, if the server says."""
        return number_in(self.headers.get("Content-Length", ""))

    def location(self) -> str:
        """Where to go on. Raises HttpError."""
        return redirected(self.url, self.headers.get("Location", ""))

    def read(self, limit: int = LARGEST_TEXT) -> Self:
        """Read the whole body into `content`, and close. Raises Fault, and HttpError for more than ``limit`` bytes."""
        with self:
            self.content = b"".join(self.chunks(limit=limit))
        return self

    def chunks(self, *, expected: int | None = None, limit: int | None = None) -> Iterator[bytes]:
        """Yield the body as it arrives, to its end: only then is the connection good for another request.

        Once the ``expected`` bytes are here, how it ends does not matter. Raises as `read`.
        """
        if expected is None and self._response.request.method != "HEAD":
            expected = self.length
        received = 0
        while chunk := self._read(full=received == expected):
            received += len(chunk)
            if limit is not None and received > limit:
                msg = f"sends more than {limit} bytes"
                raise HttpError(msg)
            yield chunk
            self._exchange.used(len(chunk))
        if expected is not None and received < expected:
            msg = f"the body ended after {received} of {expected} bytes"
            raise Fault(msg)

    def _read(self, *, full: bool) -> bytes:
        import http.client  # noqa: PLC0415

        import urllib3  # noqa: PLC0415

        try:
            # read1, not read: a drip of single bytes must come back to us, not fill a buffer first.
            return self._response.raw.read1(CHUNK, decode_content=False) or b""
        except Fault:
            if full:
                return b""
            raise
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            if full:
                return b""
            *_, root = causes_of(error)
            msg = f"the body broke off: {root}"
            raise Fault(msg) from None


class HttpClient:
    """Talks to one server, called ``name`` in messages. Connections are closed with the block.

    Who derives from it says what an HttpError is to its callers, and may log in.
    """

    def __init__(
        self, options: ClientOptions, *, name: str, progress: Progress | None = None
    ) -> None:
        self.options = options
        self.name = name
        self.progress = progress or Progress()
        self._exchange = Exchange(options)
        self._session = options.session()
        self._watch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def _watch(self) -> None:
        """Let no connection wait for ever, nor on after the run's end. A session's own adapters are left alone."""
        from requests.adapters import HTTPAdapter  # noqa: PLC0415

        from core.connection import WatchedAdapter  # noqa: PLC0415 - slow, as requests is

        watched = WatchedAdapter(self._exchange, self.prepare_tls)
        for scheme, adapter in list(self._session.adapters.items()):
            if type(adapter) is HTTPAdapter:
                self._session.mount(scheme, watched)

    def prepare_tls(self, context: "ssl.SSLContext", host: str, port: int) -> None:
        """Say whom to believe and who we are in a connection to ``host``: no more than the session does by itself."""

    def failure(self, error: HttpError) -> Exception:
        """Return the error that callers get instead of ``error``."""
        return error

    def redacted(self, text: str) -> str:
        """``text`` fit to be shown: what a server says can hold anything."""
        return "".join(char if char.isprintable() else " " for char in text)

    def credentials(self, url: str) -> dict[str, str]:
        """Return the headers that log in at ``url``."""
        return {}

    def accepts_challenge(self, response: Response, *, again: bool) -> bool:
        """Log in as a 401 asks; return whether the request is worth repeating."""
        return False

    def request(
        self, method: str, url: str, *, headers: Headers | None = None, body: Content | None = None
    ) -> Response:
        """Return the answer with its body, whatever it is, once there is one. Raises `failure` when there is none."""
        return self.with_retries(
            lambda _: self.open(method, url, headers=headers, body=body).read()
        )

    def with_retries(self, attempt: Callable[[int], _T]) -> _T:
        """Return what ``attempt`` does, called with 1, 2 … until it raises no Fault. Raises `failure`."""
        try:
            number = 0
            while True:
                number += 1
                try:
                    return attempt(number)
                except Fault as fault:
                    wait = fault.delay(number, self.options)
                    reason = self.redacted(str(fault))
                    self.progress.note(f"{self.name}: {reason}; trying again in {wait:.1f} s")
                    self.options.sleep(wait)
        except HttpError as error:
            # Not `from error`: its causes hold the whole URL, which may hold a signature.
            raise self.failure(error) from None

    def open(
        self, method: str, url: str, *, headers: Headers | None = None, body: Content | None = None
    ) -> Response:
        """Ask once, logged in if need be, following redirects; the body is left to be read."""
        redirects, challenged = 0, False
        while True:
            response = self.send(method, url, {**(headers or {}), **self.credentials(url)}, body)
            if response.status in REDIRECTS:
                with response:
                    url = response.location()
                redirects += 1
                if redirects > self.options.policy.redirects:
                    msg = f"redirects more than {self.options.policy.redirects} times"
                    raise HttpError(msg)
                if response.status == HTTPStatus.SEE_OTHER:
                    method, body = "GET", None
            elif response.status == HTTPStatus.UNAUTHORIZED and self.accepts_challenge(
                response, again=challenged
            ):
                challenged = True
            else:
                return response

    def send(
        self, method: str, url: str, headers: Headers, body: Content | None = None
    ) -> Response:
        """Send one request as it is. Raises Fault for a status that may heal."""
        import requests  # noqa: PLC0415

        policy, session = self.options.policy, self._session
        fixed = {"User-Agent": "fromscratch", "Accept-Encoding": "identity"}
        try:
            # Not `session.request`: it reads the whole body of a redirect, however long that is, and keeps cookies.
            request = session.prepare_request(
                requests.Request(method, url, headers={**fixed, **headers}, data=body)
            )
            settings: Any = session.merge_environment_settings(url, {}, True, session.verify, None)
            timeout = (policy.connect, policy.read)
            self._exchange.begin()
            answer = session.get_adapter(url).send(request, timeout=timeout, **settings)
        except (Fault, FromscratchError):
            raise
        except Exception as error:
            # No list would hold: what the libraries make of a header or a URL raises whatever comes, and not by their
            # contract. `Content-Type: a/b; charset` was an AttributeError, half an address a ValueError; who listed
            # those would meet the next one as a crash. What is ours, and an interrupt, passes.
            raise explain(error, policy, body.sent if isinstance(body, Body) else 0) from None
        status = answer.status_code
        if status in HEALING or (status >= 500 and status not in LASTING):
            answer.close()
            msg = f"HTTP {status}"
            wait = retry_after(answer.headers, self.options.now())
            raise Fault(msg, wait=wait, status=status)
        return Response(answer, url, self._exchange)
