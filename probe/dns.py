"""A stub resolver (RFC 1035) that keeps the deadline: getaddrinfo cannot be interrupted."""

from __future__ import annotations

from _socket import (
    AF_INET,
    AF_INET6,
    MSG_NOSIGNAL,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    inet_ntop,
    socket,
)
from posix import urandom
from select import POLLIN
from time import monotonic

from probe.address import is_ipv4, is_ipv6, socket_address
from probe.errors import Unhealthy
from probe.files import read_file
from probe.kinds import Steps
from probe.scheduler import Trace
from probe.stream import error_reason, open_stream

TYPE_A, TYPE_CNAME, TYPE_AAAA = 1, 5, 28
NO_ERROR, FORMAT_ERROR, NAME_ERROR = 0, 1, 3
RESPONSE_CODES = {
    1: "format error",
    2: "server failure",
    3: "no such name",
    4: "not implemented",
    5: "refused",
}
RESEND_AFTER, NEVER = 1.0, 1e300
OTHER_FAMILY_GRACE = 0.05  # RFC 8305 section 3: do not wait long for AAAA once A is there
MOST_SERVERS, MOST_ADDRESSES, MOST_SEARCHES = 3, 16, 8

HOSTS_PATH, RESOLV_PATH = b"/etc/hosts", b"/etc/resolv.conf"


def resolve_name(
    name: str,
    family: int,
    trace: Trace,
    *,
    hosts: bytes = HOSTS_PATH,
    conf: bytes = RESOLV_PATH,
    port: int = 53,
) -> Steps[list[str]]:
    """Return the addresses of a name, from the hosts file or the name servers (family 0: both)."""
    found = [
        address
        for address in _from_hosts(name, hosts)
        if family == 0 or (":" in address) == (family == 6)
    ]
    if found:
        return found[:MOST_ADDRESSES]
    servers, searches, ndots = read_resolv_conf(conf)
    if not servers:
        msg = f"{name} does not resolve: no name server in {conf.decode('utf-8', 'replace')}"
        raise Unhealthy(msg)
    types = {4: [TYPE_A], 6: [TYPE_AAAA]}.get(family, [TYPE_A, TYPE_AAAA])
    relative = [f"{name}.{domain}" for domain in searches] if not name.endswith(".") else []
    candidates = (
        [name, *relative] if name.endswith(".") or name.count(".") >= ndots else [*relative, name]
    )
    problem = ""
    for candidate in candidates:
        found, problem = yield from _ask(candidate.removesuffix("."), types, servers, port, trace)
        if found:
            return found[:MOST_ADDRESSES]
    msg = f"{name} does not resolve: {problem} (asked {' and '.join(servers)})"
    raise Unhealthy(msg)


def _from_hosts(name: str, path: bytes) -> list[str]:
    wanted = name.lower().removesuffix(".").encode()
    found = []
    for line in read_file(path, 1 << 20).lower().split(b"\n"):
        words = line.split(b"#")[0].split()
        if wanted in words[1:] and words[0].isascii():
            address = words[0].decode("latin-1")
            if is_ipv4(address) or is_ipv6(address):
                found.append(address)
    return found


def read_resolv_conf(path: bytes) -> tuple[list[str], list[str], int]:
    """Return name servers, search domains and ndots of a resolv.conf(5), which may be missing."""
    servers: list[str] = []
    searches: list[str] = []
    ndots = 1
    for line in read_file(path, 1 << 16).decode("latin-1").replace(";", "#").split("\n"):
        words = line.split("#")[0].split()
        key, arguments = (words[0], words[1:]) if len(words) > 1 else ("", [])
        if key == "nameserver" and (is_ipv4(arguments[0]) or is_ipv6(arguments[0])):
            servers.append(arguments[0])
        elif key in {"search", "domain"}:
            searches = [
                domain.strip(".") for domain in arguments if domain.strip(".") and domain.isascii()
            ]
        elif key == "options":
            for option in arguments:
                value = option.removeprefix("ndots:")
                if value != option and value.isascii() and value.isdigit():
                    ndots = min(int(value[:3]), 15)
    return servers[:MOST_SERVERS], searches[:MOST_SEARCHES], ndots


