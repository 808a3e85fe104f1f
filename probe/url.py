"""http and https URLs (RFC 3986), strict: what is doubtful is refused, nothing is repaired."""

from __future__ import annotations

from probe.address import check_host, is_ipv6
from probe.errors import Usage
from probe.options import is_secret_name
from probe.values import decode_text, encode_text, parse_count

DEFAULT_PORTS = {"http": 80, "https": 443}


class Url:
    """A URL in parts; `target` is the path and query as the request line has them."""

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
        found = (
            [percent_decode(self.userinfo), percent_decode(self.userinfo).partition(":")[2]]
            if self.userinfo
            else []
        )
        for piece in self.target.partition("?")[2].split("&"):
            name, _, value = piece.partition("=")
            if is_secret_name(name):
                found += [value, percent_decode(value)]
        return found


def parse_url(text: str) -> Url:
    """Read an absolute URL; raises Usage (which never quotes it: it may hold a password)."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        msg = "the URL must begin with http:// or https://"
        raise Usage(msg)
    for character in text:
        if character <= " " or character in '\x7f\\"<>':
            msg = 'the URL holds a space, control character or one of \\"<> (percent-encode them)'
            raise Usage(msg)
    rest = rest.partition("#")[0]
    end = min([place for place in (rest.find("/"), rest.find("?"), len(rest)) if place >= 0])
    authority, target = rest[:end], _percent_encode(rest[end:])
    userinfo, at, address = authority.rpartition("@")
    host, port = _split_authority(address)
    if not target.startswith("/"):
        target = "/" + target
    return Url(scheme, host, port or DEFAULT_PORTS[scheme], target, userinfo if at else None)


def _split_authority(address: str) -> tuple[str, int]:
    if address.startswith("["):
        host, bracket, after = address[1:].partition("]")
        host = host.replace("%25", "%", 1)  # RFC 6874: the % of a zone is itself encoded
        if not bracket or not is_ipv6(host) or (after and not after.startswith(":")):
            msg = "the URL's [IPv6] address is not valid"
            raise Usage(msg)
        port = after[1:]
    else:
        host, _, port = address.partition(":")
        check_host(host)
    return host.lower(), parse_count(port, 1, 65535) if port else 0


def join_url(base: Url, location: str) -> Url:
    """Resolve a Location header against the URL that gave it (RFC 3986 section 5.2)."""
    location = location.partition("#")[0]
    head = location.partition("/")[0].partition("?")[0]
    if ":" in head:
        return parse_url(location)
    if location.startswith("//"):
        return parse_url(f"{base.scheme}:{location}")
    path, mark, query = base.target.partition("?")
    if location.startswith("?"):
        target = path + location
    elif location:
        relative, mark, query = location.partition("?")
        merged = relative if relative.startswith("/") else path[: path.rindex("/") + 1] + relative
        target = _without_dots(merged) + mark + query
    else:
        target = base.target
    joined = parse_url(f"{base.scheme}://{base.authority()}{target}")
    joined.host = base.host  # the authority has no zone
    return joined


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
        if last and segment in {".", ".."}:
            kept.append("")
    return "/" + "/".join(kept)


def _percent_encode(text: str) -> str:
    """Encode what is not ASCII; what is encoded already stays as it is."""
    if text.isascii():
        return text
    return "".join([chr(byte) if byte < 128 else f"%{byte:02X}" for byte in encode_text(text)])


def percent_decode(text: str) -> str:
    """Decode %XX; anything else stays as it is."""
    head, *pieces = text.split("%")
    data = encode_text(head)
    for piece in pieces:
        digits = piece[:2]
        if len(digits) == 2 and not digits.strip("0123456789abcdefABCDEF"):
            data += int(digits, 16).to_bytes(1, "big") + encode_text(piece[2:])
        else:
            data += b"%" + encode_text(piece)
    return decode_text(data)
