from pathlib import Path

import pytest

from builders.engines.engine import EngineSetup
from builders.engines.isolation import Backend, try_backend
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from tests.fakes import fake_toolchain


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    return fake_toolchain(tmp_path / "toolchain")


@pytest.fixture
def cancel() -> CancelToken:
    return CancelToken()


@pytest.fixture
def setup(tmp_path: Path, toolchain: Toolchain, cancel: CancelToken) -> EngineSetup:
    return EngineSetup(toolchain=toolchain, scratch=tmp_path / "boxes", cancel=cancel)


@pytest.fixture(scope="session", params=Backend)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """Each backend that works on this machine; where one does not, the reason is shown."""
    if reason := try_backend(request.param, tmp_path_factory.mktemp("try")):
        pytest.skip(reason)
    return Backend(request.param)


@pytest.fixture(autouse=True)
def own_peak() -> None:
    """Forget what this process took at its worst: a step that took less would be said to have taken nothing known.

    https://www.kernel.org/doc/html/latest/filesystems/proc.html (clear_refs)
    """
    Path("/proc/self/clear_refs").write_text("5", "ascii")
