"""The campaign against every check of the probe: it leaves none out, and it finds faults that are put into it."""

import random
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from probe.checks import CHECKS
from tests.campaigns.campaign import Violation
from tests.campaigns.meter import Measured, metering
from tests.campaigns.probe import (
    ABOVE,
    Attack,
    Attacked,
    carry_out,
    design,
    forms_of,
    judge,
    memory_of,
)
from tests.campaigns.talks.datagrams import DATAGRAMS
from tests.campaigns.talks.hostile import KINDS, MAKERS, hostile, judged
from tests.campaigns.talks.oracle import ORACLES, may_be_right
from tests.campaigns.talks.talk import End, Talk, mutate
from tests.campaigns.talks.wire import LEADS_NOWHERE, Authority
from tests.interpreters import ROOT

LENIENT = {"http", "mongodb", "dns"}
"""Their oracles only look for what must be there."""
WITHOUT_SERVERS = {"file", "process"}
FINE = Measured(1, b"unhealthy: redis x: no, 1 ms\n", b"", 0.1, 0.01, 900, 500, late=False)
TALK = Talk(check="redis", what="test", healthy=False, steps=(b"", b"-no\r\n"), timeout=0.2)
PROGRAM = Attacked(command=("probe",), tls=False)


def test_every_check_that_talks_to_a_server_is_attacked() -> None:
    """Whoever adds a check adds a row to MAKERS (tests/campaigns/talks/hostile.py), and an oracle."""
    checks = {check.name for check in CHECKS} - WITHOUT_SERVERS
    assert set(MAKERS) == checks
    assert set(ORACLES) == checks


@pytest.mark.parametrize("check", list(MAKERS))
def test_talks_of_all_kinds(check: str) -> None:
    """They depend on chance alone; right ones and wrong ones come, and every way to change them."""
    for number in range(20):
        assert hostile(random.Random(number), check, "s") == hostile(
            random.Random(number), check, "s"
        )
    talks = [hostile(random.Random(number), check, "secret") for number in range(400)]
    assert all(talk.check == check for talk in talks)
    labels = Counter(talk.healthy for talk in talks)
    assert min(labels[True], labels[None]) > 5
    assert labels[False] > 100
    said = " ".join(talk.what for talk in talks)
    for word in (
        "stalled",
        "flood",
        "repeated",
        "lying",
        "changed",
        "cut",
        "slow",
        "nothing right",
    ):
        assert word in said
    assert len(KINDS) == 9
    ends = {talk.end for talk in talks}
    assert ends == set(End)


@pytest.mark.parametrize("check", list(MAKERS))
def test_an_oracle_finds_what_is_right_and_not_what_is_wrong(check: str) -> None:
    """By talks whose label their construction knows. What it cannot know, it may allow, but not too often."""
    allowed = wrong = 0
    for number in range(150):
        chance = random.Random(number)
        for maker in MAKERS[check].good:
            talk = maker(chance)
            assert may_be_right(talk) or talk.healthy is False, talk
        for maker in MAKERS[check].bad:
            talk = maker(chance)
            wrong += 1
            allowed += may_be_right(talk)
    assert allowed < wrong * (0.6 if check in LENIENT else 0.25)


@pytest.mark.parametrize(
    "check", ["redis", "postgres", "mysql", "memcached", "amqp", "grpc", "tcp"]
)
def test_an_oracle_reads_any_bytes(check: str) -> None:
    for number in range(300):
        chance = random.Random(number)
        talk = MAKERS[check].good[0](chance)
        steps = tuple(mutate(chance, mutate(chance, step)) for step in talk.steps)
        judged(replace(talk, healthy=None, steps=steps))


def complaint(measured: Measured, talk: Talk = TALK, **attack: str) -> str:
    try:
        judge(Attack(talk=talk, **attack), measured, PROGRAM)  # type: ignore[arg-type]
    except Violation as violation:
        return str(violation)
    return ""


def test_the_judge() -> None:
    assert complaint(FINE) == ""
    assert "by construction" in complaint(
        FINE._replace(code=0, output=b"healthy: redis x: PONG in 1 ms\n")
    )
    assert "by construction" in complaint(FINE, replace(TALK, healthy=True))
    assert "exit code 2" in complaint(FINE._replace(code=2), replace(TALK, healthy=None))
    assert "did not end" in complaint(FINE._replace(late=True, code=-9))
    assert "standard error" in complaint(FINE._replace(errors=b"!"))
    assert "too late" in complaint(FINE._replace(seconds=6))
    assert "CPU time" in complaint(FINE._replace(cpu=1.3))
    assert "memory" in complaint(FINE._replace(resident=ABOVE + 1))
    error = b"unhealthy: internal error: KeyError\n"
    assert "own error" in complaint(FINE._replace(output=error))
    secret = replace(TALK, words=("--password", "hunter22"))
    shown = FINE._replace(output=b"unhealthy: redis x: hunter22, 1 ms\n")
    assert "secret" in complaint(shown, secret, secret="hunter22")
    assert complaint(shown, secret, secret="another1") == ""


def test_the_limits_of_memory_and_the_forms_of_secrets() -> None:
    assert memory_of(("--status", "200")) == ABOVE
    assert memory_of(("--contains", "x")) == ABOVE + 1024
    assert memory_of(("--json", "a=b", "--max-body", "64k")) == ABOVE + 64
    basic = replace(TALK, words=("--basic-auth", "user:hunter22"))
    assert forms_of(Attack(talk=basic, secret="hunter22")) == [b"hunter22", b"dXNlcjpodW50ZXIyMg=="]


