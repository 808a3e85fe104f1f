"""Who we are at a registry: what `docker login` or `podman login` has left on this machine."""

import warnings
from collections.abc import Mapping
from pathlib import Path

from core.errors import PublishError
from publish.registry.auth_file import named_file, read_login, usual_files
from publish.registry.login import Login

__all__ = ["Login", "find_login"]


def find_login(name: str) -> Login | None:
    """Return the login for ``name``, a host or ``HOST/REPOSITORY``; None when there is none.

    Looked for in `REGISTRY_AUTH_FILE`, then in `DOCKER_CONFIG` or ``~/.docker/config.json``, then in podman's usual
    files; a credential helper that one of them names is asked. Raises PublishError when a file or a helper is broken.
    """
    host = name.partition("/")[0]
    if (path := named_file()) and (login := _of_file(path, name)):
        return login
    if login := _of_docker(host):
        return login
    found = (_of_file(path, name) for path in usual_files() if path.is_file())
    return next(filter(None, found), None)


def _of_file(path: Path, name: str) -> Login | None:
    login, helper = read_login(path, name)
    host = name.partition("/")[0]
    return _of_docker(host, {"credHelpers": {host: helper}}) if helper else login


def _of_docker(host: str, config: Mapping[str, object] | None = None) -> Login | None:
    """Ask the SDK: of docker's own config, or of ``config``, made like it."""
    import docker.auth  # noqa: PLC0415 - slow, and only a registry that asks who we are needs it
    import docker.errors  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a helper that is missing is our error, see below
            loaded = (
                docker.auth.load_config(config_dict=config) if config else docker.auth.load_config()
            )
            found = loaded.resolve_authconfig(host)
    except docker.errors.DockerException as error:
        # Only the first sentence of it: a helper's output can hold anything.
        missing = "not installed" in str(error)
        msg = f"The credential helper for {host} " + ("is not installed." if missing else "failed.")
        raise PublishError(
            msg,
            why="'credsStore' or 'credHelpers' of Docker's config.json or podman's auth.json names it",
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
