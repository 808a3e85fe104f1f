"""The whole flow: recipe, fetch, build, verify, pack, verify, smoke, artifacts. The only room that knows all others."""

import filecmp
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from builders.build import Builder, Lazily, Outcome
from builders.engines.choose import Chooser
from builders.engines.engine import Engine, EngineName, Stop
from builders.key import action_key, source_digest
from builders.plan import Stage, Step, Wanted, in_order, needed_recipes, plan
from builders.report import Report, Stoppable
from builders.schedule import run_plan
from builders.sources.cache import Cache
from builders.sources.client import Client, Trouble
from builders.sources.fetch import Fetched, NotCached, Unavailable, fetch
from builders.sources.mirrors import Mirrors
from builders.toolchain import Toolchain
from publish.manifest import Artifact, Input, read_manifest, write_manifest
from recipes.errors import EngineError, StepError, UsageError, VerdictError
from recipes.load import HERE, find_product, list_products, load_recipes
from recipes.model import Product, Recipe, Release
from recipes.settings import Settings
from recipes.target import Target
from verify.expectations import Expectations
from verify.packing import Packing
from verify.proofs import Proofs
from verify.smoke import Place, Smoke, smoke

if TYPE_CHECKING:
    from verify.servers import Servers
    from verify.verdict import Verdict

