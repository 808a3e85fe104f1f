"""Mail servers, brokers and MongoDB, as scripted servers play them: right, wrong, garbled, endless, cut, slow."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trustme import CA

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import Handler, drip, flood, greet, serving
from tests.integration.certificates import HOST, context_of
from tests.integration.traces import wait_for
from tests.interpreters import Interpreter

Answer = Callable[[bytes], bytes]
"""From what was asked to what is said."""

CHECKS = ("smtp", "mqtt", "kafka", "mongodb")
SOON = ("--timeout", "400ms")
SOME = settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def answering(answer: Answer, seen: list[bytes] | None = None, first: bytes = b"") -> Handler:
    """Say `first`, then an answer to each packet."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            asked = connection.recv(65536)
            if seen is not None:
                seen.append(asked)
            if not asked:
                return
            connection.sendall(answer(asked))

    return handle


def hears(seen: list[bytes], last: bytes) -> None:
    """The probe may have ended before the server has heard its last words."""
    wait_for(lambda: last in seen, seconds=10, what=f"{last!r}")


# --- smtp ------------------------------------------------------------------------------------------------------------

GREETING = b"220-mail.example ESMTP\r\n220 at your service\r\n"
EXTENSIONS = b"250-mail.example\r\n250-SIZE 9\r\n250-starttls\r\n250 HELP\r\n"


def mail(asked: bytes) -> bytes:
    return {b"EHLO": EXTENSIONS, b"STAR": b"220 go\r\n", b"QUIT": b"221 bye\r\n"}[asked[:4]]


def always(reply: bytes) -> Answer:
    return lambda _: reply


SMTP: dict[str, tuple[bytes, Answer, int, str]] = {
    "ready": (GREETING, mail, 0, ": ready, mail.example ESMTP in "),
    "one line": (b"220 x\r\n", always(b"250 x\r\n"), 0, ": ready, x in "),
    "bare": (b"220\n", always(b"250\n"), 0, ": ready,"),
    "no service": (b"554 go away\r\n", mail, 1, "its greeting is 554 go away"),
    "busy": (b"421 later\r\n", mail, 1, "its greeting is 421 later"),
    "two minds": (b"220-a\r\n421 b\r\n", mail, 1, "its greeting is 421 b"),
    "no ehlo": (GREETING, always(b"502 what\r\n"), 1, "its answer to EHLO is 502 what"),
    "no smtp": (b"SSH-2.0-x\r\n", mail, 1, "does not speak SMTP: it sent 'SSH-2.0-x'"),
    "no mark": (b"220:x\r\n", mail, 1, "does not speak SMTP"),
    "other digits": ("22\u0660 x\r\n".encode(), mail, 1, "does not speak SMTP"),
    "endless reply": (b"220-x\r\n" * 999, mail, 1, "more than 128 lines"),
    "long line": (b"220 " + b"x" * 9999, mail, 1, "a line of more than"),
    "cut": (b"220-x\r\n22", lambda _: b"", 1, "timeout while waiting for the answer"),
}


@pytest.mark.parametrize("name", list(SMTP))
def test_smtp(probe: Probe, name: str) -> None:
    first, answer, code, text = SMTP[name]
    with serving(answering(answer, first=first)) as server:
        done = probe("smtp", server.address, *SOON)
    assert (done.returncode, text in done.stdout) == (code, True), done.stdout


