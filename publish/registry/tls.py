"""Whose certificates a registry may have, and who we are to it: what docker, podman and OpenSSL are told, too.

https://docs.docker.com/engine/security/certificates/: ``certs.d/HOST[:PORT]/`` has authorities in ``*.crt``, and our
own certificates in ``*.cert`` beside their ``*.key``.
"""

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import PublishError, UsageError

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the authorities to believe, in place of all others. The first that is set counts."""
PROBE = 2.0
"""Seconds in which a server on this machine shows whether it speaks TLS."""


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What to believe at one registry, and what to show it."""

    bundle: str | bool = True
    """The only authorities to believe, a file or directory; True: those of certifi and of this machine."""
    more: tuple[Path, ...] = ()
    """Files of further authorities."""
    own: tuple[tuple[Path, Path], ...] = ()
    """Our certificates with their keys: for the registry itself, and no other host."""

    @classmethod
    def find(
        cls, host: str, ca_file: str, environment: Mapping[str, str] = os.environ
    ) -> "Certificates":
        """Return what is known of ``host``, as users write it. Raises UsageError and PublishError for broken files."""
        name = next((name for name in BUNDLES if environment.get(name)), "")
        if name and not os.path.exists(environment[name]):  # noqa: PTH110 - a user's text may be no path at all
            msg = f"{name} names '{environment[name]}', which is not there."
            raise PublishError(msg, next=f"mend or unset {name}")
        more: list[Path] = []
        own: list[tuple[Path, Path]] = []
        for directory in _directories(host, environment):
            more += sorted(directory.glob("*.crt"))
            own += [(path, path.with_suffix(".key")) for path in sorted(directory.glob("*.cert"))]
        found = cls(
            bundle=environment[name] if name else True,
            more=(*([Path(ca_file)] if ca_file else ()), *more),
            own=tuple(own),
        )
        found._check(ca_file)
        return found

    def _check(self, ca_file: str) -> None:
        """A file that cannot be used is named now: later it would look like a fault of the registry."""
        for path in self.more:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
            except OSError as error:  # ssl's own errors, too
                msg = f"{path} holds no certificates: {error.strerror or error}."
                if str(path) == ca_file:
                    raise UsageError(msg, next="name a file in PEM, as --ca-file FILE") from error
                raise PublishError(msg, next="mend or remove it") from error
        for path, key in self.own:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, key, _no_password)
            except (OSError, ValueError) as error:
                msg = f"{path} and {key} are no certificate with its key."
                raise PublishError(msg, next="mend or remove them") from error

    def prepare(self, context: ssl.SSLContext, *, ours: bool) -> None:
        """Make ``context`` believe what it must; ``ours``, a connection to the registry itself, shows who we are."""
        if self.bundle is True:
            context.load_default_certs()
        for path in self.more:
            context.load_verify_locations(path)
        for path, key in self.own if ours else ():
            context.load_cert_chain(path, key, _no_password)


def _no_password() -> str:
    msg = "the key is encrypted"
    raise ValueError(msg)


def _directories(host: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """Where docker and podman look for what belongs to ``host``, rootless ones as well."""
    home = Path(environment.get("HOME") or "/")
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    roots = (config / "containers", config / "docker", home / ".docker")
    for root in (*roots, Path("/etc/containers"), Path("/etc/docker")):
        with contextlib.suppress(OSError):
            if (directory := root / "certs.d" / host).is_dir():
                yield directory


def speaks_tls(host: str, port: int) -> bool:
    """Whether the server at a port of this machine answers to TLS; nothing is believed for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # To a server of plain http the second "protocol" is the end of a line: it answers at once, and does not wait.
    context.set_alpn_protocols(["http/1.1", "\r\n\r\n"])
    try:
        with (
            socket.create_connection((host, port), PROBE) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it speaks TLS, but not to us
    except OSError:
        return False
