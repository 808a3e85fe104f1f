"""Real programs through a store: `curl:mini` and `curl:http` by ./inv, a machine with nothing, Ctrl-C while pulling."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import ExitCode
from tests.behaviour.servers import free_port
from tests.built import Built
from tests.integration.command import Inv, finish
from tests.integration.registry import registry

pytestmark = pytest.mark.builds

PRODUCTS = ("curl:mini", "curl:http")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.once(tmp_path_factory.mktemp("made"), *PRODUCTS)


@pytest.fixture(scope="module")
def stores(made: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A registry and a folder, each with everything in it."""
    directory = tmp_path_factory.mktemp("stores")
    with registry(directory / "registry", free_port()) as address:
        urls = {"registry": f"oci://{address}/cache", "folder": f"file://{directory}/folder"}
        for url in urls.values():
            done = made.inv("build", *PRODUCTS, "--store", url)
            assert done.code == 0, done.stderr
            assert done.started == []
        yield urls


@pytest.fixture
def empty(made: Built, tmp_path: Path) -> Inv:
    """The same builder on a machine with nothing."""
    return made.inv.set(cache=tmp_path / "cache", artifacts=tmp_path / "artifacts")


def blobs(inv: Inv) -> list[Path]:
    return sorted(Path(inv.settings["cache"]).glob("cas/*/*"))


def left(inv: Inv) -> list[str]:
    cache, artifacts = (Path(inv.settings[name]) for name in ("cache", "artifacts"))
    found = [path for place in ("tmp", "boxes", "part") for path in (cache / place).glob("*")]
    return [str(path) for path in [*found, *artifacts.glob(".part/*")]]


@pytest.mark.parametrize("kind", ["registry", "folder"])
def test_a_machine_with_nothing_has_the_files_within_three_seconds(
    made: Built, stores: dict[str, str], empty: Inv, kind: str
) -> None:
    began = time.monotonic()
    done = empty("build", *PRODUCTS, "--store", stores[kind], "--offline")
    seconds = time.monotonic() - began
    assert done.code == 0, done.stderr
    assert done.started == []
    files = made.sha256
    pulled = {path.name: path for path in blobs(empty)}
    assert set(files.values()) < set(pulled)
    # Besides the files only what says what fills them: of each program the linker's map, and whose its symbols are.
    beside = [path for name, path in pulled.items() if name not in set(files.values())]
    assert len(beside) == 2 * len(PRODUCTS)
    assert all(path.stat().st_size < 500_000 for path in beside)
    fills = sorted(path.name for path in (made.artifacts / "fill").iterdir())
    assert len(fills) == len(PRODUCTS)
    for name in fills:
        fill = Path(empty.settings["artifacts"]) / "fill" / name
        assert fill.read_bytes() == (made.artifacts / "fill" / name).read_bytes()
    for path in files:
        copy = Path(empty.settings["artifacts"]) / path
        assert copy.read_bytes() == (made.artifacts / path).read_bytes()
    print(f"{kind}: {seconds:.2f} s, {len(files)} files")
    assert seconds <= 3
    assert left(empty) == []


def test_what_was_taken_over_is_published_by_the_same_builder(
    stores: dict[str, str], empty: Inv, tmp_path: Path
) -> None:
    copy = empty.unpacked(tmp_path / "copy" / "project")
    store = ("--store", stores["registry"])
    assert copy("build", "curl:mini", *store).code == 0
    done = copy("publish", "--to", tmp_path / "release", *store)
    assert done.code == 0, done.stderr
    listed = (tmp_path / "release" / "SHA256SUMS").read_text("utf-8")
    assert "curl-mini-" in listed


@contextmanager
def slow(address: str) -> Iterator[tuple[str, threading.Event]]:
    """A way to a server that lets the first bytes through and then waits; the event says that it does."""
    host, _, port = address.partition(":")
    waits, over = threading.Event(), threading.Event()
    passed = [0]

    def pump(source: socket.socket, sink: socket.socket, *, counted: bool) -> None:
        try:
            while data := source.recv(4096):
                passed[0] += len(data) if counted else 0
                if passed[0] > 60_000:
                    waits.set()
                    over.wait(30)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()

    def accept(listener: socket.socket) -> None:
        while not over.is_set():
            try:
                near, _ = listener.accept()
                far = socket.create_connection((host, int(port)))
            except OSError:
                return
            for ends, counted in (((near, far), False), ((far, near), True)):
                threading.Thread(
                    target=pump, args=ends, kwargs={"counted": counted}, daemon=True
                ).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=[listener], daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", waits
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_pulling_ends_soon_and_leaves_nothing(
    stores: dict[str, str], empty: Inv, number: signal.Signals
) -> None:
    address, _, path = stores["registry"].removeprefix("oci://").partition("/")
    with slow(address) as (near, waits):
        with empty.start("build", *PRODUCTS, "--store", f"oci://{near}/{path}") as process:
            assert waits.wait(30)
            time.sleep(0.2)
            began = time.monotonic()
            os.killpg(process.pid, number)
            done = finish(process, seconds=30)
        assert done.code == ExitCode.INTERRUPTED, done.stderr
        assert time.monotonic() - began < 5
    assert left(empty) == []
    done = empty("build", *PRODUCTS, "--store", stores["registry"])
    assert done.code == 0, done.stderr
    assert done.started == []
