"""What every command works with, derived from the settings: each part is made when it is first asked for."""

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from builders.build import LazyEngine, StepRunner
from builders.engines.choose import ENGINE_NAMES, Chooser, smoke_environment
from builders.engines.engine import Engine
from builders.engines.limits import Limits
from builders.integrity import check_toolchain
from builders.pool import LocalPool, Pool
from builders.sources.cache import Cache
from builders.sources.mirrors import Mirrors
from builders.timings import Timings
from builders.toolchain import Toolchain
from core.builder_keys import BuilderKeys, default_path
from core.cancel import CancelToken
from core.errors import VerdictError
from core.files import sweep, write_file
from core.progress import Report
from core.scratch import SmokeEnvironment
from core.settings import Settings
from core.target import Target
from publish.manifest import NAME as MANIFEST
from recipes.load import HERE, load_recipes
from recipes.model import Recipe, Source
from verify.results import Elsewhere

if TYPE_CHECKING:
    from builders.sources.shared import AnyCache

ROOT = Path(__file__).parents[1]

MOST = 20
"""How many things of a store that are not believed are named."""

NAMED = 80
"""Characters of such a name."""

STAGING = ".part"
"""Below the directory of the results: files that are not whole yet."""


def choose_engine(context: "Context") -> Engine:
    """Return the engine that the settings ask for.

    Raises EngineError when it does not work here, or the toolchain is not what was installed.
    """
    context.check_toolchain()
    engine = context.chooser.make(context.settings.choice("engine", ENGINE_NAMES))
    if not engine.isolated:
        context.report.warn("steps run on this machine without isolation (engine 'host')")
    return engine


def choose_smoke_environment(context: "Context", target: Target) -> SmokeEnvironment | str:
    """Return where finished programs for ``target`` can be tried, or why nowhere."""
    return smoke_environment(target, context.settings["engine"], context.chooser)


