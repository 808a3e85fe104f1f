"""The script ``inv``: from any directory, and on machines that lack something."""

import filecmp
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import tasks

ROOT = Path(tasks.__file__).parent
OLD = """#!/bin/sh
case $* in
--version) echo "Python 3.9.2" ;;
*version_info*) exit 1 ;;
*) exit 99 ;;
esac
"""
NO_VENV = """#!/bin/sh
case $* in
*version_info*) exit 0 ;;
*"import venv"*) exit 1 ;;
*) exit 99 ;;
esac
"""
NO_NETWORK = """#!/bin/sh
case $* in
*version_info* | *"import venv"*) exit 0 ;;
"-m venv "*) mkdir -p "$3/bin" && printf '#!/bin/sh\\nexit 1\\n' >"$3/bin/python" && chmod +x "$3/bin/python" ;;
*) exit 99 ;;
esac
"""


def call(
    script: Path, *words: str, cwd: Path, **settings: str
) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("FROMSCRATCH")}
    return subprocess.run(
        [script, *words],
        cwd=cwd,
        env=env | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout without an environment."""
    directory = tmp_path / "a check out"
    directory.mkdir()
    for name in ("inv", "requirements.txt"):
        shutil.copy(ROOT / name, directory / name)
    return directory


def fake(directory: Path, text: str) -> str:
    python = directory / "fake-python"
    python.write_text(text, "utf-8")
    python.chmod(0o755)
    return str(python)


@pytest.mark.parametrize(
    ("python", "what", "step"),
    [
        (OLD, "Python 3.9.2 is too old", "FROMSCRATCH_PYTHON=python3.12"),
        (NO_VENV, "Python's 'venv' is missing", "apt-get install -y python3-venv"),
        (NO_NETWORK, "The requirements could not be installed", "check the network"),
    ],
    ids=["too old", "no venv", "no network"],
)
def test_what_is_missing_is_said_with_what_to_do(
    bare: Path, python: str, what: str, step: str
) -> None:
    done = call(bare / "inv", "list", cwd=bare, FROMSCRATCH_PYTHON=fake(bare.parent, python))
    assert (done.returncode, done.stdout) == (6, "")
    assert f"error: {what}" in done.stderr
    assert step in done.stderr
    assert "exit code:    6 (engine)" in done.stderr
    assert not (bare / ".venv" / "installed.txt").exists()  # the next run begins again


def test_a_python_that_is_not_there_is_missed_by_name(bare: Path) -> None:
    done = call(bare / "inv", "list", cwd=bare, FROMSCRATCH_PYTHON="/nowhere/python3")
    assert done.returncode == 6
    assert "'/nowhere/python3' was not found" in done.stderr
    assert "apt-get install -y python3" in done.stderr


def test_a_ready_environment_is_used_as_it_is(bare: Path) -> None:
    (bare / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(bare / "requirements.txt", bare / ".venv" / "installed.txt")
    python = Path(fake(bare.parent, '#!/bin/sh\nprintf "%s\\n" "$@"\n'))
    python.rename(bare / ".venv" / "bin" / "python")
    done = call(bare / "inv", "build", "two words", cwd=bare.parent)
    assert done.stdout.splitlines() == [str(bare / "tasks.py"), "build", "two words"]


def test_it_works_from_another_directory_and_through_a_link(tmp_path: Path) -> None:
    installed = ROOT / ".venv" / "installed.txt"
    if not (
        installed.exists() and filecmp.cmp(installed, ROOT / "requirements.txt", shallow=False)
    ):
        pytest.skip("this checkout's environment was not made by ./inv")
    link = tmp_path / "inv"
    link.symlink_to(ROOT / "inv")
    for script in (ROOT / "inv", link):
        done = call(script, "--version", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("inv ")
