"""curl:full's HTTP/3 against aioquic: answers of every size, servers that fail, and the way to it from HTTP/1.1."""

import hashlib
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from trustme import CA, LeafCert

from builders.engines.scratch_root import PROGRAM, SandboxEnvironment
from tests.curls import OK, REFUSED, TOO_LATE, UNTRUSTED, Curl, Done
from tests.integration.certificates import HOST, context_of, expired, not_yet
from tests.integration.http_server import Servers, serving
from tests.integration.quic_server import QuicServer, pattern, quic_server, silent_port
from tests.integration.real_server import free_port

pytestmark = pytest.mark.builds

HTTP3_FAILED, SENDING_FAILED, RECEIVING_FAILED, CUT = 95, 55, 56, 18
VERSION = ("-w", "%{stderr}%{http_version} ")

Ask = Callable[..., Done]


@pytest.fixture(scope="module")
def server(authority: CA) -> Iterator[QuicServer]:
    with quic_server(authority.issue_cert(HOST, "localhost")) as server:
        yield server


@pytest.fixture
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture
def ask(full: Curl, ca: str) -> Ask:
    """Run curl with the CA of the servers and HTTP/3 alone."""
    return lambda *words: full("--http3-only", "--cacert", ca, *words)


def url(server: QuicServer, path: str) -> str:
    return f"https://{HOST}:{server.port}{path}"


def test_get(ask: Ask, server: QuicServer) -> None:
    done = ask(*VERSION, url(server, "/status/200"))
    assert (done.code, done.out, done.err) == (OK, "ok", "3 ")
    done = ask("-f", url(server, "/status/404"))
    assert (done.code, done.out) == (22, "")


def test_a_request_says_what_it_says_over_http_1(ask: Ask, server: QuicServer) -> None:
    done = ask("-H", "X-Own: yes", "-A", "agent", "-u", "user:secret", url(server, "/echo?a=b"))
    told = json.loads(done.out)
    assert (told["method"], told["path"]) == ("GET", "/echo?a=b")
    headers = told["headers"]
    assert headers[":authority"] == f"{HOST}:{server.port}"
    assert headers[":scheme"] == "https"
    assert headers["x-own"] == "yes"
    assert headers["user-agent"] == "agent"
    assert headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="


@pytest.mark.parametrize("size", [0, 1, 1200, 100_000, 5_000_000])
def test_post(ask: Ask, server: QuicServer, tmp_path: Path, size: int) -> None:
    body = tmp_path / "body"
    body.write_bytes(pattern(size))
    done = ask("--data-binary", f"@{body}", url(server, "/echo"))
    assert done.code == OK, done.err
    told = json.loads(done.out)
    assert (told["method"], told["size"]) == ("POST", size)
    assert told["sha256"] == hashlib.sha256(pattern(size)).hexdigest()


def test_an_upload_of_unknown_length(full: Curl, ca: str, server: QuicServer) -> None:
    words = ("--http3-only", "--cacert", ca, "-T", "-", url(server, "/echo"))
    done = full(*words, typed=pattern(300_000))
    told = json.loads(done.out)
    assert (told["method"], told["size"]) == ("PUT", 300_000)


@pytest.mark.parametrize("size", [0, 1, 70_000, 5_000_000])
def test_bodies_arrive_whole(ask: Ask, server: QuicServer, size: int) -> None:
    done = ask(url(server, f"/bytes/{size}"))
    assert (done.code, len(done.data)) == (OK, size)
    assert done.data == pattern(size)


@pytest.mark.parametrize("size", [4_000, 60_000])
def test_large_headers(ask: Ask, server: QuicServer, size: int) -> None:
    done = ask("-i", url(server, f"/headers/{size}"))
    assert done.code == OK, done.err
    assert f"x-long: {'x' * size}\r\n" in done.out
    assert done.out.startswith("HTTP/3 200")


def test_large_headers_of_ours(ask: Ask, server: QuicServer) -> None:
    done = ask("-H", f"X-Long: {'y' * 20_000}", url(server, "/echo"))
    assert json.loads(done.out)["headers"]["x-long"] == "y" * 20_000


def test_one_after_another_over_one_connection(ask: Ask, server: QuicServer) -> None:
    before = server.handshakes
    done = ask("-w", "%{stderr}%{num_connects} ", *[url(server, "/status/200")] * 5)
    assert (done.code, done.out) == (OK, "ok" * 5)
    assert done.err == "1 0 0 0 0 "
    assert server.handshakes == before + 1


def test_at_once_over_one_connection(ask: Ask, server: QuicServer) -> None:
    before = server.handshakes
    done = ask("-Z", *[url(server, "/bytes/200000")] * 8)
    assert (done.code, len(done.data)) == (OK, 8 * 200_000)
    assert server.handshakes == before + 1