def _ask(
    name: str, kinds: list[int], servers: list[str], port: int, trace: Trace
) -> Steps[tuple[list[str], str]]:
    """Ask all servers at once, as musl does; return (addresses, why there are none)."""
    if not encode_question(name, TYPE_A):
        return [], f"{name} is no valid name"
    trace.phase = f"asking {' and '.join(servers)} for {name}"
    lookup = Lookup(name, kinds)
    try:
        for server in servers:
            lookup.open(server, port)
        resend_at, wait = 0.0, RESEND_AFTER
        while not lookup.is_finished():
            trace.check()
            if monotonic() >= resend_at:
                resend_at, wait = monotonic() + wait, wait * 2
                lookup.send()
                continue
            pairs = tuple((sock.fileno(), POLLIN) for sock in lookup.sockets.values())
            yield pairs, min(resend_at, lookup.give_up)
            for kind, server, reply in lookup.receive():
                code, truncated, found = reply
                if truncated:
                    code, found = yield from _ask_tcp(lookup.queries[kind], server, port, trace)
                lookup.take(kind, server, code, found)
    finally:
        for sock in lookup.sockets.values():
            sock.close()
    return lookup.result()


class Lookup:
    """One name being looked up: the questions, and what the servers have answered so far."""

    def __init__(self, name: str, kinds: list[int]) -> None:
        self.queries = {
            kind: encode_header(urandom(2)) + encode_question(name, kind) for kind in kinds
        }
        self.sockets: dict[str, socket] = {}
        self.answers: dict[int, list[str]] = {}
        self.failures: dict[int, dict[str, str]] = {kind: {} for kind in kinds}
        self.servers = 0
        self.unknown = False
        self.give_up = NEVER  # soon, once one family has addresses

    def open(self, server: str, port: int) -> None:
        """Open a socket that hears this server only, and the ICMP errors about it."""
        self.servers += 1
        try:
            family, target, _ = socket_address(server, port)
            sock = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
            sock.connect(target)
        except (OSError, Unhealthy) as error:
            self.fail(server, error_reason(error) if isinstance(error, OSError) else str(error))
        else:
            self.sockets[server] = sock

    def fail(self, server: str, reason: str) -> None:
        """Remember that this server does not answer at all."""
        for failures in self.failures.values():
            failures.setdefault(server, reason)

    def is_finished(self) -> bool:
        """Tell whether nothing more is worth waiting for."""
        open_questions = [kind for kind in self.queries if kind not in self.answers]
        hopeless = all(len(self.failures[kind]) >= self.servers for kind in open_questions)
        return self.unknown or hopeless or monotonic() >= self.give_up

    def send(self) -> None:
        """Send every question that is open to every server."""
        for server, sock in self.sockets.items():
            for kind, query in self.queries.items():
                if kind in self.answers:
                    continue
                try:
                    sock.send(query, MSG_NOSIGNAL)
                except BlockingIOError:
                    continue
                except OSError as error:
                    self.fail(server, error_reason(error))

    def receive(self) -> list[tuple[int, str, tuple[int, bool, list[str]]]]:
        """Return (kind, server, reply) of all that has come and belongs to our questions."""
        replies = []
        for server, sock in self.sockets.items():
            for _ in range(16):  # bounded: the server may send without end
                try:
                    data = sock.recv(4096)
                except BlockingIOError:
                    break
                except OSError as error:
                    self.fail(server, error_reason(error))
                    break
                for kind, query in self.queries.items():
                    reply = parse_reply(data, query)
                    if reply is not None:
                        replies.append((kind, server, reply))
        return replies

    def take(self, kind: int, server: str, code: int, found: list[str]) -> None:
        """Keep an answer, or that there is none."""
        if code not in {NO_ERROR, NAME_ERROR}:
            self.failures[kind][server] = RESPONSE_CODES.get(code, f"response code {code}")
            return
        self.unknown = self.unknown or code == NAME_ERROR
        self.answers.setdefault(kind, found)
        if found:
            self.give_up = min(self.give_up, monotonic() + OTHER_FAMILY_GRACE)

    def result(self) -> tuple[list[str], str]:
        """Return (addresses, why there are none)."""
        addresses = [address for kind in self.queries for address in self.answers.get(kind, [])]
        problems = {
            f"{reason} from {server}"
            for failures in self.failures.values()
            for server, reason in failures.items()
        }
        if self.unknown:
            return addresses, RESPONSE_CODES[NAME_ERROR]
        if self.answers or not problems:
            return addresses, "it has no address"
        return addresses, "; ".join(sorted(problems))


