"""The trust anchors inside of the finished programs, among them one of ours: success without any file."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from trustme import CA

from tests.anchors import AnchorTools, swapped
from tests.behaviour.servers import http_reply, read_request, serving
from tests.integration.certificates import HOST, context_of, expired
from tests.interpreters import Interpreter, interpreters

END = b"-----END CERTIFICATE-----\n"


@pytest.fixture(params=[it for it in interpreters() if it.is_one_file and it.has_authorities])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that have anchors inside."""
    return Interpreter(request.param)


@pytest.fixture
def finished(command: list[str]) -> bytes:
    """The file, as it was built."""
    return Path(command[0]).read_bytes()


def written(directory: Path, data: bytes) -> Path:
    path = directory / "probe"
    path.write_bytes(data)
    path.chmod(0o755)
    return path


@pytest.fixture
def program(finished: bytes, anchor_tools: AnchorTools, authority: CA, tmp_path: Path) -> Path:
    """The finished file with another bundle: our CA in the midst of the real ones."""
    blocks = anchor_tools.pem.split(END)[:100]
    blocks.insert(50, authority.cert_pem.bytes().removesuffix(END))
    ours = anchor_tools.encode(END.join([*blocks, b""]))
    return written(tmp_path, swapped(finished, anchor_tools.anchors, ours))


@pytest.fixture
def url(authority: CA) -> Iterator[str]:
    """Of a server that the CA vouches for."""
    with ExitStack() as stack:
        yield serve(stack, context_of(authority.issue_cert(HOST)))


def serve(stack: ExitStack, context: ssl.SSLContext) -> str:
    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            read_request(session)
            session.sendall(http_reply(body=b"secure"))

    return f"https://{stack.enter_context(serving(handle)).address}/"


def run(program: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [program, *words], capture_output=True, check=False, timeout=20, env={}, text=True
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_the_real_ones_are_inside(finished: bytes, anchor_tools: AnchorTools) -> None:
    assert finished.count(anchor_tools.anchors) == 1


def test_a_chain_that_ends_in_a_ca_inside(program: Path, authority: CA, url: str) -> None:
    assert run(program, url, "--contains", "secure")[0] == 0
    with ExitStack() as stack:
        between = authority.create_child_ca().create_child_ca()
        deeper = serve(stack, context_of(between.issue_cert(HOST)))
        assert run(program, deeper)[0] == 0


def test_who_is_not_vouched_for(program: Path, authority: CA) -> None:
    for context, why in (
        (context_of(CA().issue_cert(HOST)), "not correctly signed by the trusted CA"),
        (context_of(authority.issue_cert("other.example")), "does not match"),
        (context_of(expired(authority)), "expired"),
    ):
        with ExitStack() as stack:
            code, said = run(program, serve(stack, context))
        assert code == 1
        assert "certificate refused" in said
        assert why in said


def test_a_ca_file_takes_their_place(program: Path, url: str, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    CA().cert_pem.write_to_path(str(other))
    code, said = run(program, url, "--ca-file", str(other))
    assert code == 1
    assert "certificate refused" in said


def test_without_any_nobody_is_believed(
    finished: bytes, anchor_tools: AnchorTools, url: str, tmp_path: Path
) -> None:
    real = anchor_tools.anchors
    program = written(tmp_path, swapped(finished, real, bytes(len(real))))
    code, said = run(program, url)
    assert (code, said.partition(":")[0]) == (1, "unhealthy")
    assert " CA" in said
    assert run(program, url, "--insecure")[0] == 0
