"""`inv build --rebuild-and-compare`: builds again where everything around is different, and compares each byte."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from builders.engines.choose import ENGINES
from builders.engines.varied import Clock
from builders.sources.cache import Cache
from commands.rebuild_worker import SURROUNDINGS, UMASK, BuildSpec, run_worker
from console.table import table
from core.errors import EngineError
from core.files import Place, disk_errors
from core.kinds import EntryKind
from core.remove import remove_tree, temporary_tree
from core.target import Target
from flow.build import Request, build, run_steps
from flow.context import Context
from publish.manifest import Artifact
from recipes.model import RecipeKind
from records.rebuilds import Rebuild, Twice, read_rebuilds, remember_rebuild
from verify.difference import Difference, find_difference

LIMITS = ("step_memory", "step_processes", "step_disk", "step_minutes")
HANDED_ON = ("mirrors", "debian_mirror", "base_image", "trusted_builders", *LIMITS)
"""Settings that both builds share."""

TAKEN_OVER = "taken over"
"""What a note says of tools (UPX) that the first build made and the second one used."""

DAYS = 400
"""How far the second clock is ahead: another day, month and year."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One file, built twice."""

    product: str
    target: Target
    packed: bool
    path: str
    sha256: tuple[str, str]
    difference: Difference | None

    @property
    def equal(self) -> bool:
        return self.sha256[0] == self.sha256[1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All files, and what was different around them. True when every file is the same."""

    pairs: tuple[Pair, ...]
    varied: Mapping[str, str]
    kept: str
    """The directory with the second build's version of what differs."""

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

    def record(self) -> Rebuild:
        """What is kept of it: no path of this machine, which a report would show to others."""
        return Rebuild(
            when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            varied={
                name: "others" if name == "directories" else how
                for name, how in self.varied.items()
            },
            files=tuple(
                Twice(
                    product=pair.product,
                    target=pair.target.value,
                    packed=pair.packed,
                    path=pair.path,
                    sha256=pair.sha256,
                )
                for pair in self.pairs
            ),
        )

    def as_dict(self) -> dict[str, Any]:
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


def rebuild_and_compare(
    context: Context, request: Request, *, tools: bool | None = None
) -> Comparison:
    """Build, build again elsewhere, compare. What is equal is delivered as by any build, and noted for `publish`.

    Tools (UPX) are taken over from the first build with ``tools``; None: unless the request says ``rebuild``. Raises
    what building raises.
    """
    tools = not request.rebuild if tools is None else tools
    read_rebuilds(context.artifacts)  # what cannot be added to is said before anything is built
    first = build(context, request)
    with temporary_tree(prefix="fromscratch-rebuild-") as directory:
        cache = Cache(directory / "cache")
        taken = seed(context, replace(request, rebuild=False), cache, tools=tools)
        engine = other_engine(context, {artifact.engine for artifact in first})
        spec = BuildSpec(
            settings={
                **{name: context.settings[name] for name in HANDED_ON},
                "recipes": ",".join(map(str, context.settings.directories("recipes"))),
                "engine": engine,
                "cache": str(cache.root),
                "builder_key": str(context.builder_keys.path),
                "artifacts": str(directory / "artifacts"),
                "jobs": "1" if context.jobs > 1 else "2",
                "offline": "1",
            },
            recipes=str(context.recipes_directory),
            request=replace(request, rebuild=False),
            cores=(os.cpu_count() or 1) + 1,
            days=DAYS,
        )
        made = run_worker(spec, directory)
        kept = context.artifacts / "compare"
        remove_tree(kept)
        pairs = tuple(_pair(context, artifact, made[artifact.path], kept) for artifact in first)
        clock = Clock.of_this_machine(DAYS)
        for artifact, pair in zip(first, pairs, strict=True):
            if pair.equal:
                how = {
                    "engine": f"{artifact.engine} -> {engine}",
                    "clock": f"{DAYS} days on" if clock else "the same",
                    "tools": TAKEN_OVER if tools else "built again",
                }
                note = {"sha256": artifact.sha256, "how": how}
                context.cache.put_action(artifact.key, note, kind=EntryKind.REBUILT)
        engines = ", ".join(sorted({artifact.engine for artifact in first}))
        surroundings = [f"{name}={value}" for name, value in SURROUNDINGS.items()]
        varied = {
            "engine": f"{engines} -> {engine}",
            "directories": f"{context.cache_directory} -> {cache.root}",
            "clock": f"{DAYS} days on, for programs that are linked dynamically (sh, cmake, ninja)"
            if clock
            else "not varied: no libfaketime (apt-get install -y libfaketime)",
            "steps at a time": f"{context.jobs} -> {spec.settings['jobs']}",
            "JOBS of a step": f"{os.cpu_count() or 1} -> {spec.cores}",
            "of the pipeline": ", ".join([f"umask {UMASK:03o}", *surroundings]),
            "taken over": ", ".join(["sources", *taken]),
        }
    compared = Comparison(pairs=pairs, varied=varied, kept=str(kept))
    with disk_errors(context.artifacts, Place.ARTIFACTS):
        remember_rebuild(context.artifacts, compared.record())
    return compared


def seed(context: Context, request: Request, cache: Cache, *, tools: bool) -> list[str]:
    """Copy the sources that the request takes, and what its tools are; return the tools' names."""
    run = run_steps(context, request)
    for release, _ in run.sources.values():
        if release.source:
            cache.put_file(context.blob(release.source.sha256))
    taken = []
    for step, outcome in run.outcomes.items():
        entry = context.cache.get_action(outcome.key)
        if tools and entry and step.recipe.kind is RecipeKind.TOOL:
            for sha256 in {outcome.output, *outcome.files.values()}:
                cache.put_file(context.blob(sha256))
            cache.put_action(outcome.key, entry)
            taken.append(f"{step.recipe.name} {step.release.version}")
    return taken


def other_engine(context: Context, used: set[str]) -> str:
    """Return an engine that works and made none of the files; else one that made not all of them; else the same."""
    for name in [*(name for name in ENGINES if name not in used), *ENGINES]:
        try:
            context.chooser.make(name)
        except EngineError:
            continue
        return name
    raise AssertionError  # the host always works


def _pair(context: Context, artifact: Artifact, other: Path, kept: Path) -> Pair:
    mine = context.blob(artifact.sha256)
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
