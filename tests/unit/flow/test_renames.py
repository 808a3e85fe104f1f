"""What a command says to somebody who uses a name that changed: once, on standard error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands.image import ImageMaker
from commands.list import overview, summary
from commands.renames import note_renamed, note_renamed_images
from flow.context import ROOT
from tests.unit.audit.databases import curl_record
from tests.unit.flow.conftest import FakeEnvironment, Harness

EACH = '[greeter]\nsummary = "says hello"\neach = "hello"\npath = "/hello"\nbare = "plain"\n'
RENAMED = '[[renamed]]\nwas = "{was}"\nnow = "secure"\nuntil = "0.2.0"\n\n[unsupported]'


def rename(harness: Harness, was: str) -> Harness:
    harness.environment = FakeEnvironment()
    (harness.world.recipes / "images.toml").write_text(EACH)
    harness.world.edit("hello", "[unsupported]", RENAMED.format(was=was))
    return harness


@pytest.fixture
def moved(harness: Harness) -> Harness:
    """What was hello:tls is hello:secure."""
    return rename(harness, "tls")


@pytest.fixture
def replaced(harness: Harness) -> Harness:
    """What was hello:plain is hello:secure, and hello:plain is something else."""
    return rename(harness, "plain")


def test_files_and_manifest_have_the_new_name_only(moved: Harness) -> None:
    made = moved.build("hello:tls", "hello:tls@2.0", "hello:secure")
    assert {artifact.product for artifact in made} == {"hello:secure"}
    names = ["hello-secure-2.0-linux-amd64", "hello-secure-2.0-linux-amd64.upx"]
    assert moved.files() == names


def test_it_is_said_once_and_only_to_those_who_use_the_old_name(moved: Harness) -> None:
    context = moved.context()
    note_renamed(context, ["hello:secure", "hello", "nobody"])
    assert moved.report.notes == []
    note_renamed(context, ["hello:tls@1.0", "hello:secure", "hello:tls"])
    assert moved.report.notes == [
        "note: hello:tls is called hello:secure now; the old name works until 0.2.0"
    ]


def test_it_is_said_that_the_name_is_another_one_s(replaced: Harness) -> None:
    note_renamed(replaced.context(), ["hello:plain"])
    (note,) = replaced.report.notes
    assert "hello:plain is another one now (says hello)" in note
    assert "what it was is hello:secure" in note
    assert [artifact.product for artifact in replaced.build("hello:plain")] == ["hello:plain"] * 2


def test_images_are_chosen_by_their_old_names(moved: Harness) -> None:
    maker = ImageMaker(context=moved.context())
    for word in ("greeter:tls", "hello:tls", "greeter:secure"):
        assert [image.label for image in maker.select([word])] == ["greeter:secure"]
    note_renamed_images(moved.context(), ["greeter", "greeter:tls", "greeter:tls"])
    assert moved.report.notes == [
        "note: greeter:tls is called greeter:secure now; the old name works until 0.2.0"
    ]


def test_an_image_s_old_name_is_another_one_s(replaced: Harness) -> None:
    replaced.world.edit("hello", "[variants.plain]\n", "[variants.first]\n")
    replaced.world.edit("hello", "[variants.plain.", "[variants.first.")
    (replaced.world.recipes / "images.toml").write_text(EACH.replace('bare = "plain"', ""))
    maker = ImageMaker(context=replaced.context())
    assert [image.label for image in maker.select(["greeter:plain"])] == ["greeter:secure"]


def test_the_list_says_it(moved: Harness) -> None:
    rows = overview(moved.context())
    assert "renamed: hello:tls is called hello:secure now" in summary(rows)
    assert "tls" not in {row.as_dict()["product"] for row in rows}


def test_json_has_the_new_name_and_no_note(tmp_path: Path) -> None:
    database = tmp_path / "database.json"
    database.write_text(json.dumps([curl_record(introduced="1.0.0", fixed="2.0.0")]))
    done = subprocess.run(
        [sys.executable, "tasks.py", "audit", "curl:full", f"--database={database}", "--json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "curl" in {subject["name"] for subject in json.loads(done.stdout)["components"]}
    assert done.stderr.startswith("note: curl:full is ")
    assert done.stderr.count("curl:h2") == 1
