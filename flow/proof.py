"""Was it made here, or by two others? What the manifest lists is proven anew: anybody may write a manifest."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.outcome import Outcome
from builders.plan import Goal, Step, needed_recipes, plan, topological_order
from builders.sources.fetch import Fetched, origin_of
from core.errors import RecipeError, StepError, UsageError, VerdictError
from core.files import hash_file
from core.target import Target
from core.threads import in_threads
from flow.context import Context
from flow.fetch import Sources
from flow.verification import BuildRun, ServerPool, Verifier, problems
from flow.vouch import Registrar
from publish.manifest import Artifact
from recipes.load import find_product
from recipes.model import Recipe, Release
from verify.results import ResultCache


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What became of one line of the manifest."""

    listed: Artifact
    proven: Artifact | None
    """What is known of the file without the manifest; None when it is refused."""
    refused: str = ""
    """Why it may not be published; '' when it is proven."""


def prove(context: Context, listed: Sequence[Artifact], *, only_here: bool = False) -> list[Proof]:
    """Prove each file that a manifest lists; never raises for what is wrong with one.

    A file is proven when its name is its product's, when its bytes are what the steps made whose keys follow from the
    recipes of this tree, and when it passes verification now; and when its smoke run was good, which is remembered for
    these bytes only. Each step was made by this builder, or two others whose keys are trusted made the same of it. Of
    the manifest nothing is believed but what it refuses. ``only_here``: what others made is not enough, however many.
    Raises Cancelled, and StorageError and EngineError for what is wrong with this machine.
    """
    with ServerPool() as servers:
        prover = _Prover(
            context=context,
            servers=servers,
            registrar=Registrar(context=context),
            only_here=only_here,
        )
        return in_threads(
            prover.prove, listed, jobs=context.jobs, name="prove", cancel=context.cancel
        )


class _Refusal(Exception):
    """Why a file is not proven."""


@dataclass(frozen=True, kw_only=True)
class _Prover:
    context: Context
    servers: ServerPool
    registrar: Registrar
    only_here: bool

    def prove(self, listed: Artifact) -> Proof:
        try:
            return Proof(listed=listed, proven=self.proven(listed))
        except _Refusal as refusal:
            return Proof(listed=listed, proven=None, refused=str(refusal))
        except (UsageError, RecipeError, VerdictError, StepError) as error:
            return Proof(listed=listed, proven=None, refused=error.what)

    def proven(self, listed: Artifact) -> Artifact:
        """Return what is so of a listed file. Raises _Refusal, and what planning and verifying raise."""
        goal = self._goal(listed)
        run = BuildRun(goals=(goal,), outcomes=self._outcomes(goal), sources=self._sources(goal))
        sha256 = run.program(goal, packed=listed.packed)
        self._compare(listed, sha256)
        verifier = Verifier(
            context=self.context,
            run=run,
            results=ResultCache(cache=self.context.cache, judge_again=True),
            servers=self.servers,
            registrar=self.registrar,
        )
        proven = verifier.artifact(goal, packed=listed.packed)
        for artifact in (listed, proven):
            _refuse_bad(artifact)
        return proven

    def _goal(self, listed: Artifact) -> Goal:
        """Plan the steps that make a file, out of this tree's recipes."""
        recipes = self.context.recipes
        product = find_product(listed.product, recipes)
        path = product.file_name(listed.release, listed.target, packed=listed.packed)
        if listed.path != str(path):
            msg = f"the manifest says that it lies at '{listed.path}', and its name is {path}"
            raise _Refusal(msg)
        needed = needed_recipes([product], recipes, pack=listed.packed)
        versions = {source.name: source.version for source in listed.inputs}
        versions[product.recipe.name] = listed.release
        releases = {recipe.name: _pinned(recipe, versions.get(recipe.name)) for recipe in needed}
        (goal,) = plan(
            [(product, listed.target)],
            recipes,
            releases,
            native=Target.native(),
            pack=listed.packed,
        )
        if listed.packed and goal.pack is None:
            msg = f"{product.name} is not packed for {listed.target}"
            raise _Refusal(msg)
        return goal

    def _outcomes(self, goal: Goal) -> Mapping[Step, Outcome]:
        """Find what was made here in each step, or what two trusted builders have signed for."""
        runner = self.context.builder()
        found: dict[Step, Outcome] = {}
        for step in topological_order([goal]):
            outcome = runner.look_up(step, {name: found[need] for name, need in step.needs})
            if outcome is None:
                msg = f"no trusted builder has signed for the step that makes it: {step.name}"
                raise _Refusal(msg)
            vouchers = self.registrar.vouchers(outcome, all_of_them=False)
            if self.only_here and not vouchers.here:
                msg = f"a step that makes it was not run here: {step.name}"
                raise _Refusal(msg)
            if not vouchers:
                raise _Refusal(vouchers.lacking(step))
            found[step] = outcome
        return found

    def _sources(self, goal: Goal) -> Sources:
        return {
            step.recipe.name: (step.release, self._fetched(step.recipe, step.release))
            for step in topological_order([goal])
        }

    def _fetched(self, recipe: Recipe, release: Release) -> Fetched:
        """Say where a source came from; its bytes are in the step's key."""
        if release.source is None:
            return Fetched(path=recipe.local or Path(), url="", seconds=0.0, cached=True)
        url, seconds = origin_of(release.source, self.context.cache)
        return Fetched(path=Path(), url=url, seconds=seconds, cached=True)

    def _compare(self, listed: Artifact, sha256: str) -> None:
        """Hold the file and the manifest against what the step made."""
        if listed.sha256 != sha256:
            msg = f"the manifest names {listed.sha256}, and the step that makes it made {sha256}"
            raise _Refusal(msg)
        path = self.context.artifacts / listed.path
        try:
            whole = all(
                not stat.S_ISLNK(part.lstat().st_mode) for part in (path, path.parent)
            ) and stat.S_ISREG(path.lstat().st_mode)
            found = hash_file(path) if whole else ""
        except OSError as error:
            msg = f"it cannot be read: {error.strerror}"
            raise _Refusal(msg) from error
        if not whole:
            msg = "it is no plain file of artifacts/"
            raise _Refusal(msg)
        if found != sha256:
            msg = f"it was changed: its sha256 is {found}, and the step that makes it made {sha256}"
            raise _Refusal(msg)


def _pinned(recipe: Recipe, version: str | None) -> Release:
    release = recipe.release(version) if version else None
    if release is None:
        msg = f"{recipe.name} {version or 'of an unknown version'} went in, which is not pinned"
        raise _Refusal(msg)
    return release


def _refuse_bad(artifact: Artifact) -> None:
    if not artifact.verdict.ok:
        lines = [line.strip() for line in problems(artifact)]
        msg = "; ".join(["it was refused by verification", *lines])
        raise _Refusal(msg)
    if not artifact.smoke.ran:
        msg = f"its smoke run was not run: {artifact.smoke.how}"
        raise _Refusal(msg)
    if not artifact.smoke.ok:
        msg = "; ".join(["its smoke run failed", *artifact.smoke.failures])
        raise _Refusal(msg)
