"""The check of mongodb: what a server says of itself, which needs no login."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.options import SERVER_OPTIONS, SWITCHED_TLS_OPTIONS, Check, Options
from probe.scheduler import Trace
from probe.server import LONGEST_PACKET, prepare_server, shown_reply
from probe.stream import Stream
from probe.system import random_bytes
from probe.values import quoted

MONGODB_PORT = 27017
NO_BSON = "its answer is no BSON document"
OP_MSG = 2013
MESSAGE_HEAD = (
    21  # length, number, number of what it answers, kind, flags, and the kind of the first section
)
HELLO_DOCUMENT = b"\x1f\0\0\0\x10hello\0\1\0\0\0\2$db\0\6\0\0\0admin\0\0"
HELLO_FIELDS = (b"ok", b"errmsg", b"isWritablePrimary", b"secondary", b"arbiterOnly")
# https://bsonspec.org/spec.html: bytes of the value; those of texts and of code have a length before them, which does
# not count itself, those of documents and arrays one which does.
BSON_SIZES = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
BSON_TEXTS, BSON_DOCUMENTS, BSON_BINARY = (2, 13, 14), (3, 4, 15), 5
BSON_TRUE = (b"\1", b"\1\0\0\0", b"\1\0\0\0\0\0\0\0", b"\0\0\0\0\0\0\xf0\x3f")


def prepare_mongodb(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    return prepare_server(options, MONGODB_PORT, _talk_mongodb)


def _talk_mongodb(stream: Stream, _: Options) -> Steps[str]:
    """Send hello as an OP_MSG (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/)."""
    identity = random_bytes(3) + b"\0"
    body = identity + bytes(4) + OP_MSG.to_bytes(4, "little") + bytes(5) + HELLO_DOCUMENT
    yield from stream.send((len(body) + 4).to_bytes(4, "little") + body)
    head = yield from stream.exactly(MESSAGE_HEAD)
    size, kind = int.from_bytes(head[:4], "little"), int.from_bytes(head[12:16], "little")
    if kind != OP_MSG or head[20] or not MESSAGE_HEAD <= size <= LONGEST_PACKET:
        msg = f"it does not speak MongoDB's protocol: it sent {quoted(head)}"
        raise Unhealthy(msg)
    if head[8:12] != identity:
        msg = "its answer is to another request"
        raise Unhealthy(msg)
    # A checksum may stand behind the document, which says itself where it ends.
    fields = read_bson((yield from stream.exactly(size - MESSAGE_HEAD)), stream.trace)
    if fields.get(b"ok") not in BSON_TRUE:
        reason = shown_reply(fields.get(b"errmsg", b"?")[:-1])
        msg = f"not ready: {reason}"
        raise Unhealthy(msg)
    for name, role in ((b"isWritablePrimary", "primary"), (b"secondary", "secondary")):
        if fields.get(name) == b"\1":
            return f"ready, {role}"
    if fields.get(b"arbiterOnly") == b"\1":
        return "ready, arbiter"
    msg = "it is neither primary nor secondary (is it starting or recovering?)"
    raise Unhealthy(msg)


def read_bson(data: bytes, trace: Trace) -> dict[bytes, bytes]:
    """Return those of the HELLO_FIELDS that a document has, and the bytes of their values. Not those within others."""
    end = int.from_bytes(data[:4], "little") - 1
    if not 4 <= end < len(data) or data[end]:
        raise Unhealthy(NO_BSON)
    fields: dict[bytes, bytes] = {}
    place = 4
    while place < end:
        trace.check()
        kind, start = data[place], data.find(b"\0", place + 1) + 1
        length = int.from_bytes(data[start : start + 4], "little")
        value = start
        if kind in BSON_TEXTS:
            value, size = start + 4, length
        elif kind == BSON_BINARY:
            value, size = start + 5, length
        elif kind in BSON_DOCUMENTS:
            size = max(length, 5)
        else:
            size = BSON_SIZES.get(kind, -1)
        if not start or size < 0 or value + size > end:
            raise Unhealthy(NO_BSON)
        name = data[place + 1 : start - 1]
        if name in HELLO_FIELDS:
            fields.setdefault(name, data[value : value + size])
        place = value + size
    return fields


MONGODB = Check(
    "mongodb",
    "a server says that it is primary or secondary (hello)",
    SERVER_OPTIONS + SWITCHED_TLS_OPTIONS,
    prepare_mongodb,
    schemes=(("mongodb", "", "database"),),
)