@dataclass(frozen=True, kw_only=True)
class Context:
    """Nothing is looked for, opened or read before it is needed."""

    settings: Settings
    report: Report
    recipes_directory: Path = HERE
    cancel: CancelToken = field(default_factory=CancelToken)
    timings: Timings = field(default_factory=Timings)
    find_engine: Callable[["Context"], Engine] = choose_engine
    """Called when the first step really runs."""
    find_smoke_environment: Callable[["Context", Target], SmokeEnvironment | str] = (
        choose_smoke_environment
    )

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """All recipes by name: our own, and those the user has."""
        return load_recipes(self.recipes_directory, *self.settings.directories("recipes"))

    @cached_property
    def local(self) -> Cache:
        """The cache of this machine alone."""
        return Cache(self.cache_directory, keys=self.builder_keys)

    @cached_property
    def cache(self) -> "AnyCache":
        """The cache of this machine, with the store behind it that the settings name. Raises UsageError."""
        if not self.settings["store"]:
            return self.local
        from builders.sources.shared import SharedCache  # noqa: PLC0415 - most builds have none
        from flow.store import open_store  # noqa: PLC0415

        read_only = self.settings.flag("store_read_only")
        store = open_store(
            self.settings["store"],
            scratch=self.local.root / "tmp",
            read_only=read_only,
            ca_file=self.settings["ca_file"],
            cancel=self.cancel,
            say=self.report.note,
        )
        return SharedCache(
            self.local, store, report=self.report, read_only=read_only, cancel=self.cancel
        )

    def faults(self) -> list[str]:
        """Return what was met in the store and not believed, as text; nothing when none was asked."""
        cache = vars(self).get("cache")
        if cache is None or cache is self.local:
            return []
        from builders.sources.shared import SharedCache  # noqa: PLC0415

        if not isinstance(cache, SharedCache) or not cache.faults:
            return []
        found = [f"  {name[:NAMED]}: {reason}" for name, reason in sorted(cache.faults.items())]
        more = [f"  and {len(found) - MOST} more"] if len(found) > MOST else []
        return ["\n".join([f"Not believed, and not used, of {cache.store}:", *found[:MOST], *more])]

    @cached_property
    def builder_keys(self) -> BuilderKeys:
        """Whose results in the cache are believed."""
        named, others = self.settings["builder_key"], self.settings["trusted_builders"]
        whole = others and Path(others).expanduser().is_file()  # it may have blanks in its name
        return BuilderKeys(
            path=Path(named).expanduser().absolute() if named else default_path(),
            trusted=(others,) if whole else tuple(others.replace(",", " ").split()),
        )

    @cached_property
    def cache_directory(self) -> Path:
        named = self.settings["cache"]
        return Path(named).expanduser().absolute() if named else user_cache_path("fromscratch")

    @property
    def artifacts(self) -> Path:
        """The directory of the results."""
        return Path(self.settings["artifacts"] or ROOT / "artifacts").absolute()

    @cached_property
    def toolchain(self) -> Toolchain:
        return Toolchain.installed(HERE)

    def check_toolchain(self, *, deep: bool = False) -> int:
        """See `builders.integrity.check_toolchain`."""
        return check_toolchain(self.toolchain, self.cache_directory / "toolchain", deep=deep)

    @cached_property
    def mirrors(self) -> Mirrors:
        return Mirrors.from_environment(
            {
                "FROMSCRATCH_MIRRORS": self.settings["mirrors"],
                "FROMSCRATCH_DEBIAN_MIRROR": self.settings["debian_mirror"],
            },
            self.cancel,
        )

    @cached_property
    def chooser(self) -> Chooser:
        return Chooser(
            toolchain=self.toolchain,
            scratch=self.cache_directory / "boxes",
            base_image=self.settings["base_image"],
            mirrors=tuple(self.mirrors.debian()),
            cancel=self.cancel,
        )

    def ended_by(self, cancel: CancelToken) -> "Context":
        """Return the same, whose programs another token ends."""
        other = replace(self, cancel=cancel)
        if "chooser" in vars(self):  # to make one takes its time
            vars(other)["chooser"] = replace(self.chooser, cancel=cancel)
        return other

    @cached_property
    def engine(self) -> LazyEngine:
        return LazyEngine(lambda: self.find_engine(self))

    @property
    def jobs(self) -> int:
        """How many steps, or smoke runs, go on at a time."""
        return self.settings.number("jobs", os.cpu_count() or 1)

    def builder(
        self,
        *,
        rebuild: frozenset[str] = frozenset(),
        fetch: Callable[[Source], object] | None = None,
    ) -> StepRunner:
        """Return what runs steps; ``rebuild`` names the recipes whose cached results are not looked at.

        ``fetch`` has a source here that a store said it had.
        """
        return StepRunner(
            cache=self.cache,
            toolchain=self.toolchain,
            engine=self.engine,
            report=self.report,
            logs=self.cache_directory / "logs",
            cancel=self.cancel,
            rebuild=rebuild,
            timings=self.timings,
            limits=self.limits,
            fetch=fetch,
        )

    def pool(self, builder: StepRunner, *, jobs: int) -> Pool:
        """Return where steps run: here, so many at a time, or where the setting ``cluster`` says.

        Raises UsageError and EngineError for a cluster that cannot be had.
        """
        if self.settings["cluster"]:
            from flow.cluster.join import open_pool  # noqa: PLC0415 - most builds have none

            return open_pool(self, builder)
        return LocalPool(builder, jobs=jobs)

    def elsewhere(self) -> AbstractContextManager[Elsewhere | None]:
        """Lend what has things judged and tried out where the setting ``cluster`` says; None: that is done here."""
        if self.settings["cluster"]:
            from flow.cluster.join import open_proofs  # noqa: PLC0415 - most builds have none

            return open_proofs(self)
        return nullcontext()

    @property
    def limits(self) -> Limits:
        """What one step may take."""
        usual, number = Limits(), self.settings.number
        return Limits(
            memory=number("step_memory", usual.memory >> 20) << 20,
            processes=number("step_processes", usual.processes),
            disk=number("step_disk", usual.disk >> 20) << 20,
            seconds=60.0 * number("step_minutes", round(usual.seconds / 60)),
        )

    def sweep(self) -> list[Path]:
        """Remove what killed runs left in the cache and beside the results, and nothing of a run that lives."""
        swept = sweep(self.cache_directory / "boxes") + self.local.sweep()
        records: tuple[str, ...] = (MANIFEST, "timings.json", "rebuilds.json", "bench.json")
        records += ("audit.json", "report.html")
        swept += sweep(self.artifacts, prefixes=tuple(f".{name}." for name in records))
        swept += sweep(self.artifacts / "fill", prefixes=(".",))
        return swept + sweep(self.artifacts / STAGING)

    def blob(self, sha256: str) -> Path:
        """Return a file of the cache. Raises VerdictError when it was lost during the run."""
        blob = self.cache.blob(sha256)
        if blob is None:
            msg = f"The cache lost {sha256} during the run."
            raise VerdictError(msg, next="run again")
        return blob

    def write_timings(self, path: Path | None = None) -> None:
        """Write what this run did and when to ``path``, or to `artifacts/timings.json`.

        There, what really ran in earlier runs and was only found in this one stays; see `records.trace`.
        """
        from records.trace import NAME, merge  # noqa: PLC0415 - only who wants timings needs it

        began = datetime.now(UTC) - timedelta(seconds=time.monotonic() - self.timings.zero)
        trace = self.timings.trace(jobs=self.jobs, when=f"{began:%Y-%m-%dT%H:%M:%SZ}")
        if path is None:
            trace = merge(trace, self.artifacts)
        text = json.dumps(trace, indent=1) + "\n"
        write_file(path or self.artifacts / NAME, text.encode())
