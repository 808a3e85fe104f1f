"""A log has a bound; its beginning and its end are kept, and reading its end takes no memory."""

import errno
import os
import random
import signal
import subprocess
import time
import tracemalloc
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.engine import Command, EngineSetup
from builders.engines.host import HostEngine
from builders.engines.log import CAP, PIECE, TAIL, CappedLog, capped_log, last_lines
from core.errors import StepError, StorageError
from tests.open_files import open_files

FULL = Path("/dev/full")


@pytest.mark.parametrize("seed", range(20))
def test_beginning_and_end_are_kept(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    cap, tail = chance.randrange(2, 400), chance.randrange(0, 300)
    kept = min(tail, cap // 2)
    before = chance.randbytes(chance.choice([0, 0, 10, 500]))
    pieces = [chance.randbytes(chance.randrange(120)) for _ in range(chance.randrange(12))]
    (tmp_path / "log").write_bytes(before)
    with (tmp_path / "log").open("ab", buffering=0) as file:
        log = CappedLog(file, cap=cap, tail=tail)
        for piece in pieces:
            log.write(piece)
        log.finish()
    whole, found = before + b"".join(pieces), (tmp_path / "log").read_bytes()
    head = max(len(before), cap - kept)
    if len(whole) <= head + kept:
        assert found == whole
        return
    end = whole[len(whole) - kept :]
    left_out = len(whole) - head - kept
    note = b"\n[%d bytes of this log were left out]\n" % left_out
    assert found == whole[:head] + note + end


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_through_the_pipe_is_all_there(tmp_path: Path, seed: int) -> None:
    pieces = [os.urandom(random.Random(seed + n).choice([1, 100, 70_000])) for n in range(40)]
    with capped_log(tmp_path / "deep" / "log") as stream:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[stream.write(left) :]
    assert (tmp_path / "deep" / "log").read_bytes() == b"".join(pieces)


def test_the_end_is_read_when_somebody_holds_the_pipe(tmp_path: Path) -> None:
    before = open_files()
    with capped_log(tmp_path / "log") as stream:
        held = os.dup(stream.fileno())
        stream.write(b"x" * 60_000 + b"last\n")
    assert (tmp_path / "log").read_bytes()[-5:] == b"last\n"
    os.close(held)
    assert open_files() == before


def test_a_program_does_not_stand_still_when_the_disk_is_full() -> None:
    def write() -> None:
        with capped_log(FULL) as stream:
            subprocess.run(["dd", "if=/dev/zero", "bs=1M", "count=4"], stdout=stream, check=True)

    with pytest.raises(StorageError, match=r"/dev/full.*\n.*full"):
        write()


def test_what_failed_in_the_block_is_what_is_told() -> None:
    def write() -> None:
        with capped_log(FULL) as stream:
            stream.write(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    with pytest.raises(OSError, match="No space") as caught, FULL.open("wb", buffering=0) as file:
        CappedLog(file).write(b"x")
    assert caught.value.errno == errno.ENOSPC


def run(setup: EngineSetup, log: Path, script: str, *, seconds: float = 60) -> int:
    with HostEngine(setup).sandbox() as sandbox:
        sandbox.put(Path("/etc/hostname"), PurePosixPath("in"))
        env = {"PATH": os.environ["PATH"]}
        return sandbox.run(Command(argv=("sh", "-c", script), env=env, log=log, seconds=seconds))


def test_a_step_that_says_much_ends_well_and_its_log_is_bounded(
    tmp_path: Path, setup: EngineSetup
) -> None:
    script = "echo first; yes middle | head -c 80000004; echo last >&2; exit 3"
    assert run(setup, tmp_path / "log", script) == 3
    assert CAP <= (tmp_path / "log").stat().st_size < CAP + 100
    with (tmp_path / "log").open("rb") as file:
        assert file.readline() == b"first\n"
        file.seek(CAP - TAIL)
        assert b"bytes of this log were left out]\n" in file.read(200)
    assert last_lines(tmp_path / "log", 2) == ["middle", "last"]


@pytest.mark.parametrize("daemon", ["sleep 600", "sh -c 'while :; do echo on and on; done'"])
def test_a_process_left_behind_does_not_keep_the_step(
    tmp_path: Path, setup: EngineSetup, daemon: str
) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    script = f"setsid sh -c 'echo $$ > {pid}; exec {daemon.replace(chr(39), chr(34))}' & sleep 0.3"
    try:
        assert run(setup, tmp_path / "log", script, seconds=300) == 0
        assert time.monotonic() - began < 200
    finally:
        try:
            os.kill(int(pid.read_text("ascii")), signal.SIGKILL)
        except ProcessLookupError:
            assert "echo" in daemon  # it ended when nobody read any more


def test_a_deadline_keeps_the_log(tmp_path: Path, setup: EngineSetup) -> None:
    with pytest.raises(StepError, match="did not end within"):
        run(setup, tmp_path / "log", "echo said; sleep 600", seconds=1)
    assert (tmp_path / "log").read_text("utf-8") == "said\n"


@pytest.mark.parametrize("newlines", [True, False])
def test_the_end_of_a_huge_log_takes_no_memory(tmp_path: Path, newlines: bool) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(8 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\nlast\n" if newlines else b"last")
    tracemalloc.start()
    try:
        lines = last_lines(log, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == ["last but one", "last"] if newlines else lines[0].endswith("last")
    assert peak < 20 * PIECE


@pytest.mark.parametrize("seed", range(10))
def test_the_end_is_what_reading_all_of_it_shows(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lines = ["é" * chance.randrange(3_000) for _ in range(chance.randrange(100))]
    (tmp_path / "log").write_text("\n".join(lines), "utf-8")
    whole = (tmp_path / "log").read_text("utf-8").splitlines()
    assert last_lines(tmp_path / "log", 5) == whole[-5:]
