"""What `./inv test`, `check` and `bench` start ends with them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from invoke import Exit

import tasks
from flow.context import ROOT

CHILD = """
import pathlib, sys, time
begun, ended = map(pathlib.Path, sys.argv[1:])
try:
    begun.touch()
    time.sleep(60)
except KeyboardInterrupt:
    ended.write_text("tidied up")
    sys.exit(2)
"""

PARENT = """
import sys
from console.program import _interrupt
import signal, tasks
signal.signal(signal.SIGTERM, _interrupt)
tasks._run([sys.executable, "-c", *sys.argv[1:]])
"""


def test_what_fails_ends_with_its_own_code() -> None:
    with pytest.raises(Exit) as error:
        tasks._run([sys.executable, "-c", "raise SystemExit(5)"])
    assert error.value.code == 5


def test_what_was_killed_has_failed() -> None:
    with pytest.raises(Exit) as error:
        tasks._run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert error.value.code == 1


def test_invoke_s_own_settings_do_not_keep_it_from_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INVOKE_RUN_DRY", "1")
    tasks._run([sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"])
    assert (tmp_path / "ran").exists()


def test_sigterm_lets_it_tidy_up_and_waits_for_it(tmp_path: Path) -> None:
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    words = [sys.executable, "-c", PARENT, CHILD, str(begun), str(ended)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while not begun.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert ended.read_text() == "tidied up"


@pytest.mark.parametrize(
    "words",
    [
        ["--campaign", "elf", "--match", "x"],
        ["--campaign", "elf", "--fast"],
        ["--campaign", "tests/unit"],
        ["--campaign", "--only", "tests/unit/test_tasks.py"],
        ["--campaign", "toys"],
        ["elf", "--minutes", "1"],
    ],
)
def test_a_campaign_takes_no_choice_of_tests(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "tasks.py", "test", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "campaign" in ended.stderr
    assert "Traceback" not in ended.stderr
