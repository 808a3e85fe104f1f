"""HOST:PORT as people write it, and the addresses that need no resolver."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.kinds import Address
from probe.system import INET, INET6, UNIX, interface_index, pack_address
from probe.values import is_ascii, is_digits, lowered, parse_count, shown_text, visible_text

HOST_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
LONGEST_UNIX_PATH = 107


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """Read 'name:80', '[::1]:80', ':80' (localhost); default_port 0: a port is required."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not is_ipv6(host) or (port and not port.startswith(":")):
            msg = f"{shown_text(text)} is not [IPv6]:PORT"
            raise Usage(msg)
        port = port[1:]
    elif text.count(":") > 1:
        msg = f"{shown_text(text)}: an IPv6 address is written in brackets, [::1]:80"
        raise Usage(msg)
    else:
        host, _, port = text.partition(":")
        check_host(host or "localhost")
    if not port and not default_port:
        msg = f"{shown_text(text)} has no port (write HOST:PORT)"
        raise Usage(msg)
    return host or "localhost", parse_count(port, 1, 65535) if port else default_port


def check_host(host: str) -> None:
    """Refuse what can be neither a name nor an IPv4 address."""
    if not is_ascii(host):
        msg = "an international host name must be given in its xn-- form (punycode)"
        raise Usage(msg)
    if not is_host(host):
        msg = f"{shown_text(host)} is not a host name"
        raise Usage(msg)


def is_host(host: str) -> bool:
    """Tell whether host can be a name or an IPv4 address."""
    return 0 < len(host) <= 253 and not host.strip(HOST_CHARACTERS)


def is_ipv4(host: str) -> bool:
    """Tell whether host is a dotted quad."""
    return bool(pack_address(INET, host))


def is_ipv6(host: str) -> bool:
    """Tell whether host is an IPv6 address; it may have a zone ('fe80::1%eth0')."""
    address, percent, zone = host.partition("%")
    if percent and (not zone or zone.strip(HOST_CHARACTERS)):
        return False
    return bool(pack_address(INET6, address))


def socket_address(host: str, port: int) -> Address:
    """Make of a literal address what is connected to."""
    if ":" not in host:
        return INET, pack_address(INET, host), port, 0, f"{host}:{port}"
    address, _, zone = host.partition("%")
    scope = 0
    if zone:
        try:
            scope = int(zone) if is_digits(zone) else interface_index(zone)
        except OSError:
            msg = f"no network interface '{zone}' here"
            raise Unhealthy(msg) from None
    return INET6, pack_address(INET6, address), port, scope, f"[{host}]:{port}"


def unix_address(path: bytes) -> Address:
    """Make of the path of a Unix socket what is connected to; '@name' is an abstract one."""
    if not 1 <= len(path) <= LONGEST_UNIX_PATH:
        msg = f"the path of a Unix socket has 1 to {LONGEST_UNIX_PATH} bytes"
        raise Usage(msg)
    target = b"\0" + path[1:] if path.startswith(b"@") else path
    return UNIX, target, 0, 0, visible_text(path)


def known_addresses(host: str, family: int) -> list[str] | None:
    """Return the addresses of literals and of localhost (RFC 6761); None: a resolver is needed."""
    if is_ipv4(host) or is_ipv6(host):
        found = [host]
    else:
        name = without_root(lowered(host))
        if name != "localhost" and not name.endswith(".localhost"):
            return None
        found = ["127.0.0.1", "::1"]
    found = of_family(found, family)
    if not found:
        msg = f"{host} is not an IPv{family} address"
        raise Usage(msg)
    return found


def without_root(name: str) -> str:
    """Return a host name without the dot that may end it."""
    return name[:-1] if name.endswith(".") else name


def of_family(addresses: list[str], family: int) -> list[str]:
    """Return those of IPv4 or IPv6; 0: all of them."""
    return [address for address in addresses if family == 0 or (":" in address) == (family == 6)]