ROOT = Path(__file__).parent


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


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The rooms, joined by the settings."""

    settings: Settings
    report: Report
    recipes_folder: Path = HERE
    stop: Stop = field(default_factory=Stop)

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """All recipes by name."""
        return load_recipes(self.recipes_folder)

    @cached_property
    def cache(self) -> Cache:
        """The content-addressed cache."""
        return Cache(self.cache_folder)

    @cached_property
    def cache_folder(self) -> Path:
        """Where the cache is."""
        if self.settings["cache"]:
            return Path(self.settings["cache"]).expanduser().absolute()
        from platformdirs import user_cache_path  # noqa: PLC0415

        return user_cache_path("fromscratch")

    @property
    def artifacts(self) -> Path:
        """Where the results go."""
        return Path(self.settings["artifacts"] or ROOT / "artifacts").absolute()

    @cached_property
    def toolchain(self) -> Toolchain:
        """The installed toolchain."""
        return Toolchain.installed(HERE)

    @cached_property
    def mirrors(self) -> Mirrors:
        """Where sources may come from."""
        return Mirrors.from_environment(
            {
                "FROMSCRATCH_MIRRORS": self.settings["mirrors"],
                "FROMSCRATCH_DEBIAN_MIRROR": self.settings["debian_mirror"],
            }
        )

    @cached_property
    def chooser(self) -> Chooser:
        """What finds an engine."""
        return Chooser(
            toolchain=self.toolchain,
            scratch=self.cache_folder / "boxes",
            base_image=self.settings["base_image"],
            mirrors=tuple(self.mirrors.debian()),
            stop=self.stop,
        )

    @cached_property
    def engine(self) -> Lazily:
        """The engine, looked for when the first step runs."""
        return Lazily(self._find_engine)

    def build(self, request: Request) -> list[Artifact]:
        """Make, prove and deliver. Returns every artifact, also those that were there already.

        Raises VerdictError at the end when one of them is refused; the good ones are delivered first.
        """
        products, pins = self.select(request.products)
        self.settings.choice("engine", EngineName)
        jobs = self.settings.number("jobs", os.cpu_count() or 1)
        sources = self.fetch(needed_recipes(products, self.recipes), pins, exact=request.exact)
        releases = {name: release for name, (release, _) in sources.items()}
        wanted = plan(
            [(product, target) for target in request.targets for product in products],
            self.recipes,
            releases,
            native=Target.native(),
        )
        builder = Builder(
            cache=self.cache,
            toolchain=self.toolchain,
            engine=self.engine,
            report=self.report,
            logs=self.cache_folder / "logs",
            stop=self.stop,
            rebuild=frozenset(product.recipe.name for product in products if request.rebuild),
        )
        outcomes = run_plan(in_order(wanted), builder, jobs=jobs, stop=self.stop)
        made, refused = self.judge(wanted, outcomes, sources)
        self.deliver(made)
        if refused:
            msg = "Refused, and not delivered:\n" + "\n".join(refused)
            raise VerdictError(msg, next="the file stays in the cache; see the findings above")
        return made

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

    def fetch(
        self, recipes: Iterable[Recipe], pins: Mapping[str, str], *, exact: bool = False
    ) -> dict[str, tuple[Release, Fetched]]:
        """Return a release of each recipe whose source is in the cache now, the newest that can be had."""
        recipes = list(recipes)
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="fetch") as pool:
            try:
                found = pool.map(
                    lambda recipe: self._fetch(recipe, pins.get(recipe.name), exact=exact), recipes
                )
                return {recipe.name: one for recipe, one in zip(recipes, found, strict=True)}
            except BaseException:
                self.stop.event.set()
                raise

    def _fetch(self, recipe: Recipe, pin: str | None, *, exact: bool) -> tuple[Release, Fetched]:
        candidates = [release for release in recipe.releases if pin in {None, release.version}]
        if recipe.local:
            return candidates[0], Fetched(path=recipe.local, url="", seconds=0.0, cached=True)
        offline = self.settings.flag("offline")
        for index, release in enumerate(candidates):
            progress = Stoppable(self.report.download(), self.stop)
            try:
                fetched = fetch(
                    release.archive,
                    self.cache,
                    self.mirrors,
                    offline=offline,
                    client=Client(sleep=progress.sleep),
                    progress=progress,
                )
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

    def judge(
        self,
        wanted: Iterable[Wanted],
        outcomes: Mapping[Step, Outcome],
        sources: Mapping[str, tuple[Release, Fetched]],
    ) -> tuple[list[Artifact], list[str]]:
        """Verify and smoke everything; return the good artifacts, and the findings about the others."""
        made: list[Artifact] = []
        refused: list[str] = []
        with ExitStack() as stack:
            judge = Judge(pipeline=self, outcomes=outcomes, sources=sources, stack=stack)
            for want in wanted:
                for packed in (False, True) if want.pack else (False,):
                    artifact, findings = judge.judge(want, packed=packed)
                    refused += findings
                    if findings:
                        break  # what is wrong unpacked is not better packed
                    made.append(artifact)
        return made, refused

    def deliver(self, artifacts: Iterable[Artifact]) -> None:
        """Copy the files out of the cache, then write the manifest."""
        artifacts = list(artifacts)
        for artifact in artifacts:
            place = self.artifacts / artifact.path
            blob = self.cache.blob(artifact.sha256)
            if blob is None:
                msg = f"The cache lost {artifact.path} while it was being delivered."
                raise VerdictError(msg, next="run again")
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

    def manifest(self) -> list[dict[str, object]]:
        """What `artifacts/manifest.json` says."""
        return read_manifest(self.artifacts)

    def place(self, target: Target) -> Place | str:
        """Return where finished programs for ``target`` can be tried, or why nowhere."""
        from builders.engines.empty_root import DockerPlace, WalledPlace, emulator  # noqa: PLC0415

        qemu = None
        if not target.runs_natively:
            qemu = emulator(target)
            if qemu is None:
                return f"qemu-{target.qemu}-static is not installed (apt-get install -y qemu-user-static)"
        if qemu is None and self.settings["engine"] in {EngineName.DOCKER, EngineName.AUTO}:
            try:
                from builders.engines.docker import connect, is_local  # noqa: PLC0415

                client = connect()
                if is_local(client):
                    return DockerPlace(client=client, scratch=self.chooser.scratch)
            except EngineError:
                pass
        try:
            return WalledPlace(
                wall=self.chooser.wall(), scratch=self.chooser.scratch, emulator=qemu
            )
        except EngineError as error:
            return f"no empty root can be made: {error.what}"

    def verify(self, paths: Sequence[Path], expectations: Expectations) -> "list[Verdict]":
        """Judge any files. A packed one is judged by what it unpacks to as well, when UPX can be had."""
        return [self._verify(path, expectations) for path in paths]

    def _verify(self, path: Path, expectations: Expectations) -> "Verdict":
        from verify.verdict import judge_path  # noqa: PLC0415 - pyelftools is not needed to build

        verdict = judge_path(path, expectations)
        if verdict.facts is None or verdict.facts.packing is Packing.NONE:
            return verdict
        with self.cache.scratch() as scratch:
            upx = self._upx(scratch)
            if upx is None:
                return verdict
            unpacked = scratch / "unpacked"
            words = [str(upx), "-q", "-d", "-o", str(unpacked), str(path)]
            try:
                subprocess.run(words, capture_output=True, timeout=120, check=True)
            except subprocess.SubprocessError:
                return verdict  # it says that nobody could look inside
            if not judge_path(unpacked, expectations):
                return verdict
        return judge_path(path, replace(expectations, unpacked_judged=True))

    def _upx(self, scratch: Path) -> Path | None:
        """Return UPX: the one that was built here, made to run in ``scratch``, else the machine's."""
        recipe = self.recipes["upx"]
        for release in recipe.releases:
            step = Step(
                stage=Stage.BUILD,
                recipe=recipe,
                release=release,
                variant=recipe.variants[0],
                target=Target.native(),
                needs=(),
            )
            made = self.cache.get_action(action_key(step, {}, self.toolchain))
            if made and (blob := self.cache.blob(made["files"]["upx"])):
                upx = scratch / "upx"
                shutil.copyfile(blob, upx)
                upx.chmod(0o755)
                return upx
        found = shutil.which("upx")
        return Path(found) if found else None

    def smoke_all(self) -> list[tuple[str, Smoke]]:
        """Try out every file of the manifest again; nothing remembered is believed."""
        from verify.servers import serving  # noqa: PLC0415

        results: list[tuple[str, Smoke]] = []
        with serving() as servers:
            for entry in self.manifest():
                product = find_product(str(entry["product"]), self.recipes)
                release = product.recipe.release(str(entry["release"]))
                place = self.place(Target.parse(str(entry["target"])))
                path = str(entry["path"])
                if release is None:
                    results.append((path, Smoke.not_run("this release is no longer in the recipe")))
                elif isinstance(place, str):
                    results.append((path, Smoke.not_run(place)))
                else:
                    file = self.artifacts / path
                    results.append((path, smoke(file, product, release, place, servers)))
        return results

    def close(self) -> None:
        """Put the display away."""
        self.report.close()

    def _find_engine(self) -> Engine:
        engine = self.chooser.choose(self.settings.choice("engine", EngineName))
        if not engine.isolated:
            self.report.warn("steps run on this machine without isolation (engine 'host')")
        return engine


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Verdicts and smoke runs of what was built, as manifest entries."""

    pipeline: Pipeline
    outcomes: Mapping[Step, Outcome]
    sources: Mapping[str, tuple[Release, Fetched]]
    stack: ExitStack

    @cached_property
    def proofs(self) -> Proofs:
        """What was found out before."""
        return Proofs(memory=self.pipeline.cache)

    @cached_property
    def servers(self) -> "Servers":
        """The loopback servers, started for the first smoke run."""
        from verify.servers import serving  # noqa: PLC0415

        return self.stack.enter_context(serving())

    def judge(self, want: Wanted, *, packed: bool) -> tuple[Artifact, list[str]]:
        """Judge one file; return its manifest entry and what is wrong with it."""
        step = want.pack if packed and want.pack else want.build
        outcome = self.outcomes[step]
        sha256 = outcome.files["packed"] if packed else self.program(want)
        file = self.blob(sha256)
        expectations = self.expect(want, packed=packed)
        unpacked = self.blob(outcome.files["unpacked"]) if packed else None
        plain = self.blob(self.program(want))
        verdict = self.proofs.verdict(file, expectations, unpacked=unpacked, original=plain)
        smoke = Smoke.not_run("refused before")
        if verdict["ok"]:
            smoke = self.proofs.smoke(
                file, want.product, want.release, want.target, lambda: self.try_out(want, file)
            )
        path = want.product.file_name(want.release.version, want.target, packed=packed)
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
            self.blob(sha256).stat().st_size
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
            build_paths=("/box", "/toolchain", str(self.pipeline.cache_folder)),
        )

    def try_out(self, want: Wanted, file: Path) -> Smoke:
        """Run it in an empty root, or say why that cannot be done here."""
        place = self.pipeline.place(want.target)
        if isinstance(place, str):
            self.pipeline.report.warn(f"{want.build.name}: smoke not run: {place}")
            return Smoke.not_run(place)
        return smoke(file, want.product, want.release, place, self.servers)

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

    def blob(self, sha256: str) -> Path:
        """A file of the cache. Raises VerdictError when it was lost."""
        blob = self.pipeline.cache.blob(sha256)
        if blob is None:
            msg = f"The cache lost {sha256} during the run."
            raise VerdictError(msg, next="run again")
        return blob


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read ``--target``: names with commas between them, ``all``, or nothing for this machine's.

    Raises UsageError with a guess.
    """
    if not text:
        return (Target.native(),)
    if text == "all":
        return tuple(target for target in Target if target is not Target.MIPS64LE)
    return tuple(dict.fromkeys(Target.parse(name.strip()) for name in text.split(",")))