def test_new_keys_in_mid_connection(ask: Ask, server: QuicServer) -> None:
    done = ask(*[url(server, "/keys"), url(server, "/bytes/3000000")] * 2)
    assert (done.code, len(done.data)) == (OK, 2 * (len(b"new keys") + 3_000_000)), done.err


def test_a_server_that_has_addresses_proven_first(ask: Ask, authority: CA) -> None:
    with quic_server(authority.issue_cert(HOST), retry=True) as server:
        done = ask(url(server, "/status/200"))
    assert (done.code, done.out, server.handshakes) == (OK, "ok", 1)


def trusted(authority: CA, name: str) -> LeafCert:
    match name:
        case "expired":
            return expired(authority)
        case "of the future":
            return not_yet(authority)
        case "another host's":
            return authority.issue_cert("elsewhere.invalid", "127.0.0.2")
        case _:
            return CA().issue_cert(HOST)


@pytest.mark.parametrize("name", ["expired", "of the future", "another host's", "a stranger's"])
def test_certificates_that_are_refused(ask: Ask, authority: CA, name: str) -> None:
    with quic_server(trusted(authority, name)) as server:
        done = ask(url(server, "/status/200"))
        assert (done.code, done.out) == (UNTRUSTED, ""), done.err
        assert server.asked == []
        done = ask("-k", url(server, "/status/200"))
        assert (done.code, done.out) == (OK, "ok"), done.err


def test_an_intermediate_is_sent(ask: Ask, authority: CA) -> None:
    with quic_server(authority.create_child_ca().issue_cert(HOST)) as server:
        assert ask(url(server, "/status/200")).code == OK


def test_without_a_ca_of_ours_it_is_unknown(full: Curl, server: QuicServer) -> None:
    assert full("--http3-only", url(server, "/status/200")).code == UNTRUSTED


def test_a_pin(ask: Ask, server: QuicServer) -> None:
    wrong = "sha256//" + "A" * 43 + "="
    assert ask("--pinnedpubkey", wrong, url(server, "/status/200")).code == 90


def test_a_silent_server(ask: Ask) -> None:
    with silent_port() as port:
        assert ask("-m", "1", f"https://{HOST}:{port}/").code == TOO_LATE
        assert ask("--connect-timeout", "1", f"https://{HOST}:{port}/").code == TOO_LATE


def test_silence_after_the_request(ask: Ask, server: QuicServer) -> None:
    assert ask("-m", "1", url(server, "/silent")).code == TOO_LATE


def test_nobody_is_there(ask: Ask) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((HOST, 0))
        port = held.getsockname()[1]
    done = ask(f"https://{HOST}:{port}/")
    assert (done.code, done.out) == (REFUSED, "")


@pytest.mark.parametrize("path", ["/close", "/reset"])
def test_no_answer(ask: Ask, server: QuicServer, path: str) -> None:
    done = ask(url(server, path), url(server, "/status/200"))
    assert "ok" in done.out, "the next request has a connection of its own, or goes on"
    assert any(f"curl: ({code})" in done.err for code in (HTTP3_FAILED, RECEIVING_FAILED)), done.err


def test_half_an_answer(ask: Ask, server: QuicServer) -> None:
    done = ask(url(server, "/cut"))
    assert done.out in {"", "half"}
    assert done.code in {HTTP3_FAILED, RECEIVING_FAILED, CUT}, done.err


def both(authority: CA, servers: Servers) -> tuple[int, ssl.SSLContext]:
    """A port where HTTPS is spoken over TCP."""
    context = context_of(authority.issue_cert(HOST))
    return servers.tls(context).port, context


def test_http3_is_tried_first_where_both_are(
    full: Curl, ca: str, authority: CA, servers: Servers
) -> None:
    port, _ = both(authority, servers)
    with quic_server(authority.issue_cert(HOST), port=port):
        done = full("--http3", "--cacert", ca, *VERSION, f"https://{HOST}:{port}/status/200")
    assert (done.code, done.out, done.err) == (OK, "ok", "3 ")


def test_without_an_option_it_is_not_tried(
    full: Curl, ca: str, authority: CA, servers: Servers
) -> None:
    port, _ = both(authority, servers)
    with quic_server(authority.issue_cert(HOST), port=port) as server:
        done = full("--cacert", ca, *VERSION, f"https://{HOST}:{port}/status/200")
    assert (done.code, done.out, done.err) == (OK, "ok", "1.1 ")
    assert server.handshakes == 0


