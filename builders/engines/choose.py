"""The engines, and which one is taken: the one asked for, or the first that works. A new engine is a row here."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from builders.engines.engine import Emulator, Engine, EngineKind, EngineSetup
from core.errors import EngineError
from core.scratch import SmokeEnvironment
from core.target import Target

AUTO = "auto"
"""What ``--engine`` calls the first engine that works."""

ENGINES = {
    "docker": "builders.engines.docker_engine",
    "sandbox": "builders.engines.sandbox",
    "host": "builders.engines.host",
}
"""Each engine's module, in the order in which they are tried; a warm build loads none. See `EngineKind`."""

ENGINE_NAMES = (AUTO, *ENGINES)
"""What ``--engine`` takes."""


def load_engine(name: str) -> EngineKind:
    """Return what the module of an engine calls ``ENGINE``."""
    kind: EngineKind = import_module(ENGINES[name]).ENGINE
    return kind


class Candidate(NamedTuple):
    """One engine, looked at."""

    name: str
    works: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Chooser(EngineSetup):
    """Makes engines by name."""

    def make(self, name: str) -> Engine:
        """Return the engine called ``name``. Raises EngineError when it does not work here, with every reason."""
        if name != AUTO:
            return load_engine(name).make(self)
        reasons: list[str] = []
        for each in ENGINES:
            try:
                return load_engine(each).make(self)
            except EngineError as error:
                reasons.append(error.what)
        msg = "No engine works here:\n  " + "\n  ".join(reasons)
        raise EngineError(msg, next="inv doctor")

    def candidates(self) -> Iterator[Candidate]:
        """Look at every engine, without making anything."""
        for name in ENGINES:
            for works, reason in load_engine(name).examine(self):
                yield Candidate(name, works, reason)


def find_emulator(target: Target) -> Emulator | None:
    """Return the static qemu for ``target``, or None when it is not installed."""
    found = shutil.which(f"qemu-{target.machine.arch}-static")
    return Emulator(path=Path(found), cpu=target.machine.qemu_cpu) if found else None


def smoke_environment(target: Target, engine: str, setup: EngineSetup) -> SmokeEnvironment | str:
    """Return what makes empty roots for programs for ``target`` when ``engine`` is asked for, or why nothing does."""
    emulator = None
    if not target.runs_natively:
        emulator = find_emulator(target)
        if emulator is None:
            return f"qemu-{target.machine.arch}-static is not installed (apt-get install -y qemu-user-static)"
    reason = ""
    for name in ENGINES:
        kind = load_engine(name)
        if kind.smoke and (kind.smoke_unasked or engine in {AUTO, name}):
            try:
                return kind.smoke(setup, emulator)
            except EngineError as error:
                reason = error.what
    return f"no empty root can be made: {reason}"
