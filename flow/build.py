"""The whole flow: recipe, fetch, build, verify, pack, verify, smoke, artifacts."""

import filecmp
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from builders.build import Builder, Outcome
from builders.engines.choose import ENGINE_NAMES
from builders.plan import Goal, Step, needed_recipes, plan, topological_order
from builders.schedule import run_plan
from builders.sources.client import Client, Trouble
from builders.sources.fetch import Fetched, NotCached, Unavailable, fetch
from builders.timings import Kind
from core.errors import UsageError, VerdictError
from core.progress import CancellableProgress
from core.target import Target
from flow.context import Context
from flow.verification import Verifier
from publish.manifest import Artifact, replace, write_manifest
from recipes.load import find_product, list_products
from recipes.model import Product, Recipe, Release, unsupported

ALL = "all"
"""What ``--target`` calls every target."""

Sources = dict[str, tuple[Release, Fetched]]
"""Each recipe's release, and its source in the cache."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user wants built."""

    products: tuple[str, ...] = ()
    """``curl:http``, ``curl:http@8.21.0``; none: the default ones."""
    targets: tuple[Target, ...]
    exact: bool = False
    """Only the newest release, or the one named, will do."""
    rebuild: bool = False
    """Look at no cached result of these products' own recipes."""
    everywhere: bool = False
    """The targets are all there are: what a product does not support is left out, and said."""


