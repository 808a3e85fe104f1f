"""What the tests of every folder share: a test that this machine cannot run says so."""

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.engines.docker import connect
from builders.engines.empty_root import WalledPlace
from builders.engines.walls import Wall, try_wall
from recipes.errors import EngineError
from tests.built import Built

PROBES = ("probe:micro", "probe:nuitka")


@functools.cache
def docker_trouble() -> str:
    """'' when a Docker engine answers, else why not."""
    try:
        connect().close()
    except EngineError as error:
        return error.what
    return ""


@functools.cache
def sandbox_trouble() -> str:
    """'' when a sandbox works here, else why none does."""
    with tempfile.TemporaryDirectory() as scratch:
        troubles = [try_wall(wall, Path(scratch)) for wall in Wall]
    return "" if "" in troubles else "; ".join(troubles)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and (trouble := docker_trouble()):
        if os.environ.get("FROMSCRATCH_TEST_DOCKER"):
            pytest.fail(f"FROMSCRATCH_TEST_DOCKER is set, but: {trouble}", pytrace=False)
        pytest.skip(trouble)
    if item.get_closest_marker("sandbox") and (trouble := sandbox_trouble()):
        pytest.skip(trouble)


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both variants of the probe."""
    return Built.once(tmp_path_factory.mktemp("frozen"), *PROBES)


@pytest.fixture(scope="session")
def walled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalledPlace]:
    """Empty roots on this machine, sharing its loopback."""
    scratch = tmp_path_factory.mktemp("rooms")
    wall = next(wall for wall in Wall if not try_wall(wall, scratch))
    yield WalledPlace(wall=wall, scratch=scratch)
    assert not list(scratch.glob("room-*"))
