"""TLS of the campaigns: it carries a talk as it is, or changes one of its pieces."""

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaigns.campaign import Violation
from tests.campaigns.probe_servers import PYTHON, Program, run_talk
from tests.campaigns.talks.talk import SHORT, End, Talk, cut
from tests.campaigns.talks.wire import CHECKS_OVER_TLS, FLIGHTS, PLAIN, Authority, Wire
from tests.interpreters import speaks_tls

PONG = Talk(check="redis", what="PONG", healthy=True, steps=(b"", b"+PONG\r\n"), needed=7)
CLOSED = b"HTTP/1.1 200 OK\r\n\r\nall is well"
PAGE = Talk(
    check="http",
    what="up to the end",
    healthy=True,
    steps=(b"", CLOSED),
    needed=len(CLOSED),
    words=("--contains", "all is well"),
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def wires(authority: Authority, *, whole: bool) -> list[Wire]:
    every = [authority.wire(random.Random(number)) for number in range(60)]
    return [wire for wire in every if wire.whole is whole]


def test_what_arrives_whole_is_judged_as_it_is(authority: Authority) -> None:
    for number, wire in enumerate(wires(authority, whole=True)[:8]):
        assert run_talk(PONG, "", run=PYTHON, wire=wire) == "healthy"
        assert run_talk(PAGE, "", run=PYTHON, wire=wire) == "healthy"
        shorter = replace(cut(random.Random(number), PONG), timeout=1)
        assert run_talk(shorter, "", run=PYTHON, wire=wire) == "unhealthy"
        with pytest.raises(Violation, match="by construction"):
            run_talk(replace(PONG, healthy=False), "", run=PYTHON, wire=wire)


def test_what_is_changed_may_be_either_and_what_is_unhealthy_stays_so(authority: Authority) -> None:
    silent = replace(PONG, healthy=False, steps=(b"",), end=End.SILENCE, timeout=SHORT)
    seen = set()
    for wire in wires(authority, whole=False)[:12]:
        seen.add(run_talk(replace(PONG, timeout=2), "", run=PYTHON, wire=wire))
        assert run_talk(silent, "", run=PYTHON, wire=wire) == "unhealthy"
    assert "changed and unhealthy" in seen
    assert seen <= {"changed and unhealthy", "changed and healthy"}


def test_both_versions_keys_and_ways_to_believe_are_there(authority: Authority) -> None:
    assert len(authority.contexts) == 4
    every = [authority.wire(random.Random(number)) for number in range(200)]
    assert {wire.words[0] for wire in every} == {"--ca-file", "--insecure"}
    assert {wire.whole for wire in every} == {True, False}
    assert all(wire.secure for wire in every)
    assert PLAIN.whole
    assert not PLAIN.secure
    assert FLIGHTS > 1


@pytest.mark.parametrize("check", CHECKS_OVER_TLS)
def test_the_probe_is_told_to_speak_tls(authority: Authority, tmp_path: Path, check: str) -> None:
    said = tmp_path / "said"
    script = f"import sys; open({str(said)!r}, 'w').write(' '.join(sys.argv[1:])); print('unhealthy: x'); sys.exit(1)"
    program = Program(command=(sys.executable, "-S", "-c", script), memory=0)
    wire = wires(authority, whole=True)[0]
    run_talk(replace(PONG, check=check, healthy=False), "", run=program, wire=wire)
    words = said.read_text()
    assert words.startswith("http https://127.0.0.1:" if check == "http" else f"{check} 127.0.0.1:")
    assert (" --tls " in words) is (check != "http")
    assert " ".join(wire.words) in words


@pytest.mark.parametrize(
    ("said", "speaks"),
    [("unhealthy: bad usage: this build has no TLS", False), ("unhealthy: timeout", True)],
)
def test_a_file_is_asked_whether_it_speaks_tls(tmp_path: Path, said: str, speaks: bool) -> None:
    program = tmp_path / "probe"
    program.write_text(f"#!/bin/sh\necho '{said}'\nexit 1\n")
    program.chmod(0o755)
    assert speaks_tls(program) is speaks
