"""Which engine is taken, and the message when the one asked for does not work."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import tasks
from builders.engines import docker_root
from builders.engines.choose import ENGINE_NAMES, ENGINES, Chooser, smoke_environment
from builders.engines.docker import DockerEngine
from builders.engines.engine import Emulator
from builders.engines.isolation import Backend, backends, find_backend
from builders.engines.scratch_root import SandboxEnvironment
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.errors import EngineError, ExitCode
from core.target import Target
from flow.context import ROOT


@pytest.fixture
def chooser(tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> Chooser:
    """On a machine where no Docker engine answers."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    return Chooser(
        toolchain=toolchain,
        scratch=tmp_path / "boxes",
        base_image="",
        mirrors=(),
        cancel=CancelToken(),
    )


def no_backends(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a machine that has a shell and neither bubblewrap nor unshare."""
    programs = directory / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(programs))


def test_without_docker_the_sandbox_is_taken(chooser: Chooser, backend: Backend) -> None:
    engine = chooser.make("auto")
    assert (engine.name, engine.isolated) == ("sandbox", True)


def test_without_anything_else_the_host_is_taken(
    chooser: Chooser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_backends(tmp_path, monkeypatch)
    engine = chooser.make("auto")
    assert (engine.name, engine.isolated) == ("host", False)


def test_an_engine_that_was_asked_for_is_not_replaced_by_another(
    chooser: Chooser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_backends(tmp_path, monkeypatch)
    with pytest.raises(EngineError, match="No sandbox works here") as sandbox:
        chooser.make("sandbox")
    assert "apt-get install -y bubblewrap" in str(sandbox.value)
    assert "apt-get install -y util-linux" in str(sandbox.value)
    with pytest.raises(EngineError, match="No Docker engine answers") as docker:
        chooser.make("docker")
    assert "--engine sandbox" in docker.value.next
    assert docker.value.code == ExitCode.ENGINE


def test_the_doctor_reports_every_engine(
    chooser: Chooser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_backends(tmp_path, monkeypatch)
    found = [(candidate.name, candidate.works) for candidate in chooser.candidates()]
    assert found == [("docker", False), ("sandbox", False), ("sandbox", False), ("host", True)]
    assert all(candidate.reason for candidate in chooser.candidates())
    assert os.environ["PATH"] == str(tmp_path / "programs")


def test_a_better_backend_is_taken_first(chooser: Chooser, backend: Backend) -> None:
    order = backends()
    assert order.index(find_backend(chooser.scratch)) <= order.index(backend)


def test_every_engine_that_is_made_has_the_name_of_its_row(
    chooser: Chooser, backend: Backend
) -> None:
    assert DockerEngine.name in ENGINES
    for name in ENGINES.keys() - {DockerEngine.name}:
        assert chooser.make(name).name == name


def test_the_manual_and_the_help_name_every_engine_in_its_order() -> None:
    page = (ROOT / "docs" / "engines.md").read_text("utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(ENGINES)
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(ENGINES)
    assert f"{', '.join(ENGINE_NAMES[:-1])} or {ENGINE_NAMES[-1]}" in tasks.ENGINE


class Daemon:
    """A Docker engine at an address."""

    def __init__(self, url: str) -> None:
        self.api = SimpleNamespace(base_url=url)


HERE, ELSEWHERE = "http+docker://localhost", "http://192.0.2.1:2375"


@pytest.mark.parametrize(
    ("url", "engine", "how"),
    [
        (HERE, "auto", "docker"),
        (HERE, "docker", "docker"),
        (HERE, "sandbox", "sandbox"),
        (HERE, "host", "sandbox"),
        (ELSEWHERE, "auto", "sandbox"),
        (ELSEWHERE, "docker", "sandbox"),
    ],
)
def test_smoke_runs_are_in_containers_of_this_machine_or_in_a_sandbox(
    chooser: Chooser,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    engine: str,
    how: str,
) -> None:
    monkeypatch.setattr(docker_root, "connect", lambda: Daemon(url))
    environment = smoke_environment(Target.native(), engine, chooser)
    assert not isinstance(environment, str)
    assert environment.how == how


def foreign() -> Target:
    return next(target for target in Target if not target.runs_natively)


def test_a_foreign_program_runs_in_its_emulator_and_never_in_a_container(
    chooser: Chooser, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_root, "connect", lambda: Daemon(HERE))
    qemu = tmp_path / f"qemu-{foreign().machine.arch}-static"
    qemu.write_text("#!/bin/sh\n", "utf-8")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environment = smoke_environment(foreign(), "docker", chooser)
    assert isinstance(environment, SandboxEnvironment)
    assert environment.how == "qemu"
    assert environment.emulator == Emulator(path=qemu, cpu=foreign().machine.qemu_cpu)


def test_without_an_emulator_or_a_sandbox_the_reason_is_told(
    chooser: Chooser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_backends(tmp_path, monkeypatch)
    reason = smoke_environment(Target.native(), "auto", chooser)
    assert str(reason).startswith("no empty root can be made: No sandbox works here")
    reason = smoke_environment(foreign(), "auto", chooser)
    assert reason == (
        f"qemu-{foreign().machine.arch}-static is not installed (apt-get install -y qemu-user-static)"
    )
