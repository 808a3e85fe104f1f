"""Who we are at a registry: what `docker login` has left on this machine."""

import base64
import warnings
from dataclasses import dataclass, field

from core.errors import PublishError


@dataclass(frozen=True, kw_only=True)
class Login:
    """One registry's user. Nothing secret of it is ever shown."""

    user: str = ""
    secret: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    """A refresh token, which some registries hand out in place of a password."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must not be shown."""
        basic = base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()
        return tuple(filter(None, (self.secret, self.identity, basic if self.secret else "")))


def find_login(host: str) -> Login | None:
    """Return the login for ``host``: of `DOCKER_CONFIG`, ``~/.docker/config.json``, or a credential helper.

    None when there is none. Raises PublishError when the file or the helper is broken.
    """
    import docker.auth  # noqa: PLC0415 - slow, and only a registry that asks who we are needs it
    import docker.errors  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a helper that is missing is our error, see below
            found = docker.auth.load_config().resolve_authconfig(host)
    except docker.errors.DockerException as error:
        # Only the first sentence of it: a helper's output can hold anything.
        missing = "not installed" in str(error)
        msg = f"The credential helper for {host} " + ("is not installed." if missing else "failed.")
        raise PublishError(
            msg,
            why="'credsStore' or 'credHelpers' of Docker's config.json names it",
            next=f"docker login {host}",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        msg = "Docker's config.json cannot be read."
        raise PublishError(msg, why="it is damaged", next=f"docker login {host}") from None
    if not found:
        return None
    # Files give small letters, helpers capitals.
    values = {name.lower(): value for name, value in found.items() if isinstance(value, str)}
    login = Login(
        user=values.get("username", ""),
        secret=values.get("password", ""),
        identity=values.get("identitytoken", ""),
    )
    return login if login.secrets else None
