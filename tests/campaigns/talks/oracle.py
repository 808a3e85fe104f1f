"""Whether what a server said can be a right answer: read once more, by other means than the probe's.

An oracle says what must be so for "healthy"; it need not know all that the probe is strict about. So for a talk whose
words were changed it allows "unhealthy", and forbids "healthy" where no right answer is to be seen.
"""

import http.client
import io
import json
import re
from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.campaigns.talks.talk import MARKS, Talk

LARGEST_PACKET = 65536
ENOUGH = 1 << 18
"""Bytes of what is said without end."""
FINAL_STATUS = re.compile(rb"(?s)(?:HTTP/1\.[01] 1(?!01)\d\d.*?\n\r?\n)*HTTP/1\.[01] (\d\d\d)")
MYSQL_REFUSALS = {1045, 1251, 1698, 1862, 3118, 3159, 3955, 4151}


def redis(said: bytes, talk: Talk) -> bool:
    """The last line that is looked at, behind that of the login if there is one."""
    lines = [line.removesuffix(b"\r") for line in said.split(b"\n")[:-1]]
    let_in = lines[:1] == [b"+OK"] or "--password" not in talk.words
    return let_in and b"+PONG" in lines


def memcached(said: bytes, _: Talk) -> bool:
    return re.match(rb"VERSION [^\n]*\n", said) is not None


def amqp(said: bytes, _: Talk) -> bool:
    size = int.from_bytes(said[3:7], "big")
    right = said[:3] == b"\1\0\0" and said[7:11] == b"\0\x0a\0\x0a"
    return right and said[7 + size : 8 + size] == b"\xce"


def postgres(said: bytes, talk: Talk) -> bool:
    """The first message that is no notice and no setting: who are you, or an error that only asks that.

    Who gives a password must be let in, and told that the server is ready.
    """
    if "--password" in talk.words:
        return b"R\0\0\0\x08\0\0\0\0" in said and b"Z\0\0\0\5" in said
    place = 0
    while place + 5 <= len(said):
        kind, size = said[place : place + 1], int.from_bytes(said[place + 1 : place + 5], "big")
        whole = said[place + 5 : place + 1 + size]
        if size < 4 or len(whole) < size - 4:
            return False
        if kind == b"R":
            return True
        if kind == b"E":
            return any(re.match(rb"C(28...|3D000|42501)", part) for part in whole.split(b"\0"))
        if kind not in b"NSv":
            return False
        place += 1 + size
    return False


def mysql(said: bytes, talk: Talk) -> bool:
    """A greeting of number 0, and with a login no error but one about the account."""
    packets = list(mysql_packets(said))
    if not packets or packets[0][0] != 0 or not re.match(rb"(?s)\x0a[^\0]*\0", packets[0][1]):
        return False
    if "--user" not in talk.words:
        return True
    if "--password" in talk.words:
        return any(it[:1] == b"\0" for _, it in packets[1:])
    answers = [it for _, it in packets[1:3] if it[:1] != b"\xfe"]
    if not answers:
        return False
    error = int.from_bytes(answers[0][1:3], "little")
    return answers[0][:1] != b"\xff" or error in MYSQL_REFUSALS


