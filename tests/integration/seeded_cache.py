"""What the user's cache knows of each step, so that a test with a cache of its own need not make all of it again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.build import LazyEngine, Outcome, StepRunner
from builders.engines.engine import Engine
from builders.plan import Stage, Step, needed_recipes, plan, topological_order
from builders.sources.cache import Cache
from console.progress import PlainReport
from core.settings import Settings
from core.target import Target
from flow.build import Pipeline

CURLS = ("curl:mini", "curl:http", "curl:https")
Keep = Callable[[Step], bool]


def made_by(recipe: str) -> Keep:
    """The steps of one recipe."""
    return lambda step: step.recipe.name == recipe


def all_but(product: str) -> Keep:
    """Every step but the build of one product, and the packing of it."""
    return lambda step: f"{step.recipe.name}:{step.variant.name}" != product


def not_made_by(recipe: str) -> Keep:
    """Every step but those of one recipe."""
    return lambda step: step.recipe.name != recipe


def everything(step: Step) -> bool:
    """Every step."""
    return bool(step)


@dataclass(frozen=True, kw_only=True)
class SeededCache:
    """The steps that were built before, and where their results are."""

    cache: Cache
    outcomes: Mapping[Step, Outcome]

    @classmethod
    def in_cache(cls, settings: Mapping[str, str], names: Sequence[str] = CURLS) -> "SeededCache":
        """Look every step of the products up; they must have been built."""
        report = PlainReport()
        pipeline = Pipeline(settings=Settings.read(settings), report=report)
        products, pins = pipeline.select(names)
        sources = pipeline.fetch(needed_recipes(products, pipeline.recipes), pins)
        native = Target.native()
        goals = plan(
            [(product, native) for product in products],
            pipeline.recipes,
            {name: release for name, (release, _) in sources.items()},
            native=native,
        )
        builder = StepRunner(
            cache=pipeline.cache,
            toolchain=pipeline.toolchain,
            engine=LazyEngine(_no_engine),
            report=report,
            logs=pipeline.cache_directory / "logs",
        )
        outcomes: dict[Step, Outcome] = {}
        for step in topological_order(goals):
            found = builder.look_up(step, {name: outcomes[need] for name, need in step.needs})
            assert found is not None, f"{step.name} was not built"
            outcomes[step] = found
        return cls(cache=pipeline.cache, outcomes=outcomes)

    def copy(self, directory: Path, keep: Keep) -> Path:
        """Make a cache in ``directory`` that knows the steps that ``keep`` names, and nothing else."""
        copy = Cache(directory)
        for step, outcome in self.outcomes.items():
            if not keep(step):
                continue
            for sha256 in {outcome.output, *outcome.files.values()}:
                blob = self.cache.blob(sha256)
                assert blob is not None
                copy.put_file(blob)
            entry = self.cache.get_action(outcome.key)
            assert entry is not None
            copy.put_action(outcome.key, entry)
        return directory

    def source(self, recipe: str) -> Path:
        """The archive that a recipe was built from."""
        for step in self.outcomes:
            if step.recipe.name == recipe:
                blob = self.cache.blob(step.release.archive.sha256)
                assert blob is not None
                return blob
        raise AssertionError(recipe)

    def outcome(self, product: str, stage: Stage = Stage.BUILD) -> Outcome:
        """What a product's step made."""
        for step, outcome in self.outcomes.items():
            name = ":".join(filter(None, (step.recipe.name, step.variant.name)))
            if name == product and step.stage is stage:
                return outcome
        raise AssertionError(product)


def _no_engine() -> Engine:
    raise AssertionError
