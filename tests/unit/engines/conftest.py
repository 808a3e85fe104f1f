from pathlib import Path

import pytest

from builders.engines.isolation import Backend, try_backend
from builders.toolchain import Toolchain
from tests.fakes import fake_toolchain


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    return fake_toolchain(tmp_path / "toolchain")


@pytest.fixture(scope="session", params=Backend)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """Each backend that works on this machine; where one does not, the reason is shown."""
    if reason := try_backend(request.param, tmp_path_factory.mktemp("try")):
        pytest.skip(reason)
    return Backend(request.param)
