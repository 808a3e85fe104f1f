"""Stand-ins that record what they are told: an engine that runs Python functions, a report that keeps
every line, and a small world of recipes with sources of a few bytes."""

import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock

from builders.build import LazyEngine, StepRunner
from builders.engines.directory import DirectorySandbox
from builders.engines.engine import Command, Engine, Usage
from builders.memory import MemoryBudget
from builders.outcome import Outcome
from builders.plan import Goal, Step, plan
from builders.pool import LocalPool
from builders.schedule import run_plan
from builders.sources.cache import Cache
from builders.sources.shared import AnyCache
from builders.toolchain import BOX, INSIDE, SEEN, Toolchain
from core.cancel import Cancelled, CancelToken
from core.progress import Report
from core.target import Target
from flow.context import ROOT
from recipes.load import find_product, load_recipes
from recipes.model import Recipe

# --- recipes ---------------------------------------------------------------------------------------

RELEASE = """
[[releases]]
version = "{version}"
date = {date}
licence = "MIT"
filename = "{filename}"
urls = ["{url}"]
size = {size}
sha256 = "{sha256}"
unsigned = "nobody signs what exists only in tests"
"""

HEAD = """
name = "{name}"
kind = "{kind}"
summary = "{name} of the small world"
homepage = "https://{name}.invalid/"
update = {{ frozen = "it never moves" }}
"""

HELLO = """
pack = "nrv"
checks = true
common = { COMMON = "1" }

[variants.plain]
summary = "says hello"
default = true
needs = ["musl"]
[variants.plain.switches]
LOUD = "OFF"
[variants.plain.expect]
max_size = 100_000

[variants.secure]
summary = "says hello to those it knows"
needs = ["musl", "tls", "data"]
embeds = ["data"]
[variants.secure.switches]
TLS = "ON"
[variants.secure.expect]
max_size = 100_000

[unsupported]
"linux/loong64" = "nobody says hello there"

[unpackable]
"linux/s390x" = "UPX does not know it"

[[smoke]]
args = ["--version"]
stdout = "hello {version}"
"""


def stored_gzip(data: bytes) -> bytes:
    """Return a gzip file with nothing compressed: the same bytes whatever Python, zlib or time of day there is.

    Stored blocks of RFC 1951 (3.2.4) between the header and the end of RFC 1952.
    """
    parts = [data[i : i + 0xFFFF] for i in range(0, len(data), 0xFFFF)] or [b""]
    blocks = [
        struct.pack("<BHH", part is parts[-1], len(part), len(part) ^ 0xFFFF) + part
        for part in parts
    ]
    end = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return b"".join([b"\x1f\x8b\x08\0\0\0\0\0\0\xff", *blocks, end])


