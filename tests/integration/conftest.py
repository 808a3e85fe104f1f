"""The real thing: ./inv as a process, engines that run, files that were built, once per run."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builders.engines.empty_root import WalledPlace
from builders.engines.walls import Wall, try_wall
from tests.integration.command import ROOT, Inv, by_path
from tests.integration.known import CURLS, Known

USERS = ("cache", "mirrors", "debian_mirror", "base_image")
"""The settings that the shared builds take from whoever runs the tests: where to keep and to fetch things."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What `./inv build curl:mini curl:http curl:https` left."""

    inv: Inv
    artifacts: Path
    settings: dict[str, str]

    @property
    def manifest(self) -> list[dict[str, Any]]:
        manifest = json.loads((self.artifacts / "manifest.json").read_text("utf-8"))
        assert manifest["version"] == 1
        entries: list[dict[str, Any]] = manifest["artifacts"]
        return entries

    @property
    def sha256(self) -> dict[str, str]:
        return by_path(self.manifest)

    def file(self, product: str, *, packed: bool = False) -> Path:
        """The file of a product."""
        for entry in self.manifest:
            if (entry["product"], entry["packed"]) == (product, packed):
                return self.artifacts / str(entry["path"])
        raise AssertionError(product)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_counts() -> None:
    """A shell that runs us in the background has us ignore Ctrl-C, and all that we start with us."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The three curls, made in the user's own cache: at once where they were built before."""
    folder = tmp_path_factory.mktemp("built")
    names = {name: f"FROMSCRATCH_{name.upper()}" for name in USERS}
    settings = {name: os.environ[name_] for name, name_ in names.items() if name_ in os.environ}
    inv = Inv(folder=folder, settings=settings).set(artifacts=folder / "artifacts")
    done = inv("build", *CURLS, seconds=2400)
    assert done.code == 0, done.stderr
    return Built(inv=inv, artifacts=folder / "artifacts", settings=settings)


@pytest.fixture(scope="session")
def known(built: Built) -> Known:
    """The results of every step, to be copied into caches of the tests' own."""
    return Known.in_cache(built.settings)


@pytest.fixture(scope="session")
def mirror(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every source in one folder, as `inv cache mirror` writes it."""
    folder = tmp_path_factory.mktemp("mirror")
    done = built.inv("cache", "mirror", folder)
    assert done.code == 0, done.stderr
    assert f"FROMSCRATCH_MIRRORS=file://{folder}" in done.stdout
    return folder


@pytest.fixture
def inv(tmp_path: Path, mirror: Path) -> Inv:
    """The command with a cache and artifacts of its own, offline, with the mirror to fetch from."""
    return Inv(folder=tmp_path).set(
        cache=tmp_path / "cache",
        artifacts=tmp_path / "artifacts",
        mirrors=f"file://{mirror}",
        offline="1",
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of this project that a test may spoil."""
    folder = tmp_path / "project"
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "artifacts", "tests")
    shutil.copytree(ROOT, folder, ignore=unneeded)
    return folder


@pytest.fixture
def spoilt(inv: Inv, project: Path) -> Inv:
    """The command of that copy."""
    return Inv(
        folder=inv.folder,
        settings=inv.settings,
        words=(sys.executable, str(project / "tasks.py")),
    )


@pytest.fixture(scope="session")
def walled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalledPlace]:
    """Empty roots on this machine, sharing its loopback."""
    scratch = tmp_path_factory.mktemp("rooms")
    wall = next(wall for wall in Wall if not try_wall(wall, scratch))
    yield WalledPlace(wall=wall, scratch=scratch)
    assert not list(scratch.glob("room-*"))
