"""Answers of mail servers, brokers, MongoDB, and of servers that switch to websocket."""

import random

from tests.campaigns.talks.talk import MARKS, Talk, noise, said


def smtp(chance: random.Random) -> Talk:
    name = noise(chance, 60)
    greeting = chance.choice((b"", b"220-" + name + b"\r\n")) + b"220 " + name + b"\r\n"
    more = b"".join(b"250-" + noise(chance, 30) + b"\r\n" for _ in range(chance.randrange(6)))
    return said("smtp", "EHLO", greeting, more + b"250 " + name + b"\r\n")


def bad_smtp(chance: random.Random) -> Talk:
    greeting, line = b"220 x\r\n", noise(chance, 60) + b"\r\n"
    if chance.random() < 0.5:
        first = chance.choice(
            (b"421 ", b"554 ", b"250 ", b"220:", b"22 ", b"2200", b"", b"220-x\r\n421 ")
        )
        return said("smtp", "another greeting", first + b"!" + line, b"250 x\r\n", healthy=False)
    answer = chance.choice(
        (b"500 ", b"421 ", b"220 ", b"250-x\r\n550 ", b"250:", b"\0", b"250-x\r\n" * 200)
    )
    return said("smtp", "another answer", greeting, answer + line, healthy=False)


def mqtt(chance: random.Random) -> Talk:
    code = chance.choice((b"\0", b"\0", b"\4", b"\5"))
    return said("mqtt", "CONNACK", b"", b"\x20\2" + chance.choice((b"\0", b"\1")) + code)


def bad_mqtt(chance: random.Random) -> Talk:
    code = bytes([chance.choice((1, 2, 3, 6, 128, 255))])
    kinds = (
        b"\x20\2\0" + code,
        b"\x20\3\0\0\0",
        b"\x30\2\0\0",
        b"\x20\2\2\0",
        b"\x20\0",
        b"\xe0\0\0\0",
    )
    return said("mqtt", "refused", b"", chance.choice(kinds), healthy=False)


def kafka_reply(identity: bytes, code: int, count: int, rows: bytes) -> bytes:
    reply = identity + code.to_bytes(2, "big") + count.to_bytes(4, "big") + rows
    return len(reply).to_bytes(4, "big") + reply


def kafka(chance: random.Random) -> Talk:
    count = chance.randint(1, 80)
    return said(
        "kafka",
        "ApiVersions",
        b"",
        kafka_reply(MARKS["kafka"], 0, count, chance.randbytes(6 * count)),
    )


def bad_kafka(chance: random.Random) -> Talk:
    mark, rows = MARKS["kafka"], bytes(60)
    reply = chance.choice(
        (
            kafka_reply(chance.randbytes(4), 0, 10, rows),
            kafka_reply(mark, chance.choice((35, 1, 65535)), 10, rows),
            kafka_reply(mark, 0, 11, rows),
            kafka_reply(mark, 0, 0, b""),
            kafka_reply(mark, 0, 0xFFFFFFFF, rows),
            b"\xff\xff\xff\xff" + mark,
            b"\0\0\0\0" + mark,
            b"\0\0\0\x46" + mark[::-1] + rows + bytes(6),
        )
    )
    return said("kafka", "no ApiVersions", b"", reply, healthy=False)


def bson(*fields: bytes) -> bytes:
    whole = b"".join(fields) + b"\0"
    return (len(whole) + 4).to_bytes(4, "little") + whole


def truth(name: bytes, value: int = 1) -> bytes:
    return b"\x08" + name + b"\0" + bytes([value])


def op_msg(document: bytes, answers: bytes, kind: int = 2013) -> bytes:
    rest = bytes(4) + answers + kind.to_bytes(4, "little") + bytes(5) + document
    return (len(rest) + 4).to_bytes(4, "little") + rest


OK = b"\x01ok\0" + b"\0\0\0\0\0\0\xf0\x3f"


def mongodb(chance: random.Random) -> Talk:
    role = chance.choice((b"isWritablePrimary", b"secondary", b"arbiterOnly"))
    text = noise(chance, 50)
    other = b"\x02me\0" + (len(text) + 1).to_bytes(4, "little") + text + b"\0"
    inner = b"\x03in\0" + bson(truth(b"secondary", 0), b"\x10n\0\1\0\0\0")
    fields = [truth(role), other, inner, OK]
    chance.shuffle(fields)
    return said("mongodb", "hello", b"", op_msg(bson(*fields), MARKS["mongodb"]))


def bad_mongodb(chance: random.Random) -> Talk:
    mark, ready = MARKS["mongodb"], truth(b"isWritablePrimary")
    reply = chance.choice(
        (
            op_msg(bson(ready, OK), chance.randbytes(4)),
            op_msg(bson(ready, OK), mark, 1),
            op_msg(bson(OK), mark),
            op_msg(bson(truth(b"secondary", 0), OK), mark),
            op_msg(bson(ready, OK.replace(b"\xf0\x3f", b"\0\0")), mark),
            op_msg(bson(ready), mark),
            op_msg(bson(b"\x03in\0" + bson(ready), OK), mark),
            op_msg(bson(b"\x02me\0\xff\xff\xff\x7f", ready, OK), mark),
            op_msg(bson(b"\x63me\0", ready, OK), mark),
            op_msg(bson(*[b"\x0aa\0"] * 9000, OK), mark),
            b"\xff\xff\xff\xff" + op_msg(bson(ready, OK), mark)[4:],
        )
    )
    return said("mongodb", "not ready", b"", reply, healthy=False)


def switch(chance: random.Random, key: bytes = MARKS["websocket"]) -> bytes:
    fields = [
        b"Upgrade: " + chance.choice((b"websocket", b"WebSocket")),
        b"Connection: " + chance.choice((b"Upgrade", b"upgrade", b"keep-alive, Upgrade")),
        b"Sec-WebSocket-Accept: " + key,
        b"Server: " + noise(chance, 30).strip(),
    ]
    chance.shuffle(fields)
    return b"HTTP/1.1 101 Switching Protocols\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"


def websocket(chance: random.Random) -> Talk:
    return said("websocket", "switched", b"", switch(chance))


def bad_websocket(chance: random.Random) -> Talk:
    good = switch(chance)
    reply = chance.choice(
        (
            switch(chance, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            switch(chance, b""),
            good.replace(b" 101 ", b" 200 "),
            good.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            good.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"),
            good.replace(b"Upgrade: ", b"X: "),
            good.replace(b"Connection: ", b"X: "),
            good.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Accept: x\r\n\r\n"),
        )
    )
    return said("websocket", "not switched", b"", reply, healthy=False)
