"""The answer to a registry that asks who we are: Basic, or a token for what we are about to do.

https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from core.errors import PublishError, UsageError
from publish.registry.credentials import Login
from publish.registry.reference import Repository

Ask = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, bytes]]
"""Method, URL, headers and body to status and body: one request, nothing retried, nothing added."""
PARAMETER = re.compile(r'([a-z]+)=(?:"([^"]*)"|([^\s",]+))', re.IGNORECASE)


class Purpose(StrEnum):
    """What we want to do: a token is for that and no more."""

    READ = "pull"
    WRITE = "pull,push"


class RegistryAuth:
    """Holds what a registry has accepted so far; asks for the user's login only when it must."""

    def __init__(
        self,
        repository: Repository,
        purpose: Purpose,
        find_login: Callable[[str], Login | None],
        ask: Ask,
    ) -> None:
        self.header: dict[str, str] = {}
        """What a request to the registry itself carries."""
        self._repository = repository
        self._purpose = purpose
        self._find_login = find_login
        self._ask = ask
        self._login: Login | None = None
        self._looked = False

    def redacted(self, text: str) -> str:
        """``text`` without any secret that a registry might throw back at us."""
        secrets = list(self._login.secrets) if self._login else []
        secrets += [value.partition(" ")[2] for value in self.header.values()]
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text

    def answer(self, challenge: str) -> None:
        """Make `header` fit ``challenge``, a `WWW-Authenticate`. Raises PublishError when we cannot."""
        if not self._looked:
            self._login, self._looked = self._find_login(str(self._repository)), True
        start = challenge.lower().find("bearer ")
        if start >= 0:
            self.header = {"Authorization": f"Bearer {self._token(challenge[start:])}"}
        elif challenge.lower().startswith("basic") and self._login and self._login.secret:
            if self.header:  # it has had our password, and wants another one
                raise self.login_refused()
            self.header = _basic(self._login)
        else:
            raise self.login_missing()

    def _token(self, challenge: str) -> str:
        found = PARAMETER.findall(challenge)
        asked = {name.lower(): quoted or bare for name, quoted, bare in found}
        realm = asked.get("realm", "")
        self._check_realm(realm)
        query = {name: asked[name] for name in ("service", "scope") if asked.get(name)}
        ours = f"repository:{self._repository.path}:"
        if query.get("scope") == f"{ours}{Purpose.READ}":
            # Else the first upload would ask for another token.
            query["scope"] = f"{ours}{self._purpose}"
        headers = {"Accept": "application/json"}
        if self._login and self._login.identity:
            form = {"grant_type": "refresh_token", "client_id": "fromscratch", **query}
            form["refresh_token"] = self._login.identity
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            status, content = self._ask("POST", realm, headers, urlencode(form).encode())
        else:
            if self._login:
                headers |= _basic(self._login)
            url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
            status, content = self._ask("GET", url, headers, None)
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise self.login_refused()
        try:
            reply = json.loads(content) if status == HTTPStatus.OK else {}
            token = reply.get("token") or reply.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if (
            not isinstance(token, str)
            or not token
            or not token.isascii()
            or not token.isprintable()
        ):
            msg = f"{self._repository.host} names a token service that hands out no token."
            raise PublishError(msg, next="try again later, or ask who runs the registry")
        return token

    def _check_realm(self, realm: str) -> None:
        """A password goes no less safely to whoever hands out tokens than to the registry itself."""
        try:
            parts = urlsplit(realm)
            trusted = parts.scheme == "http" and self._trusts(parts.netloc)
            safe = bool(parts.hostname) and (parts.scheme == "https" or trusted)
        except ValueError:
            safe = False
        if not safe:
            msg = (
                f"{self._repository.host} wants our login sent to a token service that is not safe."
            )
            raise PublishError(msg, why="the service is not https", next="mend the registry")

    def _trusts(self, host: str) -> bool:
        try:
            service = Repository(host=host)
        except UsageError:
            return False
        return self._repository.plain and (service.loopback or self._repository.insecure)

    def login_missing(self) -> PublishError:
        host = self._repository.host
        return PublishError(f"{host}: authentication required.", next=f"docker login {host}")

    def login_refused(self) -> PublishError:
        """There is a login, and it is not good."""
        host = self._repository.host
        if not self._login:
            return self.login_missing()
        user = f" of '{self._login.user}'" if self._login.user else ""
        msg = f"{host} does not accept the login{user}."
        return PublishError(
            msg, why="the password or token is wrong, or has expired", next=f"docker login {host}"
        )


def _basic(login: Login) -> dict[str, str]:
    credentials = f"{login.user}:{login.secret}".encode()
    return {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
