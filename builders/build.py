"""Runs one step: looks its key up, else opens a sandbox, runs the script, keeps what it made."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from builders.engines.engine import Command, Engine, Sandbox, Usage
from builders.engines.limits import Limits
from builders.engines.log import last_lines
from builders.environment import environment, need_directory
from builders.key import PACK_SCRIPT, action_key
from builders.plan import Stage, Step
from builders.sources.cache import Cache
from builders.sources.entry import seconds_of
from builders.sources.unpack import unpack
from builders.timings import EventKind, Timings
from builders.toolchain import Toolchain
from builders.tree import pack_tree, tree_files, unpack_tree
from core.cancel import CancelToken
from core.errors import FromscratchError, StepError
from core.files import SHA256, Place, disk_errors
from core.kinds import EntryKind
from core.progress import Report
from core.remove import remove
from core.visible import visible_line
from recipes.model import NOT_IN_KEY

LOG_LINES = 30
LINE = 240
"""Characters of a log's line that a message shows: a compiler's command line is longer than a screen."""

FULL = 1 << 20
"""Bytes: a disk with less room than this is taken to be full."""

FEW = 4
"""A step that makes this many files or fewer made products: each is kept by itself."""

UNKNOWN = 10.0
"""Seconds that a step is expected to take when no target's was ever run here."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step made."""

    key: str
    output: str
    """sha256 of a tar (see `builders.tree`) in the cache."""
    files: Mapping[str, str]
    """Path below $OUT to sha256 of each file, which is in the cache by itself too; empty when there are many."""
    engine: str
    isolated: bool
    seconds: float
    cached: bool
    usage: Usage = field(default_factory=Usage)
    """What it took when it was made; nothing is known of what older versions of this program made."""

    @classmethod
    def read(cls, key: str, entry: Mapping[str, Any]) -> "Outcome | None":
        """Return what a cache remembers; None when it is of a shape that this version does not write."""
        output, files = entry.get("output"), entry.get("files")
        engine, isolated, usage = (
            entry.get(name, default)
            for name, default in (("engine", None), ("isolated", None), ("usage", {}))
        )
        if not (
            _is_digest(output)
            and isinstance(files, dict)
            and all(map(_is_digest, files.values()))
            and isinstance(engine, str)
            and isinstance(isolated, bool)
            and isinstance(usage, dict)
            and seconds_of(entry, -1.0) >= 0
        ):
            return None
        return cls(
            key=key,
            output=str(output),
            files=files,
            engine=engine,
            isolated=isolated,
            seconds=entry["seconds"],
            cached=True,
            usage=Usage.read(usage),
        )

    def entry(self, step: Step) -> dict[str, object]:
        kept = asdict(self)
        del kept["key"], kept["cached"]
        return {"step": step.name, **kept}

    def product(self, step: Step) -> str:
        """The sha256 of the one file that the step made. Raises StepError when there is not exactly one."""
        if len(self.files) != 1:
            made = ", ".join(self.files) or f"more than {FEW} files"
            msg = f"{step.name} made {made} where one file is expected."
            raise StepError(msg, next=f"put one file into $OUT: {step.recipe.script}")
        (sha256,) = self.files.values()
        return sha256

    def facts(self, step: Step) -> dict[str, object]:
        """What a trace says of it. A cached one took nothing now; ``then`` is what it took when it was made."""
        took = asdict(self.usage)
        return {
            "key": self.key,
            "cached": self.cached,
            "engine": self.engine,
            "isolated": self.isolated,
            "product": step.product,
            "target": step.target.value,
            "stage": step.stage.value,
            "needs": [need.name for _, need in step.needs],
            **(dict.fromkeys(took) if self.cached else took),
            **({"then": {"seconds": self.seconds, **took}} if self.cached else {}),
        }


