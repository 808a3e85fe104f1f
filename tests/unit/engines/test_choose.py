"""Which engine is taken, and what is said when the one asked for does not work."""

import os
from pathlib import Path

import pytest

from builders.engines.choose import Chooser
from builders.engines.engine import EngineName
from builders.engines.isolation import Backend
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.errors import EngineError, ExitCode


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


def no_walls(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a machine that has a shell and neither bubblewrap nor unshare."""
    programs = directory / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(programs))


def test_without_docker_the_sandbox_is_taken(chooser: Chooser, backend: Backend) -> None:
    engine = chooser.choose(EngineName.AUTO)
    assert (engine.name, engine.isolated) == (EngineName.SANDBOX, True)


def test_without_anything_else_the_host_is_taken(
    chooser: Chooser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_walls(tmp_path, monkeypatch)
    engine = chooser.choose(EngineName.AUTO)
    assert (engine.name, engine.isolated) == (EngineName.HOST, False)


def test_an_engine_that_was_asked_for_is_not_replaced_by_another(
    chooser: Chooser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_walls(tmp_path, monkeypatch)
    with pytest.raises(EngineError, match="No sandbox works here") as sandbox:
        chooser.choose(EngineName.SANDBOX)
    assert "apt-get install -y bubblewrap" in str(sandbox.value)
    assert "apt-get install -y util-linux" in str(sandbox.value)
    with pytest.raises(EngineError, match="No Docker engine answers") as docker:
        chooser.choose(EngineName.DOCKER)
    assert "--engine sandbox" in docker.value.next
    assert docker.value.code == ExitCode.ENGINE


def test_the_doctor_tells_of_every_engine(
    chooser: Chooser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_walls(tmp_path, monkeypatch)
    found = [(one.name.value, one.works) for one in chooser.candidates()]
    assert found == [("docker", False), ("sandbox", False), ("sandbox", False), ("host", True)]
    assert all(one.reason for one in chooser.candidates())
    assert os.environ["PATH"] == str(tmp_path / "programs")


def test_a_better_wall_is_taken_first(chooser: Chooser, backend: Backend) -> None:
    assert list(Backend).index(chooser.backend()) <= list(Backend).index(backend)
