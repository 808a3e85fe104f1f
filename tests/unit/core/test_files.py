"""Files are there whole or not at all, and a disk that refuses is no fault of a source."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.errors import ExitCode, SourceError, StorageError
from core.files import atomic, copy_hashed, disk_errors, hash_file, write_file
from tests.fakes import below

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

FULL = """
import resource, sys
from pathlib import Path
from core.files import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(Path(sys.argv[1]), b"x" * 5000)
except OSError as error:
    print(error.strerror)
"""


def test_directories_are_made_and_the_mode_is_as_told(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    write_file(path, b"hello", mode=0o755)
    assert below(tmp_path) == {"deep/er/file": b"hello"}
    assert path.stat().st_mode & 0o777 == 0o755
    write_file(tmp_path / "other", b"x")
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o644


def test_the_same_bytes_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"hello")
    before = path.stat()
    write_file(path, b"hello")
    assert path.stat() == before
    write_file(path, b"jello")
    assert path.read_bytes() == b"jello"


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with contextlib.suppress(KeyboardInterrupt), atomic(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert below(tmp_path) == {"file": b"old"}


def test_nothing_is_under_the_name_before_the_block_ends(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    with atomic(tmp_path / "file", scratch=scratch) as file:
        file.write(b"hello")
        assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [scratch]
    assert below(tmp_path) == {"file": b"hello"}


@pytest.mark.parametrize("sync", [True, False])
def test_the_bytes_reach_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sync: bool
) -> None:
    path = tmp_path / "file"
    synced: list[tuple[int, int, bool]] = []

    def fsync(number: int) -> None:
        state = os.fstat(number)
        synced.append((state.st_ino, state.st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic(path, sync=sync) as file:
        file.write(b"hello")
    assert synced == ([(path.stat().st_ino, 5, False)] if sync else [])


def test_hashing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    assert hash_file(tmp_path / "file") == HELLO
    with (tmp_path / "copy").open("wb") as copy:
        assert copy_hashed(tmp_path / "file", copy) == HELLO
    assert (tmp_path / "copy").read_bytes() == b"hello"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "File too large\n"
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(OSError, match="taken"):
        write_file(path, b"x")
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_meets_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [letter * 200_000 for letter in (b"a", b"b")]
    write_file(path, contents[0])
    stop = threading.Event()
    odd: list[int] = []

    def look() -> None:
        while not stop.is_set():
            data = path.read_bytes()
            if data not in contents:
                odd.append(len(data))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(30):
        write_file(path, contents[number % 2])
    stop.set()
    reader.join()
    assert odd == []


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "somebody else"),
        (errno.EIO, "file system fails"),
    ],
)
def test_a_disk_that_refuses_is_a_matter_of_settings(number: int, cause: str) -> None:
    with pytest.raises(StorageError) as caught, disk_errors(Path("/cache")):
        raise OSError(number, os.strerror(number))
    assert caught.value.code is ExitCode.RECIPE
    assert not isinstance(caught.value, SourceError)
    assert caught.value.what == f"'/cache': {os.strerror(number)}."
    assert cause in caught.value.why
    assert "check free space and permissions of /cache" in caught.value.next


def test_a_path_that_the_error_names_is_the_one_that_is_shown() -> None:
    with pytest.raises(StorageError, match="'/proc/x'") as caught, disk_errors(Path("/cache")):
        Path("/proc/x").mkdir()
    assert "permissions of /proc/x" in caught.value.next


def test_a_full_disk_is_told_from_a_copy_of_many_files() -> None:
    with pytest.raises(StorageError) as caught, disk_errors(Path("/cache")):
        raise shutil.Error([("a", "b", f"[Errno 28] {os.strerror(errno.ENOSPC)}: 'b'")])
    assert "is full" in caught.value.why
