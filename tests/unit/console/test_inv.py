"""The script ``inv``: from any directory, and on machines that lack something."""

import ast
import filecmp
import os
import re
import shutil
import subprocess
from importlib.metadata import packages_distributions
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
LOCKED = {"requirements.txt": "installed.txt", "requirements-test.txt": "installed-test.txt"}
"""The locked requirements, and what in the environment says that they are installed."""
RECORDING = """#!/bin/sh
case $* in
*version_info* | *"import venv"*) exit 0 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip "*) while [ "$1" != -r ]; do shift; done && basename "$2" >>"${0%/bin/python}/pip" ;;
*) shift && echo "$@" ;;
esac
"""
"""A Python whose pip writes down what it was to install."""
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
    for name in ("inv", *LOCKED):
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


def installed(bare: Path) -> list[str]:
    """What the recording pip was asked for, in this environment."""
    return (bare / ".venv" / "pip").read_text("utf-8").split()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["build", "curl:http"], ["requirements.txt"]),
        (["build", "test"], ["requirements.txt"]),
        (["--list"], ["requirements.txt"]),
        ([], ["requirements.txt"]),
        (["test", "--fast"], list(LOCKED)),
        (["--debug", "check"], list(LOCKED)),
    ],
)
def test_only_tests_and_checks_install_what_they_need(
    words: list[str], wanted: list[str], bare: Path
) -> None:
    python = fake(bare.parent, RECORDING)
    for _ in range(2):  # the second time, all is there
        done = call(bare / "inv", *words, cwd=bare, FROMSCRATCH_PYTHON=python)
        assert (done.returncode, done.stdout.split()) == (0, words)
        assert installed(bare) == wanted


def test_what_tests_need_comes_on_top_of_what_is_there(bare: Path) -> None:
    python = fake(bare.parent, RECORDING)
    for command in ("build", "test", "build"):
        call(bare / "inv", command, cwd=bare, FROMSCRATCH_PYTHON=python)
    assert installed(bare) == list(LOCKED)


@pytest.mark.parametrize("moved", LOCKED)
def test_a_lock_that_moved_begins_anew(moved: str, bare: Path) -> None:
    python = fake(bare.parent, RECORDING)
    call(bare / "inv", "test", cwd=bare, FROMSCRATCH_PYTHON=python)
    (bare / moved).write_text("moved==1\n", "utf-8")
    call(bare / "inv", "test", cwd=bare, FROMSCRATCH_PYTHON=python)
    assert installed(bare) == list(LOCKED)  # of the new environment


def test_the_locks_agree_and_know_hashes_of_everything() -> None:
    versions: dict[str, str] = {}
    for name in (*LOCKED, *EXTRAS.values()):
        for line in (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines():
            if line and not line.lstrip().startswith("#"):
                package, _, version = line.split()[0].partition("==")
                assert "--hash=sha256:" in line
                assert versions.setdefault(package, version) == version


EXTRAS = {
    ROOT / "flow" / "cluster": "requirements-cluster.txt",
    ROOT / "builders" / "sources" / "bucket.py": "requirements-store.txt",
    ROOT / "report" / "draw.py": "requirements-report.txt",
}
"""What imports packages that are installed when they are first used."""


def locked_in(name: str) -> set[str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return {line.partition("==")[0] for line in lines if "==" in line}


def test_a_build_needs_nothing_that_only_tests_install() -> None:
    """Every package that a room of ours imports is among the requirements of all commands, or of its extra."""
    ours = {path.name.removesuffix(".py") for path in ROOT.iterdir()}
    usual = locked_in("requirements.txt")
    distributions = packages_distributions()
    rooms = [path for path in ROOT.iterdir() if path.name not in {".venv", "tests", "artifacts"}]
    files = [file for room in rooms for file in [room, *room.rglob("*.py")] if file.suffix == ".py"]
    assert ROOT / "tasks.py" in files
    seen = set()
    for file in files:
        extras = [name for path, name in EXTRAS.items() if file.is_relative_to(path)]
        locked = usual.union(*map(locked_in, extras))
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Import(names=names):
                    modules = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case _:
                    continue
            for top in {module.partition(".")[0] for module in modules} & set(distributions):
                if top not in ours:
                    seen.add(top)
                    assert locked & {
                        re.sub("[-_.]+", "-", name).lower() for name in distributions[top]
                    }, (file, top)
    assert {"requests", "elftools", "cryptography", "trustme"} <= seen


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
