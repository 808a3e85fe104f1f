"""How much memory a frozen probe takes, whatever the server sends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.behaviour.servers import Handler, answer, flood, http_reply, serving
from tests.behaviour.test_http import HEAD, HOSTILE
from tests.behaviour.test_other_checks import SETTINGS, frame
from tests.built import Built
from tests.interpreters import FROZEN, Interpreter, interpreters

MOST = 16 * 1024
"""In kB, at its peak."""

LARGEST = ("--max-body", "2M")
"""The most that can be asked for."""

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

CASES: dict[str, tuple[Handler, tuple[str, ...]]] = {
    "endless headers": HOSTILE["endless headers"],
    "endless status line": HOSTILE["endless status line"],
    "endless interim": HOSTILE["endless interim"],
    "10 GB": (HOSTILE["endless body"][0], ("--contains", "x", *LARGEST)),
    "up to the end": (flood(HEAD + b"\r\n", b"y" * 65536), ("--contains", "x", *LARGEST)),
    "endless chunks": (HOSTILE["endless chunks"][0], ("--contains", "x", *LARGEST)),
    "huge chunk": (
        flood(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n", b"y" * 65536),
        ("--contains", "x", *LARGEST),
    ),
    "a long chunk line": (flood(CHUNKED, b"1;" + b"y" * 65536), ("--contains", "x")),
    "a large JSON": (
        answer(http_reply(body=b"[" + b'{"a":1},' * 200_000 + b"1]")),
        ("--json", "0.a=2", *LARGEST),
    ),
    "deep JSON": (answer(http_reply(body=b"[" * 1_000_000)), ("--json", "a=b", *LARGEST)),
}
GRPC = {
    "grpc: endless headers": flood(SETTINGS, frame(1, 0, 1, b"\x88" * 9999)),
    "grpc: endless pings": flood(SETTINGS, frame(6, 0, 0, b"12345678") * 99),
}


def peak(*words: str) -> float:
    """Measured by a process of its own: this one has threads, and must not fork."""
    program = "import sys; from bench.memory import peak; print((peak(sys.argv[1:]) or [0])[0])"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    return float(done.stdout)


@pytest.fixture(params=[it for it in interpreters() if it in FROZEN])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that are handed out: one file each, without a sanitizer."""
    return Interpreter(request.param)


@pytest.fixture
def program(interpreter: Interpreter, frozen: Built) -> str:
    path = str(frozen.file(interpreter.product))
    if not peak(path, "--version"):
        pytest.skip("this process may not trace another")
    return path


@pytest.mark.parametrize("name", [*CASES, *GRPC])
def test_peak(program: str, name: str) -> None:
    if name in GRPC:
        handler, words = GRPC[name], ["grpc"]
    else:
        handler, options = CASES[name]
        words = ["http", *options]
    with serving(handler) as server:
        target = server.address if name in GRPC else f"http://{server.address}/"
        highest = peak(program, *words[:1], target, "--timeout", "1s", *words[1:])
    assert 0 < highest <= MOST
