"""The HTTP client of one registry: logs in, and says what is wrong as an error of publishing.

Credentials go to the registry's own host alone, and never into a message.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from core.errors import PublishError
from core.http import HttpClient, Response, redirected
from core.progress import Progress
from core.retry import (
    ClientOptions,
    HttpError,
    RetriesExhausted,
    RetryPolicy,
    TlsError,
    UnknownHost,
)
from publish.registry.auth import Purpose, RegistryAuth
from publish.registry.credentials import Login, find_login
from publish.registry.reference import Repository

POLICY = RetryPolicy(tries=5, connect_tries=5, futile_tries=5, read=60.0)
"""A registry has no stand-in, and hashes what it got before it answers."""


@dataclass(frozen=True, kw_only=True)
class RegistryOptions(ClientOptions):
    """What talking to a registry needs from outside."""

    policy: RetryPolicy = POLICY
    login: Callable[[str], Login | None] = find_login


DEFAULTS = RegistryOptions()


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
        self._auth = RegistryAuth(repository, purpose, options.login, self._fetch_token)

    def url(self, path: str) -> str:
        """Return where the API has ``path`` of the repository."""
        return f"{self.root}/v2/{self.repository.path}/{path}"

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
                hint = "if it speaks plain http: --insecure" if plain else "mend its certificate"
            case UnknownHost():
                hint = "look at its name"
            case _:
                hint = "ask who runs the registry"
        return PublishError(f"{self.name}: {reason}.", next=hint)

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
