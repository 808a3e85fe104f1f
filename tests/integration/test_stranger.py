"""A stranger's recipe: docs/add-a-recipe.md to the letter, in a directory of its own, and no Python file is touched."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from core.target import Target
from tests.built import Built
from tests.integration.command import ROOT, Inv

EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = ROOT / "docs/add-a-recipe.md"
FILE = f"files/tini-init-0.19.0-{Target.native().slug}"

pytestmark = pytest.mark.builds


def written(directory: Path) -> Path:
    """What a reader of the page types in."""
    tini = directory / "tini"
    tini.mkdir(parents=True)
    examples = dict(EXAMPLE.findall(PAGE.read_text("utf-8")))
    assert sorted(examples) == ["build.sh", "recipe.toml"]
    for name, body in examples.items():
        (tini / name).write_text(body, "utf-8")
    return directory


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("stranger") / "my-recipes").parent


@pytest.fixture(scope="module")
def tini(home: Path, built: Built) -> Inv:
    """The command as the page has it, called beside the directory; UPX comes from the shared cache."""
    inv = Inv(directory=home, settings=built.settings).set(artifacts=home / "artifacts")
    done = inv("build", "tini", "--recipes", "my-recipes")
    assert done.code == 0, done.stderr
    assert not list((ROOT / "recipes").glob("tini"))
    return inv


def test_the_page_builds_a_program_that_does_its_work(tini: Inv, home: Path) -> None:
    for name in (FILE, f"{FILE}.upx"):
        program = home / "artifacts" / name
        done = run(program, "--version")
        assert (done.returncode, done.stdout) == (0, "tini version 0.19.0\n")
        assert run(program, "/bin/sh", "-c", "exit 7").returncode == 7
    (page,) = re.findall(r"^tini version .*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert page == "tini version 0.19.0"


def test_it_is_proven_like_our_own(tini: Inv, home: Path) -> None:
    manifest = json.loads((home / "artifacts/manifest.json").read_text("utf-8"))
    entries = {entry["path"]: entry for entry in manifest["artifacts"]}
    assert sorted(entries) == [FILE, f"{FILE}.upx"]
    for entry in entries.values():
        assert entry["verdict"]["ok"]
        assert (entry["smoke"]["ran"], entry["smoke"]["ok"]) == (True, True)
        assert "tini" in {source["name"] for source in entry["inputs"]}


def test_it_is_listed_and_smoked_where_its_directory_is_named(tini: Inv) -> None:
    listed = tini("list", "--json", "--recipes", "my-recipes")
    rows = {row["product"]: row for row in json.loads(listed.stdout)}
    assert rows["tini:init"]["built"] == Target.native().value
    assert "curl:http" in rows
    assert tini("smoke", "--recipes", "my-recipes").code == 0
    named = tini.set(recipes="my-recipes")
    assert named("smoke").code == 0


def test_smoke_says_what_is_missing_where_it_is_not(tini: Inv) -> None:
    done = tini("smoke")
    assert done.code == 1
    assert "Is --recipes missing?" in done.stdout


def test_nothing_is_done_twice(tini: Inv) -> None:
    done = tini("build", "tini:init", "--recipes", "my-recipes")
    assert (done.code, done.started) == (0, [])


def test_a_changed_script_is_run_again(tini: Inv, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine")
    other = replace(tini.set(artifacts=tmp_path / "artifacts"), directory=tmp_path)
    assert other("build", "tini", "--recipes", "mine").started == []
    with (mine / "tini" / "build.sh").open("a", encoding="utf-8") as script:
        script.write("false\n")
    done = other("build", "tini", "--recipes", "mine")
    assert done.code == 5
    assert done.started == [f"tini:init 0.19.0 {Target.native()}"]
