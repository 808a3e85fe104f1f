"""http and https URLs (RFC 3986), strict: what is doubtful is refused, nothing is repaired."""

from __future__ import annotations

from probe.address import is_host, is_ipv6
from probe.errors import Usage
from probe.options import is_secret_name
from probe.values import HEX_DIGITS, is_digits, lowered, visible_text

DEFAULT_PORTS = {"http": 80, "https": 443}
URL_BYTES = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/.-_~:?#[]@!$&'()*+,;=%^`{|}"
)
PERHAPS_PASSWORD = " (in a user or password write %23 %2F %3F %40 for # / ? @)"


class Url:
    """A URL in parts, all ASCII; `target` is the path and query as the request line has them."""

    def __init__(
        self, scheme: str, host: str, port: int, target: str, userinfo: str | None
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.target = target
        self.userinfo = userinfo

    def authority(self) -> str:
        """Return the value of the Host header: no credentials, no zone, no default port."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def origin(self) -> tuple[str, str, int]:
        """Return what must be equal for credentials to be sent on after a redirect (RFC 6454)."""
        return self.scheme, self.host, self.port

    def shown(self) -> str:
        """Return the URL for messages: no userinfo, no values of parameters that look secret."""
        path, mark, query = self.target.partition("?")
        if mark:
            pieces = []
            for piece in query.split("&"):
                name, equals, _ = piece.partition("=")
                pieces.append(f"{name}=***" if equals and is_secret_name(name) else piece)
            path = f"{path}?{'&'.join(pieces)}"
        return f"{self.scheme}://{self.authority()}{path}"

    def secrets(self) -> list[str]:
        """Return all that `shown` left out."""
        found = []
        if self.userinfo:
            credentials = percent_decode(self.userinfo.encode())
            found = [visible_text(credentials), visible_text(credentials.partition(b":")[2])]
        for piece in self.target.partition("?")[2].split("&"):
            name, _, value = piece.partition("=")
            if is_secret_name(name):
                found += [value, visible_text(percent_decode(value.encode()))]
        return found


def parse_url(data: bytes) -> Url:
    """Read an absolute URL; raises Usage (which never quotes it: it may hold a password)."""
    if data.partition(b"://")[0].lower() not in {b"http", b"https"} or b"://" not in data:
        msg = "the URL must begin with http:// or https://"
        raise Usage(msg)
    scheme, userinfo, address, target = split_url(data)
    host, port = split_authority(address)
    if not target.startswith("/"):
        target = "/" + target
    return Url(scheme, host, port or DEFAULT_PORTS[scheme], target, userinfo)


def split_url(data: bytes) -> tuple[str, str | None, str, str]:
    """Return scheme, userinfo, address, and all behind it but a fragment; raises Usage for what a URL cannot hold."""
    scheme, _, rest = _percent_encode(data).partition("://")
    rest = rest.partition("#")[0]
    end = min([place for place in (rest.find("/"), rest.find("?"), len(rest)) if place >= 0])
    userinfo, at, address = rest[:end].rpartition("@")
    return lowered(scheme), userinfo if at else None, address, rest[end:]


def split_authority(address: str) -> tuple[str, int]:
    """Return the host, in lower case, and the port of an address, 0 when there is none.

    Raises Usage, which quotes nothing: it may be a part of a password with a '/' that is not encoded.
    """
    if address.startswith("["):
        host, bracket, after = address[1:].partition("]")
        host = host.replace("%25", "%", 1)  # RFC 6874: the % of a zone is itself encoded
        if not bracket or not is_ipv6(host) or (after and not after.startswith(":")):
            msg = "the URL's [IPv6] address is not valid"
            raise Usage(msg)
        port = after[1:]
    else:
        host, _, port = address.partition(":")
        if "%" in host:
            msg = "the URL's host name must be plain ASCII, an international one in its xn-- form (punycode)"
            raise Usage(msg)
        if not is_host(host):
            msg = f"the host in the URL is no host name{PERHAPS_PASSWORD}"
            raise Usage(msg)
    if port and not (is_digits(port) and 1 <= int(port) <= 65535):
        msg = f"the port in the URL is not a number from 1 to 65535{PERHAPS_PASSWORD}"
        raise Usage(msg)
    return lowered(host), int(port or "0")


def join_url(base: Url, location: bytes) -> Url:
    """Resolve a Location header against the URL that gave it (RFC 3986 section 5.2)."""
    location = location.partition(b"#")[0]
    head = location.partition(b"/")[0].partition(b"?")[0]
    if b":" in head:
        return parse_url(location)
    if location.startswith(b"//"):
        return parse_url(base.scheme.encode() + b":" + location)
    given = _percent_encode(location)
    path, mark, query = base.target.partition("?")
    if given.startswith("?"):
        target = path + given
    elif given:
        relative, mark, query = given.partition("?")
        merged = relative if relative.startswith("/") else path[: path.rindex("/") + 1] + relative
        target = _without_dots(merged) + mark + query
    else:
        target = base.target
    joined = parse_url(f"{base.scheme}://{base.authority()}{target}".encode())
    joined.host = base.host  # the authority has no zone
    return joined


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
        if last and segment in {".", ".."}:
            kept.append("")
    return "/" + "/".join(kept)


def _percent_encode(data: bytes) -> str:
    """Encode what is not ASCII; what is encoded already stays as it is. Raises Usage for what a URL cannot hold."""
    if not data.strip(URL_BYTES):
        return data.decode()
    pieces = []
    for byte in data:
        if byte <= 0x20 or byte in b'\x7f\\"<>':
            msg = 'the URL holds a space, control character or one of \\"<> (percent-encode them)'
            raise Usage(msg)
        pieces.append(chr(byte) if byte < 0x80 else f"%{byte:02X}")
    return "".join(pieces)


def percent_decode(data: bytes) -> bytes:
    """Decode %XX; anything else stays as it is."""
    if b"%" not in data:
        return data
    plain, *pieces = data.split(b"%")
    parts = [plain]
    for piece in pieces:
        digits = piece[:2]
        if len(digits) == 2 and not digits.strip(HEX_DIGITS):
            parts += [bytes([int(digits.decode(), 16)]), piece[2:]]
        else:
            parts += [b"%", piece]
    return b"".join(parts)
