"""Build again where everything around is different, and compare every file byte for byte.

The second build is a process of its own, `Again`: umask, locale and time zone belong to a process. It ends when its
standard input does, so that it never outlives who started it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.engines.engine import Engine, EngineName
from builders.engines.varied import Clock, VariedEngine
from builders.sources.cache import Cache
from console.progress import make_report
from console.table import table
from pipeline import Pipeline, Request
from publish.manifest import Artifact
from recipes.errors import EngineError, ExitCode, FromscratchError, StepError
from recipes.model import Kind
from recipes.settings import Settings
from recipes.target import Target
from workshop import ROOT

if TYPE_CHECKING:
    from verify.difference import Difference

DAYS = 400
"""How far the second clock is ahead: another day, month and year."""

SURROUNDINGS = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}
UMASK = 0o077


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One file, built twice."""

    product: str
    target: str
    packed: bool
    path: str
    sha256: tuple[str, str]
    difference: "Difference | None"

    @property
    def equal(self) -> bool:
        """The one thing that matters."""
        return self.sha256[0] == self.sha256[1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All files, and what was different around them. True when every file is the same."""

    pairs: tuple[Pair, ...]
    varied: Mapping[str, str]
    kept: str
    """The folder with the second build's version of what differs."""

    def __bool__(self) -> bool:
        return bool(self.pairs) and all(pair.equal for pair in self.pairs)

    def text(self) -> str:
        """Two tables, and what differs."""
        head = ("product", "target", "form", "sha256", "equal")
        rows = [
            (
                pair.product,
                pair.target,
                "upx" if pair.packed else "plain",
                pair.sha256[0] if pair.equal else f"{pair.sha256[0][:16]}… {pair.sha256[1][:16]}…",
                "yes" if pair.equal else "NO",
            )
            for pair in self.pairs
        ]
        parts = [table(head, rows), table(("varied", "how"), list(self.varied.items()))]
        for pair in self.pairs:
            if pair.difference:
                parts.append(f"{pair.path}: {pair.difference.text()}")
        if not self:
            parts.append(f"The second build's files are in {self.kept}")
        return "\n\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "version": 1,
            "equal": bool(self),
            "varied": dict(self.varied),
            "files": [
                {
                    **{k: v for k, v in asdict(pair).items() if k != "difference"},
                    "equal": pair.equal,
                    "difference": pair.difference.as_dict() if pair.difference else None,
                }
                for pair in self.pairs
            ],
        }


def rebuild_and_compare(pipeline: Pipeline, request: Request) -> Comparison:
    """Build, build again elsewhere, compare. What is equal is delivered as by any build.

    Tools (UPX) are taken over from the first build, unless the request says ``rebuild``. Raises what building raises.
    """
    first = pipeline.build(request)
    with tempfile.TemporaryDirectory(prefix="fromscratch-again-") as name:
        folder = Path(name).resolve()
        cache = Cache(folder / "cache")
        taken = seed(pipeline, replace(request, rebuild=False), cache, tools=not request.rebuild)
        engine = other_engine(pipeline, {EngineName(one.engine) for one in first})
        clock = Clock.of_this_machine(DAYS)
        jobs = pipeline.settings.number("jobs", os.cpu_count() or 1)
        order = {
            "settings": {
                **{name: pipeline.settings[name] for name in pipeline.settings.values},
                "engine": engine.value,
                "cache": str(cache.root),
                "artifacts": str(folder / "artifacts"),
                "jobs": str(1 if jobs > 1 else 2),
                "offline": "1",
            },
            "recipes": str(pipeline.recipes_folder),
            "products": request.products,
            "targets": [target.value for target in request.targets],
            "exact": request.exact,
            "cores": (os.cpu_count() or 1) + 1,
        }
        made = _again(order, folder)
        kept = pipeline.artifacts / "compare"
        shutil.rmtree(kept, ignore_errors=True)
        pairs = tuple(_pair(pipeline, one, Path(made[one.path]), kept) for one in first)
        engines = ", ".join(sorted({one.engine for one in first}))
        varied = {
            "engine": f"{engines} -> {engine.value}",
            "folders": f"{pipeline.cache_folder} -> {cache.root}",
            "clock": f"{DAYS} days on, for programs that are linked dynamically (sh, cmake, ninja)"
            if clock
            else "not varied: no libfaketime (apt-get install -y libfaketime)",
            "steps at a time": f"{jobs} -> {order['settings']['jobs']}",  # type: ignore[index]
            "JOBS of a step": f"{os.cpu_count() or 1} -> {order['cores']}",
            "of the pipeline": f"umask {UMASK:03o}, "
            + ", ".join(f"{name}={value}" for name, value in SURROUNDINGS.items()),
            "taken over": f"sources{''.join(f', {tool}' for tool in taken)}",
        }
    return Comparison(pairs=pairs, varied=varied, kept=str(kept))


