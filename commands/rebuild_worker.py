"""The second build of a comparison: a process of its own, since umask, locale and time zone belong to a process.

It is told what to do on its standard input, and ends when that does: it never outlives who started it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builders.engines.engine import Engine
from builders.engines.varied import Clock, VariedEngine
from console.progress import make_report
from core.errors import (
    EngineError,
    ExitCode,
    FromscratchError,
    RecipeError,
    SourceError,
    StepError,
    UsageError,
    VerdictError,
)
from core.settings import Settings
from core.target import Target
from flow.build import Pipeline, Request
from flow.context import ROOT

SURROUNDINGS = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}
UMASK = 0o077


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """All that the second build is told."""

    settings: Mapping[str, str]
    recipes: str
    """The directory of the recipes."""
    products: tuple[str, ...]
    targets: tuple[str, ...]
    exact: bool
    everywhere: bool
    cores: int
    """What steps are told in ``JOBS``."""
    days: int
    """How far their clock is ahead, where it can be moved."""


def run_worker(order: BuildSpec, directory: Path) -> dict[str, Path]:
    """Build in another process, called from ``directory``; return each path with its file in the second cache.

    Raises what building raises.
    """
    ours = {k: v for k, v in os.environ.items() if not k.startswith("FROMSCRATCH_")}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=directory,
        env={**ours, **SURROUNDINGS, "PYTHONPATH": str(ROOT)},
        umask=UMASK,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C is told by the end of its input, once
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(asdict(order)) + "\n")
        process.stdin.flush()
        answer = process.stdout.read()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
    try:
        said: dict[str, Any] = json.loads(answer)
    except ValueError as error:
        msg = f"The second build ended with {process.returncode} and no answer."
        raise StepError(msg, next="see what it said above") from error
    if "error" in said:
        raise as_our_own(said["error"])
    return {path: Path(file) for path, file in said["made"].items()}


def as_our_own(said: Mapping[str, Any]) -> FromscratchError:
    """The error of the second build, as our own."""
    kinds = (VerdictError, UsageError, RecipeError, SourceError, StepError, EngineError)
    (kind,) = [one for one in kinds if one.code == said["code"]]
    what = f"The second build: {said['what']}"
    return kind(what, why=said["why"], next=said["next"])


@dataclass(frozen=True, kw_only=True)
class Again(Pipeline):
    """The pipeline of the second build: its steps find everything changed."""

    order: BuildSpec

    def _find_engine(self) -> Engine:
        engine = super()._find_engine()
        clock = Clock.of_this_machine(self.order.days)
        jobs = {"JOBS": str(self.order.cores)}
        return VariedEngine(engine=engine, clock=clock, now=time.time(), env=jobs)

    def files(self) -> dict[str, str]:
        """Build, judge nothing; return each artifact's path with its file in the cache."""
        request = Request(
            products=self.order.products,
            targets=tuple(map(Target, self.order.targets)),
            exact=self.order.exact,
            everywhere=self.order.everywhere,
        )
        goals, outcomes, _ = self.make(request)
        made: dict[str, str] = {}
        for goal in goals:
            for step, packed in ((goal.build, False), (goal.pack, True)):
                if step:
                    files = outcomes[step].files
                    sha256 = files["packed"] if packed else next(iter(files.values()))
                    path = goal.product.file_name(goal.release.version, goal.target, packed=packed)
                    made[str(path)] = str(self.blob(sha256))
        return made


def run_spec(order: BuildSpec) -> dict[str, Any]:
    """Build; return what the process answers."""
    pipeline = Again(
        settings=Settings.read(order.settings, environment={}),
        report=make_report(),
        recipes_directory=Path(order.recipes),
        order=order,
    )
    try:
        with _as_long_as_input_lasts():
            return {"made": pipeline.files()}
    except FromscratchError as error:
        said = {"what": error.what, "why": error.why, "next": error.next, "code": int(error.code)}
        return {"error": said}
    finally:
        pipeline.close()


@contextmanager
def _as_long_as_input_lasts() -> Iterator[None]:
    over = threading.Event()
    main_thread = threading.main_thread().ident or 0
    # Whoever runs things in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        # Not sys.stdin: at exit, Python would wait for the lock of a stream that somebody reads.
        while os.read(0, 1):
            pass
        if not over.is_set():
            signal.pthread_kill(main_thread, signal.SIGINT)  # it wakes up, whatever it waits for

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def main() -> int:
    """Read an order, build, print what was made as JSON."""
    words = json.loads(sys.stdin.readline())
    lists = {name: tuple(words[name]) for name in ("products", "targets")}
    try:
        print(json.dumps(run_spec(BuildSpec(**{**words, **lists}))))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
