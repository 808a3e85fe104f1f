"""Answers of Redis, PostgreSQL, MySQL, Memcached, AMQP brokers, and of plain TCP servers."""

import random
from collections.abc import Callable

from tests.campaigns.talks.talk import SHORT, End, Talk, noise

BANNERS = (
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"220 mail.example.org ESMTP\r\n",
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x0a",
    b"-ERR unknown command\r\n",
    b"* OK IMAP4rev1\r\n",
    b"\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\xff\xfd\x18\xff\xfd\x20",
    b"RFB 003.008\n",
)
Maker = Callable[[random.Random], Talk]


def redis(chance: random.Random) -> Talk:
    good = b"+PONG\r\n" if chance.random() < 0.7 else b"+PONG\n"
    more = chance.choice((b"", b"+PONG\r\n", noise(chance, 50)))
    return Talk(
        check="redis",
        what="PONG",
        healthy=True,
        steps=(b"", good + more),
        needed=good.index(b"\n") + 1,
    )


def bad_redis(chance: random.Random) -> Talk:
    if chance.random() < 0.2:
        flood = chance.choice((b"x" * 1000, b"+PONG" * 100, b"\0" * 4096))
        return Talk(
            check="redis",
            what="endless line",
            healthy=False,
            steps=(b"", b"+"),
            end=End.FLOOD,
            flood=flood,
        )
    said = chance.choice(
        (
            b"-LOADING Redis is loading the dataset in memory",
            b"-NOAUTH Authentication required.",
            b"-MASTERDOWN Link with MASTER is down",
            b"$4\r\nPONG",
            b":1",
            b"+PONGS",
            b"+pong",
            b" +PONG",
            b"+PONG\0",
            b"+PONG ",
            b"\xef\xbb\xbf+PONG",
            b"",
            b"*99999999999999999999",
            b"-" + chance.randbytes(40).replace(b"\n", b""),
        )
    )
    return Talk(check="redis", what="no PONG", healthy=False, steps=(b"", said + b"\r\n"))


def postgres_message(kind: bytes, payload: bytes, wrong: int = 0) -> bytes:
    return kind + (len(payload) + 4 + wrong).to_bytes(4, "big") + payload


def postgres_error(chance: random.Random, code: bytes) -> bytes:
    text = b"SFATAL\0VFATAL\0C" + code + b"\0M" + noise(chance, 300) + b"\0Fauth.c\0\0"
    return postgres_message(b"E", text)


def postgres(chance: random.Random) -> Talk:
    notices = [
        postgres_message(b"N", b"SNOTICE\0C00000\0M" + noise(chance, 80) + b"\0\0")
        for _ in range(chance.randrange(5))
    ]
    answer = chance.choice(
        (
            postgres_message(b"R", b"\0\0\0\0"),
            postgres_message(b"R", b"\0\0\0\x03"),
            postgres_message(b"R", b"\0\0\0\x05" + chance.randbytes(4)),
            postgres_message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
            postgres_error(chance, chance.choice((b"28000", b"28P01", b"3D000", b"42501"))),
        )
    )
    said = b"".join(notices) + answer
    return Talk(check="postgres", what="ready", healthy=True, steps=(b"", said), needed=len(said))


def bad_postgres(chance: random.Random) -> Talk:
    notice = postgres_message(b"N", b"SNOTICE\0C00000\0Mhello\0\0")
    if chance.random() < 0.2:
        return Talk(
            check="postgres",
            what="endless notices",
            healthy=False,
            steps=(b"", notice),
            end=End.FLOOD,
            flood=notice,
        )
    said = chance.choice(
        (
            postgres_error(
                chance, chance.choice((b"57P03", b"57P01", b"53300", b"XX000", b"08P01", b""))
            ),
            postgres_message(b"E", b""),
            postgres_message(b"E", b"\0" * 300),
            postgres_message(b"E", b"C57P03"),
            postgres_message(b"Z", b"I"),
            postgres_message(b"r", b"\0\0\0\0"),
            b"R\0\0\0\0",
            b"R\0\0\0\3\0\0\0\0",
            b"R\xff\xff\xff\xff" + bytes(100),
            b"R\x7f\xff\xff\xff" + bytes(100),
            b"R\0\1\0\5" + bytes(100),
            postgres_message(b"R", b"\0\0\0\0", wrong=chance.randint(1, 60000)),
            b"N",
            b"S",
        )
    )
    return Talk(check="postgres", what="not ready", healthy=False, steps=(b"", said))


def mysql_packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def mysql_greeting(chance: random.Random) -> bytes:
    version = chance.choice(
        (b"8.4.3", b"5.5.5-10.11.6-MariaDB", b"9" * 300, b"\xff\xfe", b"\x1b[31mred")
    )
    return mysql_packet(0, b"\x0a" + version + b"\0" + chance.randbytes(chance.randint(20, 200)))


def mysql(chance: random.Random) -> Talk:
    said = mysql_greeting(chance)
    if chance.random() < 0.5:
        return Talk(check="mysql", what="greeting", healthy=True, steps=(said,), needed=len(said))
    reply = chance.choice(
        (mysql_packet(2, b"\0\0\0\2\0\0\0"), mysql_packet(2, b"\xff\x15\x04#28000Access denied"))
    )
    return Talk(
        check="mysql",
        what="login",
        healthy=True,
        words=("--user", "probe"),
        steps=(said, reply),
        needed=len(reply),
    )


