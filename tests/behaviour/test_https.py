"""Whom the probe believes: TLS for http and grpc."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from trustme import CA, KeyType

from bench.sizes import anchors_in, bundle_in
from tests.anchors import AnchorTools
from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, answer, drip, http_reply, read_request, serving
from tests.behaviour.test_other_checks import SETTINGS, grpc_reply
from tests.integration.certificates import (
    HOST,
    context_of,
    expired,
    not_yet,
    outdated,
    outdated_context,
    self_signed,
)
from tests.interpreters import Interpreter, interpreters

Serve = Callable[[ssl.SSLContext], str]


@pytest.fixture(params=[it for it in interpreters() if it.has_tls])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that have TLS."""
    return Interpreter(request.param)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Response 200 over TLS; give the URL."""
    with ExitStack() as stack:

        def start(context: ssl.SSLContext) -> str:
            server = stack.enter_context(serving(over_tls(context, http_reply(body=BODY))))
            return f"https://{server.address}/"

        yield start


BODY = b"secure " * 9999  # more than one record


def over_tls(context: ssl.SSLContext, reply: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            read_request(session)
            session.sendall(reply)

    return handle


@pytest.mark.parametrize("interpreter", [it for it in interpreters() if it.is_one_file])
def test_the_authorities_inside(command: list[str], interpreter: Interpreter) -> None:
    data = Path(command[0]).read_bytes()
    assert (anchors_in(data).number > 100) is interpreter.has_authorities
    assert bundle_in(data) == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", list(KeyType))
def test_versions_and_keys(
    probe: Probe, authority: CA, ca: str, serve: Serve, version: ssl.TLSVersion, kind: KeyType
) -> None:
    url = serve(context_of(authority.issue_cert(HOST, key_type=kind), version, version))
    assert probe(url, "--ca-file", ca, "--contains", "secure secure").returncode == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("curve", ["prime256v1", "X25519", "secp384r1", "secp521r1"])
def test_servers_that_know_one_curve(
    probe: Probe, authority: CA, ca: str, serve: Serve, version: ssl.TLSVersion, curve: str
) -> None:
    """Also those that the probe does not try first: TLS 1.3 then begins anew, RFC 8446 section 4.1.4."""
    context = context_of(authority.issue_cert(HOST, key_type=KeyType.RSA), version, version)
    context.set_ecdh_curve(curve)
    assert probe(serve(context), "--ca-file", ca).returncode == 0


def test_older_versions_are_refused(probe: Probe, authority: CA, ca: str, serve: Serve) -> None:
    with outdated():
        url = serve(outdated_context(authority.issue_cert(HOST)))
        for options in (("--ca-file", ca), ("--insecure",)):
            done = probe(url, *options)
            assert done.returncode == 1
            assert "TLS with" in done.stdout


def test_a_ca_nobody_knows_is_refused(
    probe: Probe, authority: CA, serve: Serve, interpreter: Interpreter
) -> None:
    url = serve(context_of(authority.issue_cert(HOST)))
    done = probe(url)
    assert done.returncode == 1
    assert f"TLS with {HOST}:" in done.stdout
    if interpreter.has_authorities:
        # By the certificates inside: there were some to look through.
        assert "certificate refused" in done.stdout
        assert "not correctly signed by the trusted CA" in done.stdout
    assert probe(url, "--insecure").returncode == 0


@pytest.mark.parametrize("name", ["expired", "not yet valid", "wrong host", "self-signed"])
def test_bad_certificates(
    probe: Probe, authority: CA, ca: str, serve: Serve, tmp_path: Path, name: str
) -> None:
    context = {
        "expired": lambda: context_of(expired(authority)),
        "not yet valid": lambda: context_of(not_yet(authority)),
        "wrong host": lambda: context_of(authority.issue_cert("other.example")),
        "self-signed": lambda: self_signed(tmp_path),
    }[name]()
    url = serve(context)
    done = probe(url, "--ca-file", ca)
    assert done.returncode == 1
    assert "TLS with" in done.stdout
    assert probe(url, "--insecure", "--contains", "secure").returncode == 0


def test_another_name(probe: Probe, authority: CA, ca: str, serve: Serve) -> None:
    url = serve(context_of(authority.issue_cert("app.example")))
    right = probe(url, "--ca-file", ca, "--server-name", "app.example")
    wrong = probe(url, "--ca-file", ca, "--server-name", "other.example")
    assert (right.returncode, wrong.returncode) == (0, 1)


def test_localhost_and_its_names(probe: Probe, authority: CA, ca: str, serve: Serve) -> None:
    url = serve(context_of(authority.issue_cert("localhost", "app.localhost")))
    for host in ("localhost", "app.localhost"):
        assert probe(url.replace(HOST, host), "--ca-file", ca).returncode == 0


def test_the_ca_file(probe: Probe, authority: CA, ca: str, serve: Serve, tmp_path: Path) -> None:
    url = serve(context_of(authority.issue_cert(HOST)))
    assert probe(url, env={"PROBE_CA_FILE": ca}).returncode == 0
    other, garbage = tmp_path / "other.pem", tmp_path / "garbage.pem"
    CA().cert_pem.write_to_path(str(other))
    garbage.write_text("no certificate\n")
    for path in (other, garbage, tmp_path / "none.pem"):
        done = probe(url, "--ca-file", str(path))
        assert done.returncode == 1
        assert "internal error" not in done.stdout
    both = tmp_path / "both.pem"
    both.write_bytes(other.read_bytes() + Path(ca).read_bytes())
    assert probe(url, "--ca-file", str(both)).returncode == 0


def test_a_ca_file_as_distributions_have_it(
    probe: Probe,
    authority: CA,
    serve: Serve,
    anchor_tools: AnchorTools,
    tmp_path: Path,
) -> None:
    path = tmp_path / "ca-certificates.crt"
    path.write_bytes(anchor_tools.pem + authority.cert_pem.bytes())
    url = serve(context_of(authority.issue_cert(HOST)))
    assert probe(url, "--ca-file", str(path)).returncode == 0


def test_an_intermediate(probe: Probe, authority: CA, ca: str, serve: Serve) -> None:
    url = serve(context_of(authority.create_child_ca().issue_cert(HOST)))
    assert probe(url, "--ca-file", ca).returncode == 0


def test_redirects_between_schemes(probe: Probe, authority: CA, ca: str, serve: Serve) -> None:
    secure = serve(context_of(authority.issue_cert(HOST)))
    with serving(answer(http_reply("302 Found", header=f"Location: {secure}\r\n"))) as plain:
        up = ("--follow", "1", "--status", "200", "--ca-file", ca)
        assert probe(f"http://{plain.address}/", *up).returncode == 0
        away = http_reply("302 Found", header=f"Location: http://{plain.address}/\r\n")
        with serving(over_tls(context_of(authority.issue_cert(HOST)), away)) as server:
            down = probe(f"https://{server.address}/", "--follow", "1", "--ca-file", ca)
    assert down.returncode == 1
    assert "not followed" in down.stdout


def test_servers_that_do_not_speak_tls(probe: Probe) -> None:
    with serving(answer(http_reply())) as server:
        plain = probe(f"https://{server.address}/", "--insecure", "--timeout", "500ms")
        assert plain.returncode == 1
    with serving(drip(b"\x16", 9)) as server:
        slow = probe(f"https://{server.address}/", "--timeout", "300ms")
        assert slow.returncode == 1
        assert "TLS handshake" in slow.stdout
    for garbage in (b"\x16\x03\x03\xff\xff" + b"\xff" * 999, b"\x15\x03\x03\x00\x02\x02\x28", b""):
        with serving(drip(garbage, 0)) as server:
            done = probe(f"https://{server.address}/", "--timeout", "700ms")
            assert done.returncode == 1
            assert "internal error" not in done.stdout


def test_a_connection_cut_in_the_body(probe: Probe, authority: CA, ca: str) -> None:
    reply = http_reply(body=BODY)[:5000]
    with serving(over_tls(context_of(authority.issue_cert(HOST)), reply)) as server:
        done = probe(f"https://{server.address}/", "--ca-file", ca, "--contains", "secure")
    assert done.returncode == 1
    assert "of the body" in done.stdout


def test_grpc(probe: Probe, authority: CA, ca: str) -> None:
    context = context_of(authority.issue_cert(HOST))
    context.set_alpn_protocols(["h2"])
    chosen: list[str | None] = []

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            chosen.append(session.selected_alpn_protocol())
            session.recv(65536)
            session.sendall(SETTINGS + grpc_reply(1))
            while session.recv(65536):
                pass

    with serving(handle) as server:
        good = probe("grpc", server.address, "--tls", "--ca-file", ca)
        insecure = probe("grpc", server.address, "--tls", "--insecure")
        unknown = probe("grpc", server.address, "--tls")
        named = ("--server-name", "other.example")
        other = probe("grpc", server.address, "--tls", "--ca-file", ca, *named)
    assert (good.returncode, insecure.returncode) == (0, 0)
    assert (unknown.returncode, other.returncode) == (1, 1)
    assert chosen[:2] == ["h2", "h2"]
