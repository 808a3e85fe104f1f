"""Answers of name servers and of servers that speak by datagrams: each step of a talk is one of these."""

import random
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from tests.behaviour.servers import Server
from tests.campaigns.talks.talk import MARKS, End, Talk, filled, noise

DATAGRAMS = ("dns", "udp")
LARGEST = 60_000
NAME = b"\3app\7example\0"
QUESTION = NAME + b"\0\1\0\1"
ADDRESS = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
MOST_FLOOD = 20_000
"""Datagrams: who is asked no more cannot know it."""


def header(flags: int = 0x8180, answers: int = 1, identity: bytes = MARKS["dns"]) -> bytes:
    return identity + flags.to_bytes(2, "big") + b"\0\1" + answers.to_bytes(2, "big") + bytes(4)


def dns(chance: random.Random) -> Talk:
    words = ("--type", "A", *chance.choice(((), ("--expect", "10.0.0.1"))))
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1b\xc0\x0c"
    other = b"\1b\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
    answer = chance.choice(
        (header() + QUESTION + ADDRESS, header(answers=2) + QUESTION + alias + other)
    )
    return Talk(
        check="dns",
        what="A",
        healthy=True,
        words=words,
        steps=(b"", answer),
        needed=len(header() + QUESTION + ADDRESS),
    )


def bad_dns(chance: random.Random) -> Talk:
    good = dns(chance)
    wrong_id = b"\0\1" if chance.random() < 0.5 else chance.randbytes(2)
    answer = chance.choice(
        (
            header(identity=wrong_id) + QUESTION + ADDRESS,
            header(0x0100) + QUESTION + ADDRESS,
            header() + b"\3app\6exampl\0\0\1\0\1" + ADDRESS,
            header() + NAME + b"\0\x1c\0\1" + ADDRESS,
            header(0x8183, 0) + QUESTION,
            header(0x8182, 0) + QUESTION,
            header(answers=0) + QUESTION + ADDRESS,
            header() + QUESTION + b"\1b\0" + ADDRESS[2:],
            header(answers=65535) + QUESTION + (b"\xc0\x20" + ADDRESS[2:]) * 99,
            header() + QUESTION + b"\xc0\x1d" * 99,
            b"",
        )
    )
    return replace(
        good, what="another answer", healthy=False, steps=(b"", answer), needed=0, timeout=0.15
    )


def udp(chance: random.Random) -> Talk:
    answer = noise(chance, 400) + b"PONG" + noise(chance, 400)
    words = ("--send", "ping", "--expect", "PONG")
    return Talk(
        check="udp",
        what="answer",
        healthy=True,
        words=words,
        steps=(b"", answer),
        needed=len(answer),
    )


def bad_udp(chance: random.Random) -> Talk:
    answer = chance.choice((b"", b"PON", b"pong", noise(chance, 400), chance.randbytes(1400)))
    return replace(
        udp(chance), what="no answer", healthy=False, steps=(b"", answer), needed=0, timeout=0.15
    )


@contextmanager
def answering(talk: Talk) -> Iterator[Server]:
    """Answer each datagram by all steps; a flood goes on, but not for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ended = threading.Event()

        def say(data: bytes, to: tuple[str, int], asked: bytes) -> None:
            with suppress(OSError):
                ours.sendto(filled(talk.check, data, asked)[:LARGEST], to)

        def serve() -> None:
            while not ended.is_set():
                if not select.select([ours], [], [], 0.02)[0]:
                    continue
                with suppress(OSError):
                    asked, to = ours.recvfrom(65536)
                    for step in talk.steps:
                        if step:
                            say(step, to, asked)
                        ended.wait(talk.pause)
                    for _ in range(MOST_FLOOD if talk.end is End.FLOOD else 0):
                        if ended.is_set():
                            break
                        say(talk.flood, to, asked)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port: int = ours.getsockname()[1]
        try:
            yield Server(address=f"127.0.0.1:{port}", port=port)
        finally:
            ended.set()
            thread.join()
