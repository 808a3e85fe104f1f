import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.sources.cache import Cache, WrongBytesError, _stamp
from core.errors import StorageError
from core.kinds import EntryKind
from tests.fakes import put_bytes

HELLO = hashlib.sha256(b"hello").hexdigest()


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_blob_is_found_by_its_hash_read_only(cache: Cache) -> None:
    assert cache.blob(HELLO) is None
    assert put_bytes(cache, b"hello") == HELLO
    path = cache.blob(HELLO)
    assert path is not None
    assert path.read_bytes() == b"hello"
    assert path.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("move", [True, False])
def test_file_is_copied_or_moved(cache: Cache, tmp_path: Path, *, move: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"hello")
    assert cache.put_file(file, move=move, expect=HELLO) == HELLO
    assert file.exists() is not move
    assert cache.blob(HELLO) is not None
    assert not list(cache.root.glob("tmp/*"))


@pytest.mark.parametrize("move", [True, False])
def test_unexpected_bytes_are_not_stored(cache: Cache, tmp_path: Path, *, move: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"other")
    with pytest.raises(WrongBytesError, match=f"expected sha256 {HELLO}\n") as caught:
        cache.put_file(file, move=move, expect=HELLO)
    assert caught.value.actual == hashlib.sha256(b"other").hexdigest()
    assert file.exists()
    assert [entry.name for entry in cache.entries()] == []
    assert not list(cache.root.glob("tmp/*"))


