"""One table of refused calls, for every engine; tests/integration/test_isolation.py tries what comes of it."""

import json
import os
import struct
from pathlib import Path

import pytest

from builders.engines.syscalls import REFUSED, docker_profile, rules, write_filter

MACHINE = os.uname().machine
INSTRUCTION = struct.Struct("=HBBI")
RETURN = 0x06
ERRNO, ALLOW, KILL = 0x0005, 0x7FFF, 0x0000
LONGEST = 4096
"""The kernel takes no longer program: BPF_MAXINSNS."""


def test_a_filter_is_a_program_that_allows_refuses_or_kills(tmp_path: Path) -> None:
    write_filter(tmp_path / "filter", MACHINE)
    data = (tmp_path / "filter").read_bytes()
    instructions = list(INSTRUCTION.iter_unpack(data))
    assert 50 < len(instructions) < LONGEST
    answers = {value >> 16 for code, _, _, value in instructions if code == RETURN}
    # It kills who calls by numbers of a machine that it does not know.
    assert answers == {ERRNO, ALLOW, KILL}


def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_filter(tmp_path / name, MACHINE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_docker_gets_every_rule() -> None:
    profile = json.loads(docker_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    calls = [name for call in profile["syscalls"] for name in call["names"]]
    assert calls == [rule.name for rule in rules()]
    assert {call["action"] for call in profile["syscalls"]} == {"SCMP_ACT_ERRNO"}
    assert all(call["errnoRet"] > 0 for call in profile["syscalls"])


@pytest.mark.parametrize("name", [name for names in REFUSED.values() for name in names])
def test_what_is_refused_wholly_is_refused_once_and_without_conditions(name: str) -> None:
    (rule,) = [rule for rule in rules() if rule.name == name]
    assert rule.arguments == ()


@pytest.mark.parametrize("machine", ["amd64", "s390x"])
def test_the_flags_of_clone_are_looked_at_where_the_machine_has_them(machine: str) -> None:
    places = {
        argument.place
        for rule in rules()
        if rule.name == "clone"
        and machine not in rule.never
        and (not rule.only or machine in rule.only)
        for argument in rule.arguments
    }
    assert places == {1 if machine == "s390x" else 0}
