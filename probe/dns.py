"""A stub resolver (RFC 1035) that keeps the deadline: getaddrinfo cannot be interrupted."""

from __future__ import annotations

from probe.address import is_ipv4, is_ipv6, of_family, socket_address, without_root
from probe.errors import Unhealthy
from probe.files import error_reason, read_file
from probe.kinds import Steps
from probe.scheduler import Trace
from probe.stream import open_stream
from probe.system import (
    DATAGRAM,
    READABLE,
    address_text,
    close,
    connect,
    error_text,
    is_utf8,
    monotonic,
    open_socket,
    random_bytes,
    receive,
    send,
)
from probe.values import is_ascii, is_digits, lowered, visible_text

TYPE_A, TYPE_CNAME, TYPE_AAAA = 1, 5, 28
NO_ERROR, FORMAT_ERROR, NAME_ERROR = 0, 1, 3
RESPONSE_CODES = {
    1: "format error",
    2: "server failure",
    3: "no such name",
    4: "not implemented",
    5: "refused",
}
RESEND_AFTER, NEVER = 1.0, 1e18
OTHER_FAMILY_GRACE = 0.05  # RFC 8305 section 3: do not wait long for AAAA once A is there
MOST_SERVERS, MOST_SEARCHES = 3, 8
MOST_RECORDS = 256  # that are looked at: names can be made so that each takes long to read
LONGEST_NAME = 255

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
    found = of_family(_from_hosts(name, hosts), family)
    if found:
        return found
    servers, searches, ndots = read_resolv_conf(conf)
    if not servers:
        msg = f"{name} does not resolve: no name server in {visible_text(conf)}"
        raise Unhealthy(msg)
    candidates = [name]
    if not name.endswith("."):
        relative = [f"{name}.{domain}" for domain in searches]
        candidates = [name] + relative if name.count(".") >= ndots else relative + [name]
    return (yield from ask_servers(name, candidates, family, servers, port, trace))


def ask_servers(
    name: str, candidates: list[str], family: int, servers: list[str], port: int, trace: Trace
) -> Steps[list[str]]:
    """Return the addresses of the first of the candidates for a name that the name servers have any of."""
    kinds = [TYPE_A] if family == 4 else [TYPE_AAAA] if family == 6 else [TYPE_A, TYPE_AAAA]
    problem = ""
    for candidate in candidates:
        found, problem = yield from _ask(without_root(candidate), kinds, servers, port, trace)
        if found:
            return found
    msg = f"{name} does not resolve: {problem} (asked {' and '.join(servers)})"
    raise Unhealthy(msg)


def _from_hosts(name: str, path: bytes) -> list[str]:
    wanted = without_root(lowered(name)).encode()
    found = []
    for line in read_file(path, 1 << 20).lower().split(b"\n"):
        words = line.split(b"#")[0].split()
        if wanted in words[1:] and is_utf8(words[0]):
            address = words[0].decode()
            if is_ipv4(address) or is_ipv6(address):
                found.append(address)
    return found


def read_resolv_conf(path: bytes) -> tuple[list[str], list[str], int]:
    """Return name servers, search domains and ndots of a resolv.conf(5), which may be missing."""
    servers: list[str] = []
    searches: list[str] = []
    ndots = 1
    for line in read_file(path, 1 << 16).replace(b";", b"#").split(b"\n"):
        key, *arguments = [visible_text(word) for word in line.split(b"#")[0].split()] or [""]
        if key == "nameserver" and arguments:
            server = arguments[0]
            if server not in servers and (is_ipv4(server) or is_ipv6(server)):
                servers.append(server)
        elif key in {"search", "domain"} and arguments:
            domains = [domain.strip(".") for domain in arguments]
            searches = [domain for domain in domains if domain and is_ascii(domain)]
        elif key == "options":
            for option in arguments:
                if option.startswith("ndots:") and is_digits(option[6:]):
                    ndots = min(int(option[6:]), 15)
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
        resend_at, pause = 0.0, RESEND_AFTER
        while not lookup.is_finished():
            trace.check()
            if monotonic() >= resend_at:
                resend_at, pause = monotonic() + pause, pause * 2
                lookup.send()
                continue
            pairs = [(descriptor, READABLE) for _, descriptor in lookup.sockets]
            yield pairs, min(resend_at, lookup.give_up, trace.deadline)
            for kind, server, reply in lookup.receive():
                code, truncated, found = reply
                if truncated:
                    code, found = yield from _ask_tcp(lookup.queries[kind], server, port, trace)
                lookup.take(kind, server, code, found)
    finally:
        for _, descriptor in lookup.sockets:
            close(descriptor)
    return lookup.result()


