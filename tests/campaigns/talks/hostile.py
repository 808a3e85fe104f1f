"""One hostile answer to one check: a right talk that is changed, or a wrong one; in all stages of the talk."""

import base64
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from tests.campaigns.talks import brokers, datagrams, logins
from tests.campaigns.talks.grpc import answer, bad_grpc, grpc, literal, message
from tests.campaigns.talks.http import bad_body, bad_http, http
from tests.campaigns.talks.large import large
from tests.campaigns.talks.oracle import may_be_right
from tests.campaigns.talks.stores import (
    BANNERS,
    Maker,
    amqp,
    bad_amqp,
    bad_memcached,
    bad_mysql,
    bad_postgres,
    bad_redis,
    bad_tcp,
    memcached,
    mysql,
    mysql_greeting,
    mysql_packet,
    postgres,
    redis,
    tcp,
)
from tests.campaigns.talks.talk import (
    FAVOURITES,
    SHORT,
    End,
    Talk,
    changed,
    cut,
    dripping,
    noise,
    slow,
)

PATIENT = SHORT * 2
"""For what may end by itself or not."""


@dataclass(frozen=True, kw_only=True)
class Makers:
    """Who makes the talks of a check; ``secret`` gives the words that hold a secret."""

    good: tuple[Maker, ...]
    bad: tuple[Maker, ...]
    secret: Callable[[random.Random, str], tuple[str, ...]] = lambda _, __: ()


def http_secret(chance: random.Random, secret: str) -> tuple[str, ...]:
    return chance.choice(
        (
            ("--basic-auth", f"user:{secret}"),
            ("--header", f"Authorization: Bearer {secret}"),
            ("--header", f"X-Api-Key: {secret}"),
            ("--header", f"Cookie: session={secret}"),
        )
    )


def not_serving(chance: random.Random) -> Talk:
    """All is right but what is said."""
    status = chance.choice(
        (b"", b"\x08\x00", b"\x08\x02", b"\x08\x03", b"\x08\x81\x01", b"\x10\x01")
    )
    said = answer(chance, message(status), literal(b"grpc-status", b"0"))
    return Talk(check="grpc", what="not serving", healthy=False, steps=(b"", said))


def wrong_number(chance: random.Random) -> Talk:
    """A greeting that is right but for the number of its packet."""
    greeting = mysql_greeting(chance)
    said = greeting[:3] + bytes([chance.randint(1, 255)]) + greeting[4:]
    return Talk(check="mysql", what="wrong number", healthy=False, steps=(said,))


def of_check(maker: Maker, check: str) -> Maker:
    return lambda chance: replace(maker(chance), check=check)


MAKERS: Mapping[str, Makers] = {
    "http": Makers(good=(http,), bad=(bad_http, bad_body, large), secret=http_secret),
    "tcp": Makers(good=(tcp,), bad=(bad_tcp,)),
    "unix": Makers(good=(of_check(tcp, "unix"),), bad=(of_check(bad_tcp, "unix"),)),
    "grpc": Makers(
        good=(grpc,),
        bad=(bad_grpc, not_serving),
        secret=lambda _, secret: ("--metadata", f"authorization: Bearer {secret}"),
    ),
    "redis": Makers(
        good=(redis,),
        bad=(bad_redis, logins.bad_redis_login),
        secret=lambda _, secret: ("--password", secret),
    ),
    "postgres": Makers(
        good=(postgres, logins.postgres_login), bad=(bad_postgres, logins.bad_postgres_login)
    ),
    "mysql": Makers(
        good=(mysql, logins.mysql_login), bad=(bad_mysql, wrong_number, logins.bad_mysql_login)
    ),
    "memcached": Makers(good=(memcached,), bad=(bad_memcached,)),
    "amqp": Makers(good=(amqp,), bad=(bad_amqp,)),
    "smtp": Makers(good=(brokers.smtp,), bad=(brokers.bad_smtp,)),
    "mqtt": Makers(
        good=(brokers.mqtt, logins.mqtt_login), bad=(brokers.bad_mqtt, logins.bad_mqtt_login)
    ),
    "kafka": Makers(good=(brokers.kafka,), bad=(brokers.bad_kafka,)),
    "mongodb": Makers(good=(brokers.mongodb,), bad=(brokers.bad_mongodb,)),
    "websocket": Makers(
        good=(brokers.websocket,), bad=(brokers.bad_websocket,), secret=http_secret
    ),
    "dns": Makers(good=(datagrams.dns,), bad=(datagrams.bad_dns,)),
    "udp": Makers(good=(datagrams.udp,), bad=(datagrams.bad_udp,)),
}
"""By check. A check of the probe that is not here is one that nobody attacks: a test says so."""


