"""What can I do? Every command of ``./inv``; thin on purpose, the work is in `pipeline.py` and the rooms."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from invoke import Collection, Context, Exit, task

from console.program import Inv
from console.progress import make_report
from console.table import table
from pipeline import Pipeline, Request, parse_targets
from recipes.errors import ExitCode, UsageError
from recipes.load import load_recipes
from recipes.settings import Settings
from recipes.target import Target
from upkeep import closing_table, describe, examine, fetch_all, look_after_cache, overview, sweep
from verify.expectations import Expectations
from workshop import ROOT

ENGINE = "where steps run: auto, docker, sandbox or host (default: auto)"
TARGET = "platforms as Docker names them, e.g. linux/arm64,linux/amd64, or 'all' (default: this machine's)"
RECIPES = "a folder with more recipes, added to our own (several: with commas between them)"
JSON = "print JSON instead of text"


def _pipeline(**flags: Any) -> Pipeline:
    texts = {name: str(value) if value else None for name, value in flags.items()}
    return Pipeline(settings=Settings.read(texts), report=make_report())


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


@task(
    iterable=["product"],
    help={
        "product": "PRODUCT or PRODUCT@VERSION, also as a bare word; none: the default products",
        "target": TARGET,
        "engine": ENGINE,
        "jobs": "steps at a time (default: one per CPU core)",
        "offline": "fetch nothing from the network",
        "exact": "only the newest release, or the one named, will do",
        "rebuild": "look at no cached result of these products",
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
    recipes: str = "",
    json: bool = False,
) -> None:
    """Build, verify, pack and try out products: ./inv build curl:http curl:https@8.21.0"""
    pipeline = _pipeline(engine=engine, jobs=jobs, offline=offline, recipes=recipes)
    request = Request(
        products=tuple(product), targets=parse_targets(target), exact=exact, rebuild=rebuild
    )
    try:
        made = pipeline.build(request)
    finally:
        pipeline.close()
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


@task(name="list", help={"recipes": RECIPES, "json": JSON})
def list_(_: Context, recipes: str = "", json: bool = False) -> None:
    """List products, their releases, and what is built."""
    rows = overview(_pipeline(recipes=recipes))
    if json:
        _print_json(rows)
        return
    cells = [
        (
            f"{row['product']}{'*' if row['default'] else ''}",
            row["release"],
            row["built"] or "-",
            row["summary"],
        )
        for row in rows
    ]
    print(table(("product", "release", "built for", "what"), cells))
    print(
        "\n* part of `inv build` without a product. Also: NAME@VERSION for an older pinned release."
    )


@task(
    iterable=["path"],
    help={
        "path": "files to judge, also as bare words",
        "target": "the platform they must be for",
        "json": JSON,
    },
)
def verify(_: Context, path: list[str], target: str = "", json: bool = False) -> None:
    """Judge any file: is it one static, stripped, sane program? Exit code 1 when not."""
    if not path:
        msg = "Nothing to verify."
        raise UsageError(msg, next="inv verify FILE…")
    pipeline = _pipeline()
    from proof import verify_files  # noqa: PLC0415 - an ELF reader that a build does not pay for

    expectations = Expectations(target=Target.parse(target) if target else None)
    verdicts = verify_files(pipeline, [Path(name) for name in path], expectations)
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
        from proof import smoke_artifacts  # noqa: PLC0415 - servers that a build does not pay for

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
    from bump import Bump, State, bump_table  # noqa: PLC0415 - a build does not pay for it

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
        "only": "folders or files below tests/, also as bare words (default: all)",
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
    words = [sys.executable, "-m", "tests.bench", "--rounds", rounds]
    flags = {"--json": json, "--quick": quick, "--cold": cold}
    _run(context, words + [flag for flag, given in flags.items() if given])


def _run(context: Context, words: list[str]) -> None:
    with context.cd(str(ROOT)):
        done = context.run(shlex.join(words), warn=True, pty=False, in_stream=False)
    if not done:
        raise Exit(code=done.exited if done else ExitCode.REFUSED)


namespace = Collection(
    build, fetch, list_, verify, smoke, doctor, cache, bump, clean, test, check, docs, bench
)
program = Inv(name="inv", binary="inv", namespace=namespace, version="0.1.0")

if __name__ == "__main__":
    program.run()
