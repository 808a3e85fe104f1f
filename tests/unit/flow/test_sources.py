"""Which release is built: the newest, loudly an older one, or none."""

import hashlib
import http.server
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from commands.cache import manage_cache
from commands.fetch import fetch_all
from core.errors import ExitCode, SourceError, UsageError
from tests.fakes import wait_for_threads
from tests.unit.flow.conftest import Harness


def gone(harness: Harness, version: str = "2.0", name: str = "hello") -> None:
    harness.world.archive(name, version).unlink()


def wrong(harness: Harness, version: str = "2.0") -> None:
    path = harness.world.archive("hello", version)
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))  # as long as it should be, and something else


def test_the_newest_release_is_built(harness: Harness) -> None:
    assert {artifact.release for artifact in harness.build()} == {"2.0"}
    assert harness.warnings == []


def test_without_the_newest_an_older_one_is_built_loudly(harness: Harness) -> None:
    gone(harness)
    (plain, _) = harness.build()
    assert plain.release == "1.0"
    assert plain.path == "files/hello-plain-1.0-linux-amd64"
    assert harness.files() == ["hello-plain-1.0-linux-amd64", "hello-plain-1.0-linux-amd64.upx"]
    said = "\n".join(harness.warnings)
    assert "No mirror has hello-2.0.tar.gz" in said
    assert "BUILDING 1.0 INSTEAD" in said
    assert "hello 1.0 is used, not 2.0 (--exact forbids that)" in said
    (source,) = [one for one in plain.inputs if one.name == "hello"]
    assert source.version == "1.0"


def test_exact_forbids_that(harness: Harness) -> None:
    gone(harness)
    with pytest.raises(SourceError, match="No mirror has hello-2") as caught:
        harness.build(exact=True)
    assert caught.value.code == ExitCode.SOURCE
    assert harness.engine.ran == []
    assert harness.files() == []


@pytest.mark.parametrize("offline", ["", "1"], ids=["online", "offline"])
def test_a_mirror_that_serves_other_bytes_is_no_reason_to_build_something_older(
    harness: Harness, offline: str
) -> None:
    wrong(harness)
    with pytest.raises(SourceError, match="wrong bytes"):
        harness.build(offline=offline)
    assert harness.engine.ran == []
    assert harness.files() == []


def test_without_any_release_nothing_is_built(harness: Harness) -> None:
    gone(harness)
    gone(harness, "1.0")
    with pytest.raises(SourceError, match="No mirror has hello-1"):
        harness.build()


def test_a_library_that_cannot_be_had_is_an_error_too(harness: Harness) -> None:
    gone(harness, "1.0", "musl")
    with pytest.raises(SourceError, match="No mirror has musl-1"):
        harness.build()
    assert harness.engine.ran == []


def test_a_named_release_is_built_without_a_word(harness: Harness) -> None:
    artifacts = harness.build("hello:plain@1.0")
    assert {artifact.release for artifact in artifacts} == {"1.0"}
    assert harness.warnings == []


def test_a_named_release_will_not_be_replaced(harness: Harness) -> None:
    gone(harness)
    with pytest.raises(SourceError, match="No mirror has hello-2"):
        harness.build("hello:plain@2.0")


def test_a_release_that_is_not_pinned_is_refused_with_those_that_are(harness: Harness) -> None:
    with pytest.raises(UsageError, match=r"hello 3\.0 is not pinned") as caught:
        harness.build("hello:plain@3.0")
    assert caught.value.next == "choose one of: 2.0, 1.0"


def test_one_recipe_cannot_be_built_in_two_releases_at_once(harness: Harness) -> None:
    with pytest.raises(UsageError, match="two versions at once"):
        harness.build("hello:plain@1.0", "hello:secure@2.0")
    assert harness.build("hello:plain@1.0", "hello:secure@1.0")


def test_what_was_fetched_once_needs_no_mirror(harness: Harness) -> None:
    fetch_all(harness.context(), [])
    for archive in harness.world.mirror.iterdir():
        archive.unlink()
    (plain, _) = harness.build(offline="1")
    assert plain.release == "2.0"
    assert plain.inputs[0].url.startswith("file:///")  # remembered from when it was fetched


def test_offline_with_nothing_fetched_says_what_to_do(harness: Harness) -> None:
    for archive in harness.world.mirror.iterdir():
        archive.unlink()
    with pytest.raises(SourceError, match="is not in the cache") as caught:
        harness.build(offline="1")
    assert "inv fetch" in caught.value.next


def test_a_mirror_directory_takes_upstream_s_place(harness: Harness, tmp_path: Path) -> None:
    directory = tmp_path / "carried"
    lines = manage_cache(harness.context(), ["mirror", str(directory)], older="30")
    assert f"FROMSCRATCH_MIRRORS=file://{directory}" in lines[-1]
    for archive in harness.world.mirror.iterdir():
        archive.unlink()
    setting = lines[-1].partition("FROMSCRATCH_MIRRORS=")[2]
    made = harness.build(cache=str(tmp_path / "elsewhere"), offline="1", mirrors=setting)
    assert {artifact.release for artifact in made} == {"2.0"}
    assert harness.warnings == []


class Dripping(http.server.BaseHTTPRequestHandler):
    """Sends a byte now and then; at the first one, somebody presses Ctrl-C."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        for number in range(5000):
            try:
                self.wfile.write(b"x")
            except OSError:
                return
            if number == 0:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_ctrl_c_ends_a_slow_download(harness: Harness) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    path = harness.world.recipes / "hello" / "recipe.toml"
    size = harness.world.archive("hello", "2.0").stat().st_size
    digest = hashlib.sha256(harness.world.archive("hello", "2.0").read_bytes()).hexdigest()
    text = path.read_text("utf-8")
    text = text.replace(
        f"file://{harness.world.archive('hello', '2.0')}",
        f"http://127.0.0.1:{server.server_address[1]}/hello.tar.gz",
    )
    path.write_text(text.replace(f"size = {size}", "size = 5000"), "utf-8")
    assert digest in text
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        harness.build()
    assert time.monotonic() - began < 10
    assert harness.engine.ran == []
    wait_for_threads("fetch")
    server.shutdown()
    server.server_close()
