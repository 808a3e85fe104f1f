"""HTTP/1.1 responses (RFC 9112): framed, compressed and broken in many ways."""

import gzip
import random
from dataclasses import replace

from tests.campaigns.talks.json_text import bad_json, good_json
from tests.campaigns.talks.talk import End, Talk, noise

NEEDLE = b"all-is-Well!"
ODD_FIELDS = (
    b"X-Text: \xff\xfe obs-text",
    b"X-Long: " + b"x" * 5000,
    b"X-Folded: a\r\n  b\r\n\tc",
    b"Date:",
    b"Set-Cookie: a=b; c",
    b"Server:\t\tthing \t",
    b"Content-Type: text/plain",
    b"Keep-Alive: timeout=99999999999999999999",
)
BAD_HEADS = (
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nName : space\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: nameless\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\x1b[2Jc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA\xff: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n folded first\r\n\r\n",
    b"HTTP/1.1 200 OK\rA: b\r\r",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 -20 OK\r\n\r\n",
    b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 200OK\r\n\r\n",
    b"HTTP/1.1 099 OK\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1\t200\tOK\r\n\r\n",
    b"http/1.1 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
)
BAD_CHUNKS = (
    b"-1\r\n",
    b"0x5\r\n",
    b"g\r\n",
    b"\r\n",
    b";ext\r\n",
    b"fffffffffffffffff\r\n",
    b"5\r\nabcdeXX\r\n0\r\n\r\n",
    b"5\r\nabc\r\n0\r\n\r\n",
    b"\xb2\r\n",
    b"1 1\r\na\r\n",
    b"5" + b";" * 5000 + b"\r\n",
)
BAD_PLACES = (
    b"http://[::1",
    b"http://",
    b"ftp://127.0.0.1/",
    b"http://127.0.0.1:99999/",
    b"http://127.0.0.1:-1/",
    b"http://127.0.0.1:1x/",
    b"https:///x",
    b"javascript:alert(1)",
    b"http://[fe80::%25]/",
    b"http://exa mple/",
)


def chunked(chance: random.Random, body: bytes) -> tuple[bytes, int]:
    """The body in chunks, and how many bytes of it are needed: the trailers are not."""
    said, at = b"", 0
    while at < len(body):
        size = chance.randint(1, max(1, len(body) // chance.randint(1, 9)))
        piece = body[at : at + size]
        extension = chance.choice((b"", b"", b";a=b", b' ; q="x"'))
        number = chance.choice((b"%x", b"%X", b"000%x")) % len(piece)
        said += number + extension + b"\r\n" + piece + b"\r\n"
        at += len(piece)
    said += chance.choice((b"0\r\n", b"000\r\n"))
    return said, len(said)


def response(
    chance: random.Random, body: bytes, *, fields: tuple[bytes, ...] = ()
) -> tuple[bytes, int]:
    """A response 200 with this body, and how many of its bytes are needed."""
    lines = [*fields, *chance.sample(ODD_FIELDS, chance.randrange(4))]
    start = b"HTTP/1.1 200" + chance.choice((b" OK", b"", b" ", b" Fine \xe9"))
    tail, needed = body, len(body)
    match chance.randrange(3):
        case 0:
            lines.append(b"Content-Length: %d" % len(body))
            tail += chance.choice((b"", noise(chance, 20)))
        case 1:
            lines.append(
                b"Transfer-Encoding: "
                + chance.choice((b"chunked", b"CHUNKED", b"identity, chunked"))
            )
            tail, needed = chunked(chance, body)
            tail += chance.choice((b"\r\n", b"A: b\r\n\r\n", b""))
        case _:
            start = start.replace(b"/1.1", b"/1.0")
    chance.shuffle(lines)
    newline = chance.choice((b"\r\n", b"\r\n", b"\n"))
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * chance.choice((0, 0, 1, 10))
    head = (
        early
        + newline.join([start, *(line.replace(b"\r\n", newline) for line in lines)])
        + newline * 2
    )
    return head + tail, len(head) + needed


def http(chance: random.Random) -> Talk:
    """The status is allowed, and the body as wanted."""
    filler = noise(chance, chance.choice((20, 3000, 100_000)))
    words: tuple[str, ...]
    match chance.randrange(5):
        case 0:
            status, allowed = chance.choice(
                (
                    ("200", "200"),
                    ("204", "2xx"),
                    ("503", "503"),
                    ("301", "200-399"),
                    ("999", "900-999"),
                )
            )
            head = f"HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n".encode()
            said = head + chance.choice((b"", b"12345"))
            return Talk(
                check="http",
                what="status",
                healthy=True,
                words=("--status", allowed),
                steps=(b"", said),
                needed=len(head),
            )
        case 1:
            words, body = ("--contains", NEEDLE.decode()), filler + NEEDLE + noise(chance, 50)
        case 2:
            words, body = (
                ("--not-contains", NEEDLE.decode()),
                filler + chance.choice((b"", b"\0\xff")),
            )
        case 3:
            said = b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n"
            # Each connection is answered alike, so this one never ends: the redirects are used up.
            return Talk(
                check="http",
                what="endless redirects",
                healthy=False,
                words=("--follow", str(chance.randint(1, 9))),
                steps=(b"", said),
            )
        case _:
            wanted = good_json(chance)
            words, body = ("--json", wanted.option), wanted.text
    said, needed = response(chance, body)
    if b"HTTP/1.0 200" in said and words[0] != "--json":
        needed = said.index(NEEDLE) + len(NEEDLE) if words[0] == "--contains" else 0
    return Talk(
        check="http",
        what=f"body, {words[0]}",
        healthy=True,
        words=words,
        steps=(b"", said),
        needed=needed,
    )


def bad_http(chance: random.Random) -> Talk:
    """The status is not allowed, the body is another, or it is no HTTP."""
    contains = ("--contains", NEEDLE.decode())
    bad = Talk(
        check="http", what="bad header", healthy=False, steps=(b"", chance.choice(BAD_HEADS))
    )
    match chance.randrange(8):
        case 0:
            return bad
        case 1:
            line = f"HTTP/1.1 {chance.choice((400, 404, 500, 503, 999, 101))} x\r\nContent-Length: 0\r\n\r\n"
            return replace(bad, what="status", steps=(b"", line.encode()))
        case 2:
            said, _ = response(chance, noise(chance, 5000))
            return replace(bad, what="needle missing", words=contains, steps=(b"", said))
        case 3:
            body = gzip.compress(NEEDLE * 20 + noise(chance, 50), mtime=0)
            coding = chance.choice((b"Content-Encoding: gzip", b"Transfer-Encoding: gzip, chunked"))
            said, _ = response(chance, body, fields=(coding,))
            words = chance.choice((contains, ("--json", "a=1")))
            return replace(bad, what="compressed", words=words, steps=(b"", said))
        case 4:
            said, _ = response(chance, NEEDLE + noise(chance, 99))
            return replace(
                bad,
                what="needle forbidden",
                words=("--not-contains", NEEDLE.decode()),
                steps=(b"", said),
            )
        case 5:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            good = b"%x\r\n%b\r\n" % (len(NEEDLE), NEEDLE)
            said = head + good * chance.randrange(3) + chance.choice(BAD_CHUNKS)
            return replace(bad, what="bad chunks", words=contains, steps=(b"", said))
        case 6:
            said = b"HTTP/1.1 302 Found\r\nLocation: " + chance.choice(BAD_PLACES) + b"\r\n\r\n"
            return replace(bad, what="bad redirect", words=("--follow", "3"), steps=(b"", said))
        case _:
            return flood(chance)


def bad_body(chance: random.Random) -> Talk:
    """A body that is not the JSON that is wanted."""
    wanted = bad_json(chance)
    said, _ = response(chance, wanted.text)
    words = ("--json", wanted.option)
    return Talk(check="http", what="bad JSON", healthy=False, words=words, steps=(b"", said))


def flood(chance: random.Random) -> Talk:
    """A response without an end."""
    ok = b"HTTP/1.1 200 OK\r\n"
    chunks, plain = ok + b"Transfer-Encoding: chunked\r\n\r\n", ok + b"\r\n"
    contains, forbids, status = (
        ("--contains", NEEDLE.decode()),
        ("--not-contains", NEEDLE.decode()),
        ("--json", "status=ok"),
    )
    first, again, words = chance.choice(
        (
            (b"HTTP/1.1 2", b"0", contains),
            (ok, b"A: b\r\n", ()),
            (ok, b"x" * 9999, ()),
            (ok + b"A: b", b"\r\n c", ()),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n", ()),
            (b"", b"\0" * 9999, ()),
            (plain, b"x" * 9999, contains),
            (plain, b"x" * 9999, forbids),
            (ok + b"Content-Length: 999999999999\r\n\r\n", b"x" * 9999, contains),
            (chunks, b"1\r\nx\r\n" * 999, contains),
            (chunks, b"2000\r\n" + bytes(0x2000) + b"\r\n", forbids),
            (chunks + b"1", b";" * 999, contains),
            (chunks, b"f" * 999, contains),
            (plain, b"[" * 9999, status),
            (plain + b"[", b"1," * 9999, status),
            (plain + b"[", b'"",' * 9999, status),
            (plain, b'{"status":' * 999, status),
            (plain + b'{"status":"', b"\\n" * 9999, status),
            (plain + b'{"status":"', b"\\u0041" * 999, status),
            (plain + b'{"status":', b"9" * 9999, status),
            (plain + b'{"status":"ok"', b" " * 9999, status),
        )
    )
    size = ("--max-body", chance.choice(("1k", "64k", "1M", "2M"))) if words else ()
    return Talk(
        check="http",
        what="flood",
        healthy=False,
        words=words + size,
        steps=(b"", first),
        end=End.FLOOD,
        flood=again,
    )
