"""What can I do? Every command of ``./inv``; thin on purpose, the work is in `commands` and the rooms below."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from invoke import Collection, Context, Exit, task

from commands.list import details, overview, summary
from commands.upkeep import closing_table, describe, examine, fetch_all, look_after_cache, sweep
from console.program import Inv
from console.progress import make_report
from console.table import table
from core.errors import ExitCode, UsageError
from core.settings import Settings
from core.target import Target
from flow.build import ALL, Pipeline, Request, parse_targets
from flow.context import ROOT
from recipes.load import load_recipes
from verify.verdict import Policy

ENGINE = "where steps run: auto, docker, sandbox or host (default: auto)"
TARGET = "platforms as Docker names them, e.g. linux/arm64,linux/amd64, or 'all' (default: this machine's)"
RECIPES = "a directory with more recipes, added to our own (several: with commas between them)"
JSON = "print JSON instead of text"


def _pipeline(**flags: Any) -> Pipeline:
    texts = {name: str(value) if value else None for name, value in flags.items()}
    return Pipeline(settings=Settings.read(texts), report=make_report())


def _shipment(words: list[str], target: str, *, packed: bool, plain: bool) -> Any:
    if packed and plain:
        msg = "Packed and plain at once is neither."
        raise UsageError(msg, next="leave one of the two flags away")
    from commands.image import ImageSelection  # noqa: PLC0415 - a build does not pay for it

    return ImageSelection(
        words=tuple(words),
        targets=parse_targets(target) if target else (),
        packed=True if packed else False if plain else None,
    )


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


@task(
    iterable=["product"],
    optional=["timings"],
    help={
        "product": "PRODUCT or PRODUCT@VERSION, also as a bare word; none: the default products",
        "target": TARGET,
        "engine": ENGINE,
        "jobs": "steps at a time (default: one per CPU core)",
        "offline": "fetch nothing from the network",
        "exact": "only the newest release, or the one named, will do",
        "rebuild": "look at no cached result of these products",
        "rebuild-and-compare": "build again elsewhere, compare byte for byte; exit code 1 when a file differs",
        "timings": "write a trace of every step for ui.perfetto.dev: --timings=FILE (default: artifacts/timings.json)",
        "recipes": RECIPES,
        "json": JSON,
    },
)
def build(
    _: Context,
    product: list[str],
    target: str = "",
    engine: str = "",
    jobs: str = "",
    offline: bool = False,
    exact: bool = False,
    rebuild: bool = False,
    rebuild_and_compare: bool = False,
    timings: str | bool = "",
    recipes: str = "",
    json: bool = False,
) -> None:
    """Build, verify, pack and try out products: ./inv build curl:http curl:https@8.21.0"""
    pipeline = _pipeline(engine=engine, jobs=jobs, offline=offline, recipes=recipes)
    request = Request(
        products=tuple(product),
        targets=parse_targets(target),
        everywhere=target == ALL,
        exact=exact,
        rebuild=rebuild,
    )
    try:
        if rebuild_and_compare:
            from commands.rebuild import rebuild_and_compare as compare  # noqa: PLC0415 - rarely asked for

            compared = compare(pipeline, request)
            _print_json(compared.as_dict()) if json else print(compared.text())
            if not compared:
                raise Exit(code=ExitCode.REFUSED)
            return
        made = pipeline.build(request)
    finally:
        pipeline.close()
        if timings:
            # Without a value invoke makes it True. What went wrong is worth a look too.
            pipeline.write_timings(Path(timings) if isinstance(timings, str) else None)
    if json:
        _print_json([artifact.as_dict() for artifact in made])
    else:
        print(closing_table(made))


@task(
    iterable=["product"],
    help={
        "product": "only these products' sources",
        "offline": "only look",
        "recipes": RECIPES,
        "json": JSON,
    },
)
def fetch(
    _: Context, product: list[str], offline: bool = False, recipes: str = "", json: bool = False
) -> None:
    """Fetch and check the sources of products (default: of all recipes)."""
    pipeline = _pipeline(offline=offline, recipes=recipes)
    try:
        rows = fetch_all(pipeline, tuple(product))
    finally:
        pipeline.close()
    if json:
        _print_json(
            [
                dict(zip(("name", "version", "size", "sha256", "url"), row, strict=True))
                for row in rows
            ]
        )
    else:
        cells = [
            (name, version, f"{size:,}", sha[:16], url) for name, version, size, sha, url in rows
        ]
        print(table(("source", "version", "bytes", "sha256", "from"), cells))


@task(
    name="list",
    help={
        "target": "exact sizes and states for these platforms, or 'all'",
        "recipes": RECIPES,
        "json": JSON,
    },
)
def list_(_: Context, target: str = "", recipes: str = "", json: bool = False) -> None:
    """List products, their releases, and what is built for which target."""
    targets = parse_targets(target)
    rows = overview(_pipeline(recipes=recipes))
    if json:
        _print_json(rows)
    else:
        print(details(rows, targets) if target else summary(rows))


@task(
    iterable=["path"],
    help={
        "path": "files to judge, also as bare words",
        "target": "the platform they must be for",
        "release": "check a release instead: its directory, or oci://HOST/REPO[/NAME[:TAG]]",
        "key": "the public key file that the release must be signed by",
        "insecure": "plain http also to a registry on another machine",
        "json": JSON,
    },
)
def verify(
    _: Context,
    path: list[str],
    target: str = "",
    release: str = "",
    key: str = "",
    insecure: bool = False,
    json: bool = False,
) -> None:
    """Verifier any file: is it one static, stripped, sane program? Or a whole release. Exit code 1 when not."""
    if bool(path) == bool(release):
        msg = "Files and a release at once are two questions." if path else "Nothing to verify."
        raise UsageError(msg, next="inv verify FILE…, or inv verify --release DIR")
    pipeline = _pipeline(public_key=key)
    if release:
        from commands.publish import check_shipped, public_key  # noqa: PLC0415 - much that a build does not need

        try:
            checked = check_shipped(
                pipeline, release, public_key=public_key(pipeline), insecure=insecure
            )
        finally:
            pipeline.close()
        if json:
            _print_json({"version": 1, "releases": [one.as_dict() for one in checked]})
        else:
            print("\n".join(one.text() for one in checked))
        if not all(checked):
            raise Exit(code=ExitCode.REFUSED)
        return
    from commands.proof import verify_files  # noqa: PLC0415 - an ELF reader that a build does not pay for

    policy = Policy(target=Target.parse(target) if target else None)
    verdicts = verify_files(pipeline, [Path(name) for name in path], policy)
    if json:
        _print_json({"version": 1, "verdicts": [verdict.as_dict() for verdict in verdicts]})
    else:
        print("\n".join(verdict.text() for verdict in verdicts))
    if not all(verdicts):
        raise Exit(code=ExitCode.REFUSED)


@task(
    help={
        "engine": "docker: in scratch containers; sandbox: in an empty root (default: auto)",
        "recipes": RECIPES,
        "json": JSON,
    }
)
def smoke(_: Context, engine: str = "", recipes: str = "", json: bool = False) -> None:
    """Try out everything in artifacts/ in an empty root. Exit code 1 when something fails."""
    pipeline = _pipeline(engine=engine, recipes=recipes)
    try:
        from commands.proof import smoke_artifacts  # noqa: PLC0415 - servers that a build does not pay for

        results = smoke_artifacts(pipeline)
    finally:
        pipeline.close()
    if json:
        _print_json([{"path": path, **result.as_dict()} for path, result in results])
    else:
        states = {(True, True): "ok", (True, False): "FAILED", (False, False): "not run"}
        print(
            table(
                ("file", "smoke", "where"),
                [(path, states[r.ran, r.ok], r.how) for path, r in results],
            )
        )
        for path, result in results:
            for failure in result.failures:
                print(f"{path}: {failure}")
    if not results or any(not result.ok for _, result in results):
        raise Exit("" if results else "Nothing is built yet: inv build", code=ExitCode.REFUSED)


@task(
    iterable=["image"],
    help={
        "image": "static-curl, static-curl:http, static-tools … also as bare words (default: all that can be made)",
        "target": "only these platforms of what is built (default: all of them)",
        "packed": "the files that UPX packed",
        "plain": "the files as they were linked (default, but for static-tools)",
        "tar": "also one tar for each platform, for docker load and skopeo oci-archive:",
        "load": "also put them into the Docker engine",
        "json": JSON,
    },
)
def image(
    _: Context,
    image: list[str],
    target: str = "",
    packed: bool = False,
    plain: bool = False,
    tar: bool = False,
    load: bool = False,
    json: bool = False,
) -> None:
    """Make multi-arch scratch images of what is built: ./inv image static-curl --tar"""
    from commands.image import Shipping, describe_images  # noqa: PLC0415 - a build does not pay for it

    pipeline = _pipeline()
    shipment = _shipment(image, target, packed=packed, plain=plain)
    try:
        shipping = Shipping(pipeline=pipeline)
        made, lacking = shipping.make(shipment)
        tars = [path for one in made for path in shipping.archives(one)] if tar else []
        loaded = [shipping.load(one) for one in made] if load else []
    finally:
        pipeline.close()
    if json:
        _print_json([one.as_dict() for one in made])
        return
    print(describe_images(made))
    for line in (*(f"not made: {one}" for one in lacking), *map(str, tars)):
        print(line)
    for name in loaded:
        print(f"loaded: {name}")


@task(
    iterable=["image"],
    help={
        "image": "static-curl, static-curl:http, static-tools … also as bare words (default: all that can be made)",
        "to": "a directory, which becomes a release ready to upload; or oci://HOST/REPO, a registry",
        "target": "only these platforms of what is built (default: all of them)",
        "key": "the secret key file to sign with (default: the one that inv key new made, if it did)",
        "packed": "images with the files that UPX packed",
        "plain": "images with the files as they were linked (default, but for static-tools)",
        "latest": "registry: also move the tags latest, http, … to what is pushed",
        "insecure": "registry: plain http also to another machine",
        "dry_run": "publish nothing; print every digest and tag",
        "json": JSON,
    },
)
def publish(
    _: Context,
    image: list[str],
    to: str = "",
    target: str = "",
    key: str = "",
    packed: bool = False,
    plain: bool = False,
    latest: bool = False,
    insecure: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Publish what is built, with checksums, signature, SBOMs and provenance: ./inv publish --to DIR or oci://HOST/REPO"""
    if not to:
        msg = "Nobody said where to."
        raise UsageError(msg, next="inv publish --to DIR, or inv publish --to oci://HOST/REPO")
    import commands.publish as publisher  # noqa: PLC0415 - much that a build does not need
    from publish.registry.reference import SCHEME, Repository  # noqa: PLC0415

    pipeline = _pipeline(key=key)
    shipment = _shipment(image, target, packed=packed, plain=plain)
    try:
        repository = Repository.parse(to, insecure=insecure) if to.startswith(SCHEME) else None
        publishing = publisher.Publishing.of(pipeline, key=publisher.secret_key(pipeline))
        if repository:
            pushed = publishing.to_registry(repository, shipment, latest=latest, dry=dry_run)
            result: Any = [publisher.pushed_as_dict(one) for one in pushed]
            text = publisher.describe_pushed(pushed, dry=dry_run)
        else:
            done = publishing.to_directory(Path(to), shipment, dry=dry_run)
            result = publisher.release_as_dict(done)
            text = publisher.describe_release(done, dry=dry_run)
    finally:
        pipeline.close()
    if json:
        _print_json(result)
    else:
        print(text)