@settings(max_examples=30, deadline=None)
@given(data=st.binary(min_size=1, max_size=200), at=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(data: bytes, at: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        cache = Cache(Path(directory))
        sha256 = put_bytes(cache, data)
        path = cache.blob(sha256)
        assert path is not None
        damaged = bytearray(data)
        damaged[at % len(data)] ^= 1 << bit
        # Long enough ago that the clock moved on, and made to look as if nothing had happened.
        state = path.stat()
        time.sleep(0.01)
        overwrite(path, bytes(damaged))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert cache.blob(sha256) is None
        assert not path.exists()
        assert put_bytes(cache, data) == sha256
        assert cache.blob(sha256) == path


def test_verified_blob_is_not_hashed_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    put_bytes(cache, b"hello")
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed"))
    assert cache.blob(HELLO) is not None


@pytest.mark.parametrize("seen", [b"", b"{}", b"[1, 2]", None])
def test_blob_without_memory_is_hashed(cache: Cache, seen: bytes | None) -> None:
    put_bytes(cache, b"hello")
    [memory] = cache.root.glob("seen/*/*")
    memory.unlink() if seen is None else memory.write_bytes(seen)
    assert cache.blob(HELLO) is not None
    assert memory.exists()


def test_directory_or_link_in_place_of_a_blob(cache: Cache, tmp_path: Path) -> None:
    place = cache.root / "cas" / HELLO[:2] / HELLO
    place.mkdir(parents=True)
    assert cache.blob(HELLO) is None
    assert not place.exists()
    (tmp_path / "secret").write_bytes(b"other")
    place.symlink_to(tmp_path / "secret")
    assert cache.blob(HELLO) is None
    assert (tmp_path / "secret").read_bytes() == b"other"


def test_action_comes_back(cache: Cache) -> None:
    assert cache.get_action("key") is None
    cache.put_action("key", {"files": {"curl": HELLO}, "seconds": 1.5})
    assert cache.get_action("key") == {"files": {"curl": HELLO}, "seconds": 1.5}
    cache.put_action("key", {"files": {}})
    assert cache.get_action("key") == {"files": {}}


def test_crash_between_blob_and_action_is_no_result(cache: Cache) -> None:
    put_bytes(cache, b"hello")
    assert cache.get_action("key") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-5],
        lambda data: data.replace(b"1.5", b"2.5"),
        lambda data: data.replace(b'"key":"key"', b'"key":"other"'),
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"\xff",
    ],
)
def test_damaged_action_is_removed(cache: Cache, damage: Callable[[bytes], bytes]) -> None:
    cache.put_action("key", {"seconds": 1.5})
    path = cache.root / "ac" / "key"
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get_action("key") is None
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "x" * 201, "a\0b"])
def test_names_do_not_lead_out(cache: Cache, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        cache.put_action(name, {})
    with pytest.raises(ValueError, match="cannot name"):
        cache.blob(name)
    with pytest.raises(ValueError, match="cannot name"), cache.lock(name):
        pass


def test_verify_finds_what_the_fast_way_cannot(cache: Cache) -> None:
    good = put_bytes(cache, b"good")
    path = cache.blob(put_bytes(cache, b"hello"))
    assert path is not None
    overwrite(path, b"jello")
    # As if bits had rotted: the state that was remembered is the state that is there.
    cache._seal(cache._seen_path(HELLO), HELLO, _stamp(path.lstat()))
    assert cache.blob(HELLO) is not None
    cache.put_action("key", {})
    (cache.root / "ac" / "key").write_text("{}")
    stray = cache.root / "cas" / "zz" / "stray"
    stray.parent.mkdir()
    stray.write_text("x")
    found = cache.verify()
    assert {(damaged.kind, damaged.name) for damaged in found} == {
        (EntryKind.BLOB, HELLO),
        (EntryKind.BLOB, "stray"),
        (EntryKind.ACTION, "key"),
    }
    assert all(damaged.reason for damaged in found)
    assert [entry.name for entry in cache.entries()] == [good]
    assert cache.verify() == []


def test_what_changes_while_it_is_hashed_is_hashed_again(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash was right for bytes that are no longer there: nothing of it may be remembered."""
    put_bytes(cache, b"hello")
    shutil.rmtree(cache.root / "seen")
    real = hashlib.file_digest

    def file_digest(file: BinaryIO, name: str) -> Any:
        digest = real(file, name)  # type: ignore[arg-type]
        overwrite(Path(str(file.name)), b"jello")
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", file_digest)
        assert cache.blob(HELLO) is not None
    assert cache.blob(HELLO) is None


@pytest.mark.parametrize("what", ["cas", "ac"])
def test_bytes_reach_the_disk_before_their_name_does(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    synced: dict[int, int] = {}
    named: dict[Path, int | None] = {}
    replace = Path.replace

    def fsync(number: int) -> None:
        state = os.fstat(number)
        synced[state.st_ino] = state.st_size

    def record(self: Path, target: Path) -> Path:
        named[target] = synced.get(self.stat().st_ino)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", record)
    if what == "cas":
        put_bytes(cache, b"hello")
    else:
        cache.put_action("key", {})
    ((path, size),) = [(path, size) for path, size in named.items() if what in path.parts]
    assert size == path.stat().st_size


def test_prune_goes_by_last_use(cache: Cache) -> None:
    old = put_bytes(cache, b"old")
    used = put_bytes(cache, b"used")
    cache.put_action("old", {})
    cache.put_action("used", {})
    for path in [*cache.root.glob("seen/*/*"), *cache.root.glob("ac/*")]:
        os.utime(path, (1000, 1000))
    cache.blob(used)
    cache.get_action("used")
    pruned = cache.prune(max_age=3600)
    assert pruned.entries == 2
    assert {entry.name for entry in cache.entries()} == {used, "used"}
    assert cache.blob(old) is None
    assert cache.prune(max_age=0).entries == 2
    assert cache.entries() == []
    assert not list(cache.root.glob("seen/*/*"))


def test_prune_leaves_running_downloads_alone(cache: Cache) -> None:
    idle, busy = "0" * 64, "1" * 64
    for sha256 in (idle, busy):
        cache.part(sha256).with_suffix(".part").write_bytes(b"x")
    with cache.lock(f"fetch-{busy}"):
        cache.prune(max_age=0)
    assert [path.name for path in cache.root.glob("part/*")] == [f"{busy}.part"]


def test_lock_keeps_others_out(cache: Cache) -> None:
    inside: list[int] = []
    waited = threading.Event()
    with cache.lock("name"):

        def second() -> None:
            with cache.lock("name", waiting=waited.set):
                inside.append(2)

        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(5)
        inside.append(1)
    thread.join()
    assert inside == [1, 2]


def test_many_threads_put_the_same_bytes(cache: Cache) -> None:
    found: list[Path | None] = []

    def run() -> None:
        for _ in range(10):
            found.append(cache.blob(put_bytes(cache, b"hello")))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert None not in found


def test_scratch_goes_away(cache: Cache) -> None:
    with cache.scratch() as directory:
        (directory / "x").write_text("x")
    assert not directory.exists()


def test_root_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    cache = Cache(tmp_path / "file")
    with pytest.raises(StorageError, match="file"):
        put_bytes(cache, b"x")


def test_making_a_cache_touches_nothing(cache: Cache) -> None:
    assert cache.entries() == []
    assert cache.blob(HELLO) is None
    assert not cache.root.exists()
