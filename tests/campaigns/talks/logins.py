"""Answers to who logs in with a password at PostgreSQL, MySQL, Redis or a broker: who lets one in, and who does not."""

import base64
import random
from collections.abc import Callable
from dataclasses import replace

from tests.campaigns.talks.stores import mysql_packet, postgres_error, postgres_message
from tests.campaigns.talks.talk import End, Talk, noise, said

PASSWORD = "correct horse"
WORDS = ("--user", "app", "--password", PASSWORD)
OK = b"\0\0\0\2\0\0\0"
READY = postgres_message(b"Z", b"I")
SASL = postgres_message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
Maker = Callable[[random.Random], Talk]


def login(check: str, what: str, *steps: bytes) -> Talk:
    """Who gives the password is let in."""
    return said(check, what, *steps, words=WORDS)


def no_login(check: str, what: str, *steps: bytes) -> Talk:
    """Who gives the password is not let in, or not as the protocol has it."""
    return said(check, what, *steps, healthy=False, words=WORDS)


def inside(chance: random.Random) -> bytes:
    """What PostgreSQL says to whom it has let in."""
    status = postgres_message(b"S", b"server_version\0" + noise(chance, 80) + b"\0")
    key = postgres_message(b"K", chance.randbytes(8))
    return postgres_message(b"R", bytes(4)) + status * chance.randrange(30) + key + READY


def postgres_login(chance: random.Random) -> Talk:
    """Without a question, or after one for MD5: who asks is not asked to prove anything."""
    last = inside(chance)
    steps: tuple[bytes, ...] = (b"", last)
    if chance.random() < 0.5:
        steps = (b"", postgres_message(b"R", b"\0\0\0\5" + chance.randbytes(4)), last)
    return login("postgres", "login", *steps)


def challenge(chance: random.Random) -> bytes:
    """What begins SCRAM; it can never hold the nonce of whom it answers."""
    nonce, salt = (base64.b64encode(chance.randbytes(chance.randrange(40))) for _ in range(2))
    rounds = chance.choice((b"4096", b"1", b"0", b"-1", b"100001", b"9" * 30, b"", b"4_096", b"x"))
    text = b"r=" + nonce + b",s=" + salt + b",i=" + rounds
    return chance.choice(
        (
            text,
            text + b",x=y",
            b"m=must," + text,
            text[: chance.randrange(len(text))],
            chance.randbytes(chance.randrange(200)),
            b"," * chance.randrange(5000),
            b"r=" * 2000,
            b"",
        )
    )


