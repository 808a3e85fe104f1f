"""Is what was built good? Each file with its verdict and smoke run, as the manifest says it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final

from builders.key import source_digest
from builders.outcome import Outcome
from builders.plan import Goal, Step
from builders.timings import EventKind
from core.errors import RecipeError, UsageError
from core.target import Target
from core.threads import in_threads
from flow.context import Context
from flow.fetch import Sources
from flow.vouch import Registrar
from publish.manifest import NOT_PACKED, Artifact, Input, Seconds, VerdictSummary
from recipes.model import Recipe
from verify.actions import Judgement, Trial
from verify.policy import find_policy
from verify.results import ResultCache
from verify.smoke import Smoke
from verify.verdict import Finding, Policy, Severity

if TYPE_CHECKING:
    from verify.servers import SmokeServers

MOST_REMOTE: Final = 64
"""Files at a time of which other machines are asked."""

INCOMPRESSIBLE: Final = Finding(
    rule=NOT_PACKED,
    severity=Severity.WARNING,
    message="UPX cannot make it smaller: it is delivered as it is",
)


@dataclass(frozen=True, kw_only=True)
class BuildRun:
    """What was asked for, and what became of every step and source; nothing of it is verified yet."""

    goals: tuple[Goal, ...]
    outcomes: Mapping[Step, Outcome]
    sources: Sources

    def packs(self, goal: Goal) -> bool:
        """True when there is a packed form: of some programs UPX cannot make a smaller one."""
        return goal.pack is not None and "packed" in self.outcomes[goal.pack].files

    def program(self, goal: Goal, *, packed: bool = False) -> str:
        """Return the sha256 of the one file that a program's build made, or of its packed form."""
        if packed and goal.pack:
            return self.outcomes[goal.pack].files["packed"]
        return self.outcomes[goal.build].product(goal.build)

    def delivered(self) -> list[str]:
        """Return the sha256 of every file that becomes an artifact when it is good, each once."""
        found = [self.program(goal) for goal in self.goals]
        found += [self.program(goal, packed=True) for goal in self.goals if self.packs(goal)]
        return list(dict.fromkeys(found))

    def inputs(self, step: Step) -> tuple[Input, ...]:
        """Return every source that went into what ``step`` made, the tools' too."""
        found: dict[str, Input] = {}
        steps = [step]
        while steps:
            recipe = (step := steps.pop()).recipe
            steps += [need for _, need in step.needs]
            release, fetched = self.sources[recipe.name]
            found[recipe.name] = Input(
                name=recipe.name,
                version=release.version,
                sha256=source_digest(recipe, release),
                url=fetched.url,
                licence=release.licence,
            )
        return tuple(found[name] for name in sorted(found))


def verify(context: Context, run: BuildRun) -> list[Artifact]:
    """Verify and smoke everything, in the order of the goals whoever is ready first."""
    with ServerPool(context.jobs) as servers, context.elsewhere() as elsewhere:
        results = ResultCache(cache=context.cache, elsewhere=elsewhere)
        jobs = MOST_REMOTE if elsewhere else context.jobs
        shared = context.cache is not context.local
        verifier = Verifier(
            context=context,
            run=run,
            results=results,
            servers=servers,
            registrar=Registrar(context=context) if shared else None,
        )
        found = in_threads(
            verifier.artifacts, run.goals, jobs=jobs, name="verify", cancel=context.cancel
        )
        return [artifact for artifacts in found for artifact in artifacts]


def recipe_policy(recipe: Recipe) -> Policy:
    """Return the policy that a recipe names: one of ours, or a file of its directory. Raises RecipeError."""
    named = str(recipe.directory / recipe.policy) if "." in recipe.policy else recipe.policy
    try:
        return find_policy(named)
    except UsageError as error:
        msg = f"{recipe.directory / 'recipe.toml'}: 'policy': {error.what}"
        raise RecipeError(msg, next=error.next) from error


def problems(artifact: Artifact) -> list[str]:
    """Return a line for everything that keeps an artifact from being delivered."""
    return [
        f"  {artifact.path}: {finding.rule}: {finding.message}"
        for finding in artifact.verdict.findings
        if finding.severity is Severity.ERROR
    ] + [f"  {artifact.path}: smoke: {failure}" for failure in artifact.smoke.failures]


class ServerPool(ExitStack):
    """Loopback servers, started when they are needed. Thread-safe."""

    def __init__(self, most: int = MOST_REMOTE) -> None:
        """No more than ``most`` smoke runs go on at a time."""
        super().__init__()
        self.places = BoundedSemaphore(most)
        self.lock = Lock()
        self.idle: list[SmokeServers] = []

    @contextmanager
    def lend(self) -> "Iterator[SmokeServers]":
        """Lend servers to one smoke run alone: some answer by what they were asked before."""
        from verify.servers import serving  # noqa: PLC0415 - a remembered smoke run needs no servers

        with self.places:
            with self.lock:
                servers = self.idle.pop() if self.idle else self.enter_context(serving())
            try:
                yield servers
            finally:
                self.idle.append(servers)


