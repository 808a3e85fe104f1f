"""Is what was built good? Each file with its verdict and smoke run, as the manifest says it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from builders.build import Outcome
from builders.key import source_digest
from builders.plan import Goal, Step
from builders.sources.fetch import Fetched
from builders.timings import Kind
from core.cancel import Cancelled
from core.errors import StepError
from core.target import Target
from flow.context import Context
from publish.manifest import Artifact, Input
from recipes.model import Release
from verify.results import ResultCache
from verify.smoke import Smoke, smoke
from verify.verdict import Policy

if TYPE_CHECKING:
    from verify.servers import SmokeServers


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Verdicts and smoke runs of what was built, as manifest entries. Thread-safe."""

    context: Context
    outcomes: Mapping[Step, Outcome]
    sources: Mapping[str, tuple[Release, Fetched]]
    stack: ExitStack
    lock: Lock = field(default_factory=Lock)
    idle: "list[SmokeServers]" = field(default_factory=list)

    @cached_property
    def results(self) -> ResultCache:
        """What was found out before."""
        return ResultCache(cache=self.context.cache)

    @contextmanager
    def servers(self) -> "Iterator[SmokeServers]":
        """Lend loopback servers to one smoke run: some answer by what they were asked before."""
        from verify.servers import serving  # noqa: PLC0415

        with self.lock:
            mine = self.idle.pop() if self.idle else self.stack.enter_context(serving())
        try:
            yield mine
        finally:
            self.idle.append(mine)

    def verify_goal(self, goal: Goal) -> tuple[list[Artifact], list[str]]:
        """Verifier the plain file and the packed one; return the good ones, and what is wrong with the others."""
        made: list[Artifact] = []
        for packed in (False, True) if goal.pack else (False,):
            if self.context.cancel:
                msg = f"Cancelled: {goal.build.name}"
                raise Cancelled(msg)
            artifact, findings = self.verify(goal, packed=packed)
            if findings:
                return made, findings  # what is wrong unpacked is not better packed
            made.append(artifact)
        return made, []

    def verify(self, goal: Goal, *, packed: bool) -> tuple[Artifact, list[str]]:
        """Verifier one file; return its manifest entry and what is wrong with it."""
        step = goal.pack if packed and goal.pack else goal.build
        outcome = self.outcomes[step]
        sha256 = outcome.files["packed"] if packed else self.program(goal)
        file = self.context.blob(sha256)
        policy = self.policy(goal, packed=packed)
        unpacked = self.context.blob(outcome.files["unpacked"]) if packed else None
        plain = self.context.blob(self.program(goal))
        path = goal.product.file_name(goal.release.version, goal.target, packed=packed)
        measure = self.context.timings.measure
        about = {"product": goal.product.name, "target": goal.target.value, "key": sha256}
        with measure(path.name, Kind.VERDICT) as facts:
            verdict = self.results.verdict(file, policy, unpacked=unpacked, original=plain)
            facts |= {**about, "ok": verdict["ok"]}
        smoke = Smoke.not_run("refused before")
        if verdict["ok"]:
            with measure(path.name, Kind.SMOKE) as facts:
                facts["cached"] = True

                def run() -> Smoke:
                    facts["cached"] = False
                    return self.try_out(goal, file)

                smoke = self.results.smoke(file, goal.product, goal.release, goal.target, run)
                facts |= {**about, "ran": smoke.ran, "ok": smoke.ok, "how": smoke.how}
        findings = [
            f"  {path}: {finding['rule']}: {finding['message']}"
            for finding in verdict["findings"]
            if finding["severity"] == "error"
        ] + [f"  {path}: smoke: {failure}" for failure in smoke.failures]
        inputs = self.inputs(step)
        artifact = Artifact(
            product=goal.product.name,
            release=goal.release.version,
            target=goal.target.value,
            packed=packed,
            path=str(path),
            size=file.stat().st_size,
            sha256=sha256,
            engine=outcome.engine,
            isolated=outcome.isolated,
            key=outcome.key,
            seconds={
                "fetch": round(sum(self.sources[one.name][1].seconds for one in inputs), 3),
                "build": outcome.seconds,
            },
            verdict=verdict,
            smoke=smoke.as_dict(),
            inputs=inputs,
            cached=outcome.cached,
        )
        return artifact, findings

    def program(self, goal: Goal) -> str:
        """The sha256 of the one file that a program's build makes."""
        files = self.outcomes[goal.build].files
        if len(files) != 1:
            msg = f"{goal.build.name} made {len(files) or 'many'} files where one program is expected."
            raise StepError(msg, next=f"put one file into $OUT: {goal.product.recipe.script}")
        return next(iter(files.values()))

    def policy(self, goal: Goal, *, packed: bool) -> Policy:
        """What the recipe says the file must be."""
        expect = goal.product.variant.expect
        embeds = goal.product.variant.embeds
        extra = sum(
            self.context.blob(sha256).stat().st_size
            for name, step in goal.build.needs
            if name in embeds
            for sha256 in self.outcomes[step].files.values()
        )
        budget = expect.max_size + extra if expect and goal.target is Target.AMD64 else None
        return Policy(
            target=goal.target,
            linkage=expect.linkage if expect and not packed else None,
            max_size=budget,
            packed=packed,
            unpacked_verified=packed,
            build_paths=("/box", "/toolchain", str(self.context.cache_directory)),
        )

    def try_out(self, goal: Goal, file: Path) -> Smoke:
        """Run it in an empty root, or say why that cannot be done here."""
        place = self.context.smoke_environment(goal.target)
        if isinstance(place, str):
            self.context.report.warn(f"{goal.build.name}: smoke not run: {place}")
            return Smoke.not_run(place)
        with self.servers() as servers:
            return smoke(file, goal.product, goal.release, place, servers)

    def inputs(self, step: Step) -> tuple[Input, ...]:
        """Every source that went into what ``step`` made, the tools' too."""
        found: dict[str, Input] = {}

        def visit(one: Step) -> None:
            release, fetched = self.sources[one.recipe.name]
            found[one.recipe.name] = Input(
                name=one.recipe.name,
                version=release.version,
                sha256=source_digest(one.recipe, release),
                url=fetched.url,
                licence=release.licence,
            )
            for _, need in one.needs:
                visit(need)

        visit(step)
        return tuple(found[name] for name in sorted(found))
