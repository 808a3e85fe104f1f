"""One conversation, as the server has it, and how it is changed."""

import random
import re
from base64 import b64encode
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha1

SOON = 10.0
"""A timeout, in seconds, that a busy machine does not meet: for answers that end by themselves."""
SHORT = 0.15
"""A timeout for what only the deadline ends."""
FAVOURITES = b"\x00\x01\x0a\x0d\x20\x22\x2c\x2d\x30\x39\x3a\x5b\x7b\x7f\x80\xc3\xed\xff"


MARKS = {
    "dns": b"\xf1\xd5",
    "kafka": b"\xf1ID\xf1",
    "mongodb": b"\xf1ID\xf1",
    "websocket": b"\xf1the-answer-to-the-key-sent\xf1",
}
"""By check: what stands in a step for what the client has said, and a right answer repeats. Changed, it is wrong."""
WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = re.compile(rb"(?i)\r\nSec-WebSocket-Key: *([^\r\n]*)")


def filled(check: str, step: bytes, asked: bytes) -> bytes:
    """A step with the client's own words in their place."""
    match check:
        case "dns":
            words = asked[:2]
        case "kafka":
            words = asked[8:12]
        case "mongodb":
            words = asked[4:8]
        case "websocket":
            found = KEY.search(asked)
            words = b64encode(sha1((found[1] if found else b"") + WEBSOCKET).digest())
        case _:
            return step
    return step.replace(MARKS[check], words)


class End(StrEnum):
    """What a server does after its last words."""

    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"
    FLOOD = "flood"


@dataclass(frozen=True, kw_only=True)
class Talk:
    """``steps``: what is sent at once, then what is sent each time the client has spoken.

    ``needed``: of the last step, the bytes without which the answer is not healthy. ``pause``: seconds after each
    ``piece`` bytes. ``healthy`` is None when the construction does not say.
    """

    check: str
    what: str
    healthy: bool | None
    words: tuple[str, ...] = ()
    steps: tuple[bytes, ...]
    needed: int = 0
    end: End = End.CLOSE
    flood: bytes = b""
    pause: float = 0
    piece: int = 1
    timeout: float = SOON


def said(
    check: str, what: str, *steps: bytes, healthy: bool = True, words: tuple[str, ...] = ()
) -> Talk:
    """A talk of these steps; if it is healthy, all of the last one is needed."""
    needed = len(steps[-1]) if healthy else 0
    return Talk(check=check, what=what, healthy=healthy, words=words, steps=steps, needed=needed)


def cut(chance: random.Random, talk: Talk) -> Talk:
    """A healthy answer that ends before what it needs, by hanging up, by a reset or by silence."""
    end = chance.choice((End.CLOSE, End.CLOSE, End.RESET, End.SILENCE))
    kept = talk.steps[-1][: chance.randrange(talk.needed)]
    return replace(
        talk,
        what=f"{talk.what}, cut",
        healthy=False,
        steps=(*talk.steps[:-1], kept),
        end=end,
        timeout=SHORT if end is End.SILENCE else SOON,
    )


def slow(chance: random.Random, talk: Talk) -> Talk:
    """A healthy answer in a few small pieces: it stays healthy."""
    size = sum(map(len, talk.steps))
    piece = max(1, size // chance.randint(2, 12))
    return replace(talk, what=f"{talk.what}, slow", pause=0.005, piece=piece)


def dripping(talk: Talk) -> Talk:
    """A healthy answer of which a byte comes every 0.1 s: the deadline comes first."""
    return replace(
        talk, what=f"{talk.what}, dripping", healthy=False, pause=0.1, piece=1, timeout=SHORT
    )


def changed(chance: random.Random, talk: Talk) -> Talk:
    """Some of its bytes changed, lost, doubled, moved, or replaced by numbers that are too large."""
    steps = list(talk.steps)
    for _ in range(chance.randint(1, 4)):
        number = chance.choice([at for at, step in enumerate(steps) if step] or [0])
        steps[number] = mutate(chance, steps[number])
    return replace(
        talk,
        what=f"{talk.what}, changed",
        healthy=None,
        steps=tuple(steps),
        end=chance.choice((End.CLOSE, End.CLOSE, End.CLOSE, End.RESET)),
        timeout=SHORT if len(steps) > 2 else SHORT * 2,
    )


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Change one thing."""
    if not data:
        return chance.randbytes(chance.randrange(1, 40))
    at = chance.randrange(len(data))
    width = chance.randint(1, 8)
    match chance.randrange(8):
        case 0:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + bytes([chance.choice(FAVOURITES)]) + data[at + 1 :]
        case 2:
            return data[:at] + bytes([chance.choice(FAVOURITES)]) * width + data[at:]
        case 3:
            return data[:at] + data[at + width :]
        case 4:
            return data[:at]
        case 5:
            return data[:at] + data[at : at + 8 * width] * chance.randint(2, 200) + data[at:]
        case 6:
            other = chance.randrange(len(data))
            return data[:at] + data[other : other + width] + data[at + width :]
        case _:
            large = chance.choice(
                (b"9" * 30, b"-1", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"0")
            )
            return data[:at] + large + data[at + len(large) :]


def noise(chance: random.Random, size: int) -> bytes:
    """Printable text without what the checks look for."""
    return bytes(
        chance.choices(b"abcdefghijklmnopqrstuvwxyz0123456789 ;=/_", k=chance.randint(1, size))
    )