@dataclass(frozen=True, kw_only=True)
class Pipeline(Context):
    """From a request to verified files."""

    def build(self, request: Request) -> list[Artifact]:
        """Make, prove and deliver. Returns every artifact, also those that were there already.

        Raises VerdictError at the end when one of them is refused; the good ones are delivered first.
        """
        goals, outcomes, sources = self.make(request)
        made, refused = self.verify(goals, outcomes, sources)
        self.deliver(made)
        if refused:
            msg = "Refused, and not delivered:\n" + "\n".join(refused)
            raise VerdictError(msg, next="the file stays in the cache; see the findings above")
        return made

    def make(self, request: Request) -> tuple[tuple[Goal, ...], dict[Step, Outcome], Sources]:
        """Fetch and run every step, or find it done; nothing is judged yet."""
        products, pins = self.select(request.products)
        self.settings.choice("engine", ENGINE_NAMES)
        jobs = self.jobs
        sources = self.fetch(needed_recipes(products, self.recipes), pins, exact=request.exact)
        releases = {name: release for name, (release, _) in sources.items()}
        goals = plan(
            self.combine(products, request),
            self.recipes,
            releases,
            native=Target.native(),
        )
        builder = self.builder(
            rebuild=frozenset(product.recipe.name for product in products if request.rebuild)
        )
        return (
            goals,
            run_plan(topological_order(goals), builder, jobs=jobs, cancel=self.cancel),
            sources,
        )

    def builder(self, *, rebuild: frozenset[str] = frozenset()) -> Builder:
        """What runs steps here; ``rebuild`` names the recipes whose cached results are not looked at."""
        return Builder(
            cache=self.cache,
            toolchain=self.toolchain,
            engine=self.engine,
            report=self.report,
            logs=self.cache_directory / "logs",
            cancel=self.cancel,
            rebuild=rebuild,
            timings=self.timings,
        )

    @property
    def jobs(self) -> int:
        """How many steps, or smoke runs, go on at a time."""
        return self.settings.number("jobs", os.cpu_count() or 1)

    def write_timings(self, path: Path | None = None) -> None:
        """Write what this run did and when to ``path``, or to `artifacts/timings.json`."""
        text = json.dumps(self.timings.trace(jobs=self.jobs), indent=1) + "\n"
        replace(path or self.artifacts / "timings.json", text.encode())

    def select(self, names: Sequence[str]) -> tuple[list[Product], dict[str, str]]:
        """Return the products called ``names`` and the versions they pin. Raises UsageError."""
        if not names:
            every = list_products(self.recipes)
            return [product for product in every if product.variant.default], {}
        products: list[Product] = []
        pins: dict[str, str] = {}
        for word in names:
            name, _, version = word.partition("@")
            product = find_product(name, self.recipes)
            recipe = product.recipe
            if version:
                if recipe.release(version) is None:
                    msg = f"{recipe.name} {version} is not pinned."
                    pinned = ", ".join(release.version for release in recipe.releases)
                    raise UsageError(msg, next=f"choose one of: {pinned}")
                if pins.setdefault(recipe.name, version) != version:
                    msg = f"{recipe.name} is asked for in two versions at once."
                    raise UsageError(msg, next="build them one after the other")
            if product not in products:
                products.append(product)
        return products, pins

    def combine(
        self, products: Iterable[Product], request: Request
    ) -> list[tuple[Product, Target]]:
        """Return every product with every target, or with every one that it supports."""
        pairs = [(product, target) for target in request.targets for product in products]
        if not request.everywhere:
            return pairs
        reasons = [unsupported(one.recipe, one.variant, at, self.recipes) for one, at in pairs]
        for reason in dict.fromkeys(filter(None, reasons)):
            self.report.note(f"left out: {reason}")
        return [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason]

    def fetch(
        self, recipes: Iterable[Recipe], pins: Mapping[str, str], *, exact: bool = False
    ) -> Sources:
        """Return a release of each recipe whose source is in the cache now, the newest that can be had."""
        recipes = list(recipes)
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="fetch") as pool:
            try:
                found = pool.map(
                    lambda recipe: self._fetch(recipe, pins.get(recipe.name), exact=exact), recipes
                )
                return {recipe.name: one for recipe, one in zip(recipes, found, strict=True)}
            except BaseException:
                self.cancel.cancel()
                raise

    def _fetch(self, recipe: Recipe, pin: str | None, *, exact: bool) -> tuple[Release, Fetched]:
        candidates = [release for release in recipe.releases if pin in {None, release.version}]
        if recipe.local:
            return candidates[0], Fetched(path=recipe.local, url="", seconds=0.0, cached=True)
        offline = self.settings.flag("offline")
        for index, release in enumerate(candidates):
            progress = CancellableProgress(self.report.progress("fetch"), self.cancel)
            try:
                with self.timings.measure(f"{recipe.name} {release.version}", Kind.FETCH) as facts:
                    fetched = fetch(
                        release.archive,
                        self.cache,
                        self.mirrors,
                        offline=offline,
                        client=Client(sleep=progress.sleep),
                        progress=progress,
                    )
                    facts |= {"cached": fetched.cached, "url": fetched.url}
                    facts |= {"key": release.archive.sha256, "size": release.archive.size}
            except (Unavailable, NotCached) as error:
                gone = all(failure.trouble is Trouble.GONE for failure in error.failures)
                if exact or not gone or index + 1 == len(candidates):
                    raise
                self.report.warn(
                    f"{error.what}\n  BUILDING {candidates[index + 1].version} INSTEAD."
                )
            else:
                if index:
                    self.report.warn(
                        f"{recipe.name} {release.version} is used, not {candidates[0].version} "
                        "(--exact forbids that)"
                    )
                return release, fetched
        msg = f"{recipe.name} has no release '{pin}'."
        raise UsageError(msg)

    def verify(
        self,
        goals: Iterable[Goal],
        outcomes: Mapping[Step, Outcome],
        sources: Sources,
    ) -> tuple[list[Artifact], list[str]]:
        """Verify and smoke everything, in the order of ``goals`` whoever is ready first.

        Returns the good artifacts, and the findings about the others.
        """
        with (
            ExitStack() as stack,
            ThreadPoolExecutor(max_workers=self.jobs, thread_name_prefix="verify") as pool,
        ):
            verifier = Verifier(context=self, outcomes=outcomes, sources=sources, stack=stack)
            try:
                results = list(pool.map(verifier.verify_goal, goals))
            except BaseException:
                self.cancel.cancel()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        made = [artifact for good, _ in results for artifact in good]
        return made, [finding for _, findings in results for finding in findings]

    def deliver(self, artifacts: Iterable[Artifact]) -> None:
        """Copy the files out of the cache, then write the manifest."""
        artifacts = list(artifacts)
        for artifact in artifacts:
            place = self.artifacts / artifact.path
            blob = self.blob(artifact.sha256)
            if not (place.is_file() and filecmp.cmp(place, blob, shallow=False)):
                place.parent.mkdir(parents=True, exist_ok=True)
                temporary = place.with_name(f".{place.name}.{os.getpid()}")
                try:
                    shutil.copyfile(blob, temporary)
                    temporary.chmod(0o755)
                    temporary.replace(place)
                finally:
                    temporary.unlink(missing_ok=True)
        write_manifest(self.artifacts, artifacts)


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read ``--target``: names with commas between them, ``all``, or nothing for this machine's.

    With ``all`` goes `Request.everywhere`. Raises UsageError with a guess.
    """
    if not text:
        return (Target.native(),)
    if text == ALL:
        return tuple(Target)
    return tuple(dict.fromkeys(Target.parse(name.strip()) for name in text.split(",")))
