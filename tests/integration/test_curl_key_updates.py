"""KeyUpdate of TLS 1.3 as no decent server sends it: curl goes on, gives up, or ends when its time is over."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from trustme import CA

from tests.integration.certificates import HOST
from tests.integration.tls13_server import (
    ALERT,
    CERTIFICATE,
    DATA,
    EXTENSIONS,
    FINISHED,
    HANDSHAKE,
    KEY_UPDATE,
    SERVER_HELLO,
    TICKET,
    VERIFY,
    Session,
    Talker,
    Wedge,
    in_pieces,
    key_update,
    message,
)

pytestmark = pytest.mark.builds

SIZE = 200
HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode()
BODY = b"0123456789" * (SIZE // 10)
DONE, TOO_LATE, HANDSHAKE_FAILED, RECEIVING_FAILED = 0, 28, 35, 56
ENDLESS = 1_000_000
HEADER = 4
"""Of a message of the handshake: its kind and its size."""
TICKET_BODY = bytes(8) + b"\1x" + b"\0\1y" + b"\0\0"


@dataclass
class Answer:
    """What is said in the middle of a body, and how the run ends."""

    disturb: Callable[[Session], None]
    code: int = DONE
    replies: int = 0
    """KeyUpdates of curl's before its next request."""
    words: tuple[str, ...] = ()
    """What is asked of curl beside."""


def said(data: bytes, *sizes: int) -> Callable[[Session], None]:
    """Messages of the handshake, in one record or in pieces."""

    def disturb(session: Session) -> None:
        for piece in in_pieces(data, sizes):
            session.send(HANDSHAKE, piece)

    return disturb


def then_new_keys(disturb: Callable[[Session], None]) -> Callable[[Session], None]:
    def both(session: Session) -> None:
        disturb(session)
        session.ours.next()

    return both


def updates(count: int, requested: int = 0) -> Callable[[Session], None]:
    def disturb(session: Session) -> None:
        for _ in range(count):
            session.update(requested)

    return disturb


def split_by_data(session: Session) -> None:
    """A record of another kind may not stand within a message."""
    first, second = in_pieces(key_update(), (2,))
    session.send(HANDSHAKE, first)
    session.send(DATA, b"between")
    session.send(HANDSHAKE, second)
    session.ours.next()


WHOLE = key_update()
ANSWERS = {
    "one": Answer(updates(1)),
    "one, requested": Answer(updates(1, 1), replies=1),
    "many": Answer(updates(32)),
    "many, requested": Answer(updates(32, 1), replies=1),
    "endless": Answer(updates(ENDLESS), RECEIVING_FAILED),
    "endless, requested": Answer(updates(ENDLESS, 1), RECEIVING_FAILED),
    "in pieces": Answer(then_new_keys(said(WHOLE, HEADER))),
    **{  # which mbedTLS does not take: it wants the header in one record
        f"in pieces at {size}": Answer(then_new_keys(said(WHOLE, size)), RECEIVING_FAILED)
        for size in range(1, HEADER)
    },
    "byte by byte": Answer(then_new_keys(said(WHOLE, 1, 1, 1, 1)), RECEIVING_FAILED),
    "split by data": Answer(split_by_data, RECEIVING_FAILED),
    "behind a ticket": Answer(then_new_keys(said(message(TICKET, TICKET_BODY) + WHOLE))),
    "before a ticket": Answer(
        then_new_keys(said(WHOLE + message(TICKET, TICKET_BODY))), RECEIVING_FAILED
    ),
    "two at once": Answer(then_new_keys(said(WHOLE * 2)), RECEIVING_FAILED),
    "never used": Answer(said(WHOLE), RECEIVING_FAILED),
    "an empty one": Answer(then_new_keys(said(message(KEY_UPDATE))), RECEIVING_FAILED),
    "a long one": Answer(then_new_keys(said(message(KEY_UPDATE, b"\0\0"))), RECEIVING_FAILED),
    "of unknown wish": Answer(then_new_keys(said(key_update(2))), RECEIVING_FAILED),
    "of 16 MB": Answer(
        then_new_keys(said(bytes([KEY_UPDATE]) + b"\xff\xff\xff\0")), RECEIVING_FAILED
    ),
    "without end": Answer(
        said(bytes([KEY_UPDATE]) + b"\0\x40\0" + bytes(200_000), *[1000] * 190),
        RECEIVING_FAILED,
    ),
    "of a client": Answer(said(message(FINISHED, bytes(32))), RECEIVING_FAILED),
}


