"""What the tests of every directory share: a test that this machine cannot run says so."""

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.engines.docker import connect
from builders.engines.isolation import Backend, try_backend
from builders.engines.scratch_root import SandboxEnvironment
from core.errors import EngineError
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
        troubles = [try_backend(backend, Path(scratch)) for backend in Backend]
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
def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxEnvironment]:
    """Makes empty roots on this machine, sharing its loopback."""
    scratch = tmp_path_factory.mktemp("roots")
    backend = next(backend for backend in Backend if not try_backend(backend, scratch))
    yield SandboxEnvironment(backend=backend, scratch=scratch)
    assert not list(scratch.glob("room-*"))