def _ask_tcp(query: bytes, server: str, port: int, trace: Trace) -> Steps[tuple[int, list[str]]]:
    """Ask again over TCP (RFC 7766) what did not fit into a datagram."""
    stream = yield from open_stream([socket_address(server, port)], trace)
    try:
        yield from stream.send(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes((yield from stream.exactly(2)), "big")
        reply = parse_reply((yield from stream.exactly(size)), query)
    finally:
        stream.close()
    return (reply[0], reply[2]) if reply else (FORMAT_ERROR, [])


def encode_header(identity: bytes) -> bytes:
    """Return the header of a query with one question, recursion desired."""
    return identity + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


def encode_question(name: str, kind: int) -> bytes:
    """Return the question section, or nothing when the name breaks the limits of RFC 1035."""
    data = b""
    for label in name.split("."):
        if not 1 <= len(label) <= 63 or not label.isascii():
            return b""
        data += len(label).to_bytes(1, "big") + label.encode()
    return data + b"\0\0" + kind.to_bytes(1, "big") + b"\0\x01" if len(data) < 255 else b""


def parse_reply(data: bytes, query: bytes) -> tuple[int, bool, list[str]] | None:
    """Return (response code, truncated, addresses); None for what is no answer to this."""
    end, question = len(query), query[12:]
    if len(data) < end or data[:2] != query[:2] or not data[2] & 0x80 or data[4:6] != b"\0\1":
        return None
    if data[12:end].lower() != question.lower():
        return None
    code, truncated = data[3] & 15, bool(data[2] & 2)
    aliases: dict[bytes, bytes] = {}
    found: list[tuple[bytes, str]] = []
    place = end
    for _ in range(int.from_bytes(data[6:8], "big")):
        owner, place = _read_name(data, place)
        size = int.from_bytes(data[place + 8 : place + 10], "big")
        kind, value = data[place : place + 2], place + 10
        place = value + size
        if owner is None or place > len(data):
            break  # cut or garbled: what was read before still counts
        if kind == b"\0\x05":
            aliases[owner] = _read_name(data, value)[0] or b""
        elif kind == b"\0\x01" == question[-4:-2] and size == 4:
            found.append((owner, inet_ntop(AF_INET, data[value:place])))
        elif kind == b"\0\x1c" == question[-4:-2] and size == 16:
            found.append((owner, inet_ntop(AF_INET6, data[value:place])))
    name = _read_name(data, 12)[0] or b""
    for _ in range(16):  # follow the chain of aliases, which may be a loop
        name = aliases.get(name, name)
    return code, truncated, [address for owner, address in found if owner == name][:MOST_ADDRESSES]


def _read_name(data: bytes, place: int) -> tuple[bytes | None, int]:
    """Return the name (lower case) at this place, None if garbled, and the place after it."""
    name, after = b"", -1
    for _ in range(128):  # labels and compression pointers; pointers may form a loop
        size = data[place] if place < len(data) else 64
        if size >= 0xC0 and place + 1 < len(data):
            after = place + 2 if after < 0 else after
            place = (size & 63) << 8 | data[place + 1]
        elif size >= 64:
            break
        elif size == 0:
            return name.lower(), place + 1 if after < 0 else after
        else:
            name += data[place : place + size + 1]
            place += size + 1
    return None, len(data)