@pytest.mark.parametrize("dead", ["silent", "closed"])
def test_http3_falls_back_to_tcp(
    full: Curl, ca: str, authority: CA, servers: Servers, dead: str
) -> None:
    port, _ = both(authority, servers)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        if dead == "silent":
            datagrams.bind((HOST, port))
        words = ("--cacert", ca, *VERSION, f"https://{HOST}:{port}/status/200")
        done = full("--http3", *words)
        assert (done.code, done.out, done.err) == (OK, "ok", "1.1 ")
        assert full("--http3-only", "-m", "2", *words).code in {REFUSED, TOO_LATE}


def test_a_bad_certificate_is_bad_over_tcp_as_well(
    full: Curl, ca: str, authority: CA, servers: Servers
) -> None:
    """Falling back is no way round a refused certificate."""
    leaf = authority.issue_cert("elsewhere.invalid")
    port = servers.tls(context_of(leaf)).port
    with quic_server(leaf, port=port):
        done = full("--http3", "--cacert", ca, f"https://{HOST}:{port}/status/200")
    assert (done.code, done.out) == (UNTRUSTED, "")


def test_alt_svc_leads_to_http3(
    full: Curl, ca: str, authority: CA, servers: Servers, server: QuicServer, tmp_path: Path
) -> None:
    """The answer over TCP names the server; the next run, and what follows in the same one, ask there."""
    origin = servers.tls(context_of(authority.issue_cert(HOST)))
    cache = tmp_path / "alt-svc"
    origin.headers = {"Alt_Svc": f'h3=":{server.port}"; ma=3600'}
    words = ("--cacert", ca, "--alt-svc", str(cache), *VERSION)
    there = f"https://{HOST}:{origin.port}/status/200"
    done = full(*words, there)
    assert (done.code, done.err) == (OK, "1.1 ")
    assert f"h3 {HOST} {server.port} " in cache.read_text()
    before = server.handshakes
    done = full(*words, there)
    assert (done.code, done.out, done.err) == (OK, "ok", "3 ")
    assert server.handshakes == before + 1
    assert server.asked[-1].headers[":authority"] == f"{HOST}:{origin.port}"
    assert server.asked[-1].headers["alt-used"] == f"{HOST}:{server.port}"


@pytest.mark.parametrize("dead", ["silent", "closed"])
def test_alt_svc_of_a_server_that_has_gone(
    full: Curl, ca: str, authority: CA, servers: Servers, tmp_path: Path, dead: str
) -> None:
    """At the origin's own port TCP is there to fall back to; another port is asked alone, as curl's authors have it."""
    origin = servers.tls(context_of(authority.issue_cert(HOST)))
    there = f"https://{HOST}:{origin.port}/status/200"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as same, silent_port() as silent:
        if dead == "silent":
            same.bind((HOST, origin.port))
        elsewhere = silent if dead == "silent" else free_port()
        for port, expected in (
            (origin.port, {OK}),
            (elsewhere, {SENDING_FAILED, TOO_LATE, REFUSED}),
        ):
            origin.headers = {"Alt_Svc": f'h3=":{port}"; ma=3600'}
            cache = tmp_path / f"alt-svc-{port}"
            words = ("--cacert", ca, "--alt-svc", str(cache), *VERSION)
            assert full(*words, there).code == OK
            assert f" {port} " in cache.read_text()
            done = full("--connect-timeout", "4", *words, there)
            assert done.code in expected, done.err
            assert not done.out or done.err == "1.1 "


def test_qlogdir_gets_a_log_of_each_connection(
    full: Curl, ca: str, server: QuicServer, tmp_path: Path
) -> None:
    """JSON texts in sequence: https://www.rfc-editor.org/rfc/rfc7464."""
    words = ("--http3-only", "--cacert", ca, url(server, "/status/200"))
    for number in (1, 2):
        assert full(*words, env={"QLOGDIR": str(tmp_path)}).code == OK
        assert len(list(tmp_path.iterdir())) == number
    for log in tmp_path.iterdir():
        heads, *events = [json.loads(text) for text in log.read_text().split("\x1e")[1:]]
        assert heads["qlog_format"] == "JSON-SEQ"
        assert any("packet_sent" in event["name"] for event in events)
    assert full(*words, env={"QLOGDIR": str(tmp_path / "absent")}).code == OK


@pytest.mark.sandbox
def test_in_an_empty_root(
    full: Curl, ca: str, server: QuicServer, empty_roots: SandboxEnvironment
) -> None:
    """With the file and the CA's certificate, and nothing else."""
    files = {PROGRAM: full.program, PurePosixPath("/ca.pem"): Path(ca)}
    words = ["-sS", "-m", "20", "--http3-only", "--cacert", "/ca.pem", *VERSION]
    with empty_roots.open(files) as root:
        ran = root.run([*words, url(server, "/bytes/100000")], seconds=30)
    assert (ran.code, len(ran.stdout), ran.stderr) == (OK, 100_000, "3 ")