def hostile(chance: random.Random, check: str, secret: str = "") -> Talk:
    """An answer to this check. ``healthy`` is None only where an oracle finds a right answer in it."""
    makers = MAKERS[check]
    words = makers.secret(chance, secret) if secret and chance.random() < 0.7 else ()
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    maker = chance.choice(makers.bad if kind is wrong else makers.good)
    talk = maker(chance)
    if logins.PASSWORD in talk.words:
        talk, words = logins.with_password(talk, secret or logins.PASSWORD), ()
    elif check == "redis" and words:  # what AUTH is answered by
        talk = replace(talk, steps=(talk.steps[0], b"+OK\r\n", *talk.steps[1:]))
    talk = kind(chance, replace(talk, words=talk.words + words))
    if check in datagrams.DATAGRAMS and not talk.healthy:
        talk = replace(talk, timeout=min(talk.timeout, PATIENT))  # nobody hangs up
    if secret and secret in " ".join(talk.words) and chance.random() < 0.5:
        talk = echoed(chance, talk, secret)
    return judged(talk)


def login(chance: random.Random) -> Talk:
    """A login to MySQL whose greeting has been said, before TLS began."""
    right = chance.random() < 0.5
    reply = chance.choice(
        (mysql_packet(4, b"\0\0\0\2\0\0\0"), mysql_packet(4, b"\xff\x15\x04#28000Access denied"))
        if right
        else (
            mysql_packet(4, b"\xff\x10\x04#08004Too many connections"),
            b"\0\0\0\0",
            b"\xff\xff\xff\0",
        )
    )
    talk = Talk(
        check="mysql",
        what="login over TLS" if right else "refused login over TLS",
        healthy=right,
        words=("--user", "probe"),
        steps=(b"", reply),
        needed=len(reply),
    )
    return handled(chance, talk)


def mail(chance: random.Random) -> Talk:
    """What a mail server says when it has greeted and TLS has begun by STARTTLS."""
    right = chance.random() < 0.5
    wrong_replies = (b"220 x\r\n", b"502 no\r\n", b"\0", b"250-x\r\n" * 200, b"", b"250")
    reply = brokers.smtp(chance).steps[-1] if right else chance.choice(wrong_replies)
    talk = Talk(
        check="smtp",
        what="EHLO over TLS" if right else "another answer over TLS",
        healthy=right,
        steps=(b"", reply),
        needed=len(reply) if right else 0,
    )
    return handled(chance, talk)


def handled(chance: random.Random, talk: Talk) -> Talk:
    """A right talk after one thing that is done to it; a wrong one as it is."""
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    return talk if not talk.healthy or kind is wrong else kind(chance, talk)


def judged(talk: Talk, before: bytes = b"") -> Talk:
    """Where the construction does not say: unhealthy, unless the oracle finds a right answer."""
    if talk.healthy is None and not may_be_right(talk, before):
        return replace(talk, healthy=False, what=f"{talk.what}, nothing right in it")
    return talk


# --- what is done to a talk -------------------------------------------------------------------------------------------


def wrong(chance: random.Random, talk: Talk) -> Talk:
    """A wrong answer, now and then asked for again."""
    if chance.random() < 0.1 and talk.end is not End.FLOOD:
        return replace(talk, words=(*talk.words, "--retries=2", "--interval=10ms"))
    return talk


