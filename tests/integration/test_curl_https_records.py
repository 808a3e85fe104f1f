"""curl:full and the HTTPS records of the DNS, which it asks for over HTTPS: what they lead to, and what lies."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from trustme import CA

from tests.curls import OK, REFUSED, TOO_LATE, Curl, Done
from tests.integration.certificates import HOST, context_of
from tests.integration.doh_server import (
    AAAA,
    ALPN,
    ECH,
    HTTPS,
    IPV4HINT,
    IPV6HINT,
    MANDATORY,
    NO_DEFAULT_ALPN,
    PORT,
    A,
    DohServer,
    Zone,
    alpn,
    dns_name,
    record,
)
from tests.integration.http_server import Server, Servers, serve_until, serving
from tests.integration.quic_server import QuicServer, quic_server

pytestmark = pytest.mark.builds

NAME = "origin.example"
UNRESOLVED = 6
H3 = {ALPN: alpn("h3")}

Serve = Callable[[Zone, ssl.SSLContext], DohServer]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A name with servers behind it, at one port for TCP and QUIC."""

    zone: Zone
    doh: DohServer
    tcp: Server
    quic: QuicServer
    port: int
    curl: Curl
    ca: str

    @property
    def owner(self) -> str:
        """Whose records are asked for: https://www.rfc-editor.org/rfc/rfc9460#section-9.1"""
        return f"_{self.port}._https.{NAME}"

    def has(self, *records: bytes) -> None:
        self.zone.rows[self.owner, HTTPS] = list(records)

    def ask(self, *words: str) -> Done:
        """Get from it; the version that was spoken is what standard error begins with."""
        own = ("-w", "%{stderr}%{http_version} ", "--cacert", self.ca)
        where = ("--doh-url", f"https://{HOST}:{self.doh.port}/dns-query")
        return self.curl(*own, *where, *words, f"https://{NAME}:{self.port}/status/200")


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def started(zone: Zone, context: ssl.SSLContext) -> DohServer:
            return serve_until(stack, DohServer(zone, context))

        yield started


@pytest.fixture
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture
def tcp_only(full: Curl, ca: str, authority: CA, servers: Servers, serve: Serve) -> Origin:
    zone = Zone(rows={(NAME, A): [socket.inet_aton(HOST)]})
    doh = serve(zone, context_of(authority.issue_cert(HOST)))
    tcp = servers.tls(context_of(authority.issue_cert(NAME)))
    return Origin(
        zone=zone, doh=doh, tcp=tcp, quic=QuicServer(port=0), port=tcp.port, curl=full, ca=ca
    )


@pytest.fixture
def origin(tcp_only: Origin, authority: CA) -> Iterator[Origin]:
    with quic_server(authority.issue_cert(NAME), port=tcp_only.port) as quic:
        yield Origin(**{**vars(tcp_only), "quic": quic})


