"""A bucket as a store, by the library that speaks to S3 and Google: in its memory, and on servers of the test's own."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from obstore.fsspec import FsspecStore

from builders.sources.bucket import CHUNK, Bucket
from core.errors import StoreError
from core.files import hash_file
from core.kinds import EntryKind
from flow.context import ROOT
from flow.store import open_store

KEY = "0" * 64


class Handler(BaseHTTPRequestHandler):
    """As much of S3 as a store asks for: objects by name, whole and in pieces."""

    objects: dict[str, bytes]
    status: int
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.status == 200:
            self.objects[self.path] = data
        self.answer(self.status, ETag='"1"')

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if self.status != 200:
            self.answer(self.status, b"<Error><Code>AccessDenied</Code></Error>")
        elif query:
            self.answer(200, b"<ListBucketResult></ListBucketResult>")
        elif (data := self.objects.get(path)) is None:
            self.answer(404)
        else:
            common = {"ETag": '"1"', "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            if self.command == "HEAD":
                self.send_response(200)
                for name, value in common.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                return
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            piece = data[int(first) : int(last) + 1]
            whole = f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
            self.answer(206, piece, Content_Range=whole, **common)


@contextmanager
def serving(status: int = 200) -> Iterator[tuple[str, dict[str, bytes]]]:
    objects: dict[str, bytes] = {}
    handler = type("Bound", (Handler,), {"objects": objects, "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", objects
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What a bucket's own tools read."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_what_is_tested_is_what_is_installed_on_first_use() -> None:
    def locked(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        pins = [line.partition(" ")[0].split("==") for line in lines if "==" in line[:80]]
        return {pin[0]: pin[1] for pin in pins if len(pin) == 2}

    extra, tests = locked("requirements-store.txt"), locked("requirements-test.txt")
    assert {"fsspec", "obstore"} <= extra.keys()
    usual = tests | locked("requirements.txt")
    assert {name: usual.get(name, version) for name, version in extra.items()} == extra
    assert {"fsspec", "obstore"} <= tests.keys()


def test_what_is_put_comes_back(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serving() as (url, objects):
        environment.setenv("AWS_ENDPOINT_URL", url)
        store = open_store("s3://cache/team/", scratch=tmp_path / "scratch")
        assert str(store) == "s3://cache/team"
        data = b"some bytes" * 5000 + hashlib.sha256(b"x").digest() * 100
        (tmp_path / "data").write_bytes(data)
        sha256 = hash_file(tmp_path / "data")
        assert not store.has(sha256)
        assert not store.pull(sha256, tmp_path / "back")
        assert store.result(EntryKind.ACTION, KEY) is None
        store.push(tmp_path / "data", sha256, over=False)
        assert store.has(sha256)
        assert store.pull(sha256, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data
        store.put_result(EntryKind.ACTION, KEY, b"signed", [sha256])
        assert store.result(EntryKind.ACTION, KEY) == b"signed"
        assert set(objects) == {
            f"/cache/team/cas/{sha256[:2]}/{sha256}",
            f"/cache/team/action/{KEY}",
        }
        # What is damaged there is sent over.
        objects[f"/cache/team/cas/{sha256[:2]}/{sha256}"] = b"damaged"
        store.push(tmp_path / "data", sha256, over=False)
        assert store.pull(sha256, tmp_path / "back")
        assert hash_file(tmp_path / "back") != sha256
        store.push(tmp_path / "data", sha256, over=True)
        assert store.pull(sha256, tmp_path / "back")
        assert hash_file(tmp_path / "back") == sha256
        assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_bucket_that_refuses_is_said_without_secrets(
    environment: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    with serving(status) as (url, _):
        environment.setenv("AWS_ENDPOINT_URL", url)
        store = open_store("s3://cache/team", scratch=tmp_path / "scratch")
        (tmp_path / "data").write_bytes(b"data")
        for ask in (
            lambda: store.has(KEY),
            lambda: store.result(EntryKind.ACTION, KEY),
            lambda: store.push(tmp_path / "data", KEY, over=True),
        ):
            with pytest.raises(StoreError, match="s3://cache/team cannot be used") as refused:
                ask()
            assert "s3cret" not in str(refused.value)
            assert "Debug" not in str(refused.value)


def test_nobody_is_there(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreError, match="cannot be used"):
        open_store("s3://cache", scratch=tmp_path).has(KEY)


def test_pieces_make_up_what_is_larger_than_one(tmp_path: Path) -> None:
    kind: Any = FsspecStore
    made = Bucket(url="memory:///x", files=kind("memory", skip_instance_cache=True))
    data = bytes(range(256)) * ((CHUNK >> 8) + 5)
    (tmp_path / "data").write_bytes(data)
    made.put("large", tmp_path / "data")
    with (tmp_path / "back").open("wb") as back:
        assert made.get("large", back)
    assert (tmp_path / "back").read_bytes() == data
    assert made.read("large", 10) == data[:10]
