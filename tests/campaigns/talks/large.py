"""HTTP answers that are as large as they may be, and written in what takes most time or memory to read."""

import random

from tests.campaigns.talks.talk import SHORT, Talk

OK = b"HTTP/1.1 200 OK\r\n"
SIZES = {"64k": 1 << 16, "1M": 1 << 20, "2M": 1 << 21}
TIMEOUT = SHORT * 6


def large(chance: random.Random) -> Talk:
    """None of them is healthy."""
    name, size = chance.choice(list(SIZES.items()))
    json = ("--json", "a=b")
    text = ("--contains", "needle")
    words: tuple[str, ...]
    body, words = chance.choice(
        (
            (b"y" * size, text),
            (b" " * (size - 2) + b"{}", json),
            (b'{"a":' + b"1" * (size - 9) + b"}", json),
            (b'{"a":"' + b"\\u0041" * (size // 6 - 9) + b'"}', json),
            (b'{"a":"' + b"\\n" * (size // 2 - 9) + b'"}', json),
            (b"[" * size, json),
            (b'{"a":' * (size // 5), json),
            (b"{" + b'"a":[1],' * (size // 9) + b'"a":1}', json),
            (b"[" + b"1," * (size // 2 - 2) + b"1]", json),
            (b'{"' + b"k" * (size - 20) + b'":1}', json),
        )
    )
    match chance.randrange(5):
        case 0:
            head = OK + b"Content-Length: %d\r\n\r\n" % len(body)
        case 1:
            head = OK + b"\r\n"
        case 2:
            head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
            width = (
                chance.choice((1, 7, 4096, size)) if size < 1 << 20 else chance.choice((4096, size))
            )
            pieces = [body[at : at + width] for at in range(0, len(body), width)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(it), it) for it in pieces) + b"0\r\n\r\n"
        case 3:
            head, words = header(chance), ("--status", "204")
            body = b""
        case _:
            place = b"/?" + b"&".join(
                b"%b%d=%d" % (chance.choice((b"token", b"a")), it, it) for it in range(600)
            )
            head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + place + b"\r\n\r\n"
            body, words = b"", ("--follow", chance.choice(("3", "1000")), "--status", "200")
    limit = ("--max-body", name) if words in {json, text} else ()
    return Talk(
        check="http",
        what="large",
        healthy=False,
        words=(*words, *limit),
        steps=(b"", head + body),
        timeout=TIMEOUT,
    )


def header(chance: random.Random) -> bytes:
    """About 60 KB, or 250 lines."""
    fields = chance.choice(
        (
            [b"X: " + b"\xff" * 60_000],
            [b"X: " + b"y" * 200] * 250,
            [b"X: y", *[b" " + b"y" * 200] * 240],
            [b"Content-Length: " + b"1," * 30_000 + b"1"],
            [b"Content-Encoding: " + b"," * 60_000],
            [b"a:"] * 20_000,
            [b"Location: /" + b"%41" * 20_000],
        )
    )
    return OK + b"\r\n".join(fields) + b"\r\n\r\n"
