"""Machines that share a store: each with a cache, a builder key and an engine of its own, all with the same recipes."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.sources.entry import canonical
from builders.sources.objects import Folder, ObjectStore
from core.builder_keys import BuilderKeys
from core.cancel import CancelToken
from core.errors import StoreError
from core.kinds import EntryKind
from core.signing import PublicKey
from flow.context import Context
from publish.manifest import Artifact
from tests.fakes import FakeEngine, World, fake_toolchain, small_world
from tests.unit.flow.conftest import FakeEnvironment, Harness, hello


@dataclass
class RecordingStore:
    """A store in memory that notes what it is asked, and can be told to fail."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    results: dict[tuple[EntryKind, str], bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """The methods that fail."""
    during: Callable[[str], None] = lambda _: None
    """Called with each method's name."""

    def _ask(self, method: str, about: str) -> None:
        self.asked.append((method, about))
        self.during(method)
        if method in self.broken:
            msg = f"The store cannot be asked to {method}."
            raise StoreError(msg, next="ask again")

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)

    def has(self, sha256: str) -> bool:
        self._ask("has", sha256)
        return sha256 in self.blobs

    def pull(self, sha256: str, into: Path) -> bool:
        self._ask("pull", sha256)
        if sha256 in self.blobs:
            into.write_bytes(self.blobs[sha256])
        return sha256 in self.blobs

    def push(self, path: Path, sha256: str, *, over: bool) -> None:
        self._ask("push over" if over else "push", sha256)
        if over or sha256 not in self.blobs:
            self.blobs[sha256] = path.read_bytes()

    def result(self, kind: EntryKind, key: str) -> bytes | None:
        self._ask("result", f"{kind} {key}")
        return self.results.get((kind, key))

    def put_result(self, kind: EntryKind, key: str, data: bytes, blobs: Sequence[str]) -> None:
        self._ask("put_result", f"{kind} {key}")
        assert set(blobs) <= self.blobs.keys(), "the blobs come first"
        self.results[kind, key] = data


@dataclass(frozen=True)
class Site:
    """A directory with the recipes that all its machines have, and with the machines."""

    directory: Path
    world: World

    @classmethod
    def make(cls, directory: Path) -> "Site":
        fake_toolchain(directory / "toolchain")
        return cls(directory=directory, world=small_world(directory / "world"))

    def machine(self, name: str) -> "Machine":
        """A machine with nothing in its cache."""
        from builders.toolchain import Toolchain  # noqa: PLC0415

        directory, cancel = self.directory / name, CancelToken()
        directory.mkdir()
        parts = {part: self.directory / "toolchain" / part for part in ("packages", "scripts")}
        toolchain = Toolchain(**parts, programs=self.directory / "toolchain" / "bin")
        engine = FakeEngine(directory / "boxes", toolchain, hello, cancel)
        harness = Harness(
            directory=directory,
            world=self.world,
            engine=engine,
            cancel=cancel,
            environment=FakeEnvironment(),
        )
        return Machine(name=name, harness=harness)


@dataclass
class Machine:
    """One of them."""

    name: str
    harness: Harness
    trusts: tuple["Machine", ...] = ()
    key_of: "Machine | None" = None
    """Whose key it has; None: one of its own."""

    @property
    def cache(self) -> Path:
        return self.harness.directory / "cache"

    @property
    def keys(self) -> BuilderKeys:
        return BuilderKeys(path=self.key_path)

    @property
    def key_path(self) -> Path:
        return (self.key_of or self).harness.directory / "key" / "builder.key"

    @property
    def public(self) -> str:
        own = self.keys.own
        return PublicKey(id=own.id, point=own.point).line

    @property
    def name_of_key(self) -> str:
        own = self.keys.own
        return PublicKey(id=own.id, point=own.point).name

    def flags(self, **more: str) -> dict[str, Any]:
        return {
            "builder_key": str(self.key_path),
            "trusted_builders": ",".join(other.public for other in self.trusts),
            **more,
        }

    def context(self, **flags: str) -> Context:
        return self.harness.context(**self.flags(**flags))

    def build(self, *products: str, store: str = "", **flags: str) -> list[Artifact]:
        return self.harness.build(*products, **self.flags(store=store, **flags))

    @property
    def ran(self) -> list[str]:
        return self.harness.engine.ran

    @property
    def warnings(self) -> list[str]:
        return self.harness.warnings

    def forget(self) -> None:
        """Lose the cache, and all that was noted."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.ran.clear()
        self.harness.report.warnings.clear()
        self.harness.report.notes.clear()

    def pulled(self) -> set[str]:
        """The sha256 of every blob in its cache."""
        return {path.name for path in self.cache.glob("cas/*/*")}

    def left(self) -> list[str]:
        """What lies where only something that runs may have anything."""
        places = ("tmp", "boxes", "part")
        found = [path for place in places for path in (self.cache / place).glob("*")]
        return [str(path) for path in [*found, *self.harness.artifacts.glob(".part/*")]]


def folder_store(root: Path, scratch: Path) -> ObjectStore:
    return ObjectStore(objects=Folder(root=root), scratch=scratch)


def rewritten(data: bytes, **changes: object) -> bytes:
    """A signed entry with something of its value changed."""
    entry: dict[str, Any] = json.loads(data)
    return canonical({**entry, "value": {**entry["value"], **changes}})


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    os.chmod(path, mode)  # noqa: PTH101 - as it was
