"""Wherever a step runs, it makes the same bytes."""

import json
from functools import cached_property
from pathlib import Path

import pytest

from builders.build import Lazily
from builders.engines.sandbox import SandboxEngine
from builders.engines.walls import Wall, try_wall
from console.progress import PlainReport
from pipeline import Pipeline, Request
from recipes.settings import Settings
from recipes.target import Target
from tests.integration.command import Inv, by_path, listed
from tests.integration.conftest import Built
from tests.integration.known import CURLS, Known, all_but, made_by

pytestmark = pytest.mark.builds


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("sandbox", marks=pytest.mark.sandbox),
        "host",
    ],
)
def test_every_engine_makes_the_same_bytes(
    inv: Inv, built: Built, known: Known, tmp_path: Path, engine: str
) -> None:
    # UPX takes longer to build than all the rest, and its own bytes do not reach a result.
    known.copy(tmp_path / "cache", made_by("upx"))
    done = inv("build", *CURLS, "--engine", engine, "--json")
    assert done.code == 0, done.stderr
    made = json.loads(done.stdout)
    assert by_path(made) == built.sha256
    assert {entry["engine"] for entry in made} == {engine}
    assert {entry["isolated"] for entry in made} == {engine != "host"}
    assert ("WARNING" in done.stderr) is (engine == "host")
    # musl, mbedtls, cacert, curl's checks, three curls, three of them packed
    assert len(done.started) == 10
    assert listed(tmp_path / "cache" / "boxes") == []
    assert listed(tmp_path / "cache" / "tmp") == []


class Walled(Pipeline):
    """The pipeline with a sandbox whose wall is chosen."""

    @cached_property
    def engine(self) -> Lazily:
        wall = Wall(self.settings["base_image"])
        engine = SandboxEngine(self.toolchain, self.chooser.scratch, self.stop, wall=wall)
        return Lazily(lambda: engine)


@pytest.mark.sandbox
@pytest.mark.parametrize("wall", list(Wall))
def test_both_walls_make_the_same_bytes(
    built: Built, known: Known, mirror: Path, tmp_path: Path, wall: Wall
) -> None:
    if trouble := try_wall(wall, tmp_path):
        pytest.skip(trouble)
    known.copy(tmp_path / "cache", all_but("curl:mini"))
    settings = Settings.read(
        {
            "cache": str(tmp_path / "cache"),
            "artifacts": str(tmp_path / "artifacts"),
            "mirrors": f"file://{mirror}",
            "offline": "1",
            "base_image": wall.value,
        }
    )
    pipeline = Walled(settings=settings, report=PlainReport())
    made = pipeline.build(Request(products=("curl:mini",), targets=(Target.native(),)))
    for artifact in made:
        assert artifact.engine == "sandbox"
        assert not artifact.cached
        assert artifact.sha256 == built.sha256[artifact.path]
