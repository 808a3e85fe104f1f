"""What several campaigns attack: a whole build of a few bytes, and a child process that cannot hang or eat the machine.

Recipes, sources, cache, signatures, verdicts, files and manifest are real; a step is a Python function.
"""

import base64
import contextlib
import hashlib
import multiprocessing
import os
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from builders.engines.engine import Engine
from builders.integrity import check_toolchain
from builders.toolchain import Toolchain
from commands.cache import manage_cache
from core.errors import FromscratchError
from core.files import hash_file
from core.kinds import EntryKind
from core.settings import Settings
from core.target import Target
from flow.build import Request, build
from flow.context import Context
from publish.manifest import read_manifest
from tests.campaigns.campaign import Violation
from tests.fakes import FakeEngine, Lines, World, fake_toolchain, small_world
from tests.unit.flow.conftest import GOOD, PACKED, FakeEnvironment, hello

SECONDS = 20.0
"""A build of a few bytes that takes longer hangs."""
MEMORY = 4 << 30
"""Bytes of address space: what reads a huge file whole fails."""
PLAIN = "hello-plain-2.0-linux-amd64"
EXPECTED = {f"files/{PLAIN}": GOOD, f"files/{PLAIN}.upx": PACKED}


class End(StrEnum):
    """How a child ended."""

    DONE = "done"
    REFUSED = "refused"
    """A FromscratchError: the user was told."""


class Ended(NamedTuple):
    """``text``: what was printed, or the error; ``kind``: the error's class; ``next``: what it tells to do."""

    end: End
    text: str
    kind: str = ""
    next: str = ""


@dataclass(frozen=True, kw_only=True)
class Yard:
    """``cache`` and ``artifacts`` lie in ``directory`` unless told otherwise."""

    directory: Path
    cache: Path
    artifacts: Path
    world: World
    toolchain: Toolchain

    @classmethod
    def make(
        cls, directory: Path, *, cache: Path | None = None, artifacts: Path | None = None
    ) -> "Yard":
        return cls(
            directory=directory,
            cache=cache or directory / "cache",
            artifacts=artifacts or directory / "artifacts",
            world=small_world(directory / "world"),
            toolchain=whole_toolchain(directory / "toolchain"),
        )

    @classmethod
    def at(cls, directory: Path) -> "Yard":
        """The one that `make` made there."""
        toolchain = directory / "toolchain"
        return cls(
            directory=directory,
            cache=directory / "cache",
            artifacts=directory / "artifacts",
            world=World(directory / "world"),
            toolchain=Toolchain(
                packages=toolchain / "packages",
                programs=toolchain / "bin",
                scripts=toolchain / "scripts",
            ),
        )

    @property
    def key(self) -> Path:
        return self.directory / "state" / "builder.key"

    def context(self) -> Context:
        """A context as a run makes it: nothing is remembered of former ones."""
        settings = Settings.read(
            {
                "cache": str(self.cache),
                "artifacts": str(self.artifacts),
                "builder_key": str(self.key),
                "jobs": "1",
            },
            environment={},
            directory=self.directory,
        )
        return Context(
            settings=settings,
            report=Lines(),
            recipes_directory=self.world.recipes,
            find_engine=self._engine,
            find_smoke_environment=lambda *_: FakeEnvironment(),
        )

    def _engine(self, context: Context) -> Engine:
        return FakeEngine(self.cache / "boxes", context.toolchain, hello, context.cancel)

    def build(self) -> Ended:
        """Build in a child. Raises Violation when it neither ends well nor says why not."""

        def work() -> str:
            context = self.context()
            check_toolchain(self.toolchain, self.cache / "toolchain")
            request = Request(products=("hello:plain",), targets=(Target.AMD64,))
            made = build(context, request)
            for artifact in made:  # as `--rebuild-and-compare` notes it
                note = {"sha256": artifact.sha256, "how": {"engine": "fake -> fake"}}
                context.cache.put_action(artifact.key, note, kind=EntryKind.REBUILT)
            return "\n".join(artifact.path for artifact in made)

        return in_child(work, what="a build")

    def manage(self, *words: str) -> Ended:
        """Run `inv cache WORDS` in a child. Raises Violation as `build` does."""

        def work() -> str:
            return "\n".join(manage_cache(self.context(), words, older="0"))

        return in_child(work, what=f"cache {' '.join(words)}")


