"""Which release is built: the newest, loudly an older one, or none."""

import hashlib
import http.server
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from commands.upkeep import fetch_all, look_after_cache
from core.errors import ExitCode, SourceError, UsageError
from tests.fakes import wait_for_threads
from tests.unit.pipeline.conftest import Yard


def gone(yard: Yard, version: str = "2.0", name: str = "hello") -> None:
    yard.world.archive(name, version).unlink()


def wrong(yard: Yard, version: str = "2.0") -> None:
    path = yard.world.archive("hello", version)
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))  # as long as it should be, and something else


def test_the_newest_release_is_built(yard: Yard) -> None:
    assert {artifact.release for artifact in yard.build()} == {"2.0"}
    assert yard.warnings == []


def test_without_the_newest_an_older_one_is_built_loudly(yard: Yard) -> None:
    gone(yard)
    (plain, _) = yard.build()
    assert plain.release == "1.0"
    assert plain.path == "files/hello-plain-1.0-linux-amd64"
    assert yard.files() == ["hello-plain-1.0-linux-amd64", "hello-plain-1.0-linux-amd64.upx"]
    said = "\n".join(yard.warnings)
    assert "No mirror has hello-2.0.tar.gz" in said
    assert "BUILDING 1.0 INSTEAD" in said
    assert "hello 1.0 is used, not 2.0 (--exact forbids that)" in said
    (source,) = [one for one in plain.inputs if one.name == "hello"]
    assert source.version == "1.0"


def test_exact_forbids_that(yard: Yard) -> None:
    gone(yard)
    with pytest.raises(SourceError, match="No mirror has hello-2") as caught:
        yard.build(exact=True)
    assert caught.value.code == ExitCode.SOURCE
    assert yard.engine.ran == []
    assert yard.files() == []


@pytest.mark.parametrize("offline", ["", "1"], ids=["online", "offline"])
def test_a_mirror_that_serves_other_bytes_is_no_reason_to_build_something_older(
    yard: Yard, offline: str
) -> None:
    wrong(yard)
    with pytest.raises(SourceError, match="wrong bytes"):
        yard.build(offline=offline)
    assert yard.engine.ran == []
    assert yard.files() == []


def test_without_any_release_nothing_is_built(yard: Yard) -> None:
    gone(yard)
    gone(yard, "1.0")
    with pytest.raises(SourceError, match="No mirror has hello-1"):
        yard.build()


def test_a_library_that_cannot_be_had_is_an_error_too(yard: Yard) -> None:
    gone(yard, "1.0", "musl")
    with pytest.raises(SourceError, match="No mirror has musl-1"):
        yard.build()
    assert yard.engine.ran == []


def test_a_named_release_is_built_without_a_word(yard: Yard) -> None:
    artifacts = yard.build("hello:plain@1.0")
    assert {artifact.release for artifact in artifacts} == {"1.0"}
    assert yard.warnings == []


def test_a_named_release_will_not_be_replaced(yard: Yard) -> None:
    gone(yard)
    with pytest.raises(SourceError, match="No mirror has hello-2"):
        yard.build("hello:plain@2.0")


def test_a_release_that_is_not_pinned_is_refused_with_those_that_are(yard: Yard) -> None:
    with pytest.raises(UsageError, match=r"hello 3\.0 is not pinned") as caught:
        yard.build("hello:plain@3.0")
    assert caught.value.next == "choose one of: 2.0, 1.0"


def test_one_recipe_cannot_be_built_in_two_releases_at_once(yard: Yard) -> None:
    with pytest.raises(UsageError, match="two versions at once"):
        yard.build("hello:plain@1.0", "hello:secure@2.0")
    assert yard.build("hello:plain@1.0", "hello:secure@1.0")


def test_what_was_fetched_once_needs_no_mirror(yard: Yard) -> None:
    fetch_all(yard.pipeline(), [])
    for archive in yard.world.mirror.iterdir():
        archive.unlink()
    (plain, _) = yard.build(offline="1")
    assert plain.release == "2.0"
    assert plain.inputs[0].url.startswith("file:///")  # remembered from when it was fetched


def test_offline_with_nothing_fetched_says_what_to_do(yard: Yard) -> None:
    for archive in yard.world.mirror.iterdir():
        archive.unlink()
    with pytest.raises(SourceError, match="is not in the cache") as caught:
        yard.build(offline="1")
    assert "inv fetch" in caught.value.next


def test_a_mirror_directory_takes_upstream_s_place(yard: Yard, tmp_path: Path) -> None:
    directory = tmp_path / "carried"
    lines = look_after_cache(yard.pipeline(), ["mirror", str(directory)], older="30")
    assert f"FROMSCRATCH_MIRRORS=file://{directory}" in lines[-1]
    for archive in yard.world.mirror.iterdir():
        archive.unlink()
    setting = lines[-1].partition("FROMSCRATCH_MIRRORS=")[2]
    made = yard.build(cache=str(tmp_path / "elsewhere"), offline="1", mirrors=setting)
    assert {artifact.release for artifact in made} == {"2.0"}
    assert yard.warnings == []


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


def test_ctrl_c_ends_a_slow_download(yard: Yard) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    path = yard.world.recipes / "hello" / "recipe.toml"
    size = yard.world.archive("hello", "2.0").stat().st_size
    digest = hashlib.sha256(yard.world.archive("hello", "2.0").read_bytes()).hexdigest()
    text = path.read_text("utf-8")
    text = text.replace(
        f"file://{yard.world.archive('hello', '2.0')}",
        f"http://127.0.0.1:{server.server_address[1]}/hello.tar.gz",
    )
    path.write_text(text.replace(f"size = {size}", "size = 5000"), "utf-8")
    assert digest in text
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        yard.build()
    assert time.monotonic() - began < 10
    assert yard.engine.ran == []
    wait_for_threads("fetch")
    server.shutdown()
    server.server_close()
