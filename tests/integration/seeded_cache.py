"""What the user's cache knows of each step, so that a test with a cache of its own need not make all of it again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.engines.engine import Engine
from builders.outcome import Outcome
from builders.plan import Stage, Step, needed_recipes, topological_order
from builders.sources.cache import Cache
from console.progress import PlainReport
from core.builder_keys import BuilderKeys, default_path
from core.settings import Settings
from core.signing import PublicKey
from core.target import Target
from flow.build import Request, plan_goals
from flow.context import Context
from flow.fetch import fetch_sources, select

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
        context = Context(settings=Settings.read(settings), report=report, find_engine=_no_engine)
        products, pins = select(context.recipes, names)
        sources = fetch_sources(context, needed_recipes(products, context.recipes), pins)
        request = Request(targets=(Target.native(),))
        builder = context.builder()
        outcomes: dict[Step, Outcome] = {}
        for step in topological_order(plan_goals(context, products, request, sources)):
            found = builder.look_up(step, {name: outcomes[need] for name, need in step.needs})
            assert found is not None, f"{step.name} was not built"
            outcomes[step] = found
        return cls(cache=context.local, outcomes=outcomes)

    def copy(self, directory: Path, keep: Keep) -> Path:
        """Make a cache in ``directory`` that knows the steps that ``keep`` names, and nothing else.

        The user's own key signs it: a command without a key of its own believes it, others when they trust `signer`.
        """
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

    @property
    def signer(self) -> str:
        """The public key of who signed the copies, as FROMSCRATCH_TRUSTED_BUILDERS takes it."""
        own = BuilderKeys(path=default_path()).own
        return PublicKey(id=own.id, point=own.point).line

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


def _no_engine(_: Context) -> Engine:
    raise AssertionError