def right(chance: random.Random, talk: Talk) -> Talk:
    """A right answer, perhaps in pieces: who refuses everything is no health probe."""
    return slow(chance, talk) if chance.random() < 0.3 else talk


def cut_short(chance: random.Random, talk: Talk) -> Talk:
    return cut(chance, talk) if talk.needed else changed(chance, talk)


def stalled(chance: random.Random, talk: Talk) -> Talk:
    """Silence in any stage: before the first word, between two, or amid one."""
    number = chance.randrange(len(talk.steps))
    last = number == len(talk.steps) - 1
    most = talk.needed if last else len(talk.steps[number])
    if last and not most:
        return changed(chance, talk)
    kept = talk.steps[number][: chance.randrange(most) if last else chance.randint(0, most)]
    steps = (*talk.steps[:number], kept)
    more = {"steps": steps, "end": End.SILENCE, "timeout": SHORT}
    return replace(talk, what=f"{talk.what}, stalled", healthy=False if last else None, **more)  # type: ignore[arg-type]


def flooded(chance: random.Random, talk: Talk) -> Talk:
    """From any place on, the same again and again."""
    number = chance.randrange(len(talk.steps))
    step = talk.steps[number]
    kept = step[: chance.randint(0, len(step))]
    piece = chance.choice(
        (
            bytes([chance.choice(FAVOURITES)]) * chance.choice((1, 99, 9999)),
            step or b"\0",
            step[-9:] or b"\n",
            noise(chance, 999),
            chance.choice(BANNERS),
            chance.randbytes(99),
        )
    )
    return replace(
        talk,
        what=f"{talk.what}, then a flood",
        healthy=None,
        steps=(*talk.steps[:number], kept),
        end=End.FLOOD,
        flood=piece,
        timeout=PATIENT,
    )


def repeated(chance: random.Random, talk: Talk) -> Talk:
    """A packet that comes several times, or all of them at once, whoever speaks in between."""
    steps = list(talk.steps)
    if chance.random() < 0.3:
        steps = [b"", b"".join(steps)]
    number = chance.randrange(len(steps))
    steps[number] *= chance.choice((2, 3, 50))
    return replace(
        talk, what=f"{talk.what}, repeated", healthy=None, steps=tuple(steps), timeout=PATIENT
    )


def lying(chance: random.Random, talk: Talk) -> Talk:
    """A few bytes of its head changed, where lengths, ids and kinds are."""
    number = chance.choice([at for at, step in enumerate(talk.steps) if step] or [0])
    step = bytearray(talk.steps[number] or b"\0")
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(min(16, len(step)))
        step[at] = chance.choice(
            (step[at] ^ 1 << chance.randrange(8), 0, 1, 255, chance.randrange(256))
        )
    steps = (*talk.steps[:number], bytes(step), *talk.steps[number + 1 :])
    return replace(talk, what=f"{talk.what}, lying", healthy=None, steps=steps, timeout=PATIENT)


def dripped(chance: random.Random, talk: Talk) -> Talk:
    drips = talk.needed > 8 and talk.check not in datagrams.DATAGRAMS
    return dripping(talk) if drips else lying(chance, talk)


def echoed(chance: random.Random, talk: Talk, secret: str) -> Talk:
    """The server says the secret, in any of its words and some of its forms."""
    forms = (secret, quote(secret), base64.b64encode(f"user:{secret}".encode()).decode())
    said = chance.choice(forms).encode()
    number = chance.randrange(len(talk.steps))
    step = talk.steps[number]
    at = chance.randint(0, len(step))
    steps = (*talk.steps[:number], step[:at] + said + step[at:], *talk.steps[number + 1 :])
    timeout = min(talk.timeout, PATIENT)
    return replace(talk, what=f"{talk.what}, echoed", healthy=None, steps=steps, timeout=timeout)


KINDS: Mapping[Callable[[random.Random, Talk], Talk], int] = {
    wrong: 22,
    right: 6,
    changed: 20,
    cut_short: 8,
    stalled: 10,
    flooded: 12,
    repeated: 8,
    lying: 12,
    dripped: 2,
}
"""And how frequent each is."""
