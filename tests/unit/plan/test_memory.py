"""How much memory there is for steps, and which of them may run together."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders.memory import COMPILER, MemoryBudget, available, needed
from builders.plan import Step, topological_order
from tests.fakes import BuildHarness

MB = 1 << 20


class Machine:
    """A /proc and a /sys/fs/cgroup."""

    def __init__(self, directory: Path) -> None:
        self.proc, self.groups = directory / "proc", directory / "groups"

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "ascii")

    def spare(self, megabytes: int) -> None:
        text = f"MemTotal:  99999999 kB\nMemFree:  1 kB\nMemAvailable:   {megabytes * 1024} kB\n"
        self.write(self.proc / "meminfo", text)

    def member(self, text: str) -> None:
        self.write(self.proc / "self" / "cgroup", text)

    def group(self, path: str, **files: str) -> None:
        for name, text in files.items():
            self.write(self.groups / path / name.replace("__", "."), f"{text}\n")

    def available(self) -> int | None:
        return available(self.proc, self.groups)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_limits_it_is_what_the_machine_can_spare(machine: Machine) -> None:
    machine.spare(700)
    machine.member("9:name=systemd:/\n4:memory:/x\n0::/user.slice\n")
    machine.group("user.slice", memory__max="max", memory__current="1")
    assert machine.available() == 700 * MB


def test_a_container_s_limit_counts_and_files_that_can_be_dropped_do_not(machine: Machine) -> None:
    machine.spare(700)
    machine.member("0::/\n")
    stat = f"anon 1\ninactive_file {50 * MB}\nactive_file 7"
    machine.group("", memory__max=f"{300 * MB}", memory__current=f"{100 * MB}", memory__stat=stat)
    assert machine.available() == 250 * MB


def test_the_narrowest_of_the_groups_around_it_counts(machine: Machine) -> None:
    machine.spare(700)
    machine.member("0::/outer/inner\n")
    machine.group("outer", memory__max=f"{90 * MB}", memory__current=f"{10 * MB}")
    machine.group("outer/inner", memory__max=f"{400 * MB}", memory__current="0")
    assert machine.available() == 80 * MB


def test_control_groups_1_are_read_too(machine: Machine) -> None:
    machine.spare(700)
    machine.member("8:cpu,cpuacct:/\n4:memory:/box\n0::/\n")
    machine.group(
        "memory/box",
        memory__limit_in_bytes=f"{200 * MB}",
        memory__usage_in_bytes=f"{60 * MB}",
        memory__stat=f"inactive_file 1\ntotal_inactive_file {10 * MB}",
    )
    machine.group(
        "memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="5"
    )
    assert machine.available() == 150 * MB


def test_a_group_above_its_limit_has_nothing_to_spare(machine: Machine) -> None:
    machine.member("0::/\n")
    machine.group("", memory__max="10", memory__current="20")
    assert machine.available() == 0


def test_where_nothing_can_be_read_nothing_is_made_up(machine: Machine) -> None:
    assert machine.available() is None


def test_this_machine_has_some() -> None:
    found = available()
    assert found is not None
    assert 16 * MB < found < 1 << 50


def step(harness: BuildHarness, name: str, memory: int = 0) -> Step:
    (found,) = [
        step
        for step in topological_order(harness.world.plan("hello:secure"))
        if step.slug.startswith(name)
    ]
    return replace(found, variant=replace(found.variant, memory=memory))


def test_steps_run_together_as_long_as_they_fit(harness: BuildHarness) -> None:
    heavy, light = step(harness, "tls", 30 << 30), step(harness, "hello-2.0-linux-amd64-checks")
    assert needed(heavy) == 30 << 30
    assert needed(light) == COMPILER
    narrow = MemoryBudget(budget=(30 << 30) + COMPILER)
    assert narrow.admits(light, [heavy])
    assert not narrow.admits(light, [heavy, light])
    assert not narrow.admits(heavy, [heavy])
    assert MemoryBudget(budget=0).admits(heavy, [])  # one always can
    assert MemoryBudget(budget=None).admits(heavy, [heavy])


def test_a_build_is_taken_to_run_as_many_compilers_as_it_is_told_to(
    harness: BuildHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert needed(step(harness, "tls")) == 6 * COMPILER
    assert needed(step(harness, "upx")) == 6 * COMPILER
    assert needed(step(harness, "hello-secure-2.0-linux-amd64-pack")) == COMPILER
