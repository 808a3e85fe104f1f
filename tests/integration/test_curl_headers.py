"""What curl does with a server's headers of its own accord, or on request, in every variant."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests.built import Built
from tests.integration.scripted_server import HOST, Speak, scripted_server
from tests.integration.seeded_cache import CURLS

pytestmark = pytest.mark.builds

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOO_LARGE = 100
"""CURLE_TOO_LARGE."""
MOST_HEADERS = 5000


@pytest.fixture(params=CURLS)
def program(built: Built, request: pytest.FixtureRequest) -> Path:
    return built.file(request.param)


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "-q", "-sS", *words],
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def head_of(connection: socket.socket) -> str:
    """The head of a request, which has no body."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        more = connection.recv(4096)
        if not more:
            break
        said += more
    return said.decode()


def breaking_off(at: int) -> Speak:
    """Send so many of the letters that are asked for, then hang up."""

    def speak(connection: socket.socket, heard: list[str]) -> None:
        head = head_of(connection)
        _, named, rest = head.partition("Range: bytes=")
        begin = int(rest.partition("-")[0]) if named else 0
        heard.append(f"from {begin}")
        lines = ["HTTP/1.1 206 Partial" if named else "HTTP/1.1 200 OK", "Accept-Ranges: bytes"]
        lines += [f"Content-Range: bytes {begin}-25/26"] * bool(named)
        lines += [f"Content-Length: {26 - begin}", "", LETTERS[begin : begin + at]]
        connection.sendall("\r\n".join(lines).encode())

    return speak


def with_headers(count: int) -> Speak:
    def speak(connection: socket.socket, heard: list[str]) -> None:
        heard.append(head_of(connection))
        many = "Tiny: but many\r\n" * (count - 1)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{many}Content-Length: 2\r\n\r\nok".encode())

    return speak


@pytest.mark.parametrize("at", [7, 13])
def test_a_download_that_breaks_off_is_resumed_by_a_retry(
    program: Path, tmp_path: Path, at: int
) -> None:
    out = tmp_path / "out"
    words = ["--retry", "9", "--retry-delay", "0", "--retry-all-errors", "-C", "-", "-o", str(out)]
    with scripted_server(breaking_off(at)) as server:
        done = run(program, *words, f"http://{HOST}:{server.port}/")
    assert done.returncode == 0, done.stderr
    assert out.read_text() == LETTERS
    assert server.heard == [f"from {begin}" for begin in range(0, 26, at)]


def test_a_header_can_be_asked_for(program: Path) -> None:
    with scripted_server(with_headers(2)) as server:
        url = f"http://{HOST}:{server.port}/"
        assert run(program, "-w", " %header{tiny}", url).stdout == "ok but many"
        assert '{"tiny":["but many"]' in run(program, "-w", "%{header_json}", url).stdout


@pytest.mark.parametrize(("more", "code"), [(0, 0), (1, TOO_LARGE)])
def test_headers_are_counted(program: Path, more: int, code: int) -> None:
    with scripted_server(with_headers(MOST_HEADERS + more)) as server:
        done = run(program, f"http://{HOST}:{server.port}/")
    assert done.returncode == code, done.stderr
