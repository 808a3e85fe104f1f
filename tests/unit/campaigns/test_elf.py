"""The campaign's own judge sees what it must see."""

from elftools.elf.enums import ENUM_E_MACHINE

from core.target import Target
from tests.campaigns.elf import LAYOUTS, badly_loaded, headers, made
from tests.fixtures.make_elf import fixtures


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
        layout = (1 + (machine.bits == 64), "<" if machine.little_endian else ">")
        assert layout in LAYOUTS[ENUM_E_MACHINE[machine.elf_machine]], target
    for name in ("ppc64le", "arm", "riscv64", "loong64"):
        assert headers(files[f"good-{name}"]), name
        assert badly_loaded(files[f"good-{name}"]) == "", name
        assert badly_loaded(files[f"interpreter-{name}"]) == "an interpreter"
    assert badly_loaded(files["needed-no-interpreter"]) == "a library (by its own start-up code)"
    assert badly_loaded(files["good-large"]) == ""
