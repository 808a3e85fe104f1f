from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.address import known_addresses
from probe.dns import (
    MOST_RECORDS,
    encode_header,
    encode_question,
    parse_reply,
    read_resolv_conf,
    resolve_name,
)
from probe.errors import Unhealthy
from tests.unit.probe.driver import drive

A, CNAME, AAAA = 1, 5, 28
Response = Callable[[bytes], bytes | None]


def question_of(query: bytes) -> tuple[str, int]:
    labels, place = [], 12
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode())
        place += 1 + query[place]
    return ".".join(labels), int.from_bytes(query[place + 1 : place + 3], "big")


def reply(query: bytes, *records: bytes, code: int = 0, flags: int = 0x80) -> bytes:
    head = query[:2] + bytes([flags, code]) + b"\0\1" + len(records).to_bytes(2, "big") + bytes(4)
    return head + query[12:] + b"".join(records)


def record(kind: int, data: bytes, owner: bytes = b"\xc0\x0c") -> bytes:
    return owner + kind.to_bytes(2, "big") + b"\0\1\0\0\0\0" + len(data).to_bytes(2, "big") + data


@contextmanager
def name_server(
    answer: Response, tcp: Response | None = None, *, at: tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[int]:
    """Response on a loopback port by UDP, and by TCP if asked to."""
    listener = socket.create_server(at)
    port: int = listener.getsockname()[1]
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((at[0], port))

    def serve() -> None:
        with suppress(OSError):
            while True:
                query, peer = datagrams.recvfrom(4096)
                if not query:  # shut down
                    return
                data = answer(query)
                if data is not None:
                    datagrams.sendto(data, peer)

    def serve_tcp() -> None:
        with suppress(OSError):
            while tcp is not None:
                connection, _ = listener.accept()
                with connection:
                    data = tcp(connection.recv(4096)[2:]) or b""
                    connection.sendall(len(data).to_bytes(2, "big") + data)

    for target in (serve, serve_tcp):
        threading.Thread(target=target, daemon=True).start()
    try:
        yield port
    finally:
        for sock in (datagrams, listener):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def resolve(
    tmp_path: Path, name: str, port: int, *, conf: str = "", family: int = 0, seconds: float = 3
) -> list[str]:
    path = tmp_path / "resolv.conf"
    path.write_text(f"nameserver 127.0.0.1\n{conf}")
    hosts = tmp_path / "hosts"
    if not hosts.exists():
        hosts.write_text("127.0.0.9 Known.example alias # comment\n::9 known.example\n")
    return drive(
        lambda trace: resolve_name(
            name, family, trace, hosts=bytes(hosts), conf=bytes(path), port=port
        ),
        seconds,
    )


def both(query: bytes) -> bytes:
    _, kind = question_of(query)
    if kind == A:
        return reply(query, record(A, b"\x0a\0\0\1"), record(A, b"\x0a\0\0\2"))
    return reply(query, record(AAAA, bytes(15) + b"\1"))


def test_addresses_of_both_families(tmp_path: Path) -> None:
    with name_server(both) as port:
        assert resolve(tmp_path, "app.example", port) == ["10.0.0.1", "10.0.0.2", "::1"]
        assert resolve(tmp_path, "app.example", port, family=4) == ["10.0.0.1", "10.0.0.2"]
        assert resolve(tmp_path, "app.example.", port, family=6) == ["::1"]


def test_the_hosts_file_comes_first(tmp_path: Path) -> None:
    assert resolve(tmp_path, "KNOWN.example", 1) == ["127.0.0.9", "::9"]
    assert resolve(tmp_path, "alias", 1, family=4) == ["127.0.0.9"]


def test_aliases_are_followed_within_the_answer(tmp_path: Path) -> None:
    def answer(query: bytes) -> bytes:
        _, kind = question_of(query)
        target = b"\4real\7example\0"
        loop = record(CNAME, b"\4loop\0", owner=b"\4loop\0")
        chain = record(CNAME, target)
        stray = record(A, b"\x0a\0\0\x63", owner=b"\5other\0")
        found = record(A, b"\x0a\0\0\7", owner=target) if kind == A else loop
        return reply(query, chain, stray, found)

    with name_server(answer) as port:
        assert resolve(tmp_path, "app.example", port) == ["10.0.0.7"]


def test_search_domains_and_ndots(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(query: bytes) -> bytes:
        name, _ = question_of(query)
        asked.append(name)
        return both(query) if name == "db.two.example" else reply(query, code=3)

    with name_server(answer) as port:
        assert resolve(tmp_path, "db", port, conf="search one.example two.example\n", family=4)
        assert asked == ["db.one.example", "db.two.example"]
        asked.clear()
        with pytest.raises(Unhealthy, match=r"a\.b does not resolve: no such name"):
            resolve(tmp_path, "a.b", port, conf="search x\noptions ndots:2\n", family=4)
        assert asked == ["a.b.x", "a.b"]


def test_truncated_answers_are_asked_for_again_by_tcp(tmp_path: Path) -> None:
    with name_server(lambda query: reply(query, flags=0x82), tcp=both) as port:
        assert resolve(tmp_path, "big.example", port, family=4) == ["10.0.0.1", "10.0.0.2"]


def test_forged_answers_do_not_count(tmp_path: Path) -> None:
    def answer(query: bytes) -> bytes:
        return bytes([query[0] ^ 1]) + both(query)[1:]

    with (
        name_server(answer) as port,
        pytest.raises(TimeoutError, match=r"asking 127\.0\.0\.1 for app"),
    ):
        resolve(tmp_path, "app.example", port, seconds=0.3)


def test_a_server_that_knows_no_aaaa_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probe.dns.RESEND_AFTER", 99.0)  # who waits, waits in vain
    with name_server(lambda query: both(query) if question_of(query)[1] == A else None) as port:
        assert resolve(tmp_path, "app.example", port, seconds=9) == ["10.0.0.1", "10.0.0.2"]


def test_a_lost_question_is_sent_again(tmp_path: Path) -> None:
    lost = [True]
    with name_server(lambda query: None if lost and lost.pop() else both(query)) as port:
        assert resolve(tmp_path, "app.example", port, family=4)


@pytest.mark.parametrize(
    ("code", "text"), [(2, "server failure from 127.0.0.1"), (5, "refused"), (0, "no address")]
)
def test_failures(tmp_path: Path, code: int, text: str) -> None:
    with (
        name_server(lambda query: reply(query, code=code)) as port,
        pytest.raises(Unhealthy, match=text),
    ):
        resolve(tmp_path, "app.example", port)


def test_nobody_there(tmp_path: Path) -> None:
    with name_server(both) as port:
        pass
    with pytest.raises(Unhealthy, match=r"connection refused from 127\.0\.0\.1"):
        resolve(tmp_path, "app.example", port)
    with pytest.raises(Unhealthy, match="no name server in"):
        drive(lambda trace: resolve_name("app", 0, trace, hosts=b"/none", conf=b"/none"))
    with pytest.raises(Unhealthy, match="no valid name"):
        resolve(tmp_path, "a..b", port)
    with pytest.raises(Unhealthy, match="no valid name"):
        resolve(tmp_path, "a" * 64, port)


def test_another_server_may_be_out_of_reach(tmp_path: Path) -> None:
    with name_server(both) as port:
        conf = "nameserver fe80::1%nowhere\nnameserver 127.0.0.8\n"
        assert resolve(tmp_path, "app.example", port, conf=conf, family=4) == [
            "10.0.0.1",
            "10.0.0.2",
        ]


def test_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# no\nnameserver 10.0.0.1 ; x\nnameserver ::1\nnameserver bad\noptions ndots:5 x\ndomain a.\n"
    )
    assert read_resolv_conf(bytes(path)) == (["10.0.0.1", "::1"], ["a"], 5)


@given(st.binary(max_size=80), st.integers(0, 9))
def test_any_reply_is_read_or_ignored(data: bytes, count: int) -> None:
    query = encode_header(b"ab") + encode_question("a.example", A)
    parse_reply(data, query)
    garbled = reply(query, *[b""] * count) + data
    parsed = parse_reply(garbled, query)
    assert parsed is not None
    assert all(known_addresses(address, 0) for address in parsed[2])


def test_localhost_asks_nobody() -> None:
    assert known_addresses("LocalHost.", 0) == ["127.0.0.1", "::1"]
    assert known_addresses("app.localhost", 6) == ["::1"]
    assert known_addresses("notlocalhost", 0) is None


QUERY = encode_header(b"ab") + encode_question("a.example", A)
ANSWER = reply(QUERY, record(A, b"\x0a\0\0\1"))


@given(st.integers(0, len(QUERY) - 1), st.integers(1, 255))
def test_an_answer_repeats_the_question(place: int, change: int) -> None:
    """The id, that it is an answer, the number of questions, and every byte of the question; the rest may differ."""
    changed = bytearray(ANSWER)
    changed[place] ^= change
    counts = place in {0, 1, 4, 5} or (place == 2 and change & 0x80)
    letter = place >= 12 and chr(QUERY[place]).isalpha() and change == 0x20
    parsed = parse_reply(bytes(changed), QUERY)
    if counts or (place >= 12 and not letter):
        assert parsed is None
    else:
        assert parsed is not None


@given(st.integers(0, len(QUERY) - 1))
def test_less_than_the_question_is_no_answer(size: int) -> None:
    assert parse_reply(ANSWER[:size], QUERY) is None


@pytest.mark.parametrize("name", ["a.example", "b.example"])
def test_an_answer_to_another_question_does_not_count(tmp_path: Path, name: str) -> None:
    def answer(query: bytes) -> bytes:
        other = query[:12] + encode_question(name, A)
        return reply(other, record(A, b"\x0a\0\0\1"))

    with name_server(answer) as port:
        if name == "a.example":
            assert resolve(tmp_path, "a.example", port, family=4) == ["10.0.0.1"]
            return
        with pytest.raises(TimeoutError):
            resolve(tmp_path, "a.example", port, family=4, seconds=0.3)


def test_an_answer_from_another_address_does_not_count(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        peers: list[object] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))

            def serve() -> None:
                with suppress(OSError):
                    query, peer = server.recvfrom(4096)
                    peers.append(peer)
                    stranger.sendto(both(query), peer)

            threading.Thread(target=serve, daemon=True).start()
            with pytest.raises(TimeoutError):
                resolve(tmp_path, "a.example", server.getsockname()[1], family=4, seconds=0.5)
    assert peers


