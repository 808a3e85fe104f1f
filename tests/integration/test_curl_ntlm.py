"""curl:full's NTLM, for servers and proxies, against a server that computes the answers itself."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from trustme import CA

from tests.curls import OK, REFUSED, Curl
from tests.integration.certificates import HOST, context_of
from tests.integration.http_server import Servers, serve_until, serving
from tests.integration.ntlm_server import (
    CHALLENGE,
    EXTENDED,
    NTLM,
    SIGNATURE,
    TARGET_INFO,
    UNICODE,
    Guard,
    NtlmServer,
    des_response,
    password_hash,
    user_hash,
)

REFUSED_BY_STATUS, TOO_LARGE = 22, 100
LOGIN = ("--ntlm", "-u", "user:secret")
builds = pytest.mark.builds

Start = Callable[[Guard], NtlmServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server; it ends with the test."""
    with ExitStack() as stack:

        def started(guard: Guard) -> NtlmServer:
            return serve_until(stack, NtlmServer(guard))

        yield started


@pytest.fixture
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


def url(server: NtlmServer, path: str = "/status/200") -> str:
    return f"http://{HOST}:{server.port}{path}"


def test_the_computation_is_that_of_the_specification() -> None:
    """https://learn.microsoft.com/openspecs/windows_protocols/ms-nlmp, 4.2"""
    assert password_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"
    hashed = user_hash("User", "Domain", "Password").hex()
    assert hashed == "0c868a403bfd7a93a3001ef22ef02e3f"
    response = des_response(password_hash("Password"), CHALLENGE).hex()
    assert response == "67c43011f30298a2ad35ece64f16331c44bdbed927841f94"


@builds
@pytest.mark.parametrize("extended", [True, False], ids=["NTLMv2", "NTLMv1"])
class TestServer:
    def test_right(self, full: Curl, start: Start, extended: bool) -> None:
        server = start(Guard(extended=extended))
        done = full(*LOGIN, "-w", "%{num_connects}", url(server))
        assert (done.code, done.out) == (OK, "ok1"), "all three messages go over one connection"
        assert server.guard.seen == [1, 3]

    def test_wrong(self, full: Curl, start: Start, extended: bool) -> None:
        server = start(Guard(extended=extended, password="another"))
        done = full("-f", *LOGIN, url(server))
        assert (done.code, done.out) == (REFUSED_BY_STATUS, "")
        assert server.guard.seen == [1, 3], "it does not go on guessing"
        assert server.asked == []

    @pytest.mark.parametrize("name", ["REALM\\user", "REALM/user"])
    def test_of_a_domain(self, full: Curl, start: Start, extended: bool, name: str) -> None:
        server = start(Guard(extended=extended, domain="REALM"))
        done = full("--ntlm", "-u", f"{name}:secret", url(server))
        assert (done.code, done.out) == (OK, "ok")
        done = full("-f", "--ntlm", "-u", f"OTHER{name[5:]}:secret", url(server))
        assert done.code == REFUSED_BY_STATUS

    def test_a_body_goes_once_it_is_known(self, full: Curl, start: Start, extended: bool) -> None:
        server = start(Guard(extended=extended))
        done = full(*LOGIN, "--data-binary", "x" * 100_000, url(server, "/echo"))
        assert json.loads(done.out)["body"] == "x" * 100_000
        assert len(server.asked) == 1


@builds
def test_a_long_password(full: Curl, start: Start) -> None:
    server = start(Guard(password="p" * 200))
    assert full("--ntlm", "-u", f"user:{'p' * 200}", url(server)).out == "ok"


@builds
def test_it_is_the_connection_that_is_known(full: Curl, start: Start) -> None:
    server = start(Guard())
    done = full(*LOGIN, url(server), url(server), url(server))
    assert (done.out, server.guard.seen) == ("okokok", [1, 3])
    done = full("-f", url(server))
    assert done.code == REFUSED_BY_STATUS, "another connection is a stranger's"


@builds
def test_another_user_gets_another_connection(full: Curl, start: Start) -> None:
    server = start(Guard())
    words = ("--next", "-f", "-sS", "-m", "10", "--ntlm", "-u", "other:secret", url(server))
    done = full(*LOGIN, url(server), *words)
    assert (done.code, done.out) == (REFUSED_BY_STATUS, "ok")
    assert server.guard.seen == [1, 3, 1, 3]


@builds
def test_what_the_server_offers_is_chosen(full: Curl, start: Start) -> None:
    server = start(Guard())
    done = full("--anyauth", "-u", "user:secret", url(server))
    assert (done.code, done.out, server.guard.seen) == (OK, "ok", [1, 3])


@builds
def test_it_is_not_told_to_another_server(full: Curl, start: Start, servers: Servers) -> None:
    """Neither the name nor a message follows a redirect elsewhere."""
    elsewhere, first = start(Guard()), servers.plain()
    first.headers = {"Location": url(elsewhere)}
    done = full("-f", "-L", *LOGIN, f"http://{HOST}:{first.port}/status/302")
    assert done.code == REFUSED_BY_STATUS
    assert elsewhere.guard.seen == []


