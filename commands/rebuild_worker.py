"""The second build of a comparison: a process of its own, since umask, locale and time zone belong to a process.

It reads its `BuildSpec` from standard input, and ends when that does: it never outlives who started it.
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
from core.errors import ExitCode, FromscratchError, StepError
from core.settings import Settings
from core.target import Target
from flow.build import Request, run_steps
from flow.context import ROOT, Context, choose_engine

SURROUNDINGS = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}
UMASK = 0o077


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """All that the second build is given."""

    settings: Mapping[str, str]
    recipes: str
    """The directory of the recipes."""
    request: Request
    cores: int
    """What ``JOBS`` says to each step."""
    days: int
    """How far their clock is ahead, where it can be moved."""


def run_worker(spec: BuildSpec, directory: Path) -> dict[str, Path]:
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
        start_new_session=True,  # Ctrl-C reaches it as the end of its input, once
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(asdict(spec)) + "\n")
        process.stdin.flush()
        output = process.stdout.read()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError as error:
        msg = f"The second build ended with {process.returncode} and no answer."
        raise StepError(msg, next="see its messages above") from error
    if "error" in answer:
        raise error_of(answer["error"])
    return {path: Path(file) for path, file in answer["made"].items()}


def error_of(answer: Mapping[str, Any]) -> FromscratchError:
    """Return the error that ended the second build, of the same kind and with the same code."""
    kinds = FromscratchError.__subclasses__()
    kind = next(kind for kind in kinds if kind.code == answer["code"])
    return kind(f"The second build: {answer['what']}", why=answer["why"], next=answer["next"])


def run(spec: BuildSpec) -> dict[str, str]:
    """Build where everything around is changed, verify nothing; return each artifact's path with its cached file."""

    def varied_engine(context: Context) -> Engine:
        return VariedEngine(
            engine=choose_engine(context),
            clock=Clock.of_this_machine(spec.days),
            now=time.time(),
            env={"JOBS": str(spec.cores)},
        )

    context = Context(
        settings=Settings.read(spec.settings, environment={}),
        report=make_report(),
        recipes_directory=Path(spec.recipes),
        find_engine=varied_engine,
    )
    try:
        done = run_steps(context, spec.request)
    finally:
        context.report.close()
    made: dict[str, str] = {}
    for goal in done.goals:
        for packed in (False, True) if done.packs(goal) else (False,):
            path = goal.product.file_name(goal.release.version, goal.target, packed=packed)
            made[str(path)] = str(context.blob(done.program(goal, packed=packed)))
    return made


@contextmanager
def _interrupted_by_end_of_input() -> Iterator[None]:
    over = threading.Event()
    main_thread = threading.main_thread().ident or 0
    # Whoever runs things in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        # Not sys.stdin: at exit, Python would wait for the lock of a stream that is being read.
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
    """Read a `BuildSpec`, build, print what was made, or the error, as JSON."""
    words = json.loads(sys.stdin.readline())
    asked = words["request"]
    lists = {"products": tuple(asked["products"]), "targets": tuple(map(Target, asked["targets"]))}
    request = Request(**{**asked, **lists})
    answer: dict[str, Any]
    try:
        with _interrupted_by_end_of_input():
            answer = {"made": run(BuildSpec(**{**words, "request": request}))}
    except FromscratchError as error:
        fields = {"what": error.what, "why": error.why, "next": error.next}
        answer = {"error": {**fields, "code": int(error.code)}}
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    print(json.dumps(answer))
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
