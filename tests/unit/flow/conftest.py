"""A context whose engine and empty roots are fakes; recipes, sources, cache, verdicts and files are real."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from core.cancel import CancelToken
from core.scratch import RunResult
from core.settings import Settings
from core.target import Target
from flow.build import Request, build
from flow.context import Context
from publish.manifest import Artifact
from tests.fakes import (
    FakeEngine,
    Lines,
    Running,
    World,
    fake_toolchain,
    make_something,
    small_world,
)
from tests.fixtures.make_elf import DIRECTORY

FINE = RunResult(0, "hello 2.0 and hello 1.0\n", "")
GOOD = (DIRECTORY / "good-amd64-static-pie").read_bytes()
PACKED = (DIRECTORY / "packed").read_bytes()


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


def incompressible(running: Running) -> int:
    """UPX makes no program smaller."""
    if running.step.endswith("pack"):
        running.make("incompressible", b"UPX cannot make it smaller\n")
        return 0
    return hello(running)


@dataclass
class FakeEnvironment:
    """An empty root in which every program says the same."""

    answer: RunResult = field(default=FINE)
    how: str = "sandbox"
    tried: list[bytes] = field(default_factory=list)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> Iterator["FakeEnvironment"]:
        self.tried.append(files[program].read_bytes())
        yield self

    def run(self, args: Sequence[str], *, seconds: float) -> RunResult:
        return self.answer


@dataclass
class Harness:
    """Everything a run touches."""

    directory: Path
    world: World
    engine: FakeEngine
    cancel: CancelToken
    environment: FakeEnvironment | str = "nobody looks"
    """None by default: the servers that go with one take a third of a second to end."""
    report: Lines = field(default_factory=Lines)

    @property
    def warnings(self) -> list[str]:
        """What was warned of, but for what every test here is warned of."""
        return [text for text in self.report.warnings if "nobody looks" not in text]

    @property
    def artifacts(self) -> Path:
        return self.directory / "artifacts"

    def context(self, **flags: str) -> Context:
        settings = Settings.read(
            {"cache": str(self.directory / "cache"), "artifacts": str(self.artifacts), **flags},
            environment={},
            directory=self.directory,
        )
        return Context(
            settings=settings,
            report=self.report,
            recipes_directory=self.world.recipes,
            cancel=self.cancel,
            find_engine=lambda _: self.engine,
            find_smoke_environment=lambda *_: self.environment,
        )

    def build(
        self,
        *products: str,
        exact: bool = False,
        rebuild: bool = False,
        pack: bool = True,
        **flags: str,
    ) -> list[Artifact]:
        request = Request(
            products=products, targets=(Target.AMD64,), exact=exact, rebuild=rebuild, pack=pack
        )
        return build(self.context(**flags), request)

    def files(self) -> list[str]:
        directory = self.artifacts / "files"
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    world, cancel = small_world(tmp_path / "world"), CancelToken()
    toolchain = fake_toolchain(tmp_path / "toolchain")
    engine = FakeEngine(tmp_path / "boxes", toolchain, hello, cancel)
    return Harness(directory=tmp_path, world=world, engine=engine, cancel=cancel)