def bad_postgres_login(chance: random.Random) -> Talk:
    first = postgres_message(b"R", b"\0\0\0\x0b" + challenge(chance))
    last = postgres_message(b"R", b"\0\0\0\x0cv=" + base64.b64encode(chance.randbytes(32)))
    if chance.random() < 0.15:
        flood = chance.choice((first, last, SASL, postgres_message(b"S", b"a\0b\0"), READY))
        begun = postgres_message(b"R", bytes(4)) if flood != READY else SASL
        talk = no_login("postgres", "endless login", b"", begun)
        return replace(talk, end=End.FLOOD, flood=flood)
    code = chance.choice((1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 255, 2**31, 2**32 - 1))
    steps = chance.choice(
        (
            (postgres_error(chance, b"28P01"),),
            (postgres_message(b"R", bytes(4)) + postgres_error(chance, b"3D000"),),
            (postgres_message(b"R", code.to_bytes(4, "big") + chance.randbytes(9)) + READY,),
            (postgres_message(b"R", b"\0\0\0\5" + b"x" * chance.choice((0, 3, 5))) + READY,),
            (postgres_message(b"R", b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0"),),
            (postgres_message(b"R", b"\0\0\0\x0a" + b"\0" * 3000),),
            (SASL, first, last + inside(chance)),
            (SASL, inside(chance)),
            (SASL, last + inside(chance)),
            (SASL + first + last, inside(chance)),
            (SASL, SASL, inside(chance)),
            (READY,),
        )
    )
    return no_login("postgres", "no login", b"", *steps)


def login_greeting(chance: random.Random) -> bytes:
    plugin = chance.choice((b"mysql_native_password", b"caching_sha2_password", b"other", b""))
    salt = bytes(chance.randint(1, 255) for _ in range(20))
    head = b"\x0a8.4.3\0" + chance.randbytes(4) + salt[:8] + b"\0\xff\xff\x21\2\0\xff\xff\x15"
    return mysql_packet(0, head + bytes(10) + salt[8:] + b"\0" + plugin + b"\0")


def switch(chance: random.Random, plugin: bytes) -> bytes:
    return mysql_packet(2, b"\xfe" + plugin + b"\0" + chance.randbytes(20) + b"\0")


def mysql_login(chance: random.Random) -> Talk:
    last = mysql_packet(4, OK)
    plugin = chance.choice((b"mysql_native_password", b"caching_sha2_password"))
    fast = plugin == b"caching_sha2_password" and chance.random() < 0.5
    steps: tuple[bytes, ...] = (
        switch(chance, plugin),
        (mysql_packet(4, b"\1\3") if fast else b"") + last,
    )
    if chance.random() < 0.5:
        steps = (last,)
    return login("mysql", "login with a password", login_greeting(chance), *steps)


def bad_mysql_login(chance: random.Random) -> Talk:
    steps = chance.choice(
        (
            (mysql_packet(2, b"\xff\x15\x04#28000Access denied"),),
            (switch(chance, b"client_ed25519"), mysql_packet(4, OK)),
            (switch(chance, b"mysql_clear_password"), mysql_packet(4, OK)),
            (switch(chance, b""), mysql_packet(4, OK)),
            (switch(chance, chance.randbytes(30).replace(b"\0", b"x")),),
            (mysql_packet(2, b"\xfe"), mysql_packet(4, OK)),
            (mysql_packet(2, b"\xfemysql_native_password\0" + b"x" * 19),),
            (switch(chance, b"caching_sha2_password"), mysql_packet(4, b"\1\4")),
            (switch(chance, b"caching_sha2_password"), mysql_packet(4, b"\1\3\3")),
            (switch(chance, b"mysql_native_password"), mysql_packet(4, b"\1\3")),
            (switch(chance, b"mysql_native_password") * 20,),
            (mysql_packet(2, bytes([chance.choice((1, 2, 3, 0x80, 0xFB, 0xFD))]) + OK),),
        )
    )
    return no_login("mysql", "no login with a password", login_greeting(chance), *steps)


def bad_redis_login(chance: random.Random) -> Talk:
    reply = chance.choice((b"-WRONGPASS x", b"-ERR " + PASSWORD.encode(), b"+ok", b"", b"+PONG"))
    return no_login("redis", "no AUTH", b"", reply + b"\r\n", b"+PONG\r\n")


def mqtt_login(chance: random.Random) -> Talk:
    reply = b"\x20\2" + chance.choice((b"\0", b"\1")) + b"\0"
    return login("mqtt", "login to a broker", b"", reply)


def bad_mqtt_login(chance: random.Random) -> Talk:
    """What passes for "ready" when nobody logs in."""
    reply = b"\x20\2\0" + bytes([chance.choice((4, 5))])
    return no_login("mqtt", "no login to a broker", b"", reply)


def with_password(talk: Talk, password: str) -> Talk:
    """The same talk for who logs in with another password."""
    words = tuple(password if word == PASSWORD else word for word in talk.words)
    steps = tuple(step.replace(PASSWORD.encode(), password.encode()) for step in talk.steps)
    return replace(talk, words=words, steps=steps)


LOGINS: tuple[Maker, ...] = (postgres_login, mysql_login, mqtt_login)
BAD_LOGINS: tuple[Maker, ...] = (
    bad_postgres_login,
    bad_mysql_login,
    bad_redis_login,
    bad_mqtt_login,
)