@task(
    iterable=["what"],
    help={
        "what": "new [FILE]: make a key pair, FILE and FILE.pub; show: print the public key; also as bare words",
        "json": JSON,
    },
)
def key(_: Context, what: list[str], json: bool = False) -> None:
    """Make the key pair that signs releases (Ed25519, minisign's format): key new | show."""
    from commands.publish import look_after_keys  # noqa: PLC0415 - as above

    lines = look_after_keys(_pipeline(), what)
    if json:
        _print_json(lines)
    else:
        print("\n".join(lines))


@task(help={"json": JSON})
def doctor(_: Context, json: bool = False) -> None:
    """Explain this machine: which engines work, which settings won, what is missing."""
    pipeline = _pipeline()
    report = examine(pipeline)
    if json:
        _print_json(report)
        return
    print(describe(report))


@task(
    iterable=["what"],
    help={
        "what": "list (default), verify, prune, or mirror DIR; also as bare words",
        "older": "prune: what was not used for this many days (default: 30; 0: everything)",
        "recipes": RECIPES,
        "json": JSON,
    },
)
def cache(
    _: Context, what: list[str], older: str = "30", recipes: str = "", json: bool = False
) -> None:
    """Look after the cache: cache list | verify | prune | mirror DIR."""
    pipeline = _pipeline(recipes=recipes)
    try:
        lines = look_after_cache(pipeline, what or ["list"], older=older)
    finally:
        pipeline.close()
    if json:
        _print_json(lines)
    else:
        print("\n".join(lines))