def try_here(context: Context, trial: Trial, file: Path, servers: ServerPool) -> Smoke:
    """Run a program in an empty root, or say why that cannot be done here."""
    environment = context.find_smoke_environment(context, trial.target)
    if isinstance(environment, str):
        name = f"{trial.product} {trial.version} {trial.target}"
        context.report.warn(f"{name}: smoke not run: {environment}")
        return Smoke.not_run(environment)
    with servers.lend() as lent:
        return trial.perform(file, environment, lent)


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Verdicts and smoke runs of what was built, as manifest entries. Thread-safe."""

    context: Context
    run: BuildRun
    results: ResultCache
    servers: ServerPool
    registrar: Registrar | None = None
    """Who else made the same; nobody is asked when there is none: that takes time."""

    def artifacts(self, goal: Goal) -> list[Artifact]:
        """The plain file and the packed one, or the first that has problems: the packed one is no better."""
        plain = self.artifact(goal, packed=False)
        if goal.pack is None or problems(plain):
            return [plain]
        if not self.run.packs(goal):
            self.context.report.note(f"{goal.build.name}: {INCOMPRESSIBLE.message}")
            findings = (*plain.verdict.findings, INCOMPRESSIBLE)
            return [replace(plain, verdict=replace(plain.verdict, findings=findings))]
        return [plain, self.artifact(goal, packed=True)]

    def artifact(self, goal: Goal, *, packed: bool) -> Artifact:
        """Verify one file, and try it out when it is good so far."""
        self.context.cancel.check(goal.build.name)
        step = goal.pack if packed and goal.pack else goal.build
        outcome = self.run.outcomes[step]
        sha256 = self.run.program(goal, packed=packed)
        file = self.context.blob(sha256)
        path = goal.product.file_name(goal.release.version, goal.target, packed=packed)
        about = {"product": goal.product.name, "target": goal.target.value, "key": sha256}
        with self.context.timings.measure(path.name, EventKind.VERDICT) as facts:
            judgement = Judgement(
                file=sha256,
                unpacked=outcome.files["unpacked"] if packed else None,
                original=self.run.program(goal),
                policy=self.policy(goal, packed=packed),
            )
            own = (str(self.context.cache_directory),)
            verdict = VerdictSummary.from_dict(
                self.results.verdict(judgement, self.context.blob, own=own)
            )
            facts |= {**about, "ok": verdict.ok}
        tried = Smoke.not_run("refused before")
        if verdict.ok:
            with self.context.timings.measure(path.name, EventKind.SMOKE) as facts:
                trial = Trial.of(sha256, goal.product, goal.release, goal.target)
                known = self.results.known_smoke(trial)
                facts["cached"] = known is not None
                tried = known or self.results.smoke(
                    trial, lambda: try_here(self.context, trial, file, self.servers)
                )
                facts |= {**about, "ran": tried.ran, "ok": tried.ok, "how": tried.how}
        inputs = self.run.inputs(step)
        fetching = sum(self.run.sources[source.name][1].seconds for source in inputs)
        return Artifact(
            product=goal.product.name,
            release=goal.release.version,
            target=goal.target,
            packed=packed,
            path=str(path),
            size=file.stat().st_size,
            sha256=sha256,
            engine=outcome.engine,
            isolated=outcome.isolated,
            key=outcome.key,
            seconds=Seconds(fetch=round(fetching, 3), build=outcome.seconds),
            verdict=verdict,
            smoke=tried,
            inputs=inputs,
            cached=outcome.cached,
            budget=self.budget(goal),
            anchors=self.anchors(goal),
            reproduced_by=self.registrar.vouchers(outcome).others if self.registrar else (),
        )

    def anchors(self, goal: Goal) -> int:
        """Bytes of what the recipe puts inside as it is: whom to trust."""
        return sum(
            self.context.blob(sha256).stat().st_size
            for name, step in goal.build.needs
            if name in goal.product.variant.embeds
            for sha256 in self.run.outcomes[step].files.values()
        )

    def budget(self, goal: Goal) -> int | None:
        """The most bytes that the recipe allows, with the anchors; it has a bar for one target alone."""
        expect = goal.product.variant.expect
        if expect is None or goal.target is not Target.AMD64:
            return None
        return expect.max_size + self.anchors(goal)

    def policy(self, goal: Goal, *, packed: bool) -> Policy:
        """What the recipe says the file must be."""
        expect = goal.product.variant.expect
        return replace(
            recipe_policy(goal.product.recipe),
            target=goal.target,
            linkage=expect.linkage if expect and not packed else None,
            max_size=self.budget(goal),
            packed=packed,
            unpacked_verified=packed,
            build_paths=("/box", "/toolchain"),
        )