@pytest.fixture
def mute(tcp_only: Origin, authority: CA) -> Iterator[Origin]:
    """Nobody answers over TCP, so that HTTP/3 is what gets there or nothing is; else the faster one wins."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with quic_server(authority.issue_cert(NAME), port=port) as quic:
            yield Origin(**{**vars(tcp_only), "port": port, "quic": quic})


def by_http3(origin: Origin, *words: str) -> None:
    done = origin.ask(*words)
    assert (done.code, done.out, done.err) == (OK, "ok", "3 ")
    assert len(origin.quic.asked) == 1


def by_tcp(origin: Origin, *words: str) -> None:
    """What was asked for came without HTTP/3, of which not so much as a handshake was tried."""
    done = origin.ask(*words)
    assert (done.code, done.out, done.err) == (OK, "ok", "1.1 ")
    assert origin.quic.handshakes == 0


def not_by_http3(origin: Origin, *words: str) -> None:
    assert origin.ask("-m", "2", *words).code == TOO_LATE
    assert origin.quic.handshakes == 0


def test_it_is_asked_for(origin: Origin) -> None:
    by_tcp(origin)
    assert set(origin.zone.asked) == {(NAME, A), (NAME, AAAA), (origin.owner, HTTPS)}


def test_h3_leads_to_h3(mute: Origin) -> None:
    not_by_http3(mute)
    mute.has(record(H3))
    by_http3(mute)


@pytest.mark.parametrize("late", [True, False])
def test_where_nobody_listens_at_tcp_h3_is_the_way(
    tcp_only: Origin, servers: Servers, authority: CA, late: bool
) -> None:
    """Whether the record comes before the addresses or after them."""
    port = servers.closed()
    with quic_server(authority.issue_cert(NAME), port=port) as quic:
        there = Origin(**{**vars(tcp_only), "port": port, "quic": quic})
        assert there.ask().code == REFUSED
        there.has(record(H3))
        there.zone.slow = frozenset({HTTPS} if late else {A, AAAA})
        by_http3(there)


def test_h3_among_others(mute: Origin) -> None:
    mute.has(record({ALPN: alpn("dot", "h3", "h2")}))
    by_http3(mute)


def test_what_has_no_h3_leads_to_tcp(origin: Origin, mute: Origin) -> None:
    for one in (origin, mute):
        one.has(record({ALPN: alpn("h2", "http/1.1")}))
    by_tcp(origin)
    not_by_http3(mute)


def test_what_the_user_says_comes_first(origin: Origin, mute: Origin) -> None:
    for one in (origin, mute):
        one.has(record(H3))
    by_tcp(origin, "--http1.1")
    not_by_http3(mute, "--http1.1")


@pytest.mark.parametrize("dead", ["silent", "closed"])
def test_h3_that_is_not_there(tcp_only: Origin, dead: str) -> None:
    tcp_only.has(record(H3))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        if dead == "silent":
            datagrams.bind((HOST, tcp_only.port))
        done = tcp_only.ask()
    assert (done.code, done.out, done.err) == (OK, "ok", "1.1 ")


def test_h3_with_a_stranger_behind_it(tcp_only: Origin) -> None:
    """Whose certificate is not the name's is told nothing."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with quic_server(CA().issue_cert(NAME), port=port) as stranger:
            there = Origin(**{**vars(tcp_only), "port": port, "quic": stranger})
            there.has(record(H3))
            done = there.ask("-m", "2")
    assert (done.code, done.out, stranger.asked) == (TOO_LATE, "", [])


def test_without_a_default(origin: Origin, mute: Origin) -> None:
    """Curl's authors ignore a record that forbids HTTP/1.1: it is no reason not to get there."""
    for one in (origin, mute):
        one.has(record({ALPN: alpn("h3"), NO_DEFAULT_ALPN: b""}))
    by_tcp(origin)
    not_by_http3(mute)


@pytest.mark.parametrize(
    "elsewhere",
    [
        record({ALPN: alpn("h3"), PORT: b"\0\1"}),
        record(H3, target="elsewhere.example"),
        record(priority=0, target="elsewhere.example"),
    ],
    ids=["port", "target", "alias"],
)
def test_records_that_lead_elsewhere_are_not_followed(
    origin: Origin, mute: Origin, elsewhere: bytes
) -> None:
    for one in (origin, mute):
        one.has(elsewhere)
    by_tcp(origin)
    not_by_http3(mute)
    assert {name for name, _ in origin.zone.asked} == {NAME, origin.owner, mute.owner}


def test_its_own_port_is_not_elsewhere(mute: Origin) -> None:
    mute.has(record({ALPN: alpn("h3"), PORT: mute.port.to_bytes(2, "big")}))
    by_http3(mute)


def test_hints_do_not_stand_in_for_addresses(mute: Origin) -> None:
    hints = {IPV4HINT: socket.inet_aton("192.0.2.1"), IPV6HINT: bytes(15) + b"\1"}
    mute.has(record({**H3, **hints}))
    by_http3(mute)
    del mute.zone.rows[NAME, A]
    assert mute.ask().code == UNRESOLVED


