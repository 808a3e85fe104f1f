"""The rooms, joined by the settings: what every command needs of them, each made when it is first asked for."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from builders.build import LazyEngine
from builders.engines.choose import ENGINE_NAMES, Chooser, smoke_environment
from builders.engines.engine import Engine
from builders.sources.cache import Cache
from builders.sources.mirrors import Mirrors
from builders.timings import Timings
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.errors import VerdictError
from core.progress import Report
from core.scratch import SmokeEnvironment
from core.settings import Settings
from core.target import Target
from publish.manifest import read_manifest
from recipes.load import HERE, load_recipes
from recipes.model import Recipe

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Context:
    """Nothing is looked for, opened or read before it is needed."""

    settings: Settings
    report: Report
    recipes_directory: Path = HERE
    cancel: CancelToken = field(default_factory=CancelToken)
    timings: Timings = field(default_factory=Timings)

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """All recipes by name: our own, and those the user has."""
        return load_recipes(self.recipes_directory, *self.settings.directories("recipes"))

    @cached_property
    def cache(self) -> Cache:
        """The content-addressed cache."""
        return Cache(self.cache_directory)

    @cached_property
    def cache_directory(self) -> Path:
        """Where the cache is."""
        if self.settings["cache"]:
            return Path(self.settings["cache"]).expanduser().absolute()
        from platformdirs import user_cache_path  # noqa: PLC0415

        return user_cache_path("fromscratch")

    @property
    def artifacts(self) -> Path:
        """Where the results go."""
        return Path(self.settings["artifacts"] or ROOT / "artifacts").absolute()

    @cached_property
    def toolchain(self) -> Toolchain:
        """The installed toolchain."""
        return Toolchain.installed(HERE)

    @cached_property
    def mirrors(self) -> Mirrors:
        """Where sources may come from."""
        return Mirrors.from_environment(
            {
                "FROMSCRATCH_MIRRORS": self.settings["mirrors"],
                "FROMSCRATCH_DEBIAN_MIRROR": self.settings["debian_mirror"],
            }
        )

    @cached_property
    def chooser(self) -> Chooser:
        """What finds an engine."""
        return Chooser(
            toolchain=self.toolchain,
            scratch=self.cache_directory / "boxes",
            base_image=self.settings["base_image"],
            mirrors=tuple(self.mirrors.debian()),
            cancel=self.cancel,
        )

    @cached_property
    def engine(self) -> LazyEngine:
        """The engine, looked for when the first step runs."""
        return LazyEngine(self._find_engine)

    def manifest(self) -> list[dict[str, Any]]:
        """What `artifacts/manifest.json` says."""
        return read_manifest(self.artifacts)

    def blob(self, sha256: str) -> Path:
        """Return a file of the cache. Raises VerdictError when it was lost during the run."""
        blob = self.cache.blob(sha256)
        if blob is None:
            msg = f"The cache lost {sha256} during the run."
            raise VerdictError(msg, next="run again")
        return blob

    def smoke_environment(self, target: Target) -> SmokeEnvironment | str:
        """Return where finished programs for ``target`` can be tried, or why nowhere."""
        return smoke_environment(target, self.settings["engine"], self.chooser)

    def close(self) -> None:
        """Put the display away."""
        self.report.close()

    def _find_engine(self) -> Engine:
        engine = self.chooser.make(self.settings.choice("engine", ENGINE_NAMES))
        if not engine.isolated:
            self.report.warn("steps run on this machine without isolation (engine 'host')")
        return engine
