"""JSON texts (RFC 8259) in which a value is, or is not, where it is looked for."""

import json
import random
from typing import NamedTuple


class Wanted(NamedTuple):
    """A text, and what ``--json`` is to say of it."""

    text: bytes
    option: str


def tree(chance: random.Random, depth: int) -> object:
    """Any JSON value."""
    match chance.randrange(8 if depth else 5):
        case 0:
            return chance.choice((True, False, None))
        case 1:
            return chance.choice((0, -1, 10**400, 1e308, 5e-324, chance.randrange(10**9)))
        case 2:
            return "".join(
                chance.choices(
                    'abc"\\/\n\t\0\x7f\u00e9\u2028\ud83d\U0001f600', k=chance.randrange(9)
                )
            )
        case 3:
            return []
        case 4:
            return {}
        case 5 | 6:
            return [tree(chance, depth - 1) for _ in range(chance.randrange(5))]
        case _:
            return {f"k{at}": tree(chance, depth - 1) for at in range(chance.randrange(5))}


def wrapped(chance: random.Random, value: str, key: str = "status") -> tuple[bytes, str]:
    """A text that holds the JSON text ``value`` somewhere, and the path to it."""
    path, text = [key], f"{{{around(chance, key, value)}}}"
    for _ in range(chance.choice((0, 0, 1, 3, 90))):
        if chance.random() < 0.5:
            path.insert(0, "in")
            text = f'{{"in":{blank(chance)}{text}}}'
        else:
            path.insert(0, "1")
            text = f"[null,{text}]"
    return text.encode(), ".".join(path)


def around(chance: random.Random, key: str, value: str) -> str:
    """Members of an object, of which ``key`` is one."""
    others = [f'"k{at}":{json.dumps(tree(chance, 2))}' for at in range(chance.randrange(4))]
    others.insert(
        chance.randint(0, len(others)),
        f"{blank(chance)}{json.dumps(key)}{blank(chance)}:{blank(chance)}{value}",
    )
    return ",".join(others)


def blank(chance: random.Random) -> str:
    return chance.choice(("", "", " ", "\r\n\t"))


VALUES = (
    ("ok", '"ok"'),
    ("ok", r'"\u006fk"'),
    ("1", "1"),
    ("1", "10e-1"),
    ("true", "true"),
    ("null", "null"),
    ("é", '"é"'),
    ("", '""'),
)
OTHERS = (
    '"down"',
    "0",
    "false",
    "[]",
    "{}",
    '"OK"',
    '"ok "',
    "-1",
    "1e999999",
    r'"\u0000"',
    '"\\ud800"',
    "11",
    "1" * 500,
)
CLOSE = (
    ("9007199254740992", "9007199254740993"),
    ("2e999999", "1e999999"),
    ("0", "1e-999999"),
    ("1", "1.0000000000000000000000000001"),
    ("-1", "1"),
    ("10", "1"),
    ("1" * 401, "1" * 400 + "2"),
)
"""A number, and another that a float might take for it."""
BROKEN = (
    "", "tru", "nul", "NaN", "Infinity", "-", "01", "1.", ".5", "+1", "1e", "0x10", "'ok'", '"ok', '"\\x"', '"\\u12G4"',
    '"a\nb"', '"\0"', "[1,]", "[,1]", "{,}", '{"a"}', '{"a":}', "{1:2}", "[1 2]", "[[", "]", "//x", "/**/1",
    "1" * 400 + "x",
    "1" * 5000 + ".",
    "0." + "1" * 400 + "e",
)  # fmt: skip


def good_json(chance: random.Random) -> Wanted:
    """The value is there."""
    wanted, value = chance.choice(VALUES)
    if chance.random() < 0.1:
        value = wanted = f"{chance.randrange(10**30)}"
    text, path = wrapped(chance, value)
    return Wanted(text, f"{path}={wanted}")


def bad_json(chance: random.Random) -> Wanted:
    """It is another value, or not there, or the text is no JSON."""
    text, path = wrapped(chance, '"ok"')
    option = f"{path}=ok"
    match chance.randrange(9):
        case 7:
            wanted, value = chance.choice(CLOSE)
            text, path = wrapped(chance, value)
            return Wanted(text, f"{path}={wanted}")
        case 8:
            long = chance.choice((b"\\n", b"\\u0041", b'\\"', b'","'))
            filler = long * chance.choice((1000, 150_000))
            return Wanted(b'{"x":["' + filler + b'"],"status":"down"}', option)
        case 0:
            text, path = wrapped(chance, chance.choice(OTHERS))
            return Wanted(text, f"{path}={chance.choice(('ok', '1', 'true'))}")
        case 1:
            return Wanted(text, f"{path}.more=ok")
        case 2:
            text, path = wrapped(chance, chance.choice(BROKEN))
            return Wanted(text, f"{path}=1")
        case 3:
            broken = chance.choice(BROKEN[1:])
            return Wanted(b'{"other":' + broken.encode() + b',"status":"ok"}', "status=ok")
        case 4:
            return Wanted(text + chance.choice((b"x", b"\0", b"{}", b",", b"\xff", b"]")), option)
        case 5:
            deep = chance.choice((200, 5000, 100_000))
            opened, closed = chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
            return Wanted(
                b'{"x":' + opened * deep + b"1" + closed * deep + b',"status":"ok"}', "status=ok"
            )
        case _:
            inside = chance.choice(
                (
                    b"\xff",
                    b"\xc3",
                    b"\xed\xa0\x80",
                    b"\xc0\x80",
                    b"\xf5\x80\x80\x80",
                    b"\x01",
                    b"\x1f",
                )
            )
            return Wanted(b'{"x":"' + inside + b'","status":"ok"}', "status=ok")
