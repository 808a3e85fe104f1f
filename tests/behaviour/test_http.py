"""The http check against real and hostile servers."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import pytest

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import (
    Handler,
    answer,
    drip,
    flood,
    free_port,
    http_reply,
    read_request,
    serving,
)
from tests.interpreters import Interpreter


@pytest.mark.parametrize(
    ("status", "options", "code"),
    [
        ("204 No Content", (), 0),
        ("301 Moved", (), 0),
        ("400 Bad", (), 1),
        ("500 Broken", (), 1),
        ("401 Who", ("--status", "200-299,401"), 0),
        ("301 Moved", ("--status", "200-299,401"), 1),
        ("301 Moved", ("--status", "3xx"), 0),
    ],
)
def test_status(probe: Probe, status: str, options: tuple[str, ...], code: int) -> None:
    with serving(answer(http_reply(status))) as server:
        done = probe("http", f"http://{server.address}/", *options)
    assert done.returncode == code
    assert f": {status[:3]}" in done.stdout


def test_request(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(answer(http_reply(), seen)) as server:
        probe(f"http://{server.address}/a?b=%20c#d")
        probe(
            f"http://u%20:p@{server.address}",
            *("--header", "Host: app.example", "--header", "X: a:b", "--user-agent", "me"),
            *("--body", "hello\r\n", "--method", "PATCH"),
        )
        probe(f"http://{server.address}/", "--basic-auth", "user:pass")
    assert (
        seen[0]
        == (
            f"GET /a?b=%20c HTTP/1.1\r\nHost: {server.address}\r\nUser-Agent: fromscratch-probe/0.1.0\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        ).encode()
    )
    assert seen[1].startswith(b"PATCH / HTTP/1.1\r\nUser-Agent: me\r\n")
    assert seen[1].count(b"Host:") == 1
    assert b"\r\nHost: app.example\r\nX: a:b\r\n" in seen[1]
    assert b"\r\nAuthorization: Basic dSA6cA==\r\n" in seen[1]
    assert seen[1].endswith(b"\r\nContent-Length: 7\r\n\r\nhello\r\n")
    assert b"\r\nAuthorization: Basic dXNlcjpwYXNz\r\n" in seen[2]


def test_localhost_is_both_loopbacks(probe: Probe) -> None:
    port = free_port()
    done = probe(f"http://localhost:{port}/")
    assert f"refused by 127.0.0.1:{port} and " in done.stdout
    assert f"[::1]:{port}" in done.stdout
    if not socket.has_ipv6:
        return
    with serving(answer(http_reply()), host="::1") as server:
        assert probe(f"http://localhost:{server.port}/").returncode == 0
        assert probe(f"http://app.localhost:{server.port}/").returncode == 0
        assert probe(f"http://[::1]:{server.port}/").returncode == 0
        assert probe(f"http://localhost:{server.port}/", "-4").returncode == 1
        assert probe(f"http://localhost:{server.port}/", "-6").returncode == 0


@pytest.mark.parametrize(
    ("body", "options", "code"),
    [
        (b"all is well", ("--contains", "is well"), 0),
        (b"all is well", ("--contains", "bad"), 1),
        (b"all is well", ("--not-contains", "bad"), 0),
        (b"all is well", ("--not-contains", "well"), 1),
        (b'{"status": "ok", "db": [{"up": true, "n": 1.0}]}', ("--json", "status=ok"), 0),
        (b'{"status": "ok", "db": [{"up": true, "n": 1.0}]}', ("--json", "db.0.up=true"), 0),
        (b'{"status": "ok", "db": [{"up": true, "n": 1.0}]}', ("--json", "db.0.n=1"), 0),
        (b'{"status": "ok", "db": [{"up": true, "n": 1.0}]}', ("--json", "db.1.up=true"), 1),
        (b'{"status": "down"}', ("--json", "status=ok"), 1),
        (b'{"status": "ok"', ("--json", "status=ok"), 1),
        (b"x" * 2000 + b"end", ("--contains", "end", "--max-body", "1k"), 1),
        (b"x" * 2000 + b"end", ("--not-contains", "y", "--max-body", "1k"), 1),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_body(probe: Probe, body: bytes, options: tuple[str, ...], code: int, framing: str) -> None:
    reply = http_reply(body=body)
    if framing == "chunked":
        chunks = b"".join(b"%X;x=y\r\n%b\r\n" % (len(c), c) for c in (body[:3], body[3:]))
        reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    elif framing == "close":
        reply = b"HTTP/1.1 200\r\n\r\n" + body
    with serving(answer(reply)) as server:
        assert probe(f"http://{server.address}/", *options).returncode == code


ENCODED = {
    "gzip": ("Content-Encoding: gzip", gzip.compress(b"all is well")),
    "GZIP among others": ("Content-Encoding: identity, GZIP", gzip.compress(b"all is well")),
    "two lines": ("Content-Encoding: br\r\nContent-Encoding: identity", b"all is well"),
    "transfer": ("Transfer-Encoding: gzip, chunked", b"b\r\nall is well\r\n0\r\n\r\n"),
    "not chunked": ("Transfer-Encoding: deflate", b"all is well"),
    "UTF-16 that is said": (
        'Content-Type: text/plain; Charset="UTF-16LE"',
        "well".encode("utf-16-le"),
    ),
    "UTF-16 that is marked": ("X: y", "well".encode("utf-16")),
    "UTF-32": ("Content-Type: text/plain;charset=utf-32", "well".encode("utf-32-be")),
}


@pytest.mark.parametrize("option", [("contains", "ll"), ("not-contains", "error"), ("json", "a=1")])
@pytest.mark.parametrize("name", list(ENCODED))
def test_a_body_that_cannot_be_read_is_no_proof(
    probe: Probe, name: str, option: tuple[str, str]
) -> None:
    header, body = ENCODED[name]
    with serving(answer(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode() + body)) as server:
        done = probe(f"http://{server.address}/", f"--{option[0]}", option[1])
        status = probe(f"http://{server.address}/")
    assert (done.returncode, "its body is encoded (" in done.stdout) == (1, True)
    assert status.returncode == 0


@pytest.mark.parametrize(
    "header",
    ["Content-Encoding: identity", "Content-Encoding:", "Content-Type: a/b; charset=utf-8"],
)
def test_a_body_that_is_encoded_by_nothing_is_read(probe: Probe, header: str) -> None:
    with serving(answer(http_reply(body=b"all is well", header=f"{header}\r\n"))) as server:
        assert probe(f"http://{server.address}/", "--not-contains", "error").returncode == 0


def test_follow(probe: Probe) -> None:
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        request = read_request(connection)
        seen.append(request)
        target = int(request.split(b" ")[1].rpartition(b"/")[2])
        location = f"Location: ../x/{target - 1}\r\n"
        connection.sendall(http_reply("302 Found", header=location) if target else http_reply())

    with serving(handle) as server:
        url = f"http://{server.address}/x/2"
        assert probe(url).returncode == 0
        assert probe(url, "--follow", "2", "--status", "200").returncode == 0
        short = probe(url, "--follow", "1")
    assert short.returncode == 1
    assert "--follow 1 redirects are used up" in short.stdout


@pytest.mark.parametrize("query", ["&token=abcdef", "&a=%41", "&x", "/../a"])
def test_a_long_chain_of_long_redirects_ends_in_time(probe: Probe, query: str) -> None:
    """Each parameter that looks secret is hidden, and each address is told: that may not add up."""
    many = http_reply("302 Found", header=f"Location: /x?{query * (8000 // len(query))}\r\n")
    with serving(answer(many)) as server:
        words = (f"http://{server.address}/", "--follow", "1000", "--timeout", "1s")
        for form in ((), ("--verbose",)):
            done = probe(*words, *form, cpu=4)
            assert (done.returncode, "abcdef" in done.stdout) == (1, False)
        few = probe(*words[:2], "3")
    assert "--follow 3 redirects are used up" in few.stdout
    longer = http_reply("302 Found", header=f"Location: /x?{query * (9000 // len(query))}\r\n")
    with serving(answer(longer)) as server:
        done = probe(f"http://{server.address}/", "--follow", "2")
    assert (done.returncode, "more than 8192" in done.stdout) == (1, True)


def test_credentials_stay_at_home(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(answer(http_reply(), seen)) as other:
        away = http_reply("302 Found", header=f"Location: http://{other.address}/\r\n")
        with serving(answer(away)) as server:
            options = ("--follow", "1", "--header", "Cookie: a", "--header", "Authorization: b")
            assert probe(f"http://{server.address}/", *options).returncode == 0
            assert probe(f"http://u:p@{server.address}/", "--follow", "1").returncode == 0
    for request in seen:
        assert b"Authorization" not in request
        assert b"Cookie" not in request


def test_unix_socket_and_connect_to(probe: Probe, tmp_path: Path) -> None:
    seen: list[bytes] = []
    with serving(answer(http_reply(), seen), path=tmp_path / "s") as server:
        assert probe("http://app/x", "--unix-socket", server.address).returncode == 0
    with serving(answer(http_reply(), seen)) as server:
        assert probe("http://app.example/x", "--connect-to", server.address).returncode == 0
    assert b"\r\nHost: app\r\n" in seen[0]
    assert b"\r\nHost: app.example\r\n" in seen[1]
    assert probe("http://app/", "--unix-socket", str(tmp_path / "none")).returncode == 1


HEAD = b"HTTP/1.1 200 OK\r\n"
HOSTILE: dict[str, tuple[Handler, tuple[str, ...]]] = {
    "silence": (drip(b"", 0), ()),
    "early close in the status": (answer(b"HTTP/1.1 2"), ()),
    "early close in the header": (answer(HEAD + b"X: y\r\n"), ()),
    "early close in the body": (
        answer(HEAD + b"Content-Length: 9\r\n\r\nok"),
        ("--contains", "ok"),
    ),
    "garbage": (answer(b"\x00\xff\x1b" * 99), ()),
    "garbage header": (answer(HEAD + b"no colon here\r\n\r\n"), ()),
    "no token": (answer(HEAD + b"a b: c\r\n\r\n"), ()),
    "control in a header": (answer(HEAD + b"a: b\x00c\r\n\r\n"), ()),
    "bad status": (answer(b"HTTP/1.1 2000 OK\r\n\r\n"), ()),
    "status out of range": (answer(b"HTTP/1.1 020 OK\r\n\r\n"), ("--status", "200-299")),
    "http 0.9": (answer(b"<html>ok</html>"), ()),
    "tls": (answer(b"\x15\x03\x01\x00\x02\x02\x46"), ()),
    "endless headers": (flood(HEAD, b"X: " + b"y" * 99 + b"\r\n"), ()),
    "endless status line": (flood(b"HTTP/1.1 200 ", b"y" * 999), ()),
    "endless interim": (flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), ()),
    "endless body": (
        flood(HEAD + b"Content-Length: 10000000000\r\n\r\n", b"y" * 65536),
        ("--contains", "x"),
    ),
    "endless chunks": (
        flood(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\ny\r\n" * 99),
        ("--contains", "x"),
    ),
    "huge chunk": (
        answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx"),
        ("--contains", "y"),
    ),
    "bad chunk": (
        answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n"),
        ("--contains", "ok"),
    ),
    "two lengths": (answer(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"), ()),
    "slow bytes": (drip(HEAD + b"X: y\r\n" * 999, 0.05), ()),
    "deep json": (answer(http_reply(body=b"[" * 100000)), ("--json", "a=b")),
    "redirect loop": (answer(http_reply("302 Found", header="Location: /\r\n")), ("--follow", "9")),
    "redirect to a file": (
        answer(http_reply("302 Found", header="Location: file:///etc/passwd\r\n")),
        ("--follow", "9"),
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_servers(probe: Probe, name: str) -> None:
    handler, options = HOSTILE[name]
    with serving(handler) as server:
        done = probe(f"http://{server.address}/", "--timeout", "700ms", *options, cpu=2)
    assert done.returncode == 1
    assert "internal error" not in done.stdout


def test_odd_but_valid_responses(probe: Probe) -> None:
    odd = b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.0 200\nA:\nB: c\n  d\n\nok"
    with serving(answer(odd)) as server:
        assert probe(f"http://{server.address}/", "--contains", "ok").returncode == 0
    with serving(answer(http_reply(header="Transfer-Encoding: chunked\r\n"))) as server:
        assert (
            probe(f"http://{server.address}/", "--method", "HEAD", "--not-contains", "x").returncode
            == 0
        )


def test_what_has_no_tls_says_so(probe: Probe, interpreter: Interpreter) -> None:
    with serving(answer(http_reply())) as server:
        for words in (("http", f"https://{server.address}/"), ("grpc", server.address, "--tls")):
            done = probe(*words, "--insecure", "--timeout", "500ms")
            assert done.returncode == 1
            assert ("this build has no TLS" in done.stdout) is not interpreter.has_tls
