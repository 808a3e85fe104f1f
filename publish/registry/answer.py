"""What a registry said, and where it sends us: the parts of HTTP that are to be mistrusted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit, urlunsplit

from core.errors import PublishError


class Fault(Exception):
    """A try failed in a way that the next may not. ``wait`` in seconds, if the registry said."""

    def __init__(self, reason: str, *, wait: float | None = None, sent: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        self.sent = sent
        """Bytes of a body that were on their way when the connection broke."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a registry said. Header names are in small letters."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    url: str = field(repr=False)

    def location(self) -> str:
        """Where to go on. Raises Fault when the registry does not say."""
        found = self.headers.get("location", "")
        if not found:
            msg = f"HTTP {self.status} without a Location"
            raise Fault(msg)
        return follow(self.url, found)


def follow(url: str, location: str) -> str:
    """Return where ``location`` leads from ``url``. Raises PublishError when that is nowhere safe."""
    before = urlsplit(url)
    try:
        target = urlsplit(urljoin(url, location))
        sound = target.scheme in {"http", "https"} and bool(target.hostname) and target.port != 0
    except ValueError:
        target, sound = before, False
    if not sound:
        msg = f"{before.hostname} leads us nowhere."
        raise PublishError(msg, next="ask who runs the registry")
    if target.scheme == "http" and before.scheme == "https":
        if target.netloc.removesuffix(":80") != before.netloc.removesuffix(":443"):
            msg = f"{before.hostname} leads us from https to plain http."
            raise PublishError(msg, next="ask who runs the registry")
        # The registry itself, which does not know that it stands behind TLS.
        target = target._replace(scheme="https", netloc=before.netloc)
    return urlunsplit(target)


def origin(url: str) -> tuple[str, str | None, int]:
    """Return whose URL it is: scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a registry asks us to wait: a number or a date, RFC 9110, 10.2.3."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rarely needed

    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - now)
