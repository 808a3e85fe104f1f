"""What the tests of every directory share: a test that this machine cannot run says so."""

import contextlib
import functools
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest
from trustme import CA
from xdist.scheduler import LoadScopeScheduling

from builders.engines.docker import connect
from builders.engines.isolation import backends, find_backend, try_backend
from builders.engines.scratch_root import SandboxEnvironment
from core.errors import EngineError
from core.files import sweep, temporary_directory
from core.remove import remove
from tests.anchors import AnchorTools
from tests.built import Built
from tests.interpreters import PROBES

PREFIX = "fs-tests-"
"""Short: sockets are made below it."""


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


LENT = pytest.StashKey[contextlib.ExitStack]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Lend the tests a directory that is removed as the product's own are.

    pytest's own is removed by a function that ends with RecursionError when a test that failed left a deep tree, before
    it is told which test failed. It is also shared: the runs that a test starts push out that of their parent.

    Also obey Ctrl-C: a shell makes what it starts in the background ignore it, and so would all that tests interrupt.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stack = config.stash[LENT] = contextlib.ExitStack()
    if config.option.basetemp is None:
        place = Path(tempfile.gettempdir())
        sweep(place, prefixes=(PREFIX,))
        lent = stack.enter_context(temporary_directory(place, prefix=PREFIX))
        config.option.basetemp = str(lent / "t")


class Rooms(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Which tests one process runs in turn, where several share the work.

    A file's tests share what its module made. The integration tests look at the machine as a whole, or build; only
    those of curl do neither.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0])
        alone = path.match("tests/integration/*") and not path.name.startswith("test_curl_")
        return "integration" if alone else str(path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Rooms:
    return Rooms(config, log)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Keep what the tests of the last run that failed left, and say where."""
    base = Path(config.option.basetemp)
    if exitstatus == pytest.ExitCode.TESTS_FAILED and base.parent.name.startswith(PREFIX):
        kept = base.parent.parent / f"failed-tests-of-{os.geteuid()}"
        with contextlib.suppress(OSError):  # the name may be somebody else's
            remove(kept)
            base.rename(kept)
            terminalreporter.write_line(f"{base} is kept as {kept}")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[LENT].close()


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
