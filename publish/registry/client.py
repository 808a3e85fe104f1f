"""The HTTP client of one registry: logs in, and says what is wrong as an error of publishing.

Credentials go to the registry's own host alone, and never into a message.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from core.body import Content
from core.errors import PublishError
from core.http import HttpClient, Response, redirected
from core.progress import Progress
from core.retry import (
    ClientOptions,
    Fault,
    HttpError,
    RetriesExhausted,
    RetryPolicy,
    TlsError,
    UnknownHost,
)
from publish.registry.auth import Purpose, RegistryAuth
from publish.registry.credentials import Login, find_login
from publish.registry.reference import Repository
from publish.registry.tls import Certificates, speaks_tls

POLICY = RetryPolicy(tries=5, connect_tries=5, futile_tries=5, read=60.0)
"""A registry has no stand-in, and hashes what it got before it answers."""


@dataclass(frozen=True, kw_only=True)
class RegistryOptions(ClientOptions):
    """What talking to a registry needs from outside."""

    policy: RetryPolicy = POLICY
    login: Callable[[str], Login | None] = find_login
    ca_file: str = ""
    """A file of authorities to believe besides all others."""
    speaks_tls: Callable[[str, int], bool] = speaks_tls
    """Asks a server on this machine."""


DEFAULTS = RegistryOptions()
DISTRUSTED = "if an authority of your own signed its certificate: --ca-file FILE"


class BrokenAnswerError(PublishError):
    """The registry answers, but only that something inside it is wrong: of what was asked for, it may be all of it."""


class RegistryClient(HttpClient):
    """One registry, one repository, one purpose."""

    def __init__(
        self,
        repository: Repository,
        purpose: Purpose,
        options: RegistryOptions,
        progress: Progress | None,
    ) -> None:
        super().__init__(options, name=repository.host, progress=progress)
        self.repository = repository
        self.root = f"{'http' if repository.plain else 'https'}://{repository.server}"
        self._session.auth = _unchanged
        # A proxy of the environment cannot reach what is on this machine.
        self._session.trust_env = not repository.loopback
        self._certificates = Certificates.find(repository.host, options.ca_file)
        if self._session.verify is True:
            self._session.verify = self._certificates.bundle
        self._speaks_tls = options.speaks_tls
        # On this machine either is usual: plain http is tried, which gives nothing away, and TLS where that fails.
        self._settled = not repository.loopback or repository.insecure
        self._auth = RegistryAuth(repository, purpose, options.login, self._fetch_token)

    def url(self, path: str) -> str:
        """Return where the API has ``path`` of the repository."""
        return f"{self.root}/v2/{self.repository.path}/{path}"

    def prepare_tls(self, context: ssl.SSLContext, host: str, port: int) -> None:
        ours = _origin(self.root)
        self._certificates.prepare(context, ours=("https", host, port) == ours)

    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Content | None = None,
    ) -> Response:
        try:
            response = super().open(method, self._moved(url), headers=headers, body=body)
        except Fault:
            if self._settled or not self._turned_to_tls():
                raise
        else:
            if self._settled or response.status != HTTPStatus.BAD_REQUEST:
                self._settled = True
                return response
            if not self._turned_to_tls():
                return response
            response.__exit__()
        return super().open(method, self._moved(url), headers=headers, body=body)

    def _turned_to_tls(self) -> bool:
        """Whether it is TLS that the server on this machine wants; from now on it gets it."""
        parts = urlsplit(self.root)
        if not self._speaks_tls(parts.hostname or "", _origin(self.root)[2]):
            return False
        self._settled = True
        self.root = f"https://{parts.netloc}"
        return True

    def _moved(self, url: str) -> str:
        """A URL that was made before we knew."""
        plain = f"http{self.root.removeprefix('https')}/"
        moved = self.root.startswith("https:") and url.startswith(plain)
        return f"{self.root}/{url.removeprefix(plain)}" if moved else url

    def linked(self, response: Response, link: str) -> str:
        """Return where a ``Link`` header leads. Raises PublishError when that is nowhere safe."""
        try:
            return redirected(response.url, link.partition("<")[2].partition(">")[0])
        except HttpError as error:
            raise self.failure(error) from None

    def failure(self, error: HttpError) -> PublishError:
        reason = self.redacted(str(error))
        match error:
            case RetriesExhausted():
                hint = "run it again: what has arrived is not sent again"
            case TlsError():
                plain = "WRONG_VERSION_NUMBER" in reason or "record layer" in reason
                hint = "if it speaks plain http: --insecure" if plain else DISTRUSTED
            case UnknownHost():
                hint = "look at its name"
            case _:
                hint = "ask who runs the registry"
        broken = getattr(error, "status", 0) == HTTPStatus.INTERNAL_SERVER_ERROR
        kind = BrokenAnswerError if broken else PublishError
        return kind(f"{self.name}: {reason}.", next=hint)

    def redacted(self, text: str) -> str:
        return self._auth.redacted(super().redacted(text))

    def credentials(self, url: str) -> dict[str, str]:
        return self._auth.header if _origin(url) == _origin(self.root) else {}

    def accepts_challenge(self, response: Response, *, again: bool) -> bool:
        if _origin(response.url) != _origin(self.root):
            return False
        with response:
            if again:
                raise self._auth.login_refused()
            self._auth.answer(response.read().headers.get("WWW-Authenticate", ""))
        return True

    def _fetch_token(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        response = self.send(method, url, headers, body).read()
        return response.status, response.content


def _origin(url: str) -> tuple[str, str | None, int]:
    """Return whose URL it is: scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _unchanged(request: Any) -> Any:
    """Keep requests from reading ~/.netrc, whose login would win over the right one."""
    return request