class LazyEngine:
    """An engine that is made when the first step really runs: looking for one costs time."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._lock = Lock()
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """Return the engine, making it once. Raises EngineError when there is none."""
        with self._lock:
            self._engine = self._engine or self._make()
            return self._engine


@dataclass(frozen=True, kw_only=True)
class StepRunner:
    """All that running a step takes."""

    cache: Cache
    toolchain: Toolchain
    engine: LazyEngine
    report: Report
    logs: Path
    cancel: CancelToken = field(default_factory=CancelToken)
    rebuild: frozenset[str] = frozenset()
    """The recipes whose cached results are not looked at."""
    timings: Timings = field(default_factory=Timings)
    limits: Limits = field(default_factory=Limits)

    def look_up(self, step: Step, inputs: Mapping[str, Outcome]) -> Outcome | None:
        """Return the remembered outcome, if its bytes are still good."""
        if step.recipe.name in self.rebuild:
            return None
        key = self.key(step, inputs)
        entry = self.cache.get_action(key, check=self.agrees)
        outcome = Outcome.read(key, entry) if entry else None
        if outcome is None or not all(
            map(self.cache.blob, (outcome.output, *outcome.files.values()))
        ):
            return None
        self.timings.cached(step.name, EventKind.STEP, outcome.facts(step))
        return outcome

    def look_up_whole(self, step: Step) -> Outcome | None:
        """Return the remembered outcome of a step whose inputs are remembered, too."""
        inputs: dict[str, Outcome] = {}
        for name, need in step.needs:
            outcome = self.look_up_whole(need)
            if outcome is None:
                return None
            inputs[name] = outcome
        return self.look_up(step, inputs)

    def run(self, step: Step, inputs: Mapping[str, Outcome]) -> Outcome:
        """Run the step, whatever the cache says, and remember what it made. Thread-safe.

        Raises StepError with the end of the log when the script fails.
        """
        key, busy = self.key(step, inputs), f"wait    {step.name}: another run is at it"
        # Two runs that want the same step: the second waits, then finds the result.
        with self.cache.lock(key, waiting=lambda: self.report.note(busy), cancel=self.cancel):
            if found := self.look_up(step, inputs):
                return found
            self.cache.check_key()  # not after an hour's work
            engine = self.engine.get()
            self.report.step_started(step.name)
            with self.timings.measure(step.name, EventKind.STEP) as facts:
                outcome = self._make(step, inputs, key, engine)
                facts.update(outcome.facts(step))
            self.cache.put_action(key, outcome.entry(step))
            took = {"seconds": outcome.seconds}
            self.cache.put_action(_last_run(step), took, kind=EntryKind.TOOK)
            self.report.step_finished(step.name, outcome.seconds, cached=False)
            return outcome

    def _make(self, step: Step, inputs: Mapping[str, Outcome], key: str, engine: Engine) -> Outcome:
        began = time.monotonic()
        log = self.logs / f"{step.slug}-{key[:8]}.log"
        with disk_errors(log, Place.LOGS):
            log.parent.mkdir(parents=True, exist_ok=True)
            # Never into what lies there: a link would lead elsewhere, a pipe would keep us waiting.
            remove(log)
            log.touch(exist_ok=False)
        script = f"{step.stage.value}.sh"
        with (
            disk_errors(self.cache.root, Place.CACHE),  # all of it lies there
            self.cache.scratch() as scratch,
            engine.sandbox() as sandbox,
        ):
            self._put(step, inputs, sandbox, scratch)
            root, tools = sandbox.root, sandbox.toolchain
            command = Command(
                argv=("sh", "-c", f'umask 022; exec sh "$RECIPE/{script}"'),
                env=environment(step, self.toolchain, inputs, root=root, tools=tools),
                log=log,
                seconds=self.limits.seconds,
                limits=self.limits,
            )
            if code := sandbox.run(command):
                raise _failed(step, code, log)
            made, archive = scratch / "made", scratch / "made.tar"
            sandbox.get(PurePosixPath("out"), made)
            seconds = round(time.monotonic() - began, 3)
            files = pack_tree(made, archive)
            if not files:
                msg = f"{step.name} ended well but made nothing."
                raise StepError(msg, why=f"{script} wrote no file to $OUT")
            few = files if len(files) <= FEW else []
            return Outcome(
                key=key,
                output=self.cache.put_file(archive, move=True),
                files={str(path): self.cache.put_file(made / path) for path in few},
                engine=engine.name,
                isolated=engine.isolated,
                seconds=seconds,
                cached=False,
                usage=sandbox.usage,
            )

    def expected(self, step: Step) -> float:
        """Seconds that the step will take, as its last run here did, whatever target and version that was for."""
        known = self.cache.get_action(_last_run(step), kind=EntryKind.TOOK)
        return seconds_of(known or {}, UNKNOWN)

    def agrees(self, entry: Mapping[str, Any]) -> bool:
        """True when an action's result says of its files what its output holds."""
        return agrees(self.cache, entry)

    def key(self, step: Step, inputs: Mapping[str, Outcome]) -> str:
        digests = {name: outcome.output for name, outcome in inputs.items()}
        return action_key(step, digests, self.toolchain)

    def _put(
        self, step: Step, inputs: Mapping[str, Outcome], sandbox: Sandbox, scratch: Path
    ) -> None:
        directories = scratch / "directories"
        for name in ("work", "out"):
            (directories / name).mkdir(parents=True)
            sandbox.put(directories / name, PurePosixPath(name), move=True)
        if step.stage is Stage.PACK:
            sandbox.put(PACK_SCRIPT.parent, PurePosixPath("recipe"))
        else:
            # Without what is no part of the key; see `Recipe.files`.
            unkeyed = shutil.ignore_patterns(*NOT_IN_KEY)
            shutil.copytree(step.recipe.directory, scratch / "recipe", ignore=unkeyed)
            sandbox.put(scratch / "recipe", PurePosixPath("recipe"), move=True)
            self._put_source(step, sandbox, scratch)
        for name, outcome in inputs.items():
            directory = need_directory(name)
            unpack_tree(self._blob(outcome.output, f"What '{name}' made"), scratch / directory)
            sandbox.put(scratch / directory, directory, move=True)

    def _put_source(self, step: Step, sandbox: Sandbox, scratch: Path) -> None:
        source, epoch = step.release.source, step.release.epoch
        if source is None:
            for path in step.recipe.local_files:
                below = path.relative_to(step.recipe.local or path)
                sandbox.put(path, PurePosixPath("src") / below)
            return
        archive = self._blob(source.sha256, f"The source {source.filename}")
        where = scratch / "source"
        top = unpack(
            archive,
            where,
            epoch=epoch,
            unused=step.recipe.unused,
            label=source.filename,
            cancel=self.cancel,
        )
        sandbox.put(top, PurePosixPath("src"), move=True)

    def _blob(self, sha256: str, what: str) -> Path:
        blob = self.cache.blob(sha256)
        if blob is None:
            msg = f"{what} is not in the cache any more."
            raise StepError(msg, why="it was removed during the build", next="run again")
        return blob


def agrees(cache: Cache, entry: Mapping[str, Any]) -> bool:
    """True when an action's result says of its files what its output holds; also when the output is gone."""
    outcome = Outcome.read("", entry)
    if outcome is None:
        return False
    output = cache.blob(outcome.output)
    if output is None:
        return True
    found = tree_files(output)
    return found is not None and dict(outcome.files) == (found if len(found) <= FEW else {})


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


def _last_run(step: Step) -> str:
    """The cache's name for how long such a step takes."""
    return f"took-{step.product.replace(':', '-')}-{step.stage.value}"


def _failed(step: Step, code: int, log: Path) -> FromscratchError:
    lines = (visible_line(line.expandtabs())[:LINE] for line in last_lines(log, LOG_LINES))
    tail = "\n".join(f"    {line}" for line in lines)
    msg = f"{step.name} failed with exit code {code}. The end of its log:\n{tail}"
    # Compilers say little about it, and their log did not fit either.
    full = shutil.disk_usage(log.parent).free < FULL
    return StepError(
        msg,
        why=f"the disk is full: {log.parent.parent}" if full else "",
        next=f"read the whole log: {log}",
    )
