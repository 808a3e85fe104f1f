"""Is what was built good? Each file with its verdict and smoke run, as the manifest says it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from builders.build import Outcome
from builders.engines.engine import Stopped
from builders.key import source_digest
from builders.plan import Step, Wanted
from builders.sources.fetch import Fetched
from builders.timings import Kind
from publish.manifest import Artifact, Input
from recipes.errors import StepError
from recipes.model import Release
from recipes.target import Target
from verify.expectations import Expectations
from verify.proofs import Proofs
from verify.smoke import Smoke, smoke
from workshop import Workshop

if TYPE_CHECKING:
    from verify.servers import Servers


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Verdicts and smoke runs of what was built, as manifest entries. Thread-safe."""

    workshop: Workshop
    outcomes: Mapping[Step, Outcome]
    sources: Mapping[str, tuple[Release, Fetched]]
    stack: ExitStack
    lock: Lock = field(default_factory=Lock)
    idle: "list[Servers]" = field(default_factory=list)

    @cached_property
    def proofs(self) -> Proofs:
        """What was found out before."""
        return Proofs(memory=self.workshop.cache)

    @contextmanager
    def servers(self) -> "Iterator[Servers]":
        """Lend loopback servers to one smoke run: some answer by what they were asked before."""
        from verify.servers import serving  # noqa: PLC0415

        with self.lock:
            mine = self.idle.pop() if self.idle else self.stack.enter_context(serving())
        try:
            yield mine
        finally:
            self.idle.append(mine)

    def judge_all(self, want: Wanted) -> tuple[list[Artifact], list[str]]:
        """Judge the plain file and the packed one; return the good ones, and what is wrong with the others."""
        made: list[Artifact] = []
        for packed in (False, True) if want.pack else (False,):
            if self.workshop.stop:
                msg = f"Stopped: {want.build.name}"
                raise Stopped(msg)
            artifact, findings = self.judge(want, packed=packed)
            if findings:
                return made, findings  # what is wrong unpacked is not better packed
            made.append(artifact)
        return made, []

    def judge(self, want: Wanted, *, packed: bool) -> tuple[Artifact, list[str]]:
        """Judge one file; return its manifest entry and what is wrong with it."""
        step = want.pack if packed and want.pack else want.build
        outcome = self.outcomes[step]
        sha256 = outcome.files["packed"] if packed else self.program(want)
        file = self.workshop.blob(sha256)
        expectations = self.expect(want, packed=packed)
        unpacked = self.workshop.blob(outcome.files["unpacked"]) if packed else None
        plain = self.workshop.blob(self.program(want))
        path = want.product.file_name(want.release.version, want.target, packed=packed)
        measure = self.workshop.timings.measure
        about = {"product": want.product.name, "target": want.target.value, "key": sha256}
        with measure(path.name, Kind.VERDICT) as facts:
            verdict = self.proofs.verdict(file, expectations, unpacked=unpacked, original=plain)
            facts |= {**about, "ok": verdict["ok"]}
        smoke = Smoke.not_run("refused before")
        if verdict["ok"]:
            with measure(path.name, Kind.SMOKE) as facts:
                facts["cached"] = True

                def run() -> Smoke:
                    facts["cached"] = False
                    return self.try_out(want, file)

                smoke = self.proofs.smoke(file, want.product, want.release, want.target, run)
                facts |= {**about, "ran": smoke.ran, "ok": smoke.ok, "how": smoke.how}
        findings = [
            f"  {path}: {finding['rule']}: {finding['message']}"
            for finding in verdict["findings"]
            if finding["severity"] == "error"
        ] + [f"  {path}: smoke: {failure}" for failure in smoke.failures]
        inputs = self.inputs(step)
        artifact = Artifact(
            product=want.product.name,
            release=want.release.version,
            target=want.target.value,
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

    def program(self, want: Wanted) -> str:
        """The sha256 of the one file that a program's build makes."""
        files = self.outcomes[want.build].files
        if len(files) != 1:
            msg = f"{want.build.name} made {len(files) or 'many'} files where one program is expected."
            raise StepError(msg, next=f"put one file into $OUT: {want.product.recipe.script}")
        return next(iter(files.values()))

    def expect(self, want: Wanted, *, packed: bool) -> "Expectations":
        """What the recipe says the file must be."""
        expect = want.product.variant.expect
        embeds = want.product.variant.embeds
        extra = sum(
            self.workshop.blob(sha256).stat().st_size
            for name, step in want.build.needs
            if name in embeds
            for sha256 in self.outcomes[step].files.values()
        )
        budget = expect.max_size + extra if expect and want.target is Target.AMD64 else None
        return Expectations(
            target=want.target,
            linkage=expect.linkage if expect and not packed else None,
            max_size=budget,
            packed=packed,
            unpacked_judged=packed,
            build_paths=("/box", "/toolchain", str(self.workshop.cache_folder)),
        )

    def try_out(self, want: Wanted, file: Path) -> Smoke:
        """Run it in an empty root, or say why that cannot be done here."""
        place = self.workshop.place(want.target)
        if isinstance(place, str):
            self.workshop.report.warn(f"{want.build.name}: smoke not run: {place}")
            return Smoke.not_run(place)
        with self.servers() as servers:
            return smoke(file, want.product, want.release, place, servers)

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