def bad_mysql(chance: random.Random) -> Talk:
    good = mysql_greeting(chance)
    if chance.random() < 0.3:
        error = chance.choice((1040, 1129, 1053, 0, 65535)).to_bytes(2, "little")
        reply = mysql_packet(2, b"\xff" + error + b"#08004" + noise(chance, 300))
        return Talk(
            check="mysql",
            what="refused login",
            healthy=False,
            words=("--user", "probe"),
            steps=(good, reply),
        )
    said = chance.choice(
        (
            mysql_packet(0, b"\xff\x10\x04#08004Too many connections"),
            mysql_packet(0, b"\xff"),
            mysql_packet(0, b"\xff\x69\x04Host is blocked" + chance.randbytes(100)),
            mysql_packet(0, b"\x09" + good[5:]),
            mysql_packet(chance.randint(1, 255), good[4:]),
            mysql_packet(0, b"\x0a8.4.3 without an end"),
            b"\0\0\0\0" + good,
            b"\xff\xff\xff\0" + good[4:],
            b"\1\0\1\0" + good[4:],
            (len(good) - 4 + chance.randint(1, 60000)).to_bytes(3, "little") + good[3:],
        )
    )
    return Talk(check="mysql", what="not ready", healthy=False, steps=(said,))


def memcached(chance: random.Random) -> Talk:
    said = b"VERSION 1.6." + noise(chance, 1000) + chance.choice((b"\r\n", b"\n"))
    return Talk(
        check="memcached", what="VERSION", healthy=True, steps=(b"", said), needed=len(said)
    )


def bad_memcached(chance: random.Random) -> Talk:
    if chance.random() < 0.2:
        return Talk(
            check="memcached",
            what="endless line",
            healthy=False,
            steps=(b"", b"VERSION "),
            end=End.FLOOD,
            flood=b"1" * 999,
        )
    said = chance.choice(
        (
            b"ERROR",
            b"SERVER_ERROR out of memory",
            b"VERSION",
            b"version 1.6",
            b"",
            b"\0VERSION 1",
            b"VERSION\t1",
            b"CLIENT_ERROR \x1b[2J",
        )
    )
    return Talk(check="memcached", what="no VERSION", healthy=False, steps=(b"", said + b"\r\n"))


def amqp(chance: random.Random) -> Talk:
    payload = b"\0\x0a\0\x0a\0\x09" + chance.randbytes(chance.randint(0, 2000))
    said = b"\1\0\0" + len(payload).to_bytes(4, "big") + payload + b"\xce"
    return Talk(
        check="amqp", what="Connection.Start", healthy=True, steps=(b"", said), needed=len(said)
    )


def bad_amqp(chance: random.Random) -> Talk:
    payload = b"\0\x0a\0\x0a\0\x09" + bytes(50)
    size = len(payload).to_bytes(4, "big")
    said = chance.choice(
        (
            b"AMQP\0\1\0\0",
            b"AMQP\3\1\0\0",
            b"\1\0\0" + size + payload + b"\0",
            b"\2\0\0" + size + payload + b"\xce",
            b"\1\0\1" + size + payload + b"\xce",
            b"\1\0\0\xff\xff\xff\xff" + payload + b"\xce",
            b"\1\0\0\0\0\0\0\xce",
            b"\1\0\0\0\0\0\3\0\x0a\0\xce",
            b"\1\0\0" + size + b"\0\x0a\0\x32" + bytes(52) + b"\xce",
        )
    )
    return Talk(check="amqp", what="no Connection.Start", healthy=False, steps=(b"", said))


def tcp(chance: random.Random) -> Talk:
    before = chance.choice(
        (b"", noise(chance, 60000), bytes(chance.randint(1, 50000)), b"\xff" * 777)
    )
    words: tuple[str, ...] = ("--expect", r"READY\x00\xff!")
    said = before + b"READY\0\xff!"
    if chance.random() < 0.5:
        return Talk(
            check="tcp", what="banner", healthy=True, words=words, steps=(said,), needed=len(said)
        )
    words += ("--send", r"hello\r\n\x00")
    return Talk(
        check="tcp", what="reply", healthy=True, words=words, steps=(b"", said), needed=len(said)
    )


def bad_tcp(chance: random.Random) -> Talk:
    words = ("--expect", r"READY\x00\xff!")
    if chance.random() < 0.3:
        flood = chance.choice((b"READY\0\xff", b"\0" * 999, b"R" * 5000))
        return Talk(
            check="tcp",
            what="endless banner",
            healthy=False,
            words=words,
            steps=(b"",),
            end=End.FLOOD,
            flood=flood,
        )
    said = chance.choice((b"READY!", b"READY\0", b"ready\0\xff!", b"", *BANNERS))
    return Talk(check="tcp", what="another banner", healthy=False, words=words, steps=(said,))


def banner(chance: random.Random) -> Talk:
    """Another protocol than the one asked for; or nobody who speaks at all."""
    check = chance.choice(("http", "redis", "postgres", "mysql", "memcached", "amqp", "grpc"))
    known = [it for it in BANNERS if not (check == "http" and it.startswith(b"HTTP"))]
    step = chance.choice((b"", *known))
    end = chance.choice((End.CLOSE, End.RESET, End.SILENCE))
    return Talk(
        check=check,
        what="another protocol",
        healthy=False,
        steps=(step,),
        end=end,
        timeout=SHORT if end is End.SILENCE else 10,
    )


HEALTHY: tuple[Maker, ...] = (redis, postgres, mysql, memcached, amqp, tcp)
UNHEALTHY: tuple[Maker, ...] = (
    bad_redis,
    bad_postgres,
    bad_mysql,
    bad_memcached,
    bad_amqp,
    bad_tcp,
    banner,
)
