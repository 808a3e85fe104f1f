"""The campaign's own judge sees what it must see."""

import random
from dataclasses import replace

from elftools.elf.enums import ENUM_E_MACHINE

from core.target import Target
from tests.campaigns.elf import CAMPAIGN, KERNELS, badly_loaded, headers, hidden, hide, made
from tests.campaigns.runner import run_campaign
from tests.fixtures.make_elf import GOOD, SECRET, fixtures, marks_wiped


def test_the_judge_knows_what_a_kernel_would_load() -> None:
    files = fixtures()
    assert badly_loaded(files["interpreter-no-needed"]) == "an interpreter"
    assert badly_loaded(files["rwx-segment"]) == "memory that is writable and executable"
    for name in (
        "good-amd64",
        "good-386",
        "good-arm64",
        "good-s390x",
        "good-amd64-static-pie",
        "good-386-static-pie",
    ):
        assert badly_loaded(files[name]) == "", name


def test_the_judge_reads_every_machine() -> None:
    files = made()
    for target in Target:
        machine = target.machine
        order, bits = "<" if machine.little_endian else ">", 1 + (machine.bits == 64)
        number = ENUM_E_MACHINE[machine.elf_machine]
        assert (number, order, bits) in {kernel[:3] for kernel in KERNELS}, target
    for name in ("ppc64le", "arm", "riscv64", "loong64"):
        assert headers(files[f"good-{name}"]), name
        assert badly_loaded(files[f"good-{name}"]) == "", name
        assert badly_loaded(files[f"interpreter-{name}"]) == "an interpreter"
    assert badly_loaded(files["needed-no-interpreter"]) == "a library (by its own start-up code)"
    assert badly_loaded(files["good-large"]) == ""


def test_the_judge_believes_no_class_and_no_byte_order() -> None:
    assert badly_loaded(fixtures()["class-lies"]) == "an interpreter"
    content = bytearray(fixtures()["interpreter-no-needed"])
    for class_ in range(4):
        for data in range(4):
            content[4:6] = (class_, data)
            assert badly_loaded(bytes(content)) == "an interpreter"


def test_the_judge_knows_what_packers_do_and_what_is_hidden() -> None:
    assert "as packers do" in badly_loaded(marks_wiped())
    for program, seen in (
        (replace(GOOD, strings=SECRET), False),
        (replace(GOOD, hole=SECRET), True),
        (replace(GOOD, unloaded=((b".comment", 1, SECRET),)), True),
    ):
        assert hidden(program.build(), SECRET) is seen
    content = bytearray(GOOD.build())
    marks = [hide(random.Random(number), content) for number in range(20)]
    assert all(mark in content for mark in marks[-1:])


def test_a_first_part_of_the_campaign_holds() -> None:
    """The whole one has 100,000 cases; CI runs it for a minute, a tenth."""
    part = replace(CAMPAIGN, cases=1000)
    tally = run_campaign(part, seed=7, seconds=0, case=None, jobs=1, report=lambda *_: None)
    assert tally.done == 1000
    assert not tally.violations
