"""What lies in Debian's pool, index or not: names out of a listing, and files up to a limit."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from builders.sources.client import MirrorError
from builders.sources.pool import Pool
from core.progress import Progress
from core.retry import ClientOptions, RetryPolicy
from tests.upstream import Upstream

PATH = "pool/main/t/tool/tool_1.0.orig.tar.gz"
LISTING = """<a href="?C=N;O=D">Name</a> <a href="/debian/pool/main/t/">up</a>
<a href="tool_1.1.orig.tar.gz">x</a> <a href="tool_1.1.orig.tar.gz.asc">x</a>
<a href="tool_1.2-1.debian.tar.xz">x</a> <a href='./tool_1.3.orig.tar.gz'>x</a>
<a href="toolbox_9.orig.tar.gz">x</a> <a href="../x/tool_..%2f9.orig.tar.gz">x</a>
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream.serving(tmp_path) as server:
        yield server


def pool(*bases: str) -> Pool:
    def loopback() -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        return session

    options = ClientOptions(session=loopback, policy=RetryPolicy(tries=1))
    return Pool(bases=lambda: bases, options=options)


def test_versions_of_a_listing(upstream: Upstream) -> None:
    upstream.files["/pool/main/t/tool/"] = LISTING.encode()
    assert pool(upstream.url).versions(PATH, "1.0") == {"1.1", "1.3"}
    assert pool("http://127.0.0.1:1", upstream.url).versions(PATH, "1.0") == {"1.1", "1.3"}


def test_versions_of_a_directory(upstream: Upstream) -> None:
    upstream.package("1.1")
    upstream.package("1.4")
    assert pool(f"file://{upstream.pool}").versions(PATH, "1.0") == {"1.1", "1.4"}


@pytest.mark.parametrize("page", [None, b"", b"<html>nothing</html>"])
def test_a_mirror_need_not_show_its_directories(upstream: Upstream, page: bytes | None) -> None:
    if page is not None:
        upstream.files["/pool/main/t/tool/"] = page
    with pytest.raises(MirrorError, match="no listing of pool/main/t/tool/"):
        pool(upstream.url).versions(PATH, "1.0")


def test_a_path_that_does_not_name_its_version() -> None:
    with pytest.raises(MirrorError, match="not called after 2"):
        pool().versions(PATH, "2")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_files_up_to_a_limit(upstream: Upstream, tmp_path: Path, scheme: str) -> None:
    data = upstream.package("1.0")
    upstream.files[f"/{PATH}"] = data
    base = upstream.url if scheme == "http" else f"file://{upstream.pool}"
    file = tmp_path / "file"
    pool("file:///nowhere", base).save(PATH, file, limit=len(data), progress=Progress())
    assert file.read_bytes() == data
    with pytest.raises(MirrorError, match="more than"):
        pool(base).save(PATH, file, limit=len(data) - 1, progress=Progress())
    with pytest.raises(MirrorError, match=r"is not in Debian's pool"):
        pool(base).save(f"{PATH}.asc.no", file, limit=9, progress=Progress())