def test_a_truncated_answer_is_never_taken_for_the_whole(tmp_path: Path) -> None:
    def cut(query: bytes) -> bytes:
        return reply(query, record(A, b"\x0a\0\0\x63"), flags=0x82)

    with name_server(cut, tcp=both) as port:
        assert resolve(tmp_path, "a.example", port, family=4) == ["10.0.0.1", "10.0.0.2"]
    with (
        name_server(cut, tcp=lambda query: both(b"\0\0" + query[2:])) as port,
        pytest.raises(Unhealthy, match="format error"),
    ):
        resolve(tmp_path, "a.example", port, family=4)


@given(st.lists(st.integers(0, 63), min_size=1, max_size=12), st.integers(0, 40))
def test_pointers_that_lead_in_a_circle_end(targets: list[int], count: int) -> None:
    """Names made of pointers to anywhere, themselves included."""
    names = [bytes([0xC0, len(QUERY) + target]) for target in targets]
    records = [record(A, b"\x0a\0\0\1", owner=name) for name in names]
    records += [record(CNAME, name, owner=b"\xc0\x0c") for name in names] * count
    parsed = parse_reply(reply(QUERY, *records), QUERY)
    assert parsed is not None
    assert set(parsed[2]) <= {"10.0.0.1"}


def test_a_name_that_points_at_itself_is_nobodys() -> None:
    good = record(A, b"\x0a\0\0\2")
    first, second = (
        record(A, b"\x0a\0\0\1", owner=bytes([0xC0, place]))
        for place in (len(QUERY), len(QUERY) + len(good))
    )
    assert parse_reply(reply(QUERY, first, good), QUERY) == (0, False, [])
    assert parse_reply(reply(QUERY, good, second), QUERY) == (0, False, ["10.0.0.2"])