def test_the_meter() -> None:
    with metering() as meter:
        done = meter.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], 20)
        assert (done.code, done.output, done.errors, done.late) == (3, b"out\n", b"err\n", False)
        if done.resident:
            many = [sys.executable, "-S", "-c", "bytes(64 << 20); bytearray(b'x') * (64 << 20)"]
            assert meter.run(many, 20).resident > 60_000
        assert meter.run(["/bin/sh", "-c", "kill -SEGV $$"], 20).code == -11
        late = meter.run(["/bin/sh", "-c", "exec sleep 60"], 0.2)
        assert (late.code, late.late) == (-9, True)
        assert meter.run([sys.executable, "-c", "while True: pass"], 0.3).cpu > 0.05


# --- faults that are put into the probe -------------------------------------------------------------------------------


class Mutant:
    """The probe's package with one text in the place of another, run by this Python."""

    def __init__(self, directory: Path, file: str, old: str, new: str) -> None:
        shutil.copytree(
            ROOT / "probe", directory / "probe", ignore=shutil.ignore_patterns("__pycache__")
        )
        path = directory / "probe" / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has not one of: {old}"
        path.write_text(text.replace(old, new))
        start = f"import sys; sys.path.insert(0, {str(directory)!r}); import probe.cli as p; sys.exit(p.main())"
        self.program = Attacked(
            command=(sys.executable, "-S", "-B", "-c", start), tls=True, memory=False
        )


MUTANTS: dict[str, tuple[str, str, str, str]] = {
    "a wrong number of a packet": ("mysql", "mysql_check.py", " or number != 0:", ":"),
    "a wrong kind of message": (
        "postgres",
        "postgres_check.py",
        '            break\n    msg = "it does not speak',
        '            return "accepts connections"\n    msg = "it does not speak',
    ),
    "an answer to another request": (
        "kafka",
        "kafka_check.py",
        "if reply[:4] != identity:",
        "if not reply:",
    ),
    "any number of a message": (
        "mongodb",
        "mongodb_check.py",
        "if head[8:12] != identity:",
        "if not head:",
    ),
    "a key of somebody else": (
        "websocket",
        "websocket_check.py",
        "!= base64_text(digest(",
        "== base64_text(digest(",
    ),
    "any return code": ("mqtt", "mqtt_check.py", "    if code:\n", "    if code > 200:\n"),
    "any code of a reply": ("smtp", "smtp_check.py", "if code != wanted:", "if code < b'100':"),
    "a number that was not asked": ("dns", "dns.py", "or data[:2] != query[:2] ", ""),
    "any datagram": ("udp", "udp_check.py", "if all(text in reply", "if any(b'' in reply"),
    "any reply": ("redis", "redis_check.py", 'if reply == b"+PONG":', 'if reply[:1] == b"+":'),
    "any status of a service": ("grpc", "grpc_check.py", 'if name != "SERVING":', "if not name:"),
    "an end that is missing": ("amqp", "amqp_check.py", ' or frame[-1:] != b"\\xce"', ""),
    "a prefix of a word": ("memcached", "memcached_check.py", 'b"VERSION "', 'b"V"'),
    "half an answer": (
        "tcp",
        "converse.py",
        "if place >= 0:\n            return place + len(expected)",
        "if stream.buffer:\n            return len(stream.buffer)",
    ),
    "a status that is not allowed": (
        "http",
        "http_check.py",
        "if not any(low <=",
        "if any(999 < low <=",
    ),
    "a secret that is shown": (
        "redis",
        "report.py",
        "if secret in text:",
        "if secret in text[:0]:",
    ),
}
"""The check that believes it, and how."""


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_fault_is_found(name: str, tmp_path: Path) -> None:
    check, file, old, new = MUTANTS[name]
    mutant = Mutant(tmp_path, file, old, new)
    with metering() as meter:
        for number in range(150):
            chance = random.Random(f"{name} {number}")
            attack = design(chance, check, tmp_path / str(number), None)
            if attack.path or attack.talk.end in {End.SILENCE, End.FLOOD} or attack.talk.pause:
                continue  # slow
            try:
                carry_out(attack, mutant.program, meter)
            except Violation:
                return
    pytest.fail("the campaign did not find it")


def test_a_loop_without_an_end_is_found(tmp_path: Path) -> None:
    """The deadline is looked at nowhere but between two reads, and the other side never stops."""
    old = "        if monotonic() >= self.deadline:\n            raise Unhealthy"
    mutant = Mutant(tmp_path, "scheduler.py", old, "        if 0:\n            raise Unhealthy")
    talk = Talk(
        check="http",
        what="endless",
        healthy=False,
        words=("--contains", "y", "--max-body", "2M"),
        steps=(b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        end=End.FLOOD,
        flood=b"1\r\nx\r\n" * 999,
        timeout=0.2,
    )
    with metering() as meter, pytest.raises(Violation, match=r"did not end|too late|CPU time"):
        carry_out(Attack(talk=talk), mutant.program, meter)


def test_tls_that_leads_nowhere_is_part_of_it(tmp_path: Path) -> None:
    """Over TLS in every form: whole, changed, flooded; the servers that begin without TLS, too."""
    authority = Authority(tmp_path)
    attacks = [
        design(random.Random(n), check, tmp_path, authority) for check in MAKERS for n in range(60)
    ]
    secure = [attack for attack in attacks if attack.wire.secure]
    assert {attack.talk.check for attack in secure} == set(MAKERS) - {"unix", *DATAGRAMS}
    assert {attack.wire.whole for attack in secure} == {True, False}
    assert any(attack.talk.healthy for attack in secure)
    assert any(attack.path for attack in attacks)
    assert len(LEADS_NOWHERE) >= 5
