import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.engines.engine import EngineSetup
from builders.engines.isolation import Backend, try_backend
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from tests.fakes import fake_toolchain


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Where everybody may look: pytest's own directories are for one user, and root's steps are another."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-test-") as name:
        path = Path(name).resolve()
        path.chmod(0o755)
        yield path


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
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that works on this machine; where one does not, the reason is shown."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        reason = try_backend(request.param, path)
    if reason:
        pytest.skip(reason)
    return Backend(request.param)


@pytest.fixture
def block() -> int:
    """Bytes that a step takes so that it is seen: more than this process has, as its child begins as a copy of it.

    What an earlier test took at its worst is forgotten first. What is still held is not: late in a whole run that
    can be half a gigabyte. https://www.kernel.org/doc/html/latest/filesystems/proc.html (clear_refs)
    """
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 300_000_000
