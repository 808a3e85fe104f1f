"""What is installed on first use: once, whole, from the lock, and said in words that help."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import EngineError
from core.extras import ROOT, Extra, require

RECORDING = """
import sys, time
time.sleep(0.3)
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
sys.exit({code})
"""


class Pip:
    """Writes down what it is told."""

    def __init__(self, directory: Path, code: int = 0) -> None:
        self.root, self.environment = directory / "root", directory / "environment"
        self.root.mkdir()
        self.environment.mkdir()
        self.locked = self.root / "requirements-cluster.txt"
        self.locked.write_text("distributed==1 --hash=sha256:0\n", "utf-8")
        self.log = directory / "log"
        program = directory / "pip.py"
        program.write_text(RECORDING.format(log=str(self.log), code=code), "utf-8")
        self.command = (sys.executable, str(program))
        self.said: list[str] = []

    def require(self) -> None:
        require(
            Extra.CLUSTER,
            say=self.said.append,
            root=self.root,
            environment=self.environment,
            command=self.command,
        )

    @property
    def runs(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines() if self.log.exists() else []


def test_it_is_installed_once_by_hash_and_said(tmp_path: Path) -> None:
    pip = Pip(tmp_path)
    pip.require()
    pip.require()
    (run,) = pip.runs
    assert f"--require-hashes --requirement {pip.locked}" in run
    (said,) = pip.said
    assert "Dask" in said
    assert str(pip.environment) in said


def test_another_lock_is_installed_again(tmp_path: Path) -> None:
    pip = Pip(tmp_path)
    pip.require()
    pip.locked.write_text("distributed==2 --hash=sha256:1\n", "utf-8")
    pip.require()
    assert len(pip.runs) == 2


def test_of_two_at_once_one_installs_it(tmp_path: Path) -> None:
    pip = Pip(tmp_path)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda _: pip.require(), range(3)))
    assert len(pip.runs) == 1


def test_what_cannot_be_installed_is_tried_again_next_time(tmp_path: Path) -> None:
    pip = Pip(tmp_path, code=1)
    with pytest.raises(EngineError, match="could not be installed") as caught:
        pip.require()
    assert "check the network" in caught.value.next
    with pytest.raises(EngineError):
        pip.require()
    assert len(pip.runs) == 2


@pytest.mark.parametrize("extra", Extra)
def test_every_extra_has_its_lock(extra: Extra) -> None:
    text = (ROOT / f"requirements-{extra}.txt").read_text("utf-8")
    assert "==" in text
    assert extra.what