def mysql_packets(said: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 4 <= len(said):
        size = int.from_bytes(said[place : place + 3], "little")
        payload = said[place + 4 : place + 4 + size]
        if not 1 <= size <= LARGEST_PACKET or len(payload) < size:
            return
        yield said[place + 3], payload
        place += 4 + size


def tcp(said: bytes, talk: Talk) -> bool:
    """Every text that is waited for has come."""
    return all(expected(word) in said for word in options(talk, "--expect"))


def expected(word: str) -> bytes:
    return word.encode().decode("unicode_escape").encode("latin-1")


def options(talk: Talk, name: str) -> list[str]:
    """The values of an option that are words of their own."""
    return [value for key, value in zip(talk.words, talk.words[1:], strict=False) if key == name]


def http_(said: bytes, talk: Talk) -> bool:
    """The status is allowed; of the body is asked what `http.client` makes of it."""
    found = FINAL_STATUS.match(said)
    if not found or not any(
        inside(int(found[1]), it) for it in options(talk, "--status") or ["200-399"]
    ):
        return False
    needles = options(talk, "--contains")
    if all(needle.encode() in said for needle in needles) and "--json" not in talk.words:
        return True
    try:
        body = body_of(said[found.start(1) - len("HTTP/1.1 ") :])
    except (http.client.HTTPException, ValueError, OverflowError):
        return not needles and "--json" not in talk.words
    if not all(needle.encode() in body for needle in needles):
        return False
    return all(is_json(body) for _ in options(talk, "--json"))


def inside(status: int, allowed: str) -> bool:
    low, _, high = allowed.lower().replace("2xx", "200-299").partition("-")
    return int(low) <= status <= int(high or low)


def body_of(said: bytes) -> bytes:
    said = re.sub(rb"(?i)identity, chunked", b"chunked", said)  # which http.client does not know

    class Socket:
        def makefile(self, *_: object) -> io.BytesIO:
            return io.BytesIO(said)

    response = http.client.HTTPResponse(Socket())  # type: ignore[arg-type]
    response.begin()
    try:
        return response.read()
    except http.client.IncompleteRead as error:
        return error.partial


def is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def grpc(said: bytes, _: Talk) -> bool:
    """A message that says SERVING has come on the stream, and a header block has ended it."""
    data, ended, place = b"", False, 0
    while place + 9 <= len(said) and not ended:
        size = int.from_bytes(said[place : place + 3], "big")
        kind, flags = said[place + 3], said[place + 4]
        stream = int.from_bytes(said[place + 5 : place + 9], "big") & 0x7FFFFFFF
        payload = said[place + 9 : place + 9 + size]
        if len(payload) < size:
            break
        if kind == 0 and stream == 1:
            data += payload[1 : size - payload[0]] if flags & 8 and payload else payload
        ended = kind in {0, 1} and stream == 1 and bool(flags & 1)
        place += 9 + size
    try:
        status = HealthCheckResponse.FromString(data[5:]).status
    except DecodeError:
        return False
    return ended and status == HealthCheckResponse.SERVING


def smtp(said: bytes, _: Talk) -> bool:
    """A greeting and an answer, each of lines of one code."""
    reply = rb"(?:%b(?:-[^\n]*)\n)*%b(?: [^\n]*)?\n"
    return re.match(reply % (b"220", b"220") + reply % (b"250", b"250"), said) is not None


def mqtt(said: bytes, talk: Talk) -> bool:
    codes = rb"\x00" if "--password" in talk.words else rb"[\x00\x04\x05]"
    return re.match(rb"\x20\x02[\x00\x01]" + codes, said) is not None


def kafka(said: bytes, _: Talk) -> bool:
    size, count = int.from_bytes(said[:4], "big"), int.from_bytes(said[10:14], "big")
    right = said[4:10] == MARKS["kafka"] + b"\0\0" and len(said) >= 4 + size
    return right and count > 0 and size == 10 + 6 * count


def mongodb(said: bytes, _: Talk) -> bool:
    """The number and the kind are right; that it is ready, and what it is, must be there."""
    right = said[8:16] == MARKS["mongodb"] + b"\xdd\x07\0\0" and said[20:21] == b"\0"
    roles = (b"isWritablePrimary", b"secondary", b"arbiterOnly")
    return right and b"ok\0" in said and any(b"\x08%b\0\1" % role in said for role in roles)


def websocket(said: bytes, _: Talk) -> bool:
    """One answer to the key, to switch to the protocol, and to no other."""
    lines = said.partition(b"\r\n\r\n")[0].replace(b"\r", b"").lower().split(b"\n")
    fields = [line.partition(b":") for line in lines]

    def values(name: bytes) -> list[bytes]:
        return [value.strip() for key, _, value in fields if key == name]

    return (
        values(b"sec-websocket-accept") == [MARKS["websocket"].lower()]
        and any(b"upgrade" in value for value in values(b"connection"))
        and values(b"upgrade") == [b"websocket"]
        and not any(values(b"sec-websocket-extensions") + values(b"sec-websocket-protocol"))
        and any(re.match(rb"http/1\.[01] 101\b", line) for line in lines)
    )


def dns(said: bytes, talk: Talk) -> bool:
    """One of the datagrams has the number and the question that was asked, and an address."""
    head = re.escape(MARKS["dns"]) + rb"[\x80-\xff].\x00\x01(?!\x00\x00)......"
    found = re.search(rb"(?is)" + head + rb"\x03app\x07example\x00\x00\x01\x00\x01", said)
    return found is not None and b"\0\1\0\1" in said[found.end() :]


def udp(said: bytes, talk: Talk) -> bool:
    return all(expected(word) in said for word in options(talk, "--expect"))


ORACLES: dict[str, Callable[[bytes, Talk], bool]] = {
    "http": http_,
    "tcp": tcp,
    "unix": tcp,
    "grpc": grpc,
    "redis": redis,
    "postgres": postgres,
    "mysql": mysql,
    "memcached": memcached,
    "amqp": amqp,
    "smtp": smtp,
    "mqtt": mqtt,
    "kafka": kafka,
    "mongodb": mongodb,
    "websocket": websocket,
    "dns": dns,
    "udp": udp,
}
"""By check."""


def may_be_right(talk: Talk, before: bytes = b"") -> bool:
    """Whether "healthy" can be right, for all that the server says, ``before`` what the talk has included."""
    said = before + b"".join(talk.steps)
    if talk.flood:
        said += talk.flood * (ENOUGH // len(talk.flood) + 1)
    return ORACLES[talk.check](said, talk)