def test_what_is_for_others_is_skipped(mute: Origin) -> None:
    mute.has(record({**H3, ECH: b"\0\x04\xfe\x0d\0\0", 65_000: b"private"}))
    by_http3(mute)


def test_many_records(mute: Origin) -> None:
    mute.has(*[record(H3, priority=number) for number in range(1, 20)])
    by_http3(mute)


LIES = {
    "nothing": b"",
    "a priority alone": b"\0\1",
    "no end of the target": b"\0\1\x3fabc",
    "a target that points to itself": b"\0\1\xc0\x40",
    "a target with an address in it": record(H3, target="a b/@\n"),
    "half a parameter": record(H3) + b"\0\1\0",
    "a parameter beyond the end": record() + b"\0\1\xff\xff\2h3",
    "a protocol beyond the end": record({ALPN: b"\xffh3"}),
    "the order of parameters": record([(PORT, b"\1\xbb"), (ALPN, alpn("h3"))]),
    "the same twice": record([(ALPN, alpn("h3")), (ALPN, alpn("h3"))]),
    "half a port": record({ALPN: alpn("h3"), PORT: b"\1"}),
    "half an address": record({ALPN: alpn("h3"), IPV4HINT: b"\x7f\0\0"}),
    "half an address of IPv6": record({ALPN: alpn("h3"), IPV6HINT: bytes(17)}),
    "a default that says something": record({ALPN: alpn("h3"), NO_DEFAULT_ALPN: b"x"}),
    "an empty ECH": record({ALPN: alpn("h3"), ECH: b""}),
    "what is mandatory is unknown": record({MANDATORY: b"\xff\0", ALPN: alpn("h3")}),
    "a protocol a thousand times": record({ALPN: alpn("h3") * 500}),
    "a long target": b"\0\1" + b"\x3f" + b"a" * 63 + dns_name(".".join(["b" * 63] * 5)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_record_that_lies(origin: Origin, lie: str) -> None:
    """It says nothing, or what of it can be read: the name is reached all the same."""
    origin.has(LIES[lie])
    done = origin.ask("-m", "8")
    assert (done.code, done.out) == (OK, "ok"), done.err


@pytest.mark.parametrize(
    "answer",
    [b"", b"x", b"\xff" * 600, bytes(12), bytes(40_000), 500, 404],
    ids=["empty", "one byte", "ones", "a head", "too long", "500", "404"],
)
def test_no_answer_about_records(origin: Origin, answer: bytes | int) -> None:
    origin.zone.whole[HTTPS] = answer
    by_tcp(origin, "-m", "8")


@pytest.mark.parametrize(
    "answer", [b"", b"\xff" * 600, bytes(40_000), 500], ids=["empty", "ones", "too long", "500"]
)
def test_no_answer_about_addresses(origin: Origin, answer: bytes | int) -> None:
    origin.has(record(H3))
    origin.zone.whole.update({A: answer, AAAA: answer})
    assert origin.ask("-m", "8").code == UNRESOLVED
    assert origin.tcp.asked == []


def test_a_stranger_is_not_asked_for_names(origin: Origin, serve: Serve) -> None:
    stranger = serve(Zone(rows=origin.zone.rows), context_of(CA().issue_cert(HOST)))
    done = Origin(**{**vars(origin), "doh": stranger}).ask()
    assert (done.code, done.out) == (UNRESOLVED, "")
    assert stranger.zone.asked == []
    done = Origin(**{**vars(origin), "doh": stranger}).ask("--doh-insecure")
    assert (done.code, done.out) == (OK, "ok")


def test_a_slow_answer_about_records(origin: Origin) -> None:
    """Time is up when it is up."""
    began = time.monotonic()
    with socket.create_server((HOST, 0)) as mute:
        where = f"https://{HOST}:{mute.getsockname()[1]}/dns-query"
        assert origin.ask("--doh-url", where, "-m", "1").code == TOO_LATE
    assert time.monotonic() - began < 4
