"""The check of websocket: 101 is not enough."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
from trustme import CA

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, answer, drip, flood, read_request, serving
from tests.integration.certificates import HOST, context_of
from tests.integration.traces import wait_for
from tests.interpreters import Interpreter

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SOON = ("--timeout", "400ms")
GOOD = {"Upgrade": "websocket", "Connection": "Upgrade"}


def header_of(request: bytes) -> dict[str, str]:
    lines = request.decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def accept_of(key: str) -> str:
    """RFC 6455, section 4.2.2."""
    digest = hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def test_the_example_of_the_standard() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def websocket(
    fields: Mapping[str, str],
    *,
    status: str = "101 Switching Protocols",
    accept: str = "{}",
    seen: list[bytes] | None = None,
    more: bytes = b"",
) -> Handler:
    """Answer a handshake; "{}" in ``accept`` is what it must be."""

    def handle(connection: socket.socket) -> None:
        request = read_request(connection)
        key = header_of(request)["sec-websocket-key"]
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
        if accept:
            lines.append(f"Sec-WebSocket-Accept: {accept.format(accept_of(key))}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + more)
        rest = b""
        while data := connection.recv(65536):
            rest += data
        if seen is not None:
            seen.extend([request, rest])

    return handle


ANSWERS: dict[str, tuple[Handler, tuple[str, ...], int, str]] = {
    "switched": (websocket(GOOD), (), 0, ": 101, switched to websocket in "),
    "other letters": (
        websocket({"UPGRADE": "WebSocket", "CONNECTION": "keep-alive, upgrade"}),
        (),
        0,
        "switched",
    ),
    "with frames": (websocket(GOOD, more=b"\x81\x02hi" * 99), (), 0, "switched"),
    "subprotocol": (
        websocket({**GOOD, "Sec-WebSocket-Protocol": "mqtt"}),
        ("--subprotocol", "mqtt"),
        0,
        "switched",
    ),
    "no subprotocol": (
        websocket(GOOD),
        ("--subprotocol", "mqtt"),
        1,
        "the subprotocol is '', not 'mqtt'",
    ),
    "another subprotocol": (
        websocket({**GOOD, "Sec-WebSocket-Protocol": "stomp"}),
        ("--subprotocol", "mqtt"),
        1,
        "the subprotocol is 'stomp', not 'mqtt'",
    ),
    "not asked for one": (
        websocket({**GOOD, "Sec-WebSocket-Protocol": "mqtt"}),
        (),
        1,
        "the subprotocol is 'mqtt'",
    ),
    "extension": (
        websocket({**GOOD, "Sec-WebSocket-Extensions": "permessage-deflate"}),
        (),
        1,
        "an extension that was not offered",
    ),
    "no accept": (websocket(GOOD, accept=""), (), 1, "Sec-WebSocket-Accept is not"),
    "wrong accept": (websocket(GOOD, accept=accept_of("x")), (), 1, "Sec-WebSocket-Accept is not"),
    "accept and more": (websocket(GOOD, accept="{}="), (), 1, "Sec-WebSocket-Accept is not"),
    "two accepts": (
        websocket({**GOOD, "sec-websocket-accept": "x"}),
        (),
        1,
        "Sec-WebSocket-Accept is not",
    ),
    "no upgrade": (websocket({"Connection": "Upgrade"}), (), 1, "another protocol"),
    "another protocol": (websocket({**GOOD, "Upgrade": "h2c"}), (), 1, "another protocol"),
    "no connection": (websocket({"Upgrade": "websocket"}), (), 1, "has no Upgrade"),
    "close": (websocket({**GOOD, "Connection": "not-upgrade"}), (), 1, "has no Upgrade"),
    "200": (websocket(GOOD, status="200 OK"), (), 1, ": 200, not 101, "),
    "400": (websocket({}, status="400 Bad Request"), (), 1, ": 400, not 101, "),
    "302": (websocket({"Location": "/"}, status="302 Found"), (), 1, ": 302, not 101, "),
    "101 without end": (
        answer(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"),
        (),
        1,
        "in the middle",
    ),
    "no http": (answer(b"SSH-2.0-x\r\n"), (), 1, "does not speak HTTP"),
    "nothing": (answer(b""), (), 1, "without an answer"),
}


@pytest.mark.parametrize("name", list(ANSWERS))
def test_answers(probe: Probe, name: str) -> None:
    handler, words, code, text = ANSWERS[name]
    with serving(handler) as server:
        done = probe("websocket", f"ws://{server.address}/x", *words, "--timeout", "5s")
    assert (done.returncode, text in done.stdout) == (code, True), done.stdout


def test_what_is_sent(probe: Probe, tmp_path: Path) -> None:
    seen: list[bytes] = []
    with serving(websocket(GOOD, seen=seen), path=tmp_path / "s") as server:
        words = ("--header", "Origin: http://o", "--basic-auth", "u:p", "--unix-socket")
        for _ in range(2):
            url = "ws://app.example/a/b?c=d#e"
            assert probe("websocket", url, *words, server.address).returncode == 0
        wait_for(lambda: len(seen) == 4, seconds=10, what="the end of both connections")
    request, rest, again, _ = seen
    assert request.startswith(b"GET /a/b?c=d HTTP/1.1\r\n")
    header = header_of(request)
    wanted = {
        "host": "app.example",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "origin": "http://o",
        "authorization": "Basic dTpw",
    }
    assert {name: header[name] for name in wanted} == wanted
    assert "sec-websocket-protocol" not in header
    key = header["sec-websocket-key"]
    assert len(base64.b64decode(key, validate=True)) == 16
    assert key != header_of(again)["sec-websocket-key"]
    # A close frame, masked, with the code 1000 (section 5.2).
    assert rest[:2] == b"\x88\x82"
    assert bytes(a ^ b for a, b in zip(rest[6:], rest[2:4], strict=True)) == b"\x03\xe8"


def test_urls(probe: Probe, tmp_path: Path) -> None:
    with serving(websocket(GOOD)) as server:
        done = probe(f"WS://u:pass-word@{server.address}/x?token=abcdef", "--verbose")
        assert done.returncode == 0
        assert done.stdout.startswith(f"healthy: websocket ws://{server.address}/x?token=***: 101")
        assert "pass-word" not in done.stdout
        assert probe(env={"PROBE_URL": f"ws://{server.address}"}).returncode == 0
        words = ("websocket", "ws://app.example", "--connect-to", server.address)
        assert probe(*words).returncode == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "a URL that begins with ws://"),
        (("http://h/",), "a URL that begins with ws://"),
        (("ws",), "a URL that begins with ws://"),
        (("ws://",), "no host name"),
        (("ws://h:x/",), "the port in the URL"),
        (("ws://h/", "--ca-file", "/x"), "no effect without TLS"),
        (("ws://h/", "--subprotocol", "a b"), "is one word"),
        (("ws://h/", "--subprotocol", "a,b"), "is one word"),
        (("ws://h/", "--header", "Upgrade: x"), "sets this one itself"),
        (("ws://h/", "--header", "connection: x"), "sets this one itself"),
        (("ws://h/", "--header", "Sec-WebSocket-Key: x"), "sets this one itself"),
        (("ws://h/", "--status", "200"), "not of websocket"),
    ],
)
def test_bad_usage(probe: Probe, words: tuple[str, ...], text: str) -> None:
    done = probe("websocket", *words)
    assert (done.returncode, text in done.stdout) == (1, True), done.stdout


@pytest.mark.parametrize(
    "handler",
    [
        flood(b"", b"x" * 4096),
        flood(b"HTTP/1.1 101 x\r\n", b"a: b\r\n" * 99),
        flood(b"", b"HTTP/1.1 100 x\r\n\r\n" * 99),
        drip(b"HTTP/1.1 101 Switching\r\n", 0.1),
    ],
    ids=["garbage", "fields", "interim", "drip"],
)
def test_it_is_bounded(probe: Probe, handler: Handler) -> None:
    with serving(handler) as server:
        done = probe("websocket", f"ws://{server.address}/", *SOON, cpu=2)
    assert (done.returncode, "internal error" in done.stdout) == (1, False)


def test_over_tls(probe: Probe, interpreter: Interpreter, authority: CA, ca: str) -> None:
    if not interpreter.has_tls:
        assert "this build has no TLS" in probe("websocket", "wss://h/").stdout
        return
    context = context_of(authority.issue_cert(HOST))

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            websocket(GOOD)(session)

    with serving(secured) as server:
        words = ("websocket", f"wss://{server.address}/")
        good = probe(*words, "--ca-file", ca)
        assert (good.returncode, f"websocket wss://{server.address}/" in good.stdout) == (0, True)
        assert probe(*words, "--insecure").returncode == 0
        assert probe(*words).returncode == 1
        assert probe("websocket", f"ws://{server.address}/").returncode == 1
    assert context.verify_mode is ssl.CERT_NONE
