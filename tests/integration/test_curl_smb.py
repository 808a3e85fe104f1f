"""curl:full's SMB against Debian's Samba, which has to be told to speak what is so old."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.curls import OK, REFUSED, TOO_LATE, Curl
from tests.integration.quic_server import pattern
from tests.integration.real_server import HOST, free_port
from tests.integration.smb_server import PASSWORD, SmbServer, smb_server
from tests.raw_server import raw_server, say

pytestmark = pytest.mark.builds

DENIED, NO_SUCH_FILE, NOT_ALLOWED = 67, 78, 9


@pytest.fixture(scope="module")
def server() -> Iterator[SmbServer]:
    with smb_server() as server:
        yield server


def login(server: SmbServer, password: str = PASSWORD) -> tuple[str, str]:
    return ("-u", f"{server.user}:{password}")


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_there_and_back(full: Curl, server: SmbServer, tmp_path: Path, size: int) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(pattern(size))
    done = full(*login(server), "-T", sent, server.url(f"there-{size}"))
    assert done.code == OK, done.err
    assert (server.files / f"there-{size}").read_bytes() == pattern(size)
    done = full(*login(server), "-o", back, server.url(f"there-{size}"))
    assert done.code == OK, done.err
    assert (back.read_bytes() if size else b"") == pattern(size)


def test_below_a_directory(full: Curl, server: SmbServer) -> None:
    (server.files / "below").mkdir()
    (server.files / "below/with space").write_text("content")
    assert full(*login(server), server.url("below/with%20space")).out == "content"


def test_who_is_let_in(full: Curl, server: SmbServer) -> None:
    (server.files / "a").write_text("content")
    assert full(*login(server), server.url("a")).out == "content"
    done = full(*login(server, "wrong"), server.url("a"))
    assert (done.code, done.out) == (DENIED, "")
    done = full("-u", "nobody-of-that-name:x", server.url("a"))
    assert (done.code, done.out) == (DENIED, "")


def test_what_is_not_there(full: Curl, server: SmbServer) -> None:
    assert full(*login(server), server.url("none")).code == NO_SUCH_FILE
    assert full(*login(server), server.url("a", share="none")).code == NO_SUCH_FILE


def test_what_may_not_be_written(full: Curl, server: SmbServer, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_text("content")
    done = full(*login(server), "-T", sent, server.url("sealed", share="sealed"))
    assert done.code == NOT_ALLOWED
    assert not (server.files / "sealed").exists()


def test_nothing_newer_is_spoken(full: Curl) -> None:
    """What a server is that nobody changed."""
    with smb_server(oldest="SMB2_02") as server:
        (server.files / "a").write_text("content")
        done = full("-m", "10", *login(server), server.url("a"))
        assert done.code not in {OK, TOO_LATE}, done.err
        assert done.out == ""


def test_nobody_is_there(full: Curl) -> None:
    for scheme in ("smb", "smbs"):
        assert full("-u", "a:b", f"{scheme}://{HOST}:{free_port()}/files/a").code == REFUSED


@pytest.mark.parametrize("manner", ["silent", "flood", "close"])
def test_what_is_no_server(full: Curl, manner: str) -> None:
    with raw_server(lambda connection, over: say(connection, over, manner, b"\xffSMB")) as port:
        done = full("-m", "2", "-u", "a:b", f"smb://{HOST}:{port}/files/a")
    assert done.code not in {OK, REFUSED}
    assert done.code > 0, "it did not crash"
    assert (done.code == TOO_LATE) or manner != "silent"
