"""Time and memory of building, warm and cold."""

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bench.bars import BARS, COLD_BUILDS, CORES, PROBES, Bar, Measure
from bench.memory import memory
from bench.report import Figure
from bench.sizes import INV, offered, open_context
from builders.engines.isolation import find_backend
from builders.outcome import Outcome
from builders.plan import Step, needed_recipes, topological_order
from builders.sources.cache import Cache
from builders.sources.fetch import NotCached
from core.errors import FromscratchError
from core.kinds import EntryKind
from flow.build import ALL, Request, parse_targets, plan_goals
from flow.context import Context
from flow.fetch import fetch_sources, select
from recipes.model import Recipe

WARM_ROUNDS = 10
BUILD_SECONDS = 900.0
PATIENCE = 30
"""So many times what a build may take is waited for it: the machine may be busy."""
SYSROOT = ("musl ", "upx ")
"""What the names of the steps begin with that make the C library, and the packer."""

TOOLS = ("upx ", "cpython:host ", "make ", "micropython ", "nuitka ", "perl ")
"""The same of the programs that run while others are built."""

REAL_BUILDS: Mapping[str, Bar] = {
    "curl:http": Bar(25, 15),
    "probe:full": BARS["probe:full", Measure.BUILD],
}
"""What is built alone, and how long that may take, in seconds."""


def warm_builds(_: argparse.Namespace) -> Iterator[Figure]:
    """`./inv build` when nothing changed."""
    seconds = warm_seconds([INV, "build"])
    name = "`./inv build`, nothing changed: wall"
    yield Figure(name, "s", seconds, must=0.6, aim=0.25)


def warm_targets(_: argparse.Namespace) -> Iterator[Figure]:
    """The same for every target at once whose files are all built."""
    targets = cached_targets(open_context(offline="1"))
    every = len(targets) == len(parse_targets(ALL))
    words = [INV, "build", "--offline", "--target", ALL if every else ",".join(targets)]
    yield Figure(
        f"`./inv build` for {len(targets)} targets, nothing changed: wall",
        "s",
        warm_seconds(words) if targets else None,
        must=1.0,
        why="no target is built whole",
    )


def warm_seconds(words: Sequence[str]) -> float:
    """The median of some runs of a command, without the first one."""
    times = []
    for _ in range(WARM_ROUNDS + 1):
        began = time.monotonic()
        subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - began)
    return statistics.median(times[1:])


def cached_targets(context: Context) -> list[str]:
    """Return the targets for which every step of every default product is in the cache.

    All of them, or only those that every product supports: what `./inv build --target` takes.
    """
    products, _ = select(context.recipes, ())
    builder = context.builder()
    found: list[tuple[str, bool]] = []
    with suppress(NotCached):
        sources = fetch_sources(context, needed_recipes(products, context.recipes))
        for target in parse_targets(ALL):
            request = Request(targets=(target,), everywhere=True)
            goals = plan_goals(context, products, request, sources)
            outcomes: dict[Step, Outcome] = {}
            for step in topological_order(goals):
                inputs = {name: outcomes[need] for name, need in step.needs}
                outcome = builder.look_up(step, inputs)
                if outcome is None:
                    break
                outcomes[step] = outcome
            else:
                found.append((target.value, len(goals) == len(products)))
    whole = len(found) == len(parse_targets(ALL))
    return [name for name, supported in found if supported or whole]


def real_builds(options: argparse.Namespace) -> Iterator[Figure]:
    """Builds in the sandbox with sources, sysroot and packer cached, and nothing else."""
    why = "--quick" if options.quick else no_sandbox()
    for product, bar in REAL_BUILDS.items():
        label = f"`./inv build {product} --engine sandbox`, step cache empty"
        made = None if why else alone(product, steps=SYSROOT)
        before = "CMake and Ninja alone 6-12" if product == "curl:http" else ""
        yield Figure(
            f"{label}: wall",
            "s",
            made and made.seconds,
            must=bar.must,
            aim=bar.aim,
            reference=before,
            why=why,
        )
        # What a busy machine does not stretch: with this on all cores it would be done no sooner.
        yield Figure(f"{label}: CPU", "s", made and made.cpu, why=why)
        name = f"{label}: peak resident of the pipeline's own process"
        yield Figure(name, "MB", made and made.resident, must=120, why=why)


class TimedBuild(NamedTuple):
    """What a build took."""

    seconds: float
    cpu: float
    """Seconds of all its processes, the compilers too."""
    resident: float
    """MB that its own process had at the most."""