OPENSSL: dict[str, Answer] = {
    # It takes any number of them, and would do so for ever.
    "endless": Answer(updates(ENDLESS), TOO_LATE, words=("-m", "3")),
    "endless, requested": Answer(updates(ENDLESS, 1), TOO_LATE, words=("-m", "3")),
    "many, requested": Answer(updates(32, 1), replies=32),
    # It puts messages together, however small the pieces are.
    **{
        f"in pieces at {size}": Answer(then_new_keys(said(WHOLE, size)))
        for size in range(1, HEADER)
    },
    "byte by byte": Answer(then_new_keys(said(WHOLE, 1, 1, 1, 1))),
}
"""Where OpenSSL, and so curl:full, does something else."""
LIBRARIES = {"https": ANSWERS, "h2": ANSWERS, "full": ANSWERS | OPENSSL}


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int
    out: bytes
    err: bytes


@pytest.fixture(params=LIBRARIES)
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


Ask = Callable[..., Run]


@pytest.fixture
def ask(curls: dict[str, Path], variant: str, ca: str) -> Ask:
    """Ask some times over one connection."""

    def run(talker: Talker, times: int, *others: str) -> Run:
        url = f"https://{HOST}:{talker.port}/"
        words = ("-qsS", "-m", "30", "--cacert", ca, *others, *[url] * times)
        done = subprocess.run(
            [curls[variant], *words],
            capture_output=True,
            check=False,
            env={},
            timeout=120,
        )
        return Run(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


@contextmanager
def talker(authority: CA, talk: Callable[[Session], None], wedge: Wedge) -> Iterator[Talker]:
    with Talker.serving(authority.issue_cert(HOST), talk, wedge) as server:
        yield server


def request(session: Session) -> int:
    """Wait for a request; return how often curl changed its keys before."""
    changed = 0
    while True:
        kind, data = session.receive()
        if kind == DATA:
            assert data.startswith(b"GET / "), data
            return changed
        if (kind, data) != (HANDSHAKE, key_update()):
            raise ConnectionAbortedError
        session.theirs.next()
        changed += 1


@pytest.mark.parametrize("case", ANSWERS)
def test_in_the_middle_of_a_body(ask: Ask, authority: CA, variant: str, case: str) -> None:
    answer = LIBRARIES[variant][case]
    changed: list[int] = []

    def talk(session: Session) -> None:
        changed.append(request(session))
        session.send(DATA, HEAD + BODY[:100])
        answer.disturb(session)
        session.send(DATA, BODY[100:])
        changed.append(request(session))
        session.send(DATA, HEAD + BODY)

    with talker(authority, talk, {}) as server:
        done = ask(server, 2, *answer.words)
    # Each transfer ends in a way of its own; what the first ended in is on the standard error output.
    assert server.shook_hands, done
    if answer.code == DONE:
        assert (done.code, done.out) == (DONE, BODY * 2), done
        assert changed == [0, answer.replies]
        return
    assert f"curl: ({answer.code})".encode() in done.err, done
    assert done.out in {BODY[:100], BODY[:100] + b"between"}
    assert len(changed) == 1
    if variant == "full":
        return
    # mbedTLS says nothing but the end in reply, however often it was asked for.
    assert len(server.heard) <= 1
    assert all(kind == ALERT for kind, _ in server.heard)


def test_between_single_bytes(ask: Ask, authority: CA, variant: str) -> None:
    """Each is followed by data: no flood."""

    def talk(session: Session) -> None:
        request(session)
        session.send(DATA, HEAD)
        for byte in BODY:
            session.update(1)
            session.send(DATA, bytes([byte]))
        if variant == "full":
            # OpenSSL answers each, some time later; left unread, they would reset the connection.
            while (heard := session.receive())[0] != ALERT:
                assert heard == (HANDSHAKE, key_update())
                session.theirs.next()

    with talker(authority, talk, {}) as server:
        done = ask(server, 1)
    assert (done.code, done.out) == (DONE, BODY), done
    assert server.finished
    assert all(kind == ALERT for kind, _ in server.heard)


@pytest.mark.parametrize("requested", [0, 1])
@pytest.mark.parametrize(
    "before", [SERVER_HELLO, EXTENSIONS, CERTIFICATE, VERIFY, FINISHED], ids=str
)
def test_within_the_handshake(ask: Ask, authority: CA, before: int, requested: int) -> None:
    wedge = {before: key_update(requested)}
    with talker(authority, lambda session: None, wedge) as server:
        done = ask(server, 1)
    assert (done.code, done.out) == (HANDSHAKE_FAILED, b""), done
    assert not server.shook_hands
