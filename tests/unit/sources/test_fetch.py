"""One source through the cache, many runs at once, interrupts, full disks, other transports."""

import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from builders.sources.cache import Cache
from builders.sources.client import FailureKind
from builders.sources.download import PartialFile
from builders.sources.fetch import Fetched, NotCached, Unavailable, fetch
from builders.sources.mirrors import Mirrors
from core.errors import StorageError
from core.retry import ClientOptions, RetryPolicy
from recipes.model import Source
from tests.unit.sources.servers import (
    DATA,
    Handler,
    Listener,
    Waits,
    answer,
    file,
    serving,
    source_of,
)

CHILD = """
import resource, sys
from pathlib import Path
from builders.sources.cache import Cache
from builders.sources.fetch import fetch
from builders.sources.mirrors import Mirrors
from core.errors import FromscratchError
from recipes.model import Source

root, url, size, sha256, limit = sys.argv[1:]
if limit != "none":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
source = Source(name="curl", version="1", filename="curl-8.21.0.tar.gz", urls=(url,),
                size=int(size), sha256=sha256)
try:
    print(fetch(source, Cache(Path(root)), Mirrors()).cached)
except FromscratchError as error:
    print(type(error).__name__, error)
"""


def child(cache: Cache, url: str, source: Source, limit: str = "none") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(cache.root), url, str(source.size), source.sha256]
    environment = os.environ | {"NO_PROXY": "*", "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen([*command, limit], stdout=subprocess.PIPE, text=True, env=environment)


def test_hit_needs_no_network_and_remembers_where_it_came_from(cache: Cache, waits: Waits) -> None:
    with serving(file()) as server:
        source = source_of(DATA, server.url)
        first = fetch(source, cache, Mirrors(), options=waits.options())
    listener = Listener()
    second = fetch(source, cache, Mirrors(), offline=True, progress=listener)
    assert second == Fetched(path=first.path, url=server.url, seconds=first.seconds, cached=True)
    assert len(server.requests) == 1
    assert listener.ends == 0


def test_damaged_blob_is_fetched_again(cache: Cache, waits: Waits) -> None:
    with serving(file()) as server:
        source = source_of(DATA, server.url)
        path = fetch(source, cache, Mirrors(), options=waits.options()).path
        path.chmod(0o644)
        path.write_bytes(DATA[:-1] + b"?")
        again = fetch(source, cache, Mirrors(), options=waits.options())
    assert not again.cached
    assert again.path.read_bytes() == DATA
    assert len(server.requests) == 2


def test_offline_names_what_is_missing_and_asks_nobody(cache: Cache) -> None:
    with serving(file()) as server, pytest.raises(NotCached) as caught:
        fetch(source_of(DATA, server.url), cache, Mirrors(), offline=True)
    assert server.requests == []
    assert "curl-8.21.0.tar.gz" in str(caught.value)
    assert "inv fetch" in str(caught.value)


def test_directory_is_a_mirror_even_offline(cache: Cache, tmp_path: Path) -> None:
    directory = tmp_path / "usb stick"
    directory.mkdir()
    (directory / "curl-8.21.0.tar.gz").write_bytes(DATA)
    mirrors = Mirrors(private=((directory).as_uri(),))
    got = fetch(source_of(), cache, mirrors, offline=True)
    assert got.path.read_bytes() == DATA
    assert (directory / "curl-8.21.0.tar.gz").exists()


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "short", "wrong", "host"])
def test_directory_without_the_file_is_passed_over(cache: Cache, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "curl-8.21.0.tar.gz"
    base = tmp_path.as_uri()
    match kind:
        case "directory":
            place.mkdir()
        case "fifo":
            os.mkfifo(place)
        case "short":
            place.write_bytes(DATA[1:])
        case "wrong":
            place.write_bytes(DATA[::-1])
        case "host":
            base = f"file://elsewhere{tmp_path}"
        case _:
            assert not place.exists()
    with pytest.raises(NotCached) as caught:
        fetch(source_of(), cache, Mirrors(private=(base,)), offline=True)
    [found] = caught.value.failures
    expected = FailureKind.WRONG if kind in {"short", "wrong"} else FailureKind.GONE
    assert found.kind is expected
    assert not list(cache.root.glob("cas/*/*"))


def test_private_mirror_that_fails_is_followed_by_upstream(cache: Cache, waits: Waits) -> None:
    with serving(answer(status=404)) as private, serving(file()) as upstream:
        mirrors = Mirrors(private=(private.url.rpartition("/")[0],))
        got = fetch(source_of(DATA, upstream.url), cache, mirrors, options=waits.options())
    assert got.url == upstream.url
    assert len(private.requests) == 1


def slow(handler: Handler) -> None:
    time.sleep(0.3)
    file()(handler)


def test_two_threads_share_one_download(cache: Cache, waits: Waits) -> None:
    results: list[Fetched] = []
    listeners = [Listener(), Listener()]
    with serving(slow) as server:
        source = source_of(DATA, server.url)

        def run(listener: Listener) -> None:
            options = waits.options()
            results.append(fetch(source, cache, Mirrors(), options=options, progress=listener))

        threads = [threading.Thread(target=run, args=(listener,)) for listener in listeners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.requests) == 1
    assert sorted(result.cached for result in results) == [False, True]
    assert sum("waiting" in note for listener in listeners for note in listener.notes) == 1


def test_two_processes_share_one_download(cache: Cache) -> None:
    with serving(slow) as server:
        source = source_of(DATA, server.url)
        children = [child(cache, server.url, source) for _ in range(2)]
        recorder = sorted(process.communicate(timeout=20)[0].strip() for process in children)
    assert recorder == ["False", "True"]
    assert len(server.requests) == 1


def test_killed_holder_leaves_no_stuck_lock(cache: Cache) -> None:
    over = threading.Event()

    def stall(handler: Handler) -> None:
        handler.head(200, {"Content-Length": len(DATA), "ETag": '"one"'})
        handler.body(DATA[:1000])
        over.wait(10)

    with serving(stall, file()) as server:
        source = source_of(DATA, server.url)
        process = child(cache, server.url, source)
        part = PartialFile(path=cache.part(source.sha256))
        deadline = time.monotonic() + 10
        while part.size < 1000 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        got = fetch(source, cache, Mirrors(), options=Waits().options())
        over.set()
    assert got.path.read_bytes() == DATA
    assert server.requests[1].headers["Range"] == "bytes=1000-"


def test_interrupt_leaves_a_part_to_resume_and_no_lock(cache: Cache, waits: Waits) -> None:
    with serving(file()) as server:
        source = source_of(DATA, server.url)
        listener = Listener(interrupt=True)
        with pytest.raises(KeyboardInterrupt):
            fetch(source, cache, Mirrors(), options=waits.options(), progress=listener)
        assert listener.ends == 1
        assert cache.blob(source.sha256) is None
        assert not list(cache.root.glob("tmp/*"))
        begun = PartialFile(path=cache.part(source.sha256)).size
        assert 0 < begun < len(DATA)
        with cache.lock(f"fetch-{source.sha256}", waiting=lambda: pytest.fail("locked")):
            pass
        got = fetch(source, cache, Mirrors(), options=waits.options())
    assert got.path.read_bytes() == DATA
    assert server.requests[1].headers["Range"] == f"bytes={begun}-"


@pytest.mark.parametrize("good", [True, False])
def test_finished_part_that_was_not_stored(cache: Cache, waits: Waits, *, good: bool) -> None:
    with serving(file()) as server:
        source = source_of(DATA, server.url)
        part = PartialFile(path=cache.part(source.sha256))
        part.begin(server.url, '"one"')
        part.data.write_bytes(DATA if good else DATA[::-1])
        got = fetch(source, cache, Mirrors(), options=waits.options())
    assert got.path.read_bytes() == DATA
    assert len(server.requests) == (0 if good else 1)
    assert not list(cache.root.glob("part/*"))


def test_damaged_part_is_not_held_against_the_mirror(cache: Cache, waits: Waits) -> None:
    with serving(file()) as server:
        source = source_of(DATA, server.url)
        part = PartialFile(path=cache.part(source.sha256))
        part.begin(server.url, '"one"')
        part.data.write_bytes(b"\0" * 1000)
        got = fetch(source, cache, Mirrors(), options=waits.options())
    assert got.path.read_bytes() == DATA
    assert [request.headers.get("Range") for request in server.requests] == ["bytes=1000-", None]


def test_source_without_any_mirror(cache: Cache) -> None:
    source = source_of(DATA, debian="pool/main/c/curl/x.tar.gz")
    with pytest.raises(Unavailable, match="Debian's pool") as caught:
        fetch(Source(**{**vars(source), "urls": ()}), cache, Mirrors())
    assert caught.value.gone


@pytest.mark.parametrize("transport", ["http", "file"])
def test_full_disk_is_told_and_leaves_nothing(cache: Cache, tmp_path: Path, transport: str) -> None:
    place = tmp_path / "curl-8.21.0.tar.gz"
    place.write_bytes(DATA)
    with serving(file()) as server:
        url = server.url if transport == "http" else place.as_uri()
        recorder = child(cache, url, source_of(), limit="100000").communicate(timeout=20)[0]
    assert recorder.startswith("StorageError")
    assert "full" in recorder
    left = [path for path in cache.root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert left == []


def test_cache_that_is_not_ours_is_told(tmp_path: Path, waits: Waits) -> None:
    (tmp_path / "cache").write_text("a file, not a directory")
    with serving(file()) as server, pytest.raises(StorageError, match="cache"):
        fetch(source_of(DATA, server.url), Cache(tmp_path / "cache"), Mirrors())
    assert waits.slept == []


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny wheel, and a pip that can see nothing else."""
    links = tmp_path / "links"
    links.mkdir()
    path = links / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "x = 1\n")
        archive.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return path


def wheel_source(data: bytes, requirement: str) -> Source:
    made = source_of(data, filename="tiny-1.0-py3-none-any.whl", pypi=requirement)
    return Source(**{**vars(made), "urls": ()})


def test_wheel_comes_through_pip(cache: Cache, wheel: Path) -> None:
    got = fetch(wheel_source(wheel.read_bytes(), "tiny==1.0"), cache, Mirrors())
    assert got.path.read_bytes() == wheel.read_bytes()
    assert got.url == "pip:tiny==1.0"
    assert not list(cache.root.glob("tmp/*"))


def test_wheel_with_other_bytes_is_refused(cache: Cache, wheel: Path) -> None:
    other = wheel.read_bytes()[::-1]
    with pytest.raises(Unavailable) as caught:
        fetch(wheel_source(other, "tiny==1.0"), cache, Mirrors())
    assert not caught.value.gone


def test_pip_that_takes_too_long_is_ended(cache: Cache, wheel: Path) -> None:
    options = ClientOptions(policy=RetryPolicy(grace=0.01, min_rate=1e12))
    with pytest.raises(Unavailable, match="pip took more than"):
        fetch(wheel_source(wheel.read_bytes(), "tiny==1.0"), cache, Mirrors(), options=options)


@pytest.mark.usefixtures("wheel")
def test_pip_is_quoted_when_it_fails(cache: Cache) -> None:
    with pytest.raises(Unavailable, match=r"No matching distribution .* tiny==2\.0") as caught:
        fetch(wheel_source(b"x", "tiny==2.0"), cache, Mirrors())
    assert caught.value.gone
    assert not list(cache.root.glob("tmp/*"))
