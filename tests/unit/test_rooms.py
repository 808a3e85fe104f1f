"""The direction of imports is enforced: every room has its contract, and each contract fires."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from flow.context import ROOT

LINTER = Path(sys.executable).with_name("lint-imports")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
BAD = [
    ("core", "import recipes.model"),
    ("recipes", "import verify.rules"),
    ("recipes", "import flow.build"),
    ("verify", "def late():\n    from builders.plan import Step"),
    ("builders", "import verify.facts"),
    ("builders", "import publish.manifest"),
    ("builders", "from tasks import build"),
    ("publish", "import builders.plan"),
    ("publish", "import probe.errors"),
    ("publish.oci", "import publish.trust.sbom"),
    ("publish.trust", "import publish.release.sums"),
    ("publish.release", "import publish.registry.push"),
    ("console", "import publish.manifest"),
    ("console", "import flow.build"),
    ("flow", "import commands.list"),
    ("flow", "import console.table"),
    ("probe", "import core.errors"),
    ("commands", "import bench.report"),
    ("commands", "import tasks"),
    ("bench", "import tasks"),
]


def lint(directory: Path) -> tuple[int, str]:
    done = subprocess.run(
        [LINTER, "--no-cache", "--no-logo"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in SETTINGS["root_packages"]:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


LENT = {"recipes.micropython.freeze": {"host", "makeqstrdata", "mpy_tool"}}
"""What a build lends to its own scripts: upstream's modules, and one of the interpreter that was just built."""


def test_every_room_has_a_contract() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == set(SETTINGS["root_packages"])
    (layered,) = (
        row["layers"]
        for row in SETTINGS["contracts"]
        if row["type"] == "layers" and "containers" not in row
    )
    floors = {room.strip() for layer in layered for room in layer.split("|")}
    assert rooms == floors | {"probe"}


def modules() -> dict[str, Path]:
    """Every Python file of the project but its tests, under the name it would be imported by."""
    found = list(ROOT.glob("*.py"))
    for directory in ROOT.iterdir():
        if directory.name not in {"tests", "artifacts"} and not directory.name.startswith("."):
            found += directory.rglob("*.py")
    names = (path.relative_to(ROOT).with_suffix("").parts for path in found)
    dotted = (".".join(name).removesuffix(".__init__") for name in names)
    return dict(zip(dotted, found, strict=True))


def test_the_linter_sees_every_module() -> None:
    seen = grimp.build_graph(*SETTINGS["root_packages"], cache_dir=None).modules
    ours = modules()
    unseen = ours.keys() - seen
    steps = {
        name for name in unseen if list(ROOT.glob("/".join(name.split(".")[:2]) + "/recipe.toml"))
    }
    assert unseen - steps == {"tasks"}
    assert seen <= ours.keys()
    # What a recipe's build runs is part of no room, and can import nothing of ours where it runs.
    assert steps
    for name in steps:
        for node in ast.walk(ast.parse(ours[name].read_text("utf-8"))):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            known = sys.stdlib_module_names | LENT.get(name, set())
            assert {module.partition(".")[0] for module in imported} <= known, name


def test_nothing_is_broken() -> None:
    code, said = lint(ROOT)
    assert code == 0, said


@pytest.mark.parametrize(("room", "line"), BAD)
def test_a_forbidden_import_is_found(copy: Path, room: str, line: str) -> None:
    with (copy / room.replace(".", "/") / "__init__.py").open("a") as file:
        file.write(f"\n{line}\n")
    code, said = lint(copy)
    assert code == 1
    assert f"{room} is not allowed to import" in said


def test_probe_is_imported_by_nobody() -> None:
    # Ruff looks after the single modules, which import-linter cannot look into.
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", "tasks.py", "-"],
        cwd=ROOT,
        input="from probe.errors import Unhealthy\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TID251" in done.stdout
