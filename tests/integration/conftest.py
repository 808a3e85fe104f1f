"""The real thing: ./inv as a process, engines that run, files that were built, once per run."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.built import Built
from tests.curls import Curl, named
from tests.integration.command import Inv
from tests.integration.seeded_cache import CURLS, SeededCache


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The three curls."""
    return Built.once(tmp_path_factory.mktemp("built"), *CURLS)


@pytest.fixture(scope="session")
def curls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The plain file of every variant, `curl:h2` and `curl:full` as well."""
    products = (*CURLS, "curl:h2", "curl:full")
    built = Built.once(tmp_path_factory.mktemp("curls"), *products, pack=False)
    return {name.partition(":")[2]: built.file(name) for name in products}


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Curl:
    """The plain file of curl:full."""
    if (program := named()) is None:
        built = Built.once(tmp_path_factory.mktemp("full"), "curl:full", pack=False)
        program = built.file("curl:full")
    return Curl(program=program)


@pytest.fixture(scope="session")
def seeded_cache(built: Built) -> SeededCache:
    """The results of every step, to be copied into caches of the tests' own."""
    return SeededCache.in_cache(built.settings)


@pytest.fixture(scope="session")
def mirror(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every source in one directory, as `inv cache mirror` writes it."""
    directory = tmp_path_factory.mktemp("mirror")
    done = built.inv("cache", "mirror", directory)
    assert done.code == 0, done.stderr
    assert f"FROMSCRATCH_MIRRORS=file://{directory}" in done.stdout
    return directory


@pytest.fixture
def inv(tmp_path: Path, mirror: Path) -> Inv:
    """The command with a cache and artifacts of its own, offline, with the mirror to fetch from."""
    return Inv(directory=tmp_path).set(
        cache=tmp_path / "cache",
        artifacts=tmp_path / "artifacts",
        mirrors=f"file://{mirror}",
        offline="1",
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of this project that a test may spoil."""
    directory = tmp_path / "project"
    Inv(directory=tmp_path).unpacked(directory)
    return directory


@pytest.fixture
def spoilt(inv: Inv, project: Path) -> Inv:
    """The command of that copy."""
    return Inv(
        directory=inv.directory,
        settings=inv.settings,
        words=(sys.executable, str(project / "tasks.py")),
    )


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where everybody may look; pytest's own directories are for one user."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
