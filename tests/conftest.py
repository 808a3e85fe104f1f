"""What the tests of every directory share: a test that this machine cannot run says so."""

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from trustme import CA

from builders.engines.docker import connect
from builders.engines.isolation import backends, find_backend, try_backend
from builders.engines.scratch_root import SandboxEnvironment
from core.errors import EngineError
from tests.anchors import AnchorTools
from tests.built import Built
from tests.interpreters import PROBES


@functools.cache
def why_no_docker() -> str:
    """'' when a Docker engine answers, else why not."""
    try:
        connect().close()
    except EngineError as error:
        return error.what
    return ""


@functools.cache
def why_no_sandbox() -> str:
    """'' when a sandbox works here, else why none does."""
    with tempfile.TemporaryDirectory() as scratch:
        reasons = [try_backend(backend, Path(scratch)) for backend in backends()]
    return "" if "" in reasons else "; ".join(reasons)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and (reason := why_no_docker()):
        if os.environ.get("FROMSCRATCH_TEST_DOCKER"):
            pytest.fail(f"FROMSCRATCH_TEST_DOCKER is set, but: {reason}", pytrace=False)
        pytest.skip(reason)
    if item.get_closest_marker("sandbox") and (reason := why_no_sandbox()):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def authority() -> CA:
    """Signs the certificates of a module's TLS servers."""
    return CA()


@pytest.fixture(scope="module")
def ca(authority: CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file with its own certificate."""
    path = str(tmp_path_factory.mktemp("ca") / "ca.pem")
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The probe in every form that is one file."""
    return Built.once(tmp_path_factory.mktemp("frozen"), *PROBES)


@pytest.fixture(scope="session")
def anchor_tools(tmp_path_factory: pytest.TempPathFactory) -> AnchorTools:
    """The encoder of trust anchors, and mbedTLS looking for them."""
    return AnchorTools.once(tmp_path_factory.mktemp("anchors"))


@pytest.fixture(scope="session")
def empty_roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxEnvironment]:
    """Empty roots on this machine, sharing its loopback."""
    scratch = tmp_path_factory.mktemp("roots")
    yield SandboxEnvironment(backend=find_backend(scratch), scratch=scratch)
    assert not list(scratch.glob("room-*"))
