"""Answers of a gRPC health service, over HTTP/2 frames written here by hand (RFC 9113, RFC 7541)."""

import random

from tests.campaigns.talks.talk import End, Talk, noise

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
ENDS, WHOLE, PADDED, PRIORITISED = 1, 4, 8, 32


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def literal(name: bytes, value: bytes) -> bytes:
    """A field without indexing, its lengths below 127."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head_fields(chance: random.Random) -> bytes:
    extra = b"".join(
        literal(b"x-" + bytes([97 + at]), noise(chance, 90)) for at in range(chance.randrange(5))
    )
    return b"\x88" + literal(b"content-type", b"application/grpc") + extra


def in_frames(chance: random.Random, flags: int, block: bytes) -> bytes:
    """A header block in one frame, or in several; padded, with a priority, or neither."""
    if chance.random() < 0.3:
        at = chance.randrange(len(block))
        first = frame(HEADERS, flags, 1, block[:at])
        return first + frame(CONTINUATION, WHOLE, 1, block[at:])
    if chance.random() < 0.3:
        padding = chance.randrange(20)
        return frame(HEADERS, flags | WHOLE | PADDED, 1, bytes([padding]) + block + bytes(padding))
    if chance.random() < 0.3:
        return frame(HEADERS, flags | WHOLE | PRIORITISED, 1, b"\0\0\0\0\x10" + block)
    return frame(HEADERS, flags | WHOLE, 1, block)


def message(status: bytes) -> bytes:
    return b"\0" + len(status).to_bytes(4, "big") + status


def between(chance: random.Random) -> bytes:
    """Frames that are allowed anywhere and mean nothing here."""
    kinds = (
        frame(PING, 0, 0, chance.randbytes(8)),
        frame(WINDOW, 0, 0, b"\0\0\xff\xff"),
        frame(WINDOW, 0, 1, b"\0\0\xff\xff"),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(SETTINGS, 1, 0, b""),
        frame(chance.randint(16, 255), chance.randrange(256), 0, chance.randbytes(30)),
    )
    return b"".join(chance.choices(kinds, k=chance.randrange(4)))


def answer(chance: random.Random, body: bytes, trailers: bytes) -> bytes:
    at = chance.randint(0, len(body))
    data = [frame(DATA, 0, 1, part) for part in (body[:at], body[at:])]
    return b"".join(
        (
            frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64"),
            between(chance),
            in_frames(chance, 0, head_fields(chance)),
            data[0],
            between(chance),
            data[1],
            in_frames(chance, ENDS, trailers),
        )
    )


def grpc(chance: random.Random) -> Talk:
    fields = chance.choice(
        (b"\x08\x01", b"\x08\x81\x00", b"\x12\x03abc\x08\x01", b"\x08\x02\x08\x01")
    )
    trailers = literal(b"grpc-status", b"0") + chance.choice(
        (b"", literal(b"grpc-message", noise(chance, 90)))
    )
    said = answer(chance, message(fields), trailers)
    return Talk(check="grpc", what="SERVING", healthy=True, steps=(b"", said), needed=len(said))


def bad_grpc(chance: random.Random) -> Talk:
    serving, ok = message(b"\x08\x01"), literal(b"grpc-status", b"0")
    start = frame(SETTINGS, 0, 0, b"")
    head = frame(HEADERS, WHOLE, 1, head_fields(chance))
    if chance.random() < 0.25:
        flood = chance.choice(
            (
                frame(PING, 0, 0, bytes(8)),
                frame(SETTINGS, 0, 0, b""),
                frame(DATA, 0, 1, b""),
                frame(DATA, 0, 1, bytes(16384)),
                frame(WINDOW, 0, 0, b"\0\0\0\1"),
                frame(99, 0, 0, bytes(16384)),
            )
        )
        return Talk(
            check="grpc",
            what="endless frames",
            healthy=False,
            steps=(b"", start),
            end=End.FLOOD,
            flood=flood,
        )
    if chance.random() < 0.2:
        first = start + frame(HEADERS, 0, 1, b"\x88")
        flood = frame(
            CONTINUATION, 0, 1, chance.choice((b"", b"\x88" * 16384, literal(b"a", b"b") * 99))
        )
        return Talk(
            check="grpc",
            what="endless header block",
            healthy=False,
            steps=(b"", first),
            end=End.FLOOD,
            flood=flood,
        )
    status = str(chance.choice((1, 2, 5, 12, 14, 99, 9999))).encode()
    said = chance.choice(
        (
            answer(
                chance,
                message(
                    chance.choice(
                        (
                            b"",
                            b"\x08\x00",
                            b"\x08\x02",
                            b"\x08\x03",
                            b"\x08\x63",
                            b"\x08\x01\x08\x02",
                        )
                    )
                ),
                ok,
            ),
            answer(
                chance,
                serving,
                literal(b"grpc-status", status) + literal(b"grpc-message", noise(chance, 90)),
            ),
            answer(
                chance,
                serving,
                literal(
                    b"grpc-status", chance.choice((b"", b"x", b"-0", b"00000", b"0 ", b"\xb2"))
                ),
            ),
            answer(chance, serving, literal(b"grpc-other", b"0")),
            answer(chance, b"\1" + serving[1:], ok),
            answer(chance, b"", ok),
            answer(chance, serving * 2, ok),
            answer(chance, b"\0\xff\xff\xff\xff\x08\x01", ok),
            answer(chance, message(b"\x08"), ok),
            answer(chance, message(b"\x08" + b"\xff" * 11), ok),
            answer(chance, message(b"\x08\x01\x12\x7f"), ok),
            answer(chance, message(b"\x08\x01\x07"), ok),
            answer(chance, bytes(5000), ok),
            *(
                start + frame(HEADERS, WHOLE, 1, other) + frame(DATA, 0, 1, serving) + ending
                for other in (
                    b"\x8d" + literal(b"content-type", b"application/grpc"),
                    b"\x88" + literal(b"content-type", b"text/html"),
                    b"\x88",
                )
                for ending in (frame(HEADERS, WHOLE | ENDS, 1, ok),)
            ),
            head + frame(DATA, ENDS, 1, serving),
            start + head + frame(DATA, ENDS, 1, serving),
            start + head + frame(DATA, 0, 3, serving),
            start + frame(RST, 0, 1, b"\0\0\0\7"),
            start + frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x0b" + chance.randbytes(50)),
            start + frame(PUSH, WHOLE, 1, b"\0\0\0\2\x88"),
            start + frame(CONTINUATION, WHOLE, 1, b"\x88"),
            start + frame(HEADERS, WHOLE | PADDED, 1, b"\xff\x88"),
            start + frame(HEADERS, WHOLE | PADDED, 1, b""),
            start + frame(HEADERS, WHOLE | ENDS, 1, b"\xff\xff\xff\xff\xff\xff"),
            start + frame(HEADERS, WHOLE | ENDS, 1, b"\xbe"),
            start + frame(HEADERS, WHOLE | ENDS, 1, b"\x80"),
            start + frame(HEADERS, WHOLE | ENDS, 1, b"\x3f\xff\xff\x7f"),
            start + frame(HEADERS, WHOLE | ENDS, 1, b"\0\x84" + chance.randbytes(4) + b"\x01x"),
            start + frame(HEADERS, WHOLE | ENDS, 1, b"\x40\1a\x7e" + b"b" * 126 + b"\xbe" * 9000),
            start + b"\xff\xff\xff\0\0\0\0\0\1" + bytes(20000),
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        )
    )
    return Talk(check="grpc", what="not SERVING", healthy=False, steps=(b"", said))
