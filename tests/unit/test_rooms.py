"""The direction of imports is enforced: every room has its contract, and each contract fires."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from workshop import ROOT

LINTER = Path(sys.executable).with_name("lint-imports")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
BAD = [
    ("recipes", "import verify.rules"),
    ("recipes", "import pipeline"),
    ("verify", "def late():\n    from builders.plan import Step"),
    ("builders", "import verify.facts"),
    ("builders", "from tasks import build"),
    ("publish", "import builders.plan"),
    ("publish", "import probe.errors"),
    ("console", "import publish.manifest"),
    ("probe", "import recipes.errors"),
    ("commands", "import tasks"),
]


def lint(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [LINTER, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in SETTINGS["root_packages"]:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_room_has_a_contract() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == set(SETTINGS["root_packages"])
    assert rooms == {one for row in SETTINGS["contracts"] for one in row["source_modules"]}


def test_nothing_is_broken() -> None:
    code, said = lint(ROOT)
    assert code == 0, said


@pytest.mark.parametrize(("room", "line"), BAD)
def test_a_forbidden_import_is_found(copy: Path, room: str, line: str) -> None:
    with (copy / room / "__init__.py").open("a") as file:
        file.write(f"\n{line}\n")
    code, said = lint(copy)
    assert code == 1
    assert f"{room} imports" in said.partition("BROKEN")[0]


def test_probe_is_imported_by_nobody() -> None:
    # Ruff looks after the single modules, which import-linter cannot look into.
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", "pipeline.py", "-"],
        cwd=ROOT,
        input="from probe.errors import Unhealthy\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TID251" in done.stdout