@task(help={"cache": "the cache too: the next build starts from nothing"})
def clean(_: Context, cache: bool = False) -> None:
    """Remove what was built, and what a killed run left behind."""
    for line in sweep(_pipeline(), cache=cache):
        print(line)


@task(
    iterable=["recipe"],
    help={
        "recipe": "only these recipes, also as bare words (default: all)",
        "check": "write nothing; exit code 1 when something would move",
        "recipes": RECIPES,
        "json": JSON,
    },
)
def bump(
    _: Context, recipe: list[str], check: bool = False, recipes: str = "", json: bool = False
) -> None:
    """Move pins to newer releases, once upstream's signature was checked: ./inv bump curl"""
    from commands.bump import Bump, State, bump_table  # noqa: PLC0415 - a build does not pay for it

    pipeline = _pipeline(recipes=recipes)
    try:
        rows = Bump.of(pipeline).run(recipe, check=check)
    finally:
        pipeline.close()
    if json:
        _print_json({"version": 1, "recipes": [row.as_dict() for row in rows]})
    else:
        print(bump_table(rows, check=check))
    states = [row.state for row in rows]
    if check and State.MOVED in states:
        raise Exit(code=ExitCode.REFUSED)
    if State.UNSEEN in states and not {State.MOVED, State.NEWEST} & set(states):
        msg = "Nobody who knows of newer releases could be asked."
        raise Exit(msg, code=ExitCode.SOURCE)