def second(**fields: int) -> bytes:
    """A second message with target information at ``offset`` of ``length``."""
    head = SIGNATURE + struct.pack("<IHHII", 2, 0, 0, 48, UNICODE | NTLM | EXTENDED | TARGET_INFO)
    length = fields["length"]
    return head + CHALLENGE + bytes(8) + struct.pack("<HHI", length, length, fields["offset"])


BAD = {
    "nothing": b"",
    "no signature": b"x" * 64,
    "short": SIGNATURE + struct.pack("<I", 2),
    "the first message again": SIGNATURE + struct.pack("<I", 1) + bytes(40),
    "beyond the end": second(length=100, offset=48),
    "far beyond the end": second(length=0xFFFF, offset=0xFFFFFFF0),
    "inside the head": second(length=40, offset=0),
}


@builds
@pytest.mark.parametrize("name", BAD)
def test_a_server_that_lies(full: Curl, start: Start, name: str) -> None:
    """No third message is sent, and none of the request is answered."""
    text = base64.b64encode(BAD[name]).decode()
    server = start(Guard(second=f"NTLM {text}"))
    done = full("-f", "-m", "5", *LOGIN, url(server))
    assert done.code == REFUSED_BY_STATUS, done.err
    assert 3 not in server.guard.seen
    assert server.guard.seen.count(1) < 3


@builds
def test_a_server_that_lies_about_base64(full: Curl, start: Start) -> None:
    server = start(Guard(second="NTLM !!!!"))
    assert full("-f", "-m", "5", *LOGIN, url(server)).code == REFUSED_BY_STATUS
    assert 3 not in server.guard.seen


@builds
def test_a_large_second_message(full: Curl, start: Start) -> None:
    """Target information is sent back, so it has to find room; what finds none is an error, and nothing worse."""
    codes = []
    for size in (100, 800, 1_500, 4_000, 30_000):
        text = base64.b64encode(second(length=size, offset=48) + bytes(size)).decode()
        server = start(Guard(second=f"NTLM {text}"))
        codes.append(full("-f", "-m", "5", *LOGIN, url(server)).code)
    assert codes == [OK, OK, TOO_LARGE, TOO_LARGE, TOO_LARGE]


@builds
def test_a_server_that_leaves_in_between(full: Curl, start: Start) -> None:
    """A connection of its own for the third message is a stranger's."""
    server = start(Guard(closes=True))
    done = full("-f", "-m", "5", *LOGIN, url(server))
    assert done.code not in {OK, 28}, done.err
    assert server.asked == []
    assert len(server.guard.seen) < 10


@builds
class TestProxy:
    WORDS = ("--proxy-ntlm", "-U", "user:secret")

    def test_http(self, full: Curl, start: Start) -> None:
        proxy = start(Guard())
        done = full("-x", url(proxy, ""), *self.WORDS, "http://elsewhere.invalid/status/200")
        assert (done.code, done.out) == (OK, "ok")
        assert proxy.guard.seen == [1, 3]
        assert "proxy-authorization" in proxy.asked[0].headers

    def test_a_tunnel(
        self, full: Curl, start: Start, servers: Servers, authority: CA, ca: str
    ) -> None:
        """What the proxy was told stays there."""
        proxy = start(Guard())
        origin = servers.tls(context_of(authority.issue_cert(HOST)))
        target = f"https://{HOST}:{origin.port}/echo"
        done = full("-x", url(proxy, ""), *self.WORDS, "--cacert", ca, target)
        assert done.code == OK, done.err
        assert not {"proxy-authorization", "authorization"} & set(json.loads(done.out)["headers"])
        assert [one.method for one in proxy.asked] == ["CONNECT"]

    def test_wrong(
        self, full: Curl, start: Start, servers: Servers, authority: CA, ca: str
    ) -> None:
        proxy = start(Guard(password="another"))
        origin = servers.tls(context_of(authority.issue_cert(HOST)))
        target = f"https://{HOST}:{origin.port}/status/200"
        done = full("-x", url(proxy, ""), *self.WORDS, "--cacert", ca, target)
        assert (done.code, done.out) == (REFUSED, "")
        assert (proxy.asked, origin.asked) == ([], [])

    def test_behind_it_a_server_that_asks_as_well(self, full: Curl, start: Start) -> None:
        proxy, server = start(Guard()), start(Guard(user="inner", password="hidden"))
        words = ("-x", url(proxy, ""), *self.WORDS, "-p", "--ntlm", "-u", "inner:hidden")
        done = full(*words, url(server))
        assert (done.code, done.out) == (OK, "ok"), done.err
        assert (proxy.guard.seen, server.guard.seen) == ([1, 3], [1, 3])
