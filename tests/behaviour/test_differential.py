"""The same command line, environment and server: every interpreter says the same line and ends with the same code."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from probe.checks import CHECKS
from probe.options import COMMON_OPTIONS, STARTTLS, SWITCHED_TLS_OPTIONS, Check
from tests.behaviour.logins import OK
from tests.behaviour.servers import http_reply, serving
from tests.behaviour.test_other_checks import AMQP_START, GRPC, MYSQL_GREETING, mysql, pg
from tests.interpreters import ROOT, Interpreter

KINDS = {
    row[0]: row[1]
    for rows in (COMMON_OPTIONS, *(check.options for check in CHECKS))
    for row in rows
}
TIMES = re.compile(rb"(?:[0-9.]+ (?:ms|s)\b)|(?<=\"seconds\": )[0-9.]+")
"""What differs from run to run."""

DIFFERENTIAL = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
CLOSED = b"127.0.0.1:1"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one interpreter is given."""

    words: Sequence[bytes]
    environment: Mapping[bytes, bytes] = field(default_factory=dict)


def said(command: Sequence[str], run: Run) -> tuple[int, bytes]:
    """The exit code, and the output without its times."""
    done = subprocess.run(
        [*command, *run.words],
        cwd=ROOT,
        env=run.environment,
        timeout=30,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr == b""
    assert b"internal error" not in done.stdout
    return done.returncode, TIMES.sub(b"T", done.stdout)


def agree(commands: Mapping[Interpreter, Sequence[str]], run: Run) -> None:
    """All of them say what the first one says."""
    (first, command), *others = commands.items()
    assert others, "one alone cannot disagree"
    expected = said(command, run)
    assert expected[0] in {0, 1}
    for name, other in others:
        assert (name, *said(other, run)) == (name, *expected), (
            f"{name} is not of one mind with {first}"
        )


# --- command lines ---------------------------------------------------------------------------------------------------

ODD = (
    st.binary(max_size=6)
    | st.text(max_size=4).map(str.encode)
    | st.sampled_from(
        [b"", b"ok", b"a\nb", b"\x7f", b"a:b", b"x" * 300, "é\u2028".encode(), b"\xc0\x80"]
    )
).map(lambda data: data.replace(b"\0", b""))
VALUES = {
    "count": [b"0", b"1", b"2", b"-1", b"x", b"1001", "٣".encode()],
    "flag": [b"true", b"NO", b"1", b"maybe"],
    "pairs": [
        b"X: y",
        b"cookie:a=b",
        b"Host: h",
        b"no",
        b": x",
        "é: x".encode(),
        b"X: \xff",
        b"te: x",
    ],
    "condition": [
        *(
            b"a=1",
            b"=",
            b"a",
            b"a.b=x=y",
            b"a=\xff",
            b"a<1e9",
            b"a >= 01",
            b"a in x,y",
            b"a exists",
        ),
        *(b"all a.*.b=1", b"any a=1", b"length a > 2", rb"a\.\*=1", rb"a\b=1", "é!=ü".encode()),
    ],
    "share": [b"0", b"250ms", b"1m30s", b"x"],
    "port": [b"0", b"1", b"65536", b"x"],
    "seconds": [b"0", b"9s", b"1m30s", b"1.5h", b"9", b"400d", b"s", "9\u212a".encode(), b" 9s\t"],
    "size": [b"1", b"64k", b"1 MiB", b"0", b"3M", b"k", "1\u212a".encode()],
    "status": [b"200", b"2xx", b"200-299,401", b"9", b"300-200", b"2XX , 404"],
    "token": [b"GET", b"HEAD", b"POST", b"a b", b""],
    **{key: [rb"a\r\n", rb"\x41\\", rb"\q", b"\\", rb"\xZZ"] for key in ("escapes", "replies")},
}
ADDRESSES = [
    CLOSED,
    b"[::1]:1",
    b"localhost:1",
    b":1",
    b"a:b:c",
    b"[::1",
    b"[::1%lo]:1",
    "é:1".encode(),
]
ADDRESSES += [b"127.0.0.1", b"127.0.0.1:99999", b"1.2.3.4.5:x", b"\xff:1"]
URLS = [
    b"http://127.0.0.1:1/x?token=abc&b#f",
    b"http://u:p%20s@[::1]:1/",
    b"HTTP://localhost:1",
    b"http://127.0.0.1:1/\xff\xc3\xa9?q",
    b"http://127.0.0.1:1/a b",
    "http://é/".encode(),
    b"http:///",
    b"http://[fe80::1%25nowhere]:1/",
    b"ftp://127.0.0.1:1/",
    b"ws://127.0.0.1:1/x?token=abc",
    b"WSS://u:p@127.0.0.1:1",
    b"http://127.0.0.1:1/%zz?secret=%41%ff",
]
SERVER_URLS = [
    b"redis://us%2Fer:p%40ss@127.0.0.1:1/0?ssl_cert_reqs=none",
    b"redis://:p/w@127.0.0.1:1",
    b"postgres://127.0.0.1:1/shop?sslmode=prefer&pool=5",
    b"postgresql://%2Fnone:77/%C3%A9?user=%FF",
    b"postgres://127.0.0.1/a?sslmode=disable&port=1&sslcrl=x",
    b"mariadb://127.0.0.1:1?charset=utf8",
    b"amqp://guest:guest@127.0.0.1:1/%2f",
    b"grpc://[::1]:1/x",
    b"memcached://[::1%25lo]:1",
    b"tcp://127.0.0.1:1",
    b"tcp://127.0.0.1:0",
    b"unix:///none",
    b"unix://@none%FF",
    b"unix://none",
    b"x-y://127.0.0.1:1",
]
PATHS = [b"/", b"/none", b"/none\xff", "/é".encode(), b"@none\xff", b"x" * 108]
NAMED = {
    "address": ADDRESSES + SERVER_URLS,
    "connect-to": ADDRESSES,
    "server-name": [b"a.example", "é".encode(), b"a b"],
    "url": URLS + SERVER_URLS,
    **dict.fromkeys(("path", "unix-socket", "pid-file", "password-file", "ca-file"), PATHS),
    "name": [b"nobody-has-this-name", b"\xff"],
    "host": [b"127.0.0.1", b"::1", b"a b", b"\xff"],
    "server": ADDRESSES,
    "type": [b"A", b"aaaa", b"MX"],
}
NO_NAMES = {"address", "connect-to", "host", "server", "url"}
"""Not any bytes: these may be the name of a host, and then a name server is asked."""


@st.composite
def values(draw: st.DrawFn, name: str) -> bytes:
    """A value of an option, good or bad."""
    likely = NAMED.get(name) or VALUES.get(KINDS[name]) or [b"ok"]
    if name in NO_NAMES or draw(st.integers(0, 3)):
        return draw(st.sampled_from(likely))
    return draw(ODD)


@st.composite
def options(draw: st.DrawFn, check: Check, environment: dict[bytes, bytes]) -> list[bytes]:
    """The words of one option, or none: it may stand in the environment."""
    known = [row[0] for row in check.options + COMMON_OPTIONS]
    name = draw(st.sampled_from([*known, *known, *KINDS]))
    if name == "tls":
        return []  # TLS is worded by its library
    value, word = draw(values(name)), name.encode()
    match draw(st.sampled_from(["two", "one", "short", "environment", "named"])):
        case "one":
            return [b"--" + word + b"=" + value]
        case "short":
            return [b"-" + word, value]
        case "environment":
            environment[b"PROBE_" + word.upper().replace(b"-", b"_")] = value
            return []
        case "named":
            environment[b"A\xff"] = value
            return [b"--" + word + b"-env", b"A\xff"]
        case _:
            return [b"--" + word] if KINDS[name] == "flag" else [b"--" + word, value]


@st.composite
def command_lines(draw: st.DrawFn) -> Run:
    """Command lines of all checks, to where nobody listens."""
    environment: dict[bytes, bytes] = {}
    words: list[bytes] = []
    for _ in range(draw(st.integers(1, 2))):
        check = draw(st.sampled_from(CHECKS))
        words += [b"--and"] if words else []
        words += [check.name.encode()] if draw(st.integers(0, 9)) else []
        words += [draw(values(check.options[0][0]))] if draw(st.integers(0, 9)) else []
        for _ in range(draw(st.integers(0, 3))):
            words += draw(options(check, environment))
    if not draw(st.integers(0, 4)):
        stray = st.sampled_from(
            [b"--", b"-", b"-q", b"-v", b"-4", b"--stauts", b"-\xff", b"--json-output=1"]
        )
        words.insert(draw(st.integers(0, len(words))), draw(stray))
    return Run(words=words, environment=environment)


@given(command_lines())
@example(Run(words=[]))
@example(Run(words=[b"--help"]))
@example(Run(words=[b"--version"]))
@example(Run(words=[b"file", b"/none\xff\xc3\xa9"]))
@DIFFERENTIAL
def test_command_lines(commands: Mapping[Interpreter, Sequence[str]], run: Run) -> None:
    agree(commands, run)


@pytest.mark.parametrize("check", [check.name for check in CHECKS])
def test_help(commands: Mapping[Interpreter, Sequence[str]], check: str) -> None:
    """All say the same, but for the options of TLS where there is none: those are not listed."""
    run = Run(words=[check.encode(), b"--help"])
    (_, first), *others = commands.items()
    code, text = said(first, run)
    tls = tuple(f"  --{row[0]} ".encode() for row in (STARTTLS, *SWITCHED_TLS_OPTIONS))
    lines = text.splitlines()
    plain = [line for line in lines if not line.startswith(tls)]
    for name, command in others:
        expected = lines if name.has_tls else plain
        assert (said(command, run)[0], said(command, run)[1].splitlines()) == (code, expected)


# --- servers ---------------------------------------------------------------------------------------------------------


class Replier:
    """A server that says all it has to say at once, and listens to the end."""

    def __init__(self) -> None:
        self.reply = b""
        self.address = b""

    def handle(self, connection: socket.socket) -> None:
        connection.sendall(self.reply)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


@pytest.fixture(scope="module")
def replier() -> Iterator[Replier]:
    made = Replier()
    with serving(made.handle) as server:
        made.address = server.address.encode()
        yield made


JSON_BODIES = [
    b'{"a": {"b": [1, 2.50e1, true, null, "x"]}, "\\u00e9": "\\ud83d\\ude00\\ud800"}',
    '{"é": "ü", "a": "\\n\\u0041"}'.encode(),
    b'[[], {}, -0, 1E400, "\\\\\\""]',
    b'{"a": "\xc0\x80"}',
    b"  [1,2 ,3] ",
]
HEAD = b"HTTP/1.1 200 OK\r\n"
HTTP_REPLIES = [
    http_reply(body=b"all is well"),
    http_reply("503 Not y\xe9t", header="Retry-After: 9\r\nSet-Cookie: a=b\r\n"),
    http_reply("302 Found", header="Location: ../x?token=abc\r\n"),
    http_reply("301 Moved", header="Location: http://127.0.0.1:1/é\r\n"),
    HEAD + b"A: b\r\n\tc\r\nB:\xff\r\n\r\nbody to the end",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 5, 5\r\nContent-Encoding: gzip\r\n\r\nabc",
    b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.0 200\n\nok",
    b"<html>ok</html>",
    *[http_reply(body=body) for body in JSON_BODIES],
]
REPLIES = {
    "http": HTTP_REPLIES,
    "tcp": [b"SSH-2.0-x\r\n", b"220 a\xffb\n", b""],
    "grpc": [reply for reply, _, _ in GRPC.values()],
    "redis": [b"+PONG\r\n", b"-LOADING x\r\n", b"-NOAUTH x\r\n", b"+OK\r\n+PONG\r\n", b"$-1\r\n"],
    "postgres": [
        pg(b"R", bytes(4)),
        pg(b"E", b"SFATAL\0C57P03\0Mthe system \xc3\xbc\xff\0\0"),
        pg(b"E", b"C28000\0Mno role\0\0"),
        pg(b"N", b"x") + pg(b"R", b"\0\0\0\x0aSCRAM\0\0"),
        pg(b"R", bytes(4)) + pg(b"S", b"a\0b\0") + pg(b"Z", b"I"),
        pg(b"R", b"\0\0\0\5salt") + pg(b"R", bytes(4)) + pg(b"Z", b"I"),
        pg(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0") + pg(b"R", b"\0\0\0\x0br=x,s=YWJj,i=4096"),
    ],
    "mysql": [
        mysql(0, MYSQL_GREETING),
        mysql(0, MYSQL_GREETING) + mysql(2, b"\xfex\0") + mysql(4, b"\xff\x15\x04#28000denied"),
        mysql(0, b"\xff\x10\x04#08004Too many"),
        mysql(0, MYSQL_GREETING)
        + mysql(2, b"\xfemysql_native_password\0" + b"x" * 21)
        + mysql(4, OK),
        mysql(0, MYSQL_GREETING)
        + mysql(2, b"\xfecaching_sha2_password\0" + b"x" * 21)
        + mysql(4, OK),
        mysql(0, MYSQL_GREETING) + mysql(2, b"\xfeclient_ed25519\0" + b"x" * 32),
    ],
    "memcached": [b"VERSION 1.6.21\r\n", b"ERROR \xff\r\n"],
    "amqp": [AMQP_START, b"AMQP\0\1\0\0"],
}
EXTRA: dict[str, list[list[bytes]]] = {
    "http": [
        [b"--contains", b"well"],
        [b"--not-contains", "ü".encode()],
        [b"--contains", b"\xff"],
        *[
            [b"--json", path]
            for path in (b"a.b.1=25", "é=\U0001f600".encode(), b"a=x", b"2=-0", b"3=1e400")
        ],
        *[
            [b"--json", condition]
            for condition in (
                *(b"a.b.1>24.9", b"3 >= 1e399", b"all *.b exists", b"any a.b.*=x", b"length a.b=5"),
                *("é != ü".encode(), b"0 in 1,2", b"all * < 4"),
            )
        ],
        [b"--expect-header", b"A: b*"],
        [b"--expect-header", b"b: \xff"],
        [b"--follow", b"2"],
        [b"--max-body", b"8", b"--contains", b"x"],
        [b"--method", b"HEAD"],
        [b"--status", b"2xx,503"],
        [b"--header", b"X-Token: s3cret"],
    ],
    "tcp": [[b"--expect", rb"SSH\x2d"], [b"--expect", b"\xff", b"--send", rb"\0"]],
    "grpc": [[b"--service", "é".encode()], [b"--metadata", b"x: y"]],
    "redis": [[b"--password-file", b"tests/behaviour/test_run.py"]],
    "mysql": [[b"--user", b"\xff"], [b"--user", b"a", b"--password", b"s3cret"]],
    "postgres": [[b"--user", b"\xff"], [b"--password", b"s3cret", b"--database", b"\xff"]],
}
OUTPUTS: list[list[bytes]] = [[], [b"-v"], [b"--json-output"], [b"--and", b"file", b"/"]]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The data, with a few bytes of it in disorder."""
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(data)))
        more = draw(
            ODD
            | st.sampled_from([b"\r\n", b"\n", b'"', b"\\", b"\0", b"\xed\xa0\x80", b"\xff" * 40])
        )
        data = data[:place] + more + data[place + draw(st.sampled_from([0, 1, 1, 2, 9, 99])) :]
    return data


@st.composite
def conversations(draw: st.DrawFn) -> tuple[str, list[bytes], bytes]:
    """A check, its options, and what the server says."""
    check = draw(st.sampled_from(["http", "http", *REPLIES]))
    extra = draw(st.lists(st.sampled_from(EXTRA.get(check, [[]])), max_size=2))
    words = [word for words in [*extra, draw(st.sampled_from(OUTPUTS))] for word in words]
    reply = draw(st.sampled_from(REPLIES[check]).flatmap(damaged))
    return check, words, reply


@given(conversations())
@DIFFERENTIAL
def test_conversations(
    commands: Mapping[Interpreter, Sequence[str]],
    replier: Replier,
    talk: tuple[str, list[bytes], bytes],
) -> None:
    check, words, replier.reply = talk
    target = b"http://u:pw1234@" + replier.address + b"/h" if check == "http" else replier.address
    agree(commands, Run(words=[check.encode(), target, b"--timeout", b"9s", *words]))