def test_smtp_says_little(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(answering(mail, seen, GREETING)) as server:
        assert probe("smtp", server.address).returncode == 0
        hears(seen, b"QUIT\r\n")
    assert seen[:2] == [b"EHLO [127.0.0.1]\r\n", b"QUIT\r\n"]


def test_the_ports_of_smtp(probe: Probe, interpreter: Interpreter) -> None:
    assert probe("smtp").stdout.startswith("unhealthy: smtp localhost:25: ")
    if interpreter.has_tls:
        assert "smtp localhost:465: " in probe("smtp", "--tls", "--insecure").stdout
        assert "exclude each other" in probe("smtp", "--tls", "--starttls").stdout
    else:
        assert "has no TLS" in probe("smtp", "--starttls").stdout
    assert "no effect without TLS" in probe("smtp", "--insecure").stdout


# --- mqtt ------------------------------------------------------------------------------------------------------------

MQTT: dict[str, tuple[bytes, tuple[str, ...], int, str]] = {
    "accepted": (b"\x20\2\0\0", (), 0, ": ready in "),
    "accepted, by name": (b"\x20\2\0\0", ("--user", "u", "--password", "pw-pw"), 0, ": ready in "),
    "who are you": (b"\x20\2\0\5", (), 0, ": ready (not authorized without a password) in "),
    "who is that": (b"\x20\2\0\4", ("--user", "u"), 0, ": ready (bad user name or password "),
    "wrong": (b"\x20\2\0\4", ("--user", "u", "--password", "pw-pw"), 1, "(return code 4)"),
    "not you": (b"\x20\2\0\5", ("--user", "u", "--password", "pw-pw"), 1, "not authorized"),
    "version": (b"\x20\2\0\1", (), 1, "another version"),
    "name": (b"\x20\2\0\2", (), 1, "the client identifier is refused"),
    "unavailable": (b"\x20\2\0\3", (), 1, "the server is unavailable"),
    "odd": (b"\x20\2\0\x84", (), 1, "(return code 132)"),
    "another packet": (b"\x30\2\0\0", (), 1, "does not speak MQTT"),
    "too long": (b"\x20\3\0\0", (), 1, "does not speak MQTT"),
    "odd flags": (b"\x20\2\2\0", (), 1, "does not speak MQTT"),
    "http": (b"HTTP/1.1 400\r\n\r\n", (), 1, "does not speak MQTT: it sent 'HTTP'"),
    "cut": (b"\x20\2\0", (), 1, "timeout while waiting for the answer"),
}


@pytest.mark.parametrize("name", list(MQTT))
def test_mqtt(probe: Probe, name: str) -> None:
    reply, words, code, text = MQTT[name]
    with serving(greet(replies=(reply,))) as server:
        done = probe("mqtt", server.address, *words, *SOON)
    assert (done.returncode, text in done.stdout) == (code, True), done.stdout
    assert "pw-pw" not in done.stdout


@given(st.text(min_size=1, max_size=40), st.integers(1, 300))
@SOME
def test_mqtt_logs_in(
    probe: Probe, tmp_path_factory: pytest.TempPathFactory, user: str, size: int
) -> None:
    """What is sent, read by the book: every length, whatever its size is."""
    user = "".join(letter for letter in user if letter.isprintable()) or "u"
    secret = tmp_path_factory.mktemp("secret") / "password"
    secret.write_bytes(b"p" * size + b"\n")
    seen: list[bytes] = []
    with serving(answering(always(b"\x20\2\0\0"), seen)) as server:
        words = ("--user", user, "--password-file", str(secret))
        assert probe("mqtt", server.address, *words).returncode == 0
        hears(seen, b"\xe0\0")
    packet = seen[0]
    assert packet[0] == 0x10
    length, place = packet[1] & 127, 2
    if packet[1] & 128:
        length, place = length + (packet[2] << 7), 3
    rest = packet[place:]
    assert len(rest) == length
    fields = []
    head, rest = rest[:10], rest[10:]
    while rest:
        end = 2 + int.from_bytes(rest[:2], "big")
        fields.append(rest[2:end])
        rest = rest[end:]
    assert head == b"\0\4MQTT\4\xc2\0\x3c"
    assert fields[1:] == [user.encode(), b"p" * size]
    assert fields[0].isalnum()
    assert len(fields[0]) <= 23
    assert seen[1] == b"\xe0\0"


def test_mqtt_names_are_never_the_same(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(answering(always(b"\x20\2\0\0"), seen)) as server:
        for _ in range(3):
            probe("mqtt", server.address)
    assert len({packet for packet in seen if packet[:1] == b"\x10"}) == 3


def test_mqtt_bad_usage(probe: Probe, tmp_path: Path) -> None:
    for words in (("--password", "secret-1"), ("--password-file", str(tmp_path))):
        done = probe("mqtt", ":1", *words)
        assert "a password needs --user" in done.stdout
        assert "secret-1" not in done.stdout
    with serving(answering(always(b"\x20\2\0\0"))) as server:
        done = probe("mqtt", server.address, "--user", "u" * 65536)
    assert (done.returncode, "no room for" in done.stdout) == (1, True)


# --- kafka -----------------------------------------------------------------------------------------------------------


def kafka(body: bytes, *, change: bytes = b"\0\0\0\0", size: int | None = None) -> Answer:
    def answer(asked: bytes) -> bytes:
        assert asked[:8] == b"\0\0\0\x0f\0\x12\0\0"
        assert asked[12:] == b"\0\5probe"
        number = bytes(a ^ b for a, b in zip(asked[8:12], change, strict=True))
        length = len(body) + 4 if size is None else size
        return length.to_bytes(4, "big") + number + body

    return answer


ROW = b"\0\x12\0\0\0\4"
KAFKA: dict[str, tuple[Answer, int, str]] = {
    "ready": (kafka(b"\0\0\0\0\0\2" + ROW * 2), 0, ": ready, takes 2 kinds of requests in "),
    "many": (kafka(b"\0\0\0\0\x01\0" + ROW * 256), 0, "takes 256 kinds"),
    "error": (kafka(b"\0\x23\0\0\0\1" + ROW), 1, "not ready: error 35"),
    "unknown error": (kafka(b"\xff\xff\0\0\0\0"), 1, "not ready: error -1"),
    "none": (kafka(b"\0\0\0\0\0\0"), 1, "no list of requests"),
    "negative": (kafka(b"\0\0\xff\xff\xff\xff"), 1, "no list of requests"),
    "too few": (kafka(b"\0\0\0\0\0\3" + ROW * 2), 1, "no list of requests"),
    "too many": (kafka(b"\0\0\0\0\0\1" + ROW * 2), 1, "no list of requests"),
    "another number": (kafka(b"\0\0\0\0\0\1" + ROW, change=b"\0\0\0\1"), 1, "another request"),
    "short": (kafka(b"", size=9), 1, "does not speak Kafka's protocol"),
    "huge": (kafka(b"", size=1 << 31), 1, "does not speak Kafka's protocol"),
    "http": (always(b"HTTP/1.1 400\r\n\r\n"), 1, "does not speak Kafka's protocol: it sent 'HTTP'"),
    "cut": (kafka(b"\0\0\0\0\0\2" + ROW, size=22), 1, "timeout while waiting for the answer"),
}


@pytest.mark.parametrize("name", list(KAFKA))
def test_kafka(probe: Probe, name: str) -> None:
    answer, code, text = KAFKA[name]
    with serving(answering(answer)) as server:
        done = probe("kafka", server.address, *SOON)
    assert (done.returncode, text in done.stdout) == (code, True), done.stdout


# --- mongodb ---------------------------------------------------------------------------------------------------------

ONE = b"\0\0\0\0\0\0\xf0\x3f"
OK = b"\1ok\0" + ONE
PRIMARY, SECONDARY = b"\x08isWritablePrimary\0\1", b"\x08secondary\0\1"


def document(*fields: bytes) -> bytes:
    body = b"".join(fields)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def text(value: bytes) -> bytes:
    return (len(value) + 1).to_bytes(4, "little") + value + b"\0"


# One field of each type (https://bsonspec.org/spec.html); those within documents count for nothing.
OTHERS = (
    b"\1d\0" + ONE,
    b"\2s\0" + text("é\0".encode()),
    b"\3topology\0" + document(b"\1ok\0" + bytes(8), b"\x08isWritablePrimary\0\0"),
    b"\4hosts\0" + document(b"\0020\0" + text(b"a:1")),
    b"\5b\0\3\0\0\0\0abc",
    b"\6u\0",
    b"\7o\0" + bytes(12),
    b"\x08helloOk\0\1",
    b"\x09t\0" + bytes(8),
    b"\x0an\0",
    b"\x0dc\0" + text(b"1"),
    b"\x0es\0" + text(b"1"),
    b"\x0fw\0" + (4 + 6 + 5).to_bytes(4, "little") + text(b"1") + document(),
    b"\x10i\0" + bytes(4),
    b"\x11c\0" + bytes(8),
    b"\x12l\0" + bytes(8),
    b"\x13d\0" + bytes(16),
    b"\xffm\0",
    b"\x7fM\0",
)


def mongodb(
    answer: bytes, *, change: int = 0, kind: int = 2013, section: int = 0, size: int | None = None
) -> Answer:
    def reply(asked: bytes) -> bytes:
        assert int.from_bytes(asked[:4], "little") == len(asked)
        assert asked[8:] == bytes(4) + b"\xdd\7\0\0" + bytes(5) + document(
            b"\x10hello\0\1\0\0\0", b"\2$db\0" + text(b"admin")
        )
        number = bytes([asked[4] ^ change]) + asked[5:8]
        head = b"\7\0\0\0" + number + kind.to_bytes(4, "little") + bytes(4) + bytes([section])
        length = len(head) + len(answer) + 4 if size is None else size
        return length.to_bytes(4, "little") + head + answer

    return reply


PRIMARY_SAYS = document(*OTHERS, PRIMARY, b"\x08secondary\0\0", OK)
MONGODB: dict[str, tuple[Answer, int, str]] = {
    "primary": (mongodb(PRIMARY_SAYS), 0, ": ready, primary in "),
    "secondary": (mongodb(document(SECONDARY, OK, *OTHERS)), 0, ": ready, secondary in "),
    "arbiter": (mongodb(document(b"\x08arbiterOnly\0\1", OK)), 0, ": ready, arbiter in "),
    "whole number": (mongodb(document(PRIMARY, b"\x10ok\0\1\0\0\0")), 0, "primary"),
    "with a checksum": (mongodb(PRIMARY_SAYS + b"abcd"), 0, "primary"),
    "neither": (mongodb(document(OK)), 1, "neither primary nor secondary"),
    "within": (mongodb(document(OK, b"\3x\0" + document(PRIMARY))), 1, "neither primary nor"),
    "no number": (mongodb(document(PRIMARY, b"\2ok\0" + text(b"1"))), 1, "not ready"),
    "not ok": (
        mongodb(document(PRIMARY, b"\1ok\0" + bytes(8), b"\2errmsg\0" + text(b"no such command"))),
        1,
        "not ready: no such command",
    ),
    "nothing": (mongodb(document()), 1, "not ready"),
    "another number": (mongodb(PRIMARY_SAYS, change=1), 1, "another request"),
    "another kind": (mongodb(PRIMARY_SAYS, kind=1), 1, "does not speak MongoDB's protocol"),
    "another section": (mongodb(PRIMARY_SAYS, section=1), 1, "does not speak MongoDB's"),
    "short": (mongodb(b"", size=20), 1, "does not speak MongoDB's protocol"),
    "huge": (mongodb(b"", size=65537), 1, "does not speak MongoDB's protocol"),
    "unknown type": (mongodb(document(b"\x20x\0", PRIMARY, OK)), 1, "no BSON"),
    "name without end": (mongodb(b"\x0b\0\0\0\x0aabcde\0"), 1, "no BSON"),
    "text beyond": (mongodb(document(PRIMARY, OK, b"\2x\0\xff\xff\xff\x7f")), 1, "no BSON"),
    "value beyond": (mongodb(document(PRIMARY, OK, b"\1x\0\0")), 1, "no BSON"),
    "document beyond": (mongodb(document(PRIMARY, OK, b"\3x\0\xff\0\0\0")), 1, "no BSON"),
    "document without size": (mongodb(document(PRIMARY, OK, b"\3x\0" + bytes(4))), 1, "no BSON"),
    "longer than it is": (mongodb(b"\xff\0\0\0" + PRIMARY_SAYS[4:]), 1, "no BSON"),
    "no end": (mongodb(PRIMARY_SAYS[:-1] + b"\1"), 1, "no BSON"),
    "no room": (mongodb(b"\0\0\0"), 1, "no BSON"),
    "http": (always(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 1, "does not speak MongoDB's"),
    "cut": (mongodb(PRIMARY_SAYS, size=9999), 1, "timeout while waiting for the answer"),
}


@pytest.mark.parametrize("name", list(MONGODB))
def test_mongodb(probe: Probe, name: str) -> None:
    answer, code, words = MONGODB[name]
    with serving(answering(answer)) as server:
        done = probe("mongodb", server.address, *SOON)
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout


@given(st.data())
@SOME
def test_garbled_bson_ends_well(probe: Probe, data: st.DataObject) -> None:
    garbled = bytearray(PRIMARY_SAYS)
    for _ in range(data.draw(st.integers(1, 3))):
        garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    with serving(answering(mongodb(bytes(garbled)))) as server:
        assert "internal error" not in probe("mongodb", server.address, *SOON).stdout


def test_many_fields_are_read_in_time(probe: Probe) -> None:
    fields = b"".join(b"\x0a%x\0" % number for number in range(10_000))
    for name in (fields, b"\x0a\0" * 30_000):
        with serving(answering(mongodb(document(name, PRIMARY, OK)))) as server:
            assert probe("mongodb", server.address, cpu=3).returncode == 0


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_hostile_servers(probe: Probe, check: str) -> None:
    def endless(first: bytes, piece: bytes) -> Handler:
        def handle(connection: socket.socket) -> None:
            connection.sendall(first)
            while True:
                connection.sendall(piece)

        return handle

    for handler in (
        drip(b"", 0),
        flood(b"", b"\xff" * 4096),
        flood(b"", b"\0" * 4096),
        endless(b"", b"220-x\r\n" * 999),
        endless(b"220 x\r\n", b"250-x\r\n" * 999),
        endless(b"", b"\x20\2"),
        drip(b"\0" * 999, 0.1),
        drip(b"220-x\r\n" * 99, 0.1),
    ):
        with serving(handler) as server:
            done = probe(check, server.address, "--timeout", "400ms", cpu=1.5)
        assert (done.returncode, "internal error" in done.stdout) == (1, False)


TLS: dict[str, tuple[bytes, Answer]] = {
    "smtp": (GREETING, mail),
    "mqtt": (b"", always(b"\x20\2\0\0")),
    "kafka": (b"", kafka(b"\0\0\0\0\0\1" + ROW)),
    "mongodb": (b"", mongodb(PRIMARY_SAYS)),
}


def secured(context: ssl.SSLContext, inner: Handler) -> Handler:
    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            inner(session)

    return handle


@pytest.mark.parametrize("check", CHECKS)
def test_over_tls(
    probe: Probe, interpreter: Interpreter, authority: CA, ca: str, check: str
) -> None:
    if not interpreter.has_tls:
        assert "this build has no TLS" in probe(check, "--tls").stdout
        return
    first, answer = TLS[check]
    inner = answering(answer, first=first)
    with serving(secured(context_of(authority.issue_cert(HOST)), inner)) as server:
        words = (check, server.address, "--tls")
        assert probe(*words, "--ca-file", ca).returncode == 0
        assert probe(*words, "--insecure").returncode == 0
        for more in ((), ("--ca-file", ca, "--server-name", "other.example")):
            done = probe(*words, *more)
            assert (done.returncode, "TLS with" in done.stdout) == (1, True)


def test_starttls(probe: Probe, interpreter: Interpreter, authority: CA, ca: str) -> None:
    if not interpreter.has_tls:
        assert "this build has no TLS" in probe("smtp", "--starttls").stdout
        return
    context, seen = context_of(authority.issue_cert(HOST)), list[bytes]()

    def handle(connection: socket.socket) -> None:
        connection.sendall(GREETING)
        for _ in range(2):
            asked = connection.recv(65536)
            seen.append(asked)
            connection.sendall(mail(asked))
        secured(context, answering(mail, seen))(connection)

    with serving(handle) as server:
        words = ("smtp", server.address, "--starttls")
        assert probe(*words, "--ca-file", ca).returncode == 0
        hears(seen, b"QUIT\r\n")
        assert seen[:4] == [
            b"EHLO [127.0.0.1]\r\n",
            b"STARTTLS\r\n",
            b"EHLO [127.0.0.1]\r\n",
            b"QUIT\r\n",
        ]
        done = probe(*words)
        assert (done.returncode, "TLS with" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("ehlo", "start", "text"),
    [
        (b"250 HELP\r\n", b"220 go\r\n", "it has no STARTTLS"),
        (b"250 NOSTARTTLS\r\n", b"220 go\r\n", "it has no STARTTLS"),
        (EXTENSIONS, b"454 not now\r\n", "its answer to STARTTLS is 454 not now"),
        (EXTENSIONS, b"220 go\r\n250 x\r\n", "before the TLS handshake"),  # CVE-2011-0411
    ],
)
def test_starttls_is_no_wish(
    probe: Probe, interpreter: Interpreter, ehlo: bytes, start: bytes, text: str
) -> None:
    answers = {b"EHLO": ehlo, b"STAR": start, b"QUIT": b"221 bye\r\n"}
    with serving(answering(lambda asked: answers[asked[:4]], first=GREETING)) as server:
        done = probe("smtp", server.address, "--starttls", "--insecure", *SOON)
    expected = text if interpreter.has_tls else "this build has no TLS"
    assert (done.returncode, expected in done.stdout) == (1, True), done.stdout


@pytest.mark.parametrize(
    ("scheme", "check"),
    [("smtp", "smtp"), ("mqtt", "mqtt"), ("kafka", "kafka"), ("mongodb", "mongodb")],
)
def test_urls_name_the_check(probe: Probe, scheme: str, check: str) -> None:
    first, answer = TLS[check]
    with serving(answering(answer, first=first)) as server:
        for words in ((f"{scheme}://{server.address}",), (check, f"tcp://{server.address}")):
            done = probe(*words)
            assert (done.returncode, f": {check} {server.address}: " in done.stdout) == (0, True)


def test_urls_ask_for_tls(probe: Probe, interpreter: Interpreter, authority: CA, ca: str) -> None:
    if not interpreter.has_tls:
        for scheme in ("smtps", "mqtts"):
            assert "this build has no TLS" in probe(f"{scheme}://h:1").stdout
        return
    context = context_of(authority.issue_cert(HOST))
    seen: list[bytes] = []
    for scheme, check in (("smtps", "smtp"), ("mqtts", "mqtt")):
        first, answer = TLS[check]
        with serving(secured(context, answering(answer, seen, first=first))) as server:
            url = f"{scheme}://user:pass-word@{server.address}"
            assert probe(url, "--ca-file", ca).returncode == 0
    assert b"pass-word" in b"".join(seen)