class Lookup:
    """One name being looked up: the questions, and what the servers have answered so far."""

    def __init__(self, name: str, kinds: list[int]) -> None:
        self.kinds = kinds
        self.queries = {
            kind: encode_header(random_bytes(2)) + encode_question(name, kind) for kind in kinds
        }
        self.sockets: list[tuple[str, int]] = []
        self.answers: dict[int, list[str]] = {}
        self.failures: dict[int, dict[str, str]] = {kind: {} for kind in kinds}
        self.servers = 0
        self.unknown = False
        self.give_up = NEVER  # soon, once one family has addresses

    def open(self, server: str, port: int) -> None:
        """Open a socket that hears this server only, and the ICMP errors about it."""
        self.servers += 1
        try:
            family, target, port, scope, _ = socket_address(server, port)
            descriptor = open_socket(family, DATAGRAM)
        except (OSError, Unhealthy) as error:
            self.fail(server, error_reason(error) if isinstance(error, OSError) else str(error))
            return
        code = connect(descriptor, family, target, port, scope)
        if code:
            close(descriptor)
            self.fail(server, error_text(code).lower())
        else:
            self.sockets.append((server, descriptor))

    def fail(self, server: str, reason: str) -> None:
        """Remember that this server does not answer at all."""
        for kind in self.kinds:
            self.failures[kind].setdefault(server, reason)

    def is_finished(self) -> bool:
        """Tell whether nothing more is worth waiting for."""
        open_questions = [kind for kind in self.kinds if kind not in self.answers]
        hopeless = all(len(self.failures[kind]) >= self.servers for kind in open_questions)
        return self.unknown or hopeless or monotonic() >= self.give_up

    def send(self) -> None:
        """Send every question that is open to every server; what cannot be sent now is sent again later."""
        for server, descriptor in self.sockets:
            for kind in self.kinds:
                if kind in self.answers:
                    continue
                try:
                    send(descriptor, self.queries[kind])
                except OSError as error:
                    self.fail(server, error_reason(error))

    def receive(self) -> list[tuple[int, str, tuple[int, bool, list[str]]]]:
        """Return (kind, server, reply) of all that has come and belongs to our questions."""
        replies = []
        for server, descriptor in self.sockets:
            for _ in range(16):  # bounded: the server may send without end
                try:
                    data = receive(descriptor, 4096)
                except OSError as error:
                    self.fail(server, error_reason(error))
                    break
                if data is None:
                    break
                for kind in self.kinds:
                    reply = parse_reply(data, self.queries[kind])
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
        addresses = [address for kind in self.kinds for address in self.answers.get(kind, [])]
        if self.unknown:
            return addresses, RESPONSE_CODES[NAME_ERROR]
        problems = {
            f"{reason} from {server}"
            for failures in self.failures.values()
            for server, reason in failures.items()
        }
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
    if not is_ascii(name):
        return b""
    data = b""
    for label in name.split("."):
        if not 1 <= len(label) <= 63:
            return b""
        data += bytes([len(label)]) + label.encode()
    return data + bytes([0, 0, kind, 0, 1]) if len(data) < 255 else b""


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
    for _ in range(min(MOST_RECORDS, int.from_bytes(data[6:8], "big"))):
        owner, place = _read_name(data, place)
        size = int.from_bytes(data[place + 8 : place + 10], "big")
        kind, value = data[place : place + 4], place + 10  # of class IN, too
        place = value + size
        if owner is None or place > len(data):
            break  # cut or garbled: what was read before still counts
        if kind == b"\0\x05\0\1":
            aliases[owner] = _read_name(data, value)[0] or b""
        elif kind == question[-4:] and (kind[1], size) in {(TYPE_A, 4), (TYPE_AAAA, 16)}:
            found.append((owner, address_text(data[value:place])))
    name = _read_name(data, 12)[0] or b""
    for _ in range(16):  # follow the chain of aliases, which may be a loop
        name = aliases.get(name, name)
    return code, truncated, [address for owner, address in found if owner == name]


def _read_name(data: bytes, place: int) -> tuple[bytes | None, int]:
    """Return the name (lower case) at this place, None if garbled, and the place after it."""
    name, after = b"", -1
    for _ in range(128):  # labels and compression pointers; pointers may form a loop
        size = data[place] if place < len(data) else 64
        if size >= 0xC0 and place + 1 < len(data):
            after = place + 2 if after < 0 else after
            place = (size & 63) << 8 | data[place + 1]
        elif size >= 64 or len(name) + size >= LONGEST_NAME:
            break
        elif size == 0:
            return name.lower(), place + 1 if after < 0 else after
        else:
            name += data[place : place + size + 1]
            place += size + 1
    return None, len(data)
