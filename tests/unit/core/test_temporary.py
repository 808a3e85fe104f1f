"""What is temporary belongs to whoever holds its lock, in every PID namespace, and to nobody else."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from core.files import (
    LONGEST_CONTEST,
    atomic,
    is_owned,
    sweep,
    temporary_directory,
    temporary_file,
    write_file,
)
from core.remove import remove
from flow.context import ROOT

HOLD = """
import sys
from pathlib import Path
from core.files import temporary_directory, temporary_file
with temporary_directory(Path(sys.argv[1]), prefix="d-") as a, temporary_file(Path(sys.argv[1]), prefix="f-") as (_, b):
    print(a, b, flush=True)
    sys.stdin.read()
"""
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode == 0


def hold(directory: Path, *before: str) -> "tuple[subprocess.Popen[str], list[Path]]":
    process = subprocess.Popen(
        [*before, sys.executable, "-c", HOLD, str(directory)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, [Path(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize("before", [(), NAMESPACE], ids=["here", "in another PID namespace"])
def test_what_a_living_process_holds_is_left_and_what_a_killed_one_held_goes(
    tmp_path: Path, before: tuple[str, ...]
) -> None:
    if before and not may_unshare():
        pytest.skip("no PID namespace can be made here")
    process, held = hold(tmp_path, *before)
    with process:
        assert len(held) == 2
        assert all(map(is_owned, held))
        assert sweep(tmp_path) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    for path in held:  # unshare's child is killed just after it
        for _ in range(1000):
            if not is_owned(path):
                break
            threading.Event().wait(0.01)
    assert sorted(sweep(tmp_path)) == sorted(held)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not may_unshare(), reason="no PID namespace can be made here")
def test_who_looks_from_another_namespace_leaves_what_we_hold(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from core.files import sweep; print(sweep(Path(sys.argv[1])))"
    words = [*NAMESPACE, sys.executable, "-c", script, str(tmp_path)]
    with temporary_directory(tmp_path, prefix=f"x-{os.getpid()}-") as held:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"
        assert held.is_dir()


def make_file(path: Path) -> None:
    path.write_bytes(b"x")


def make_directory(path: Path) -> None:
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "file").write_bytes(b"x")
    (path / "a").chmod(0)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    "make",
    [
        make_file,
        make_directory,
        make_socket,
        os.mkfifo,
        lambda path: path.symlink_to("/nowhere"),
        lambda path: path.symlink_to("/usr"),
    ],
    ids=["file", "directory", "socket", "fifo", "dangling link", "link"],
)
def test_what_nobody_holds_is_swept_whatever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    make(Path("left"))
    assert sweep(tmp_path) == [tmp_path / "left"]
    assert list(tmp_path.iterdir()) == []
    assert Path("/usr/bin").is_dir()


def test_only_names_that_begin_so_are_swept(tmp_path: Path) -> None:
    for name in (".manifest.json.x", "manifest.json"):
        (tmp_path / name).write_bytes(b"")
    assert sweep(tmp_path, prefixes=(".manifest.json.",)) == [tmp_path / ".manifest.json.x"]
    assert sweep(tmp_path / "nowhere") == []


def test_nothing_is_lost_to_sweeps_and_removals_of_the_directory_at_the_same_time(
    tmp_path: Path,
) -> None:
    """Between making and locking anybody may look; what is lent is there all the same."""
    place, stop, failed = tmp_path / "place", threading.Event(), []

    def disturb() -> None:
        while not stop.is_set():
            sweep(place)
            with contextlib.suppress(OSError):
                place.rmdir()
            stop.wait(0.0002)  # and the others get to theirs

    def work(number: int) -> None:
        try:
            for turn in range(50):
                with temporary_directory(place, prefix=f"{number}-") as directory:
                    (directory / "x").write_bytes(b"x")
                    assert (directory / "x").exists()
                with atomic(tmp_path / f"out-{number}", scratch=place, sync=False) as file:
                    file.write(b"%d" % turn)
        except Exception:
            failed.append(traceback.format_exc())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    troubles = [threading.Thread(target=disturb) for _ in range(2)]
    for thread in (*threads, *troubles):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    for thread in troubles:
        thread.join()
    assert failed == []
    assert [(tmp_path / f"out-{number}").read_bytes() for number in range(2)] == [b"49"] * 2


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_can_be_no_directory_is_said_at_once(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    place.write_bytes(b"") if kind == "file" else place.symlink_to("nowhere")
    began = time.monotonic()
    with pytest.raises(FileExistsError, match="place"), temporary_file(place, prefix="x-"):
        pass
    assert time.monotonic() - began < LONGEST_CONTEST / 3


def test_a_file_appears_while_its_directory_is_locked_by_the_same_process(tmp_path: Path) -> None:
    """As the manifest's does."""
    import fcntl  # noqa: PLC0415

    number = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    write_file(tmp_path / "file", b"x")
    with temporary_file(tmp_path, prefix="x-"), temporary_directory(tmp_path, prefix="y-"):
        pass
    os.close(number)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_depth_keeps_a_tree_from_being_removed(tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=top)
        below = os.open("d", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)
    remove(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
    remove(tmp_path / "d")
    remove(tmp_path / "no" / "where")