def alone(*words: str, steps: tuple[str, ...] = (), limit: float = BUILD_SECONDS) -> TimedBuild:
    """A build whose cache has the sources and, as far as the user's has it, what ``steps`` made."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as name:
        context = open_context()
        new = Cache(Path(name) / "cache", keys=context.builder_keys)
        seed(context.local, new, context.recipes, steps=steps)
        return timed_build(Path(name), *words, limit=limit)


def no_sandbox() -> str:
    """Why the sandbox does not work here; empty when it does."""
    try:
        find_backend(open_context().chooser.scratch)
    except FromscratchError as error:
        return error.what
    return ""


def cold_builds(options: argparse.Namespace) -> Iterator[Figure]:
    """`./inv build` of each probe in the sandbox with the sources cached, and nothing else."""
    why = "only with --cold" if not options.cold else no_sandbox()
    for product in PROBES:
        yield Figure(
            f"`./inv build {product} --engine sandbox`, only sources cached: wall",
            "s",
            None if why else alone(product).seconds,
            must=240,
            aim=120,
            why=why,
        )


def fresh_builds(options: argparse.Namespace) -> Iterator[Figure]:
    """`./inv build` where a step cache is empty: what somebody waits for who has just cloned the project."""
    for build in COLD_BUILDS:
        why = "--quick" if options.quick else no_sandbox()
        if build.long and not options.cold:
            why = "only with --cold"
        if missing := {word for word in build.words if ":" in word} - set(offered(build.words)):
            why = f"there is no {missing.pop()}"
        steps, limit = TOOLS if build.tools else (), build.bar.must * PATIENCE
        made = None if why else alone(*build.words, steps=steps, limit=limit)
        label = f"`./inv build`, {build.name}"
        yield Figure(
            f"{label}: wall",
            "s",
            made and made.seconds,
            must=build.bar.must,
            aim=build.bar.aim,
            why=why,
        )
        # What a busy machine stretches least: with more than this the time cannot be met on so many cores.
        cpu, most = made and made.cpu, build.bar.must * CORES
        yield Figure(f"{label}: CPU", "s", cpu, must=most, aim=build.bar.aim * CORES, why=why)


def seed(
    old: Cache,
    new: Cache,
    recipes: Mapping[str, Recipe],
    *,
    steps: tuple[str, ...] = SYSROOT,
) -> None:
    """Copy the sources and what ``steps`` made; nothing of the product, no remembered proof."""
    for entry in old.entries():
        value: dict[str, Any] | None = None
        if entry.kind in {EntryKind.ACTION, EntryKind.ORIGIN}:
            value = old.get_action(entry.name, kind=entry.kind)
        if value is None:
            continue
        blobs: list[str] = []
        if str(value.get("step", "")).startswith(steps):
            blobs = [value["output"], *value["files"].values()]
        elif "url" not in value:
            continue
        for sha256 in blobs:
            if blob := old.blob(sha256):
                new.put_file(blob)
        new.put_action(entry.name, value, kind=entry.kind)
    for recipe in recipes.values():
        for release in recipe.releases:
            if release.source and (blob := old.blob(release.source.sha256)):
                new.put_file(blob)


def cpu_of_children() -> float:
    """Seconds of all that has ended so far below this process: a busy machine does not stretch them."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed_build(directory: Path, *words: str, limit: float = BUILD_SECONDS) -> TimedBuild:
    """One real build into ``directory``. `inv` replaces itself by Python: one process id."""
    environment = {
        **os.environ,
        "FROMSCRATCH_CACHE": str(directory / "cache"),
        "FROMSCRATCH_ARTIFACTS": str(directory / "artifacts"),
    }
    log = directory / "log"
    began, before = time.monotonic(), cpu_of_children()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [INV, "build", *words, "--engine", "sandbox", "--offline"],
            env=environment,
            stdout=file,
            stderr=file,
        )
        highest = 0.0
        try:
            # The mark only ever rises, and is only gone with the process: the last look is the peak.
            while process.poll() is None and time.monotonic() - began < limit:
                with suppress(OSError, RuntimeError):  # it ended between the two looks
                    highest = max(highest, memory(process.pid, "status", "VmHWM"))
                time.sleep(0.02)
            seconds = time.monotonic() - began
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
    if process.returncode:
        msg = f"the timed build ended with {process.returncode}:\n{log.read_text('utf-8', 'replace')[-2000:]}"
        raise RuntimeError(msg)
    return TimedBuild(seconds, cpu_of_children() - before, highest / 1024)
