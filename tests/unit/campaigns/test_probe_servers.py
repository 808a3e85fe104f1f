"""The campaign's own servers and judges do what they say."""

import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaigns.campaign import NotRun, Violation
from tests.campaigns.probe_frozen import FROZEN_MEMORY, programs
from tests.campaigns.probe_servers import (
    GRACE,
    PYTHON,
    Ended,
    Program,
    Runner,
    alarm,
    check_output,
    run_here,
    run_talk,
)
from tests.campaigns.talks.make import BAD, GOOD, make_talk
from tests.campaigns.talks.talk import SHORT, SOON, End, Talk, changed, cut, dripping, mutate
from tests.interpreters import GIVEN

PONG = Talk(check="redis", what="PONG", healthy=True, steps=(b"", b"+PONG\r\n"), needed=7)
SILENT = Talk(
    check="redis", what="silent", healthy=False, steps=(b"",), end=End.SILENCE, timeout=SHORT
)


def wrong(talk: Talk) -> Talk:
    """The same server, with the other label."""
    fields = {name: getattr(talk, name) for name in talk.__dataclass_fields__}
    return Talk(**(fields | {"healthy": not talk.healthy}))


@pytest.mark.parametrize("run", [run_here, PYTHON])
def test_a_probe_that_is_wrong_about_a_server_is_seen(run: Runner) -> None:
    assert run_talk(PONG, "", run=run) == "healthy"
    assert run_talk(SILENT, "--json-output", run=run) == "unhealthy"
    with pytest.raises(Violation, match="unhealthy by construction, but PONG: exit code 0"):
        run_talk(wrong(PONG), "--quiet", run=run)
    with pytest.raises(Violation, match="healthy by construction, but silent: exit code 1"):
        run_talk(wrong(SILENT), "", run=run)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo ERROR: AddressSanitizer: heap-buffer-overflow >&2; exit 1", "AddressSanitizer"),
        ("echo 'main.c:1:1: runtime error: shift' >&2; echo 'healthy: redis'", "runtime error"),
        ("kill -SEGV $$", "exit code -11"),
        ("echo healthy: redis; exit 3", "exit code 3"),
        ("sleep 60", "did not end"),
    ],
)
def test_a_program_that_breaks_is_seen(script: str, said: str) -> None:
    program = Program(command=("/bin/sh", "-c", script), memory=0)
    talk = replace(PONG, timeout=0.1 - GRACE + 0.2) if said == "did not end" else PONG
    with pytest.raises(Violation, match=said):
        run_talk(talk, "", run=program)


def test_a_program_gets_no_more_memory_than_it_may_have() -> None:
    words = (sys.executable, "-S", "-c", "bytes(80 << 20)")
    assert Program(command=words, memory=0)([], SOON).code == 0
    with pytest.raises(Violation, match="MemoryError"):
        Program(command=words, memory=64 << 20)([], SOON)


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
            run_talk(talk, "")


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


def test_a_file_that_is_named_is_the_only_one_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "probe"
    monkeypatch.setenv(GIVEN, str(file))
    with pytest.raises(NotRun, match="names no program"):
        programs(tmp_path)
    for data, memory in ((b"\x7fELF", FROZEN_MEMORY), (b"\x7fELF\0__asan_init\0", 0)):
        file.write_bytes(data)
        file.chmod(0o755)
        # A sanitizer keeps books of all addresses there are.
        assert programs(tmp_path) == [Program(command=(str(file),), memory=memory)]