@task(
    iterable=["only"],
    help={
        "only": "directories or files below tests/, also as bare words (default: all)",
        "match": "only tests whose name matches (pytest -k)",
        "fast": "only what needs no build, no engine and no network",
    },
)
def test(context: Context, only: list[str], match: str = "", fast: bool = False) -> None:
    """Run the tests: unit tests, then the real thing in the engines that work here."""
    words = [sys.executable, "-m", "pytest", *(only or (["tests/unit"] if fast else ["tests"]))]
    words += ["-k", match] if match else []
    _run(context, words)


@task(help={"check": "change nothing; exit code 1 when something is stale"})
def docs(_: Context, check: bool = False) -> None:
    """Make the tables of README.md and docs/ anew from recipes, rules, settings and artifacts/."""
    from publish.pages import rewrite  # noqa: PLC0415 - pyelftools is not needed to build

    # Our own recipes only: the pages are about nobody else's.
    done = rewrite(ROOT, load_recipes(), _pipeline().manifest(), check=check)
    for note in done.notes:
        print(f"note: {note}")
    for block in done.stale:
        print(f"{block} {'is stale: run inv docs' if check else 'made anew'}")
    if check and done.stale:
        raise Exit(code=ExitCode.REFUSED)


@task(help={"fix": "mend what can be mended"})
def check(context: Context, fix: bool = False) -> None:
    """Lint, format, types, direction of imports, generated pages: what a change must pass."""
    python = [sys.executable, "-m"]
    _run(context, [*python, "ruff", "check", *(["--fix"] if fix else []), "."])
    _run(context, [*python, "ruff", "format", *([] if fix else ["--check"]), "."])
    _run(context, [*python, "mypy", "."])
    linter = Path(sys.executable).with_name("lint-imports")
    _run(context, [str(linter), "--no-cache", "--no-logo"])
    docs(context, check=not fix)


@task(
    help={
        "json": JSON,
        "rounds": "runs per file and figure (default: 200)",
        "quick": "no timed builds",
        "cold": "also time the probe's builds from its sources: minutes",
    }
)
def bench(
    context: Context,
    json: bool = False,
    rounds: str = "200",
    quick: bool = False,
    cold: bool = False,
) -> None:
    """Measure sizes, times and memory beside the reference figures."""
    words = [sys.executable, "-m", "bench.bench", "--rounds", rounds]
    flags = {"--json": json, "--quick": quick, "--cold": cold}
    _run(context, words + [flag for flag, given in flags.items() if given])


def _run(context: Context, words: list[str]) -> None:
    with context.cd(str(ROOT)):
        done = context.run(shlex.join(words), warn=True, pty=False, in_stream=False)
    if not done:
        raise Exit(code=done.exited if done else ExitCode.REFUSED)


namespace = Collection(
    build,
    fetch,
    list_,
    verify,
    smoke,
    image,
    publish,
    key,
    doctor,
    cache,
    bump,
    clean,
    test,
    check,
    docs,
    bench,
)
program = Inv(name="inv", binary="inv", namespace=namespace, version="0.1.0")

if __name__ == "__main__":
    program.run()