def seed(pipeline: Pipeline, request: Request, cache: Cache, *, tools: bool) -> list[str]:
    """Copy the sources that the request takes, and what its tools are; return the tools' names."""
    _, outcomes, sources = pipeline.make(request)
    for release, fetched in sources.values():
        if release.source:
            cache.put_file(fetched.path)
    taken = []
    for step, outcome in outcomes.items():
        entry = pipeline.cache.get_action(outcome.key)
        if tools and entry and step.recipe.kind is Kind.TOOL:
            for sha256 in {outcome.output, *outcome.files.values()}:
                cache.put_file(pipeline.blob(sha256))
            cache.put_action(outcome.key, entry)
            taken.append(f"{step.recipe.name} {step.release.version}")
    return taken


def other_engine(pipeline: Pipeline, used: set[EngineName]) -> EngineName:
    """Return an engine that works and made none of the files; else one that made not all of them; else the same."""
    names = [name for name in EngineName if name is not EngineName.AUTO]
    for name in [*(name for name in names if name not in used), *names]:
        try:
            pipeline.chooser.make(name)
        except EngineError:
            continue
        return name
    raise AssertionError  # the host always works


def _pair(pipeline: Pipeline, artifact: Artifact, other: Path, kept: Path) -> Pair:
    from verify.difference import find_difference  # noqa: PLC0415

    mine = pipeline.blob(artifact.sha256)
    difference = None
    if other.name != artifact.sha256:
        difference = find_difference(mine, other)
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(other, kept / Path(artifact.path).name)
    return Pair(
        product=artifact.product,
        target=artifact.target,
        packed=artifact.packed,
        path=artifact.path,
        sha256=(artifact.sha256, other.name),
        difference=difference,
    )


# --- the second build ------------------------------------------------------------------------------------------------


def _again(order: Mapping[str, object], folder: Path) -> dict[str, str]:
    """Build in another process; return each artifact's path with its file in the second cache."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("FROMSCRATCH_")}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "compare.py")],
        cwd=folder,
        env={**ours, **SURROUNDINGS},
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
        process.stdin.write(json.dumps(order) + "\n")
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
        raise _error(said["error"])
    made: dict[str, str] = said["made"]
    return made


def _error(said: Mapping[str, Any]) -> FromscratchError:
    """The error of the second build, as our own."""
    kinds = {kind.code: kind for kind in FromscratchError.__subclasses__() if hasattr(kind, "code")}
    what = f"The second build: {said['what']}"
    return kinds[ExitCode(said["code"])](what, why=said["why"], next=said["next"])


@dataclass(frozen=True, kw_only=True)
class Again(Pipeline):
    """The pipeline of the second build: its steps find everything changed."""

    cores: int

    def _find_engine(self) -> Engine:
        engine = super()._find_engine()
        clock = Clock.of_this_machine(DAYS)
        jobs = {"JOBS": str(self.cores)}
        return VariedEngine(engine=engine, clock=clock, now=time.time(), env=jobs)

    def files(self, request: Request) -> dict[str, str]:
        """Build, judge nothing; return each artifact's path with its file in the cache."""
        wanted, outcomes, _ = self.make(request)
        made: dict[str, str] = {}
        for want in wanted:
            for step, packed in ((want.build, False), (want.pack, True)):
                if step:
                    files = outcomes[step].files
                    sha256 = files["packed"] if packed else next(iter(files.values()))
                    path = want.product.file_name(want.release.version, want.target, packed=packed)
                    made[str(path)] = str(self.blob(sha256))
        return made


def _obey(order: Mapping[str, Any]) -> dict[str, Any]:
    pipeline = Again(
        settings=Settings.read(order["settings"], environment={}),
        report=make_report(),
        recipes_folder=Path(order["recipes"]),
        cores=order["cores"],
    )
    request = Request(
        products=tuple(order["products"]),
        targets=tuple(map(Target, order["targets"])),
        exact=order["exact"],
    )
    try:
        with _as_long_as_input_lasts():
            return {"made": pipeline.files(request)}
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
        sys.stdin.read()
        if not over.is_set():
            signal.pthread_kill(main_thread, signal.SIGINT)  # it wakes up, whatever it waits for

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def main(lines: Sequence[str] | None = None) -> int:
    """Read an order, build, print what was made as JSON."""
    text = lines[0] if lines else sys.stdin.readline()
    try:
        print(json.dumps(_obey(json.loads(text))))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
