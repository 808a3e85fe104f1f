"""HOST:PORT as people write it, and the addresses that need no resolver."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, AF_UNIX, if_nametoindex, inet_pton

from probe.errors import Unhealthy, Usage
from probe.kinds import Address
from probe.values import encode_text, is_digits, parse_count

HOST_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
LONGEST_UNIX_PATH = 107


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """Read 'name:80', '[::1]:80', ':80' (localhost); default_port 0: a port is required."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not is_ipv6(host) or (port and not port.startswith(":")):
            msg = f"{text!r} is not [IPv6]:PORT"
            raise Usage(msg)
        port = port[1:]
    elif text.count(":") > 1:
        msg = f"{text!r}: an IPv6 address is written in brackets, [::1]:80"
        raise Usage(msg)
    else:
        host, _, port = text.partition(":")
        check_host(host or "localhost")
    if not port and not default_port:
        msg = f"{text!r} has no port (write HOST:PORT)"
        raise Usage(msg)
    return host or "localhost", parse_count(port, 1, 65535) if port else default_port


def check_host(host: str) -> None:
    """Refuse what can be neither a name nor an IPv4 address."""
    if not host.isascii():
        msg = "an international host name must be given in its xn-- form (punycode)"
        raise Usage(msg)
    if not host or len(host) > 253 or host.strip(HOST_CHARACTERS):
        msg = f"{host!r} is not a host name"
        raise Usage(msg)
    for character in host:
        if character not in HOST_CHARACTERS:
            msg = f"{host!r} is not a host name"
            raise Usage(msg)


def is_ipv4(host: str) -> bool:
    """Tell whether host is a dotted quad."""
    try:
        inet_pton(AF_INET, host)
    except OSError:
        return False
    return True


def is_ipv6(host: str) -> bool:
    """Tell whether host is an IPv6 address; it may have a zone ('fe80::1%eth0')."""
    address, percent, zone = host.partition("%")
    if not host.isascii() or (percent and (not zone or zone.strip(HOST_CHARACTERS))):
        return False
    try:
        inet_pton(AF_INET6, address)
    except OSError:
        return False
    return True


def socket_address(host: str, port: int) -> Address:
    """Make what connect() takes from a literal address."""
    if ":" not in host:
        return AF_INET, (host, port), f"{host}:{port}"
    address, _, zone = host.partition("%")
    scope = 0
    if zone:
        try:
            scope = int(zone) if is_digits(zone) else if_nametoindex(zone)
        except OSError:
            msg = f"no network interface {zone!r} here"
            raise Unhealthy(msg) from None
    return AF_INET6, (address, port, 0, scope), f"[{host}]:{port}"


def unix_address(path: str) -> Address:
    """Make what connect() takes from the path of a Unix socket; '@name' is an abstract one."""
    raw = encode_text(path)
    if not raw or len(raw) > LONGEST_UNIX_PATH:
        msg = f"the path of a Unix socket has 1 to {LONGEST_UNIX_PATH} bytes"
        raise Usage(msg)
    return AF_UNIX, b"\0" + raw[1:] if raw.startswith(b"@") else raw, path


def known_addresses(host: str, family: int) -> list[str] | None:
    """Return the addresses of literals and of localhost (RFC 6761); None: a resolver is needed."""
    if is_ipv4(host) or is_ipv6(host):
        found = [host]
    else:
        name = host.lower().removesuffix(".")
        if name != "localhost" and not name.endswith(".localhost"):
            return None
        found = ["127.0.0.1", "::1"]
    found = [address for address in found if family == 0 or (":" in address) == (family == 6)]
    if not found:
        msg = f"{host} is not an IPv{family} address"
        raise Usage(msg)
    return found
