"""Talking HTTP to one registry that may be slow, broken or hostile.

Retried with growing waits: what can heal (connection faults, silence, 408, 425, 429, 5xx). Everything else is an
answer. Credentials go to the registry's own host alone, and never into a message.
"""

import itertools
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, TypeVar

from core.body import Body
from core.errors import PublishError, causes_of
from core.progress import Progress
from publish.oci.layout import LARGEST_JSON
from publish.registry.answer import Fault, Response, origin, retry_after
from publish.registry.auth import Purpose, RegistryAuth
from publish.registry.outside import ClientOptions
from publish.registry.reference import Repository

if TYPE_CHECKING:
    import requests

HEALING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
AGAIN = "run it again: what has arrived is not sent again"

_T = TypeVar("_T")


class HttpClient:
    """One registry, one repository, one purpose. Connections are closed with the block."""

    def __init__(
        self, repository: Repository, purpose: Purpose, outside: ClientOptions, progress: Progress
    ) -> None:
        import oras.provider  # noqa: PLC0415 - slow: 0.5 s and more

        self.repository = repository
        self.outside = outside
        self.progress = progress
        self.oras = oras.provider.Registry(repository.server, insecure=repository.plain)
        self._session: requests.Session = self.oras.session
        self._session.auth = _as_it_is
        # A proxy of the environment cannot reach what is on this machine.
        self._session.trust_env = not repository.loopback
        self._authority = RegistryAuth(repository, purpose, outside.login, self._ask_for_token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    @property
    def root(self) -> str:
        """The registry's own origin."""
        return f"{self.oras.prefix}://{self.repository.server}"

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Response:
        """Return the answer, whatever it is, once there is one. Raises PublishError when there is none."""
        return self.patiently(lambda _: self.once(method, url, headers=headers, body=body))

    def patiently(self, attempt: Callable[[int], _T]) -> _T:
        """Return what ``attempt`` does, called with 1, 2 ... until it raises no Fault.

        Raises PublishError when patience is at its end.
        """
        patience = self.outside.patience
        for number in itertools.count(1):
            try:
                return attempt(number)
            except Fault as fault:
                reason = f"{self.repository.host} {self._authority.hidden(fault.reason)}"
                if number >= patience.tries:
                    msg = f"{reason} (tried {number} times)."
                    raise PublishError(msg, next=AGAIN) from None
                wait = fault.wait
                if wait is None:
                    longest = min(patience.backoff_cap, patience.backoff * 2 ** (number - 1))
                    wait = longest * (0.5 + self.outside.random() / 2)
                elif wait > patience.retry_after_cap:
                    msg = f"{reason} and asks to come back in {wait:.0f} s."
                    raise PublishError(msg, next=f"wait that long, then {AGAIN}") from None
                self.progress.note(f"{reason}; trying again in {wait:.1f} s")
                self.outside.sleep(wait)
        raise AssertionError

    def once(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        sink: Callable[[bytes], None] | None = None,
        limit: int = LARGEST_JSON,
    ) -> Response:
        """Ask once, logged in if need be, following redirects.

        The body of a 200 goes to ``sink``, if there is one. Raises Fault for what may heal, PublishError for a
        login that is refused and for a body of more than ``limit`` bytes.
        """
        answered = False
        for _ in range(self.outside.patience.redirects + 2):
            ours = origin(url) == origin(self.root)
            sent = {**(headers or {}), **(self._authority.header if ours else {})}
            answer = self._send(method, url, sent, body, sink, limit)
            if answer.status == 401 and ours:
                if answered:
                    raise self._authority.refused()
                self._authority.answer(answer.headers.get("www-authenticate", ""))
                answered = True
            elif answer.status in REDIRECTS and "location" in answer.headers:
                url = answer.location()
                if answer.status == 303:
                    method, body = "GET", None
            else:
                return answer
        msg = f"{self.repository.host} redirects too often."
        raise PublishError(msg, next="ask who runs the registry")

    def hidden(self, text: str) -> str:
        """``text`` fit to be shown."""
        return self._authority.hidden("".join(c if c.isprintable() else " " for c in text))

    def _ask_for_token(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None
    ) -> tuple[int, bytes]:
        answer = self._send(method, url, headers, body, None, LARGEST_JSON)
        return answer.status, answer.content

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        sink: Callable[[bytes], None] | None,
        limit: int,
    ) -> Response:
        import requests  # noqa: PLC0415

        fixed = {"User-Agent": "fromscratch", "Accept-Encoding": "identity"}
        patience = self.outside.patience
        reading = body.open() if body else None
        try:
            response = self._session.request(
                method,
                url,
                headers={**fixed, **headers},
                data=reading,
                timeout=(patience.connect, patience.read),
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, ValueError) as error:
            # Never the error itself: it holds the whole URL, which may hold a signature.
            raise self._broken(error, reading.sent if reading else 0) from None
        finally:
            if reading:
                reading.close()
        with closing(response):
            status = response.status_code
            if status in HEALING:
                wait = retry_after(response.headers, self.outside.now())
                msg = f"answered HTTP {status}"
                raise Fault(msg, wait=wait)
            limit = limit if status == 200 else LARGEST_JSON
            chunks = self._read(response, limit, headless=method == "HEAD")
            if sink and status == 200:
                for chunk in chunks:
                    sink(chunk)
            content = b"".join(chunks)
            return Response(
                status=status,
                headers={name.lower(): value for name, value in response.headers.items()},
                content=content,
                url=url,
            )

    def _read(
        self, response: "requests.Response", limit: int, *, headless: bool
    ) -> Iterator[bytes]:
        """Yield a body as it arrives, to its end: only then is the connection good for another request."""
        import http.client  # noqa: PLC0415

        import urllib3  # noqa: PLC0415

        began, size, patience = self.outside.monotonic(), 0, self.outside.patience
        while True:
            try:
                # read1, not read: a drip of single bytes must come back to us, not fill a buffer first.
                chunk = response.raw.read1(1 << 16, decode_content=False)
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
                msg = f"broke off after {size} bytes of an answer"
                raise Fault(msg) from None
            if not chunk:
                break
            size += len(chunk)
            if size > limit:
                msg = f"{self.repository.host} sends more than {limit} bytes where less was due."
                raise PublishError(msg, next="ask who runs the registry")
            elapsed = self.outside.monotonic() - began
            if elapsed > patience.grace and size < elapsed * patience.min_rate:
                msg = f"is too slow: {size} bytes in {elapsed:.0f} s"
                raise Fault(msg)
            yield chunk
        due = response.headers.get("Content-Length", "")
        if due.isdecimal() and size < int(due) and not headless:
            msg = f"broke off after {size} of {due} bytes of an answer"
            raise Fault(msg)

    def _broken(self, error: Exception, sent: int) -> Exception:
        """Say why there is no answer."""
        import requests  # noqa: PLC0415

        causes = list(causes_of(error))
        host = self.repository.host
        if isinstance(error, requests.exceptions.SSLError):
            root = self.hidden(str(causes[-1]))
            plain = "WRONG_VERSION_NUMBER" in root or "record layer" in root
            next_step = "if it speaks plain http: --insecure" if plain else "mend its certificate"
            return PublishError(f"No TLS with {host}: {root}", next=next_step)
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return PublishError(f"There is no host called {host}.", next="look at its name")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Fault("does not answer")
        if isinstance(error, requests.exceptions.Timeout):
            return Fault("stopped answering", sent=sent)
        if isinstance(error, requests.exceptions.ConnectionError):
            last = causes[-1]
            why = getattr(last, "strerror", None) or type(last).__name__
            return Fault(f"broke the connection off: {why}", sent=sent)
        return PublishError(f"{host} cannot be asked: {type(error).__name__}")


def _as_it_is(request: Any) -> Any:
    """Keep requests from reading ~/.netrc, whose login would win over the right one."""
    return request
