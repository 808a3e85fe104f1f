"""A folder as a store: whole objects or none, whoever else writes there, whatever lies there."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.sources.entry import LARGEST
from builders.sources.objects import Folder, ObjectStore
from core.errors import UsageError
from core.files import hash_file, temporary_file
from core.kinds import EntryKind
from core.zstd import DamagedError, pack, unpack
from flow.store import open_store
from tests.fakes import powerless
from tests.sharing import flip, folder_store

KEY = "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return folder_store(tmp_path / "store", tmp_path / "scratch")


def put(store: ObjectStore, directory: Path, data: bytes, *, over: bool = False) -> str:
    (directory / "data").write_bytes(data)
    sha256 = hash_file(directory / "data")
    store.push(directory / "data", sha256, over=over)
    return sha256


def place(tmp_path: Path, sha256: str) -> Path:
    return tmp_path / "store" / "cas" / sha256[:2] / sha256


@pytest.mark.parametrize("data", [b"", b"x", b"a" * 3_000_000, os.urandom(300_000)])
def test_bytes_come_back_and_travel_smaller_where_that_pays(
    store: ObjectStore, tmp_path: Path, data: bytes
) -> None:
    sha256 = put(store, tmp_path, data)
    assert store.has(sha256)
    assert store.pull(sha256, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    assert place(tmp_path, sha256).stat().st_size <= len(data) + 32 + len(data) // 10_000
    if data.startswith(b"aaa"):
        assert place(tmp_path, sha256).stat().st_size < 1000
    assert list((tmp_path / "scratch").iterdir()) == list((tmp_path / "store/tmp").iterdir()) == []


def test_what_is_not_there_is_said_to_be_so(store: ObjectStore, tmp_path: Path) -> None:
    assert not store.has(KEY)
    assert not store.pull(KEY, tmp_path / "back")
    assert store.result(EntryKind.ACTION, KEY) is None


def test_results_of_each_kind_are_apart_and_replaced_whole(store: ObjectStore) -> None:
    store.put_result(EntryKind.ACTION, KEY, b"one", ())
    store.put_result(EntryKind.VERDICT, KEY, b"two", ())
    store.put_result(EntryKind.ACTION, KEY, b"three", ())
    assert store.result(EntryKind.ACTION, KEY) == b"three"
    assert store.result(EntryKind.VERDICT, KEY) == b"two"


def test_what_is_damaged_comes_for_whoever_hashes_it_and_is_pushed_over(
    store: ObjectStore, tmp_path: Path
) -> None:
    sha256 = put(store, tmp_path, b"some bytes" * 1000)
    flip(place(tmp_path, sha256))
    assert store.pull(sha256, tmp_path / "back")
    assert hash_file(tmp_path / "back") != sha256
    put(store, tmp_path, b"some bytes" * 1000)
    assert store.pull(sha256, tmp_path / "back")
    assert hash_file(tmp_path / "back") != sha256, "what it says that it has is not sent again"
    put(store, tmp_path, b"some bytes" * 1000, over=True)
    assert store.pull(sha256, tmp_path / "back")
    assert hash_file(tmp_path / "back") == sha256


SHAPES: dict[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "fifo": os.mkfifo,
    "link": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "huge": lambda path: os.truncate(_touched(path), LARGEST + 1),
}


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_anything_can_lie_in_a_folder_and_is_no_result(
    store: ObjectStore, tmp_path: Path, shape: str
) -> None:
    path = tmp_path / "store" / "action" / KEY
    path.parent.mkdir(parents=True)
    SHAPES[shape](path)
    assert store.result(EntryKind.ACTION, KEY) == b""
    store.put_result(EntryKind.ACTION, KEY, b"whole", ())
    assert store.result(EntryKind.ACTION, KEY) == b"whole"


@pytest.mark.parametrize("shape", sorted({*SHAPES} - {"huge"}))
def test_anything_can_lie_in_a_folder_and_is_no_blob(
    store: ObjectStore, tmp_path: Path, shape: str
) -> None:
    path = place(tmp_path, KEY)
    path.parent.mkdir(parents=True)
    SHAPES[shape](path)
    assert not store.has(KEY)
    assert not store.pull(KEY, tmp_path / "back")


def test_readers_meet_whole_objects_only_while_others_write_over_them(
    store: ObjectStore, tmp_path: Path
) -> None:
    values = [bytes([number]) * 200_000 for number in range(4)]
    store.put_result(EntryKind.ACTION, KEY, values[0], ())
    done = threading.Event()
    errors: list[Exception] = []

    def write(value: bytes) -> None:
        try:
            while not done.is_set():
                store.put_result(EntryKind.ACTION, KEY, value, ())
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=[value]) for value in values]
    for writer in writers:
        writer.start()
    try:
        for _ in range(300):
            assert store.result(EntryKind.ACTION, KEY) in values
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert errors == []


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_has_is_not(
    tmp_path: Path,
) -> None:
    left = tmp_path / "store" / "tmp" / "1-left"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with temporary_file(left.parent, prefix="2-") as (_, living):
        open_store(f"file://{tmp_path}/store", scratch=tmp_path, read_only=True)
        assert left.exists()
        open_store(f"file://{tmp_path}/store", scratch=tmp_path)
        assert list(left.parent.iterdir()) == [living]


READ_ONLY = """
import sys
from pathlib import Path
from core.errors import StoreError
from core.kinds import EntryKind
from tests.sharing import folder_store
store = folder_store(Path(sys.argv[1]) / "store", Path(sys.argv[1]) / "scratch")
print(store.result(EntryKind.ACTION, "key"))
try:
    store.put_result(EntryKind.ACTION, "key", b"other", ())
