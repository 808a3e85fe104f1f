"""The loopback servers of smoke runs, asked without any of our programs."""

import gzip
import http.client
import socket
from collections.abc import Iterator

import pytest

from verify.servers import FOX, SmokeServers, serving


@pytest.fixture(scope="module")
def servers() -> Iterator[SmokeServers]:
    with serving() as servers:
        yield servers


def ask(servers: SmokeServers, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(servers.placeholders["port"]), timeout=10
    )
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize("status", [200, 404, 503])
def test_the_path_names_the_status(servers: SmokeServers, status: int) -> None:
    assert ask(servers, f"/{status}")[0].status == status


def test_compressed_bodies(servers: SmokeServers) -> None:
    answer, body = ask(servers, "/gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == FOX
    for coding in ("br", "zstd"):  # which the standard library cannot unpack; smoke runs do
        answer, body = ask(servers, f"/{coding}")
        assert answer.headers["Content-Encoding"] == coding
        assert FOX not in body


def test_cookies_lead_to_what_came_back(servers: SmokeServers) -> None:
    answer, _ = ask(servers, "/cookies")
    assert (answer.status, answer.headers["Location"]) == (302, "/asked")
    assert len(answer.headers.get_all("Set-Cookie") or ()) == 2
    assert ask(servers, "/asked", Host="shop.co.uk", Cookie="a=1")[1] == b"[shop.co.uk][a=1]"


def test_web_sockets_shake_hands_as_in_the_rfc(servers: SmokeServers) -> None:
    # https://www.rfc-editor.org/rfc/rfc6455#section-1.3
    with socket.create_connection(
        ("127.0.0.1", int(servers.placeholders["port"])), timeout=10
    ) as client:
        client.sendall(
            b"GET /websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = client.makefile("rb").read()
    head, _, frames = answer.partition(b"\r\n\r\n")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert frames.startswith(b"\x81\x02ok\x88")
