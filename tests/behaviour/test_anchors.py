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
from tests.built import Built
from tests.integration.certificates import HOST, context_of, expired
from tests.interpreters import FROZEN, Interpreter

END = b"-----END CERTIFICATE-----\n"
WITH_ANCHORS = [one for one in FROZEN if one.has_authorities]


@pytest.fixture(params=WITH_ANCHORS)
def product(request: pytest.FixtureRequest) -> str:
    return Interpreter(request.param).product


@pytest.fixture
def program(
    product: str, frozen: Built, anchor_tools: AnchorTools, authority: CA, tmp_path: Path
) -> Path:
    """The finished file with another bundle: our CA in the midst of the real ones."""
    blocks = anchor_tools.pem.split(END)[:100]
    blocks.insert(50, authority.cert_pem.bytes().removesuffix(END))
    ours = anchor_tools.encode(END.join([*blocks, b""]))
    path = tmp_path / "probe"
    path.write_bytes(swapped(frozen.file(product).read_bytes(), anchor_tools.anchors, ours))
    path.chmod(0o755)
    return path


@pytest.fixture
def url(request: pytest.FixtureRequest, authority: CA) -> Iterator[str]:
    """Of a server that the CA vouches for, or what the test asks for."""
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


def test_the_real_ones_are_inside(frozen: Built, anchor_tools: AnchorTools) -> None:
    for one in FROZEN:
        data = frozen.file(one.product).read_bytes()
        assert data.count(anchor_tools.anchors) == (one in WITH_ANCHORS)
        assert (anchor_tools.anchors[:4096] in data) is (one in WITH_ANCHORS)


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
    product: str, frozen: Built, anchor_tools: AnchorTools, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "probe"
    real = anchor_tools.anchors
    path.write_bytes(swapped(frozen.file(product).read_bytes(), real, bytes(len(real))))
    path.chmod(0o755)
    code, said = run(path, url)
    assert (code, said.partition(":")[0]) == (1, "unhealthy")
    assert " CA" in said
    assert run(path, url, "--insecure")[0] == 0