except StoreError as error:
    print(error)
"""


def test_a_folder_that_cannot_be_written_to_is_still_read(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put_result(EntryKind.ACTION, "key", b"data", ())
    for path in (tmp_path / "store", *(tmp_path / "store").iterdir()):
        path.chmod(0o555)
    first, *more = powerless(READ_ONLY, str(tmp_path)).splitlines()
    assert first == "b'data'"
    assert "cannot be used: Permission denied" in more[0]
    assert str(tmp_path / "store") in more[-1]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("here", "'here' is no store"),
        ("oc://host/repo", "Perhaps you meant 'oci'"),
        ("file://relative/folder", "names no directory of this machine"),
        ("file:///", "'file://' leads nowhere"),
        ("oci://127.0.0.1:5000", "no repository of it"),
        ("oci://user:pw@host/repo", "neither user nor digest"),
        ("s3://", "'s3://' leads nowhere"),
    ],
)
def test_what_is_no_store_is_said_without_its_secrets(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        open_store(url, scratch=tmp_path)
    assert "pw" not in str(refused.value)


def test_frames(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"bytes" * 1000)

    def frame(name: str, *, unlike: bool = False) -> bytes:
        with (tmp_path / name).open("wb") as file:
            pack(tmp_path / "plain", file, unlike=unlike)
        return (tmp_path / name).read_bytes()

    def plain(data: bytes) -> bytes:
        (tmp_path / "frame").write_bytes(data)
        with (tmp_path / "frame").open("rb") as file, (tmp_path / "back").open("wb") as back:
            unpack(file, back)
        return (tmp_path / "back").read_bytes()

    assert frame("a") == frame("b")
    unlike = {frame(name, unlike=True) for name in "cde"}
    assert len(unlike) == 3
    for data in (frame("a"), *unlike):
        assert plain(data) == b"bytes" * 1000
    for bad in (b"no frame at all", frame("a")[8:]):
        with pytest.raises(DamagedError):
            plain(bad)
    assert plain(frame("a")[:-3]) != b"bytes" * 1000


def test_a_folder_is_named_as_it_was(tmp_path: Path) -> None:
    assert (
        str(ObjectStore(objects=Folder(root=Path("/srv/x")), scratch=tmp_path)) == "file:///srv/x"
    )