@given(st.binary(max_size=60), st.sampled_from(["hosts", "resolv"]))
def test_any_bytes_in_the_files_of_the_machine(noise: bytes, which: str) -> None:
    """NUL bytes, too."""
    lines = b"".join(
        keyword + noise + b"\n" + keyword + b"127.0.0.1\0" + noise + b" app\n"
        for keyword in (b"nameserver ", b"search ", b"domain ", b"options ", b"", b"::1\0 ")
    )
    with TemporaryDirectory() as folder:
        hosts, conf = Path(folder, "hosts"), Path(folder, "resolv")
        hosts.write_bytes(lines if which == "hosts" else b"")
        conf.write_bytes(lines if which == "resolv" else b"nameserver 127.0.0.1\n")
        servers, _, _ = read_resolv_conf(bytes(conf))
        assert all(known_addresses(server, 0) for server in servers)
        if servers:
            return  # somebody might live there
        with suppress(Unhealthy, TimeoutError):
            drive(
                lambda trace: resolve_name(
                    "app", 0, trace, hosts=bytes(hosts), conf=bytes(conf), port=1
                ),
                seconds=0.2,
            )


def test_only_so_many_records_are_looked_at() -> None:
    """As a datagram and as 64 KB over TCP may hold thousands of names that point all over it."""
    good = record(A, b"\x0a\0\0\1")
    other = record(CNAME, b"\xc0\x0c", owner=b"\1x\0")
    most = [other] * (MOST_RECORDS - 1)
    assert parse_reply(reply(QUERY, *most, good), QUERY) == (0, False, ["10.0.0.1"])
    assert parse_reply(reply(QUERY, *most, other, good), QUERY) == (0, False, [])


def test_a_name_has_a_limit() -> None:
    """RFC 1035, section 2.3.4: 255 octets; a chain of pointers could lead to far more."""
    longest = (b"\x3f" + b"x" * 63) * 3 + b"\x3d" + b"x" * 61 + b"\0"
    for owner, count in ((longest, 1), (b"\x3f" + b"x" * 63 + longest, 0)):
        alias = record(CNAME, owner, owner=b"\xc0\x0c")
        answer = record(A, b"\x0a\0\0\1", owner=owner)
        parsed = parse_reply(reply(QUERY, alias, answer), QUERY)
        assert parsed == (0, False, ["10.0.0.1"] * count)


@pytest.mark.parametrize("other", [b"\0\0", b"\0\3", b"\0\xff", b"\1\1"])
def test_a_record_of_another_class_is_no_address(other: bytes) -> None:
    good = record(A, b"\x0a\0\0\1")
    place = good.index(b"\0\1\0\1") + 2
    changed = good[:place] + other + good[place + 2 :]
    assert parse_reply(reply(QUERY, good), QUERY) == (0, False, ["10.0.0.1"])
    assert parse_reply(reply(QUERY, changed), QUERY) == (0, False, [])