@dataclass(frozen=True)
class World:
    """A directory with recipes, and a mirror directory with their sources."""

    directory: Path

    @property
    def recipes(self) -> Path:
        return self.directory / "recipes"

    @property
    def mirror(self) -> Path:
        return self.directory / "mirror"

    def archive(self, name: str, version: str) -> Path:
        return self.mirror / f"{name}-{version}.tar.gz"

    def add(
        self, name: str, kind: str, body: str = "", *, versions: Sequence[str] = ("1.0",)
    ) -> None:
        """Add a recipe; ``body`` is TOML after its head."""
        directory = self.recipes / name
        directory.mkdir(parents=True)
        (directory / "build.sh").write_text(f"# makes {name}\n", "utf-8")
        (directory / "checks.sh").write_text("# asks the platform\n", "utf-8")
        before, bracket, after = body.partition("\n[")
        releases = "".join(self._release(name, version) for version in versions)
        text = HEAD.format(name=name, kind=kind) + before + releases + bracket + after
        (directory / "recipe.toml").write_text(text, "utf-8")

    def _release(self, name: str, version: str) -> str:
        path = self.archive(name, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = f"the source of {name} {version}\n".encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo(f"{name}-{version}/source.c")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        data = stored_gzip(packed.getvalue())
        path.write_bytes(data)
        return RELEASE.format(
            version=version,
            date=f"2026-01-{int(version.partition('.')[0]):02}",
            filename=path.name,
            url=f"file://{path}",
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a recipe's text; ``old`` must be there."""
        path = self.recipes / name / "recipe.toml"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    def load(self) -> dict[str, Recipe]:
        return load_recipes(self.recipes)

    def plan(
        self,
        *names: str,
        target: Target = Target.AMD64,
        native: Target = Target.AMD64,
        releases: Mapping[str, str] | None = None,
    ) -> tuple[Goal, ...]:
        """Plan products with every recipe's newest release, or the one named in ``releases``."""
        recipes = self.load()
        chosen = {name: recipe.releases[0] for name, recipe in recipes.items()}
        for name, version in (releases or {}).items():
            found = recipes[name].release(version)
            assert found is not None
            chosen[name] = found
        goals = [(find_product(name, recipes), target) for name in names]
        return plan(goals, recipes, chosen, native=native)


def small_world(directory: Path) -> World:
    """A C library, TLS, some data, a packer, and the program ``hello`` in two variants and releases."""
    world = World(directory)
    world.add("musl", "library")
    world.add("tls", "library", 'needs = ["musl"]\n')
    world.add("data", "library")
    world.add("upx", "tool", 'needs = ["musl"]\n')
    world.add("hello", "program", HELLO, versions=("2.0", "1.0"))
    return world


FILES = ("zig", "lib/compiler_rt.zig", "bin/cmake")
"""What of the wheels is no directory; see `builders.toolchain.SEEN`."""


def fake_toolchain(directory: Path) -> Toolchain:
    """A toolchain of the right shape whose programs do nothing."""
    packages, programs, scripts = directory / "packages", directory / "bin", directory / "scripts"
    for _, wheel, patterns in SEEN:
        for pattern in patterns:
            path = packages / wheel / pattern.replace("*", "x")
            path.parent.mkdir(parents=True, exist_ok=True)
            if pattern in FILES:
                path.touch()
            else:
                path.mkdir()
    for wheel in ("ziglang", "cmake", "ninja"):
        info = packages / f"{wheel}-1.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(f"{wheel}/program,sha256=abc,3\n", "utf-8")
    programs.mkdir()
    (programs / "ninja").write_text("", "utf-8")
    scripts.mkdir()
    for name in ("cc", "ld", "ar", "ranlib", "configure", "toolchain.cmake", "patch.awk"):
        (scripts / name).write_text("", "utf-8")
    settings = '[wheels]\nziglang = ""\ncmake = ""\nninja = ""\n'
    settings += '[compile]\nflags = ["-Oz"]\n[link]\nflags = ["-s"]\n'
    (scripts / "toolchain.toml").write_text(settings, "utf-8")
    return Toolchain(packages=packages, programs=programs, scripts=scripts)


# --- engine ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """What a fake step is given in place of a shell."""

    step: str
    """The step's name as a file name: ``hello-plain-2.0-linux-amd64``."""
    command: Command
    directory: Path
    cancel: CancelToken

    @property
    def out(self) -> Path:
        return self.directory / "out"

    def say(self, text: str) -> None:
        """Add to the log."""
        with self.command.log.open("a", encoding="utf-8") as log:
            log.write(text)

    def make(self, name: str, data: bytes) -> None:
        (self.out / name).write_bytes(data)

    def until_stopped(self) -> int:
        """Behave as a long step in a real engine: run until everything is to stop."""
        if not self.cancel.wait(20):
            msg = "nobody stopped this step"
            raise AssertionError(msg)
        msg = f"Cancelled: {self.step}"
        raise Cancelled(msg)


Script = Callable[[Running], int]


def make_something(running: Running) -> int:
    """The step that works: what it makes depends on nothing but its name."""
    if running.step.endswith("-pack"):
        running.make("packed", b"packed")
        running.make("unpacked", b"unpacked")
    else:
        running.make("result", running.step.encode())
    return 0


class FakeSandbox(DirectorySandbox):
    """A real directory, in which a function runs instead of a program."""

    root = BOX
    toolchain = INSIDE
    engine: "FakeEngine"

    def run(self, command: Command) -> int:
        step = command.log.stem.rpartition("-")[0]
        with self.engine.lock:
            self.engine.ran.append(step)
            self.engine.commands[step] = command
        self.usage = self.engine.usage
        running = Running(step=step, command=command, directory=self.directory, cancel=self.cancel)
        try:
            return self.engine.script(running)
        finally:
            with self.engine.lock:
                self.engine.ended.append(step)


@dataclass
class FakeEngine:
    """Runs ``script`` for every step, and remembers which steps began and ended."""

    directory: Path
    toolchain_: Toolchain
    script: Script = make_something
    cancel: CancelToken = field(default_factory=CancelToken)
    ran: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    commands: dict[str, Command] = field(default_factory=dict)
    open_sandboxes: int = 0
    lock: Lock = field(default_factory=Lock)
    name: str = "sandbox"
    isolated: bool = True
    usage: Usage = field(default_factory=Usage)
    """What every step takes."""

    @contextmanager
    def sandbox(self, cancel: CancelToken | None = None) -> Iterator[FakeSandbox]:
        with self.lock:
            self.open_sandboxes += 1
            directory = self.directory / f"box-{len(list(self.directory.glob('box-*')))}"
            directory.mkdir(parents=True)
        sandbox = FakeSandbox(directory, self.toolchain_, self.cancel if cancel is None else cancel)
        sandbox.engine = self
        try:
            yield sandbox
        finally:
            with self.lock:
                self.open_sandboxes -= 1


class Lines(Report):
    """A report that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.started: list[str] = []
        self.finished: list[str] = []

    def step_started(self, name: str) -> None:
        self.started.append(name)

    def step_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        self.finished.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@dataclass
class BuildHarness:
    """A world, a cache that holds its sources, and a fake engine."""

    world: World
    cache: Cache
    toolchain: Toolchain
    engine: FakeEngine
    cancel: CancelToken
    report: Lines = field(default_factory=Lines)

    @classmethod
    def open(cls, directory: Path, script: Script = make_something) -> "BuildHarness":
        world = small_world(directory / "world")
        cache = Cache(directory / "cache")
        for archive in world.mirror.iterdir():
            cache.put_file(archive)
        toolchain, cancel = fake_toolchain(directory / "toolchain"), CancelToken()
        engine = FakeEngine(directory / "boxes", toolchain, script, cancel)
        return cls(world=world, cache=cache, toolchain=toolchain, engine=engine, cancel=cancel)

    def builder(
        self,
        *,
        rebuild: Sequence[str] = (),
        engine: Engine | None = None,
        cache: AnyCache | None = None,
    ) -> StepRunner:
        return StepRunner(
            cache=cache or Cache(self.cache.root),
            toolchain=self.toolchain,
            engine=LazyEngine(lambda: engine or self.engine),
            report=self.report,
            logs=self.cache.root / "logs",
            cancel=self.cancel,
            rebuild=frozenset(rebuild),
        )

    def run(
        self,
        steps: Sequence[Step],
        *,
        jobs: int = 1,
        memory: MemoryBudget | None = None,
        builder: StepRunner | None = None,
    ) -> dict[Step, Outcome]:
        """Run a plan in threads."""
        builder = builder or self.builder()
        pool = LocalPool(builder, jobs=jobs, memory=memory)
        return run_plan(steps, builder, pool=pool, cancel=self.cancel)


def put_bytes(cache: Cache, data: bytes) -> str:
    """Store ``data`` as a file's bytes are stored; return its sha256."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return cache.put_file(Path(file.name))


def names(steps: Sequence[Step]) -> list[str]:
    """The steps' names without what is always the same here."""
    return [step.name.replace(" linux/amd64", "") for step in steps]


def wait_for_threads(prefix: str) -> None:
    """Return when no thread of that name is left; fail when one is after some seconds.

    An interrupt that comes while a pool starts a thread keeps the pool from waiting for just that one.
    """
    deadline = time.monotonic() + 10
    while left := [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def deep(directory: Path, depth: int, *, mode: int = 0o755) -> Path:
    """Make directories below each other, deeper than any path can say."""
    directory.mkdir()
    here = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o000, dir_fd=below))
        os.fchmod(here, mode)
        os.close(here)
        here = below
    os.close(here)
    return directory


def powerless(program: str, *args: str) -> str:
    """Return what a Python program prints that has no power over modes and owners, root or not."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    words = [*drop, sys.executable, "-c", program, *args]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def below(directory: Path) -> dict[str, bytes]:
    """Every file below ``directory`` with its contents."""
    return {
        str(PurePosixPath(path.relative_to(directory))): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
