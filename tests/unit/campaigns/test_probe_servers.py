"""The campaign's own servers and judges do what they say."""

import random
from collections import Counter

import pytest

from tests.campaigns.campaign import Violation
from tests.campaigns.probe_servers import Ended, alarm, check_output, run_talk
from tests.campaigns.talks.make import BAD, GOOD, make_talk
from tests.campaigns.talks.talk import SHORT, SOON, End, Talk, changed, cut, dripping, mutate

PONG = Talk(check="redis", what="PONG", healthy=True, steps=(b"", b"+PONG\r\n"), needed=7)
SILENT = Talk(
    check="redis", what="silent", healthy=False, steps=(b"",), end=End.SILENCE, timeout=SHORT
)


def wrong(talk: Talk) -> Talk:
    """The same server, with the other label."""
    fields = {name: getattr(talk, name) for name in talk.__dataclass_fields__}
    return Talk(**(fields | {"healthy": not talk.healthy}))


@pytest.mark.parametrize("real", [False, True])
def test_a_probe_that_is_wrong_about_a_server_is_seen(real: bool) -> None:
    assert run_talk(PONG, "", real=real) == "healthy"
    assert run_talk(SILENT, "--json-output", real=real) == "unhealthy"
    with pytest.raises(Violation, match="unhealthy by construction, but PONG: exit code 0"):
        run_talk(wrong(PONG), "--quiet", real=real)
    with pytest.raises(Violation, match="healthy by construction, but silent: exit code 1"):
        run_talk(wrong(SILENT), "", real=real)


def test_a_probe_that_does_not_end_is_seen() -> None:
    def run_for_ever() -> None:
        with alarm(0.01):
            while True:
                pass

    with pytest.raises(Violation, match="did not end"):
        run_for_ever()


@pytest.mark.parametrize(
    ("code", "output", "form"),
    [
        (2, b"unhealthy: x\n", ""),
        (1, b"", ""),
        (1, b"healthy: x\n", ""),
        (0, b"unhealthy: x\n", ""),
        (1, b"unhealthy: x", ""),
        (1, b"unhealthy: x\nand more\n", ""),
        (1, b"unhealthy: \x1b[2J\n", "--verbose"),
        (1, "unhealthy: \u202e\n".encode(), ""),
        (1, b"unhealthy: tcp x: internal error: KeyError\n", ""),
        (1, b"unhealthy: " + b"x" * 5000 + b"\n", ""),
        (1, b"unhealthy: x\n", "--quiet"),
        (0, b'{"healthy": false}\n', "--json-output"),
    ],
)
def test_output_that_the_contract_does_not_have_is_seen(
    code: int, output: bytes, form: str
) -> None:
    with pytest.raises(Violation):
        check_output(Ended(code, output, 0), form)


def test_every_check_has_healthy_and_unhealthy_servers() -> None:
    seen = Counter(
        (talk.check, talk.healthy)
        for number in range(3000)
        for talk in [make_talk(random.Random(number))]
    )
    for check in ("http", "tcp", "grpc", "redis", "postgres", "mysql", "memcached", "amqp"):
        for label in (True, False, None):
            assert seen[check, label] >= 20, (check, label)


@pytest.mark.parametrize("maker", [*dict.fromkeys(GOOD), *dict.fromkeys(BAD)])
def test_a_server_is_what_its_maker_says(maker: object) -> None:
    assert callable(maker)
    for number in range(6):
        talk = maker(random.Random(number))
        assert talk == maker(random.Random(number))
        if talk.end is not End.SILENCE:
            run_talk(talk, "", real=False)


def test_what_is_cut_or_drips_is_unhealthy_and_what_is_changed_may_be_either() -> None:
    for number in range(50):
        chance = random.Random(number)
        shorter = cut(chance, PONG)
        assert not shorter.healthy
        assert len(shorter.steps[-1]) < PONG.needed
        assert shorter.timeout == (SHORT if shorter.end is End.SILENCE else SOON)
        assert changed(chance, PONG).healthy is None
        assert len(mutate(chance, bytes(100))) < 100_000
    assert not dripping(PONG).healthy