def whole_toolchain(directory: Path) -> Toolchain:
    """A toolchain of few files, which are those that were installed."""
    toolchain = fake_toolchain(directory)
    (toolchain.packages / "ziglang/zig").write_bytes(b"zig")
    noted = {
        "ziglang/zig": b"zig",
        "ziglang/lib/compiler_rt.zig": b"",
        "cmake/data/bin/cmake": b"",
        "../bin/ninja": b"",
    }
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()},3\n"
        for name, data in noted.items()
    ]
    for record in toolchain.records():
        record.write_text("".join(lines), "utf-8")
    return toolchain


def in_child(work: Callable[[], str], *, what: str, seconds: float = SECONDS) -> Ended:
    """Run it in a process of its own. Raises Violation for a hang, a death, and an error nobody explains."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=_child, args=(theirs, work))
    child.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            msg = f"{what} hangs: no end after {seconds:.0f} s"
            raise Violation(msg)
        try:
            end, *rest = ours.recv()
        except EOFError:
            child.join()
            msg = f"{what} died with code {child.exitcode}"
            raise Violation(msg) from None
    finally:
        child.join(1)
        if child.is_alive():
            child.kill()
            child.join()
        ours.close()
    if end not in set(End):
        msg = f"{what} ended with a traceback:\n{rest[0]}"
        raise Violation(msg)
    return Ended(End(end), *rest)


def _child(pipe: Connection, work: Callable[[], str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        pipe.send((End.DONE.value, work()))
    except FromscratchError as error:
        pipe.send((End.REFUSED.value, str(error), type(error).__name__, error.next))
    except BaseException:
        pipe.send(("fault", traceback.format_exc()))
    pipe.close()


def judge_results(yard: Yard, ended: Ended | None) -> None:
    """Raise Violation unless each file is right and has its row; all of them are there when the build was done."""
    files = yard.artifacts / "files"
    there = {f"files/{path.name}" for path in files.iterdir()} if files.is_dir() else set()
    for path in sorted(there):
        if EXPECTED.get(path) != (yard.artifacts / path).read_bytes():
            msg = f"wrong bytes were delivered: {path}"
            raise Violation(msg)
    try:
        rows = {row.path: row.sha256 for row in read_manifest(yard.artifacts)}
    except FromscratchError as error:
        msg = f"the manifest is not one: {error}"
        raise Violation(msg) from error
    for path in sorted(there):
        if rows.get(path) != hash_file(yard.artifacts / path):
            msg = f"{path} was delivered without its row in the manifest"
            raise Violation(msg)
    if ended is not None and ended.end is End.DONE and there != set(EXPECTED):
        msg = f"a build says that it is done, and delivered {sorted(there)}"
        raise Violation(msg)
    if ended is not None and ended.end is End.REFUSED and not ended.next:
        msg = f"an error does not say what to do: {ended.text}"
        raise Violation(msg)


def judge_names(cache: Path) -> None:
    """Raise Violation unless every blob is what its name says, and no place for results has what is not whole."""
    for path in cache.glob("cas/*/*"):
        if path.is_file() and hash_file(path) != path.name:
            msg = f"not what its name says: {path.relative_to(cache)}"
            raise Violation(msg)
    for folder in ("ac", "verdict", "smoke", "took", "origin"):
        for path in cache.glob(f"{folder}/*"):
            if path.is_file() and not path.read_bytes().endswith(b"}"):
                msg = f"half a result: {path.relative_to(cache)}"
                raise Violation(msg)


@contextlib.contextmanager
def own_umask() -> Iterator[None]:
    """The usual umask, whatever the caller's."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)
