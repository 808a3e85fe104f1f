"""A pipeline whose engine and empty roots are fakes; recipes, sources, cache, verdicts and files are real."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from builders.build import Lazily
from builders.engines.empty_root import Ran
from builders.engines.engine import Stop
from pipeline import Pipeline, Request
from publish.manifest import Artifact
from recipes.settings import Settings
from recipes.target import Target
from tests.fakes import (
    FakeEngine,
    Lines,
    Running,
    World,
    fake_toolchain,
    make_something,
    small_world,
)
from tests.fixtures.make_elf import FOLDER
from verify.smoke import Place

FINE = Ran(0, "hello 2.0 and hello 1.0\n", "")
GOOD = (FOLDER / "good-amd64").read_bytes()
PACKED = (FOLDER / "packed").read_bytes()


def hello(running: Running) -> int:
    """Make programs that pass."""
    if not running.step.startswith("hello") or running.step.endswith("checks"):
        return make_something(running)
    if running.step.endswith("pack"):
        running.make("packed", PACKED)
        running.make("unpacked", GOOD)
    else:
        running.make("hello", GOOD)
    return 0


@dataclass
class FakePlace:
    """An empty root in which every program says the same."""

    answer: Ran = field(default=FINE)
    how: str = "sandbox"
    tried: list[bytes] = field(default_factory=list)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> Iterator["FakePlace"]:
        self.tried.append(files[program].read_bytes())
        yield self

    def run(self, args: Sequence[str], *, seconds: float) -> Ran:
        return self.answer


@dataclass(frozen=True, kw_only=True)
class FakePipeline(Pipeline):
    fake_engine: FakeEngine
    fake_place: Place | str

    @property
    def engine(self) -> Lazily:
        return Lazily(lambda: self.fake_engine)

    def place(self, target: Target) -> Place | str:
        return self.fake_place


@dataclass
class Yard:
    """Everything a run of the pipeline touches."""

    folder: Path
    world: World
    engine: FakeEngine
    stop: Stop
    place: FakePlace | str = "nobody looks"
    """No place by default: the servers that go with one take a third of a second to end."""
    report: Lines = field(default_factory=Lines)

    @property
    def warnings(self) -> list[str]:
        """What was warned of, but for what every test here is warned of."""
        return [text for text in self.report.warnings if "nobody looks" not in text]

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def pipeline(self, **flags: str) -> Pipeline:
        settings = Settings.read(
            {"cache": str(self.folder / "cache"), "artifacts": str(self.artifacts), **flags},
            environment={},
            folder=self.folder,
        )
        return FakePipeline(
            settings=settings,
            report=self.report,
            recipes_folder=self.world.recipes,
            stop=self.stop,
            fake_engine=self.engine,
            fake_place=self.place,
        )

    def build(
        self, *products: str, exact: bool = False, rebuild: bool = False, **flags: str
    ) -> list[Artifact]:
        request = Request(products=products, targets=(Target.AMD64,), exact=exact, rebuild=rebuild)
        return self.pipeline(**flags).build(request)

    def files(self) -> list[str]:
        folder = self.artifacts / "files"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    world, stop = small_world(tmp_path / "world"), Stop()
    toolchain = fake_toolchain(tmp_path / "toolchain")
    engine = FakeEngine(tmp_path / "boxes", toolchain, hello, stop)
    return Yard(folder=tmp_path, world=world, engine=engine, stop=stop)
