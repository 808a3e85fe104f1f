"""The answer to a registry that asks who we are: Basic, or a token for what we are about to do.

https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/. The exchange itself is oras'; what it may
send where, how often, and what is said when it fails, is decided here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from core.body import Body
from core.errors import PublishError, UsageError
from publish.registry.credentials import Login
from publish.registry.reference import Repository

Ask = Callable[[str, str, Mapping[str, str], Body | None], tuple[int, bytes]]
"""Method, URL, headers and body to status and body: one request, nothing retried, nothing added."""


class Purpose(StrEnum):
    """What we want to do: a token is for that and no more."""

    READ = "pull"
    WRITE = "pull,push"


@dataclass(frozen=True, kw_only=True)
class _Reply:
    """What oras wants to know of a response. Its text may be a secret: oras logs texts."""

    status_code: int
    content: bytes = field(repr=False)
    text: str = ""

    def json(self) -> Any:
        import json  # noqa: PLC0415

        return json.loads(self.content)


class RegistryAuth:
    """Holds what a registry has accepted so far; asks for the user's login only when it must."""

    def __init__(
        self,
        repository: Repository,
        purpose: Purpose,
        find_login: Callable[[str], Login | None],
        ask: Ask,
    ) -> None:
        self._repository = repository
        self._purpose = purpose
        self._find_login = find_login
        self._ask = ask
        self._login: Login | None = None
        self._looked = False
        self._backend: Any = None

    @property
    def header(self) -> dict[str, str]:
        """What a request to the registry itself carries."""
        return dict(self._backend.get_auth_header()) if self._backend else {}

    def hidden(self, text: str) -> str:
        """``text`` without any secret that a registry might throw back at us."""
        secrets = list(self._login.secrets) if self._login else []
        secrets += [value.partition(" ")[2] for value in self.header.values()]
        for secret in secrets:
            text = text.replace(secret, "***") if secret else text
        return text

    def answer(self, challenge: str) -> None:
        """Make `header` fit ``challenge``, a `WWW-Authenticate`. Raises PublishError when we cannot."""
        import oras.auth  # noqa: PLC0415 - slow, and only needed when a registry asks

        if not self._looked:
            self._login, self._looked = self._find_login(self._repository.host), True
        start = challenge.lower().find("bearer ")
        if start >= 0:
            self._backend = oras.auth.get_auth_backend("token", self)
            self._backend.set_token_auth(self._token(challenge[start:]))
        elif challenge.lower().startswith("basic"):
            if not self._login or not self._login.secret:
                raise self.unknown()
            if self._backend:  # it has had our password, and wants another one
                raise self.refused()
            self._backend = oras.auth.get_auth_backend("basic", self)
            self._backend.set_basic_auth(self._login.user, self._login.secret)
        else:
            raise self.unknown()

    def _token(self, challenge: str) -> str:
        from oras.auth.utils import parse_auth_header  # noqa: PLC0415

        asked = parse_auth_header(challenge)
        self._check_realm(asked.realm or "")
        ours = f"repository:{self._repository.path}:"
        if asked.scope and asked.scope == f"{ours}{Purpose.READ}":
            asked.scope = f"{ours}{self._purpose}"  # else the first upload would ask for another
        try:
            if self._login and self._login.identity:
                token = self._exchange(asked, self._login.identity)
            else:
                if self._login:
                    self._backend.set_basic_auth(self._login.user, self._login.secret)
                token = self._backend.request_token(asked)
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            msg = f"{self._repository.host} names a place for tokens that hands out none."
            raise PublishError(msg, next="try again later, or ask who runs the registry")
        return token

    def _check_realm(self, realm: str) -> None:
        """A password goes no less safely to whoever hands out tokens than to the registry itself."""
        scheme, _, rest = realm.partition("://")
        if scheme == "https" or (scheme == "http" and self._trusts(rest.partition("/")[0])):
            return
        msg = f"{self._repository.host} wants our login sent to a place that is not safe."
        raise PublishError(msg, why="its token service is not https", next="mend the registry")

    def _trusts(self, host: str) -> bool:
        try:
            there = Repository(host=host)
        except UsageError:
            return False
        return self._repository.plain and (there.loopback or self._repository.insecure)

    def _exchange(self, asked: Any, identity: str) -> Any:
        form = {
            "grant_type": "refresh_token",
            "client_id": "fromscratch",
            "refresh_token": identity,
        }
        form |= {"service": asked.service or "", "scope": asked.scope or ""}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = self._reply("POST", asked.realm, headers, Body.of(urlencode(form).encode()))
        data = reply.json()
        return data.get("access_token") or data.get("token")

    def get(
        self, url: str, headers: Mapping[str, str], params: Mapping[str, str], verify: object
    ) -> _Reply:
        """What oras' token backend calls its session for."""
        join = "&" if urlsplit(url).query else "?"
        return self._reply("GET", f"{url}{join}{urlencode(params)}" if params else url, headers)

    def _reply(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None
    ) -> _Reply:
        status, content = self._ask(method, url, headers, body)
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise self.refused() if self._login else self.unknown()
        return _Reply(status_code=status, content=content)

    def unknown(self) -> PublishError:
        """There is no login for the registry."""
        host = self._repository.host
        return PublishError(f"{host} wants to know who we are.", next=f"docker login {host}")

    def refused(self) -> PublishError:
        """There is a login, and it is not good."""
        host = self._repository.host
        if not self._login:
            return self.unknown()
        user = f" of '{self._login.user}'" if self._login.user else ""
        msg = f"{host} does not accept the login{user}."
        return PublishError(
            msg, why="the password or token is wrong, or has expired", next=f"docker login {host}"
        )
