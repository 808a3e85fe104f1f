"""What `podman login`, `skopeo login` and `buildah login` leave behind: logins for a host, or for a part of it.

https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import PublishError
from publish.registry.login import Login

VARIABLE = "REGISTRY_AUTH_FILE"


def named_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file that the user has named; None: none is."""
    return Path(environment[VARIABLE]) if environment.get(VARIABLE) else None


def usual_files(environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Yield where podman writes, and where it looks besides; none of them need be there."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    own = Path(runtime, "containers") if runtime else Path("/run/containers", str(os.getuid()))
    yield own / "auth.json"
    home = Path(environment.get("HOME") or "/")
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"


def read_login(path: Path, name: str) -> tuple[Login | None, str]:
    """Return the login for ``name``, ``HOST/REPOSITORY``, and the credential helper that its host has.

    The entry of the longest part of the name counts. Raises PublishError when the file cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
        logins, helpers = dict(content.get("auths") or {}), dict(content.get("credHelpers") or {})
        host = name.partition("/")[0]
        for key in _keys(name):
            if key in logins:
                return _decoded(logins[key]), ""
        return None, str(helpers.get(host, ""))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged"
        msg = f"{path}, where logins of podman are kept, cannot be read."
        raise PublishError(
            msg, why=why or "", next=f"podman login {name.partition('/')[0]}"
        ) from None


def _keys(name: str) -> Iterator[str]:
    """``host/a/b``, ``host/a``, ``host``."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _decoded(entry: Any) -> Login | None:
    user, _, secret = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
    identity = entry.get("identitytoken", "")
    login = Login(
        user="" if identity else user, secret="" if identity else secret, identity=identity
    )
    return login if login.secrets else None
