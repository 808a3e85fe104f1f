"""Builds, images and releases that are killed at any moment: nothing half or wrong, and the next run mends all.

What is killed is a process of its own (`tests.campaigns.workshop`): our code, with steps that are Python functions.
That a killed run takes the processes of a real engine with it is a matter of the integration tests.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import ExitCode
from flow.context import ROOT
from tests.campaigns.campaign import Campaign, Case, Run, Violation
from tests.campaigns.yard import End, Ended, Yard, judge_names, judge_results
from tests.fakes import below
from tests.unit.publish.releases import Bench

COMMANDS = ("build", "image", "publish")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS = 60.0
"""What ends by itself later hangs."""
SOON = 10.0
"""Seconds within which a signal ends a run."""
Files = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Killed:
    """How a run ended; ``ready``: it had begun to look after signals when one came."""

    number: signal.Signals
    ready: bool
    code: int
    output: str


def prepare(directory: Path) -> Yard:
    """Make what the workshop works on."""
    Bench.make(directory / "bench")
    return Yard.make(directory)


def made(directory: Path) -> dict[str, bytes]:
    """The images and the release under their final names: those of what is not whole begin with a dot."""
    bench = directory / "bench"
    found = {f"oci/{name}": data for name, data in below(bench / "oci").items()}
    found |= {f"release/{name}": data for name, data in below(bench / "release").items()}
    found |= {path.name: path.read_bytes() for path in bench.glob("*.tar")}
    return {name: data for name, data in found.items() if not _is_half(name)}


def halves(directory: Path) -> list[str]:
    """What is not whole, or nobody's, in the places that a run has for that."""
    places = [directory / "cache" / name for name in ("tmp", "boxes")]
    places += [directory / "artifacts" / ".part"]
    found = [path for place in places if place.is_dir() for path in place.iterdir()]
    found += [path for path in (directory / "bench" / "release").rglob("*") if _is_half(path.name)]
    return sorted(str(path.relative_to(directory)) for path in found)


def _is_half(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)


def start(command: str, directory: Path) -> "subprocess.Popen[str]":
    mine = {name: value for name, value in os.environ.items() if "FROMSCRATCH" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.campaigns.workshop", command, str(directory)],
        cwd=ROOT,
        env=mine,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def kill(command: str, directory: Path, number: signal.Signals, after: float) -> Killed:
    """Start it, and end it by this signal. Raises Violation when that takes long."""
    with start(command, directory) as process:
        try:
            time.sleep(after)
            ready = _looks_after_signals(process.pid)
            process.send_signal(number)
            output, _ = process.communicate(timeout=SOON)
        except subprocess.TimeoutExpired:
            msg = f"{number.name} does not end it within {SOON:.0f} s"
            raise Violation(msg) from None
        finally:
            process.kill()
    return Killed(number=number, ready=ready, code=process.returncode, output=output)


def again(command: str, directory: Path) -> str:
    """Run it to its end. Raises Violation unless that is a good one."""
    with start(command, directory) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            msg = f"the next {command} hangs"
            raise Violation(msg) from None
        finally:
            process.kill()
    if process.returncode != ExitCode.DONE:
        msg = f"the next {command} fails with code {process.returncode}:\n{output}"
        raise Violation(msg)
    return output


def _looks_after_signals(pid: int) -> bool:
    """True once the program has said what SIGTERM is to do: Python itself does not."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def judge_killed(killed: Killed) -> None:
    """Raise Violation when a run that was asked to end did so in another way than it promises."""
    if killed.number is signal.SIGKILL or not killed.ready:
        return
    # Python looks after signals no more once it takes itself down.
    good = {ExitCode.INTERRUPTED, ExitCode.DONE, -killed.number}
    if killed.code not in good or "Traceback" in killed.output:
        msg = f"{killed.number.name} ends it with code {killed.code}:\n{killed.output}"
        raise Violation(msg)


def judge_made(directory: Path, expected: Files, *, whole: bool = False) -> None:
    """Raise Violation unless each file is what an undisturbed run makes; with ``whole`` all of them are there."""
    there = made(directory)
    for name, data in there.items():
        if expected.get(name) != data:
            msg = f"half a file, or a wrong one: {name}, {len(data)} bytes"
            raise Violation(msg)
    if whole and (missing := sorted(set(expected) - set(there))):
        msg = f"the next run left out {missing}"
        raise Violation(msg)


def judge_running(directory: Path, seconds: float = SOON) -> None:
    """Raise Violation when a process stays that works in this directory."""
    until = time.monotonic() + seconds
    while left := [pid for pid, place in _places() if place.is_relative_to(directory.resolve())]:
        if time.monotonic() > until:
            msg = f"left running: {left}"
            raise Violation(msg)
        time.sleep(0.02)


def _places() -> Iterator[tuple[int, Path]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                yield int(entry.name), (entry / "cwd").readlink()
            except OSError:
                continue


def run_case(case: Case, expected: Mapping[str, Files], usual: Mapping[str, float]) -> str:
    chance, command = case.random, COMMANDS[case.number % 3]
    number = SIGNALS[case.number // 3 % 3]
    yard = prepare(case.directory)
    if command == "publish" and chance.random() < 0.3:
        again("image", case.directory)
    # Beginnings are short, and what is worst happens there and at the end.
    # The first half of a run, at least, is imports.
    whole = usual[command]
    first, last = chance.choice([(0, 0.4), (0, whole), (whole / 2, whole), (whole / 2, whole)])
    after = chance.uniform(first, last)
    killed = kill(command, case.directory, number, after)
    what = f"{command}, {number.name} after {after:.3f} s"
    try:
        return judge(yard, command, killed, expected)
    except Violation as violation:
        msg = f"{what}: {violation}"
        raise Violation(msg) from violation


def judge(yard: Yard, command: str, killed: Killed, expected: Mapping[str, Files]) -> str:
    """Judge what the killed run left, and what the next ones make of it. Raises Violation; returns the outcome."""
    directory = yard.directory
    judge_killed(killed)
    judge_running(directory)
    judge_results(yard, None)
    judge_names(yard.cache)
    judge_made(directory, expected["publish"])
    left = halves(directory)
    again(command, directory)
    if command == "build":
        judge_results(yard, Ended(End.DONE, ""))
        again(command, directory)  # the fake engine's boxes stay until the next run sweeps them
    judge_names(yard.cache)
    judge_made(directory, expected[command], whole=True)
    if still := halves(directory):
        msg = f"the next run did not sweep {still}"
        raise Violation(msg)
    if killed.code == ExitCode.DONE:
        return "done before"
    return "left something, swept" if left else "left nothing"


@contextmanager
def opened() -> Iterator[Run]:
    expected: dict[str, Files] = {}
    usual: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="campaign.") as name:
        for command in COMMANDS:
            directory = Path(name, command)
            prepare(directory)
            began = time.monotonic()
            again(command, directory)
            usual[command] = time.monotonic() - began
            expected[command] = made(directory)
            shutil.rmtree(directory)
    yield lambda case: run_case(case, expected, usual)


CAMPAIGN = Campaign(
    name="kills",
    purpose="Builds, images and releases killed at any moment: nothing half or left running; the next run is right.",
    cases=200,
    open=opened,
)
