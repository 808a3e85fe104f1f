"""The whole flow: recipe, fetch, build, verify, pack, verify, smoke, artifacts."""

import filecmp
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builders.engines.choose import ENGINE_NAMES
from builders.plan import Goal, needed_recipes, plan, topological_order
from builders.schedule import run_plan
from core.errors import StoreError, VerdictError
from core.files import Place, disk_errors, temporary_directory
from core.target import Target
from core.threads import in_threads
from flow.context import STAGING, Context
from flow.fetch import Sources, fetch_source, fetch_sources, select
from flow.fill import record_fills
from flow.gzipped import with_gzip
from flow.verification import BuildRun, problems, recipe_policy, verify
from publish.manifest import Artifact, write_manifest
from recipes.model import PACKED, Product, unsupported

MOST_TURNS = 4
"""How often a plan is run, each time after files that it delivers were lost. Nothing is ever lost twice by damage."""

ALL = "all"
"""What ``--target`` calls every target."""


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
    pack: bool = True
    """False: only plain files, and no packer is built."""
    everywhere: bool = False
    """The targets are all there are: what a product does not support is left out, with a note."""


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read ``--target``: names with commas between them, ``all``, or nothing for this machine's.

    With ``all`` goes `Request.everywhere`. Raises UsageError with a guess.
    """
    if not text:
        return (Target.native(),)
    if text == ALL:
        return tuple(Target)
    return tuple(dict.fromkeys(Target.parse(name.strip()) for name in text.split(",")))


def build(context: Context, request: Request) -> list[Artifact]:
    """Build, verify and deliver. Returns every artifact, also those that were there already.

    Raises VerdictError at the end when one of them is refused; the good ones are delivered first.
    """
    run = run_steps(context, request)
    artifacts = with_gzip(context, verify(context, run))
    good = [artifact for artifact in artifacts if not problems(artifact)]
    deliver(context, good)
    record_fills(context, run, good)
    if len(good) < len(artifacts):
        lines = [line for artifact in artifacts for line in problems(artifact)]
        msg = "\n".join(["Refused, and not delivered:", *lines])
        raise VerdictError(msg, next="the file stays in the cache; see the findings above")
    return good


def run_steps(context: Context, request: Request) -> BuildRun:
    """Fetch and run every step, or find it done; nothing is verified yet."""
    products, pins = select(context.recipes, request.products)
    for product in products:
        recipe_policy(product.recipe)  # one that cannot be read is said before anything is built
    context.settings.choice("engine", ENGINE_NAMES)
    jobs, _ = context.jobs, context.cache  # a store that is none is said before anything is built
    context.sweep()
    needed = needed_recipes(products, context.recipes, pack=request.pack)
    sources = fetch_sources(context, needed, pins, exact=request.exact, lazy=True)
    goals = plan_goals(context, products, request, sources)
    rebuild = frozenset(product.recipe.name for product in products if request.rebuild)
    builder = context.builder(rebuild=rebuild, fetch=partial(fetch_source, context))
    steps = topological_order(goals)
    for _ in range(MOST_TURNS):
        pool = context.pool(builder, jobs=jobs)
        outcomes = run_plan(steps, builder, pool=pool, cancel=context.cancel)
        run = BuildRun(goals=goals, outcomes=outcomes, sources=sources)
        # What a store has, but not as it must be, is not looked up again: each turn makes more of it here.
        if all(bring(context, run.delivered())):
            return run
    msg = "What was made, or was said to be in the store, was lost again and again."
    raise StoreError(msg, why="somebody removes it meanwhile", next="run it again, without --store")


def bring(context: Context, blobs: Iterable[str]) -> list[bool]:
    """Have blobs on this machine; return of each whether it is."""
    return in_threads(
        lambda sha256: context.cache.blob(sha256) is not None,
        blobs,
        jobs=max(context.cache.width, 1),
        name="pull",
        cancel=context.cancel,
    )


def plan_goals(
    context: Context, products: Iterable[Product], request: Request, sources: Sources
) -> tuple[Goal, ...]:
    """Plan every product for every target, or for every one that it supports."""
    pairs = [(product, target) for target in request.targets for product in products]
    if request.everywhere:
        reasons = [
            unsupported(product.recipe, product.variant, target, context.recipes)
            for product, target in pairs
        ]
        for reason in dict.fromkeys(filter(None, reasons)):
            context.report.note(f"left out: {reason}")
        pairs = [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason]
    releases = {name: release for name, (release, _) in sources.items()}
    return plan(pairs, context.recipes, releases, native=Target.native(), pack=request.pack)


def deliver(context: Context, artifacts: Iterable[Artifact]) -> None:
    """Copy the files out of the cache, and give them their places together with the manifest.

    Whatever ends this, a file is never there without its row in the manifest; see `write_manifest`. A packed file that
    is not among them goes when the plain one beside it is replaced: it is another program now; and when it could not be
    packed any more.
    """
    artifacts = list(artifacts)
    staging = context.artifacts / STAGING
    staged: dict[str, Path] = {}
    scratch = staging
    with disk_errors(context.artifacts, Place.ARTIFACTS), ExitStack() as stack:
        for number, artifact in enumerate(artifacts):
            path = context.artifacts / artifact.path
            blob = context.blob(artifact.sha256)
            if path.is_file() and filecmp.cmp(path, blob, shallow=False):
                continue
            if not staged:
                stack.callback(_remove_empty, staging)
                scratch = stack.enter_context(temporary_directory(staging, prefix="files-"))
            staged[artifact.path] = scratch / str(number)
            with staged[artifact.path].open("wb") as copy, blob.open("rb") as original:
                shutil.copyfileobj(original, copy)
            staged[artifact.path].chmod(0o755)
        packed = {f"{path}{PACKED}" for path in staged} - {artifact.path for artifact in artifacts}
        packed |= {f"{artifact.path}{PACKED}" for artifact in artifacts if artifact.not_packed}
        write_manifest(context.artifacts, artifacts, staged=staged, gone=packed)


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # another run is delivering, too
        directory.rmdir()
