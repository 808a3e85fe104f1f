"""What can I do? Every command of ``./inv``; thin on purpose, the work is in `commands` and the packages below."""

import os
import signal


def _interrupted(number: int, frame: object) -> None:
    # Nothing has begun, so nothing needs tidying up; and what is imported now must not be told of it.
    os.write(2, b"Interrupted: nothing is left running or half-written.\n")
    os._exit(130)


if __name__ == "__main__":
    # Before anything else: imports take a part of a second, in which Ctrl-C would show where they were.
    for _number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(_number) is not signal.SIG_IGN:
            signal.signal(_number, _interrupted)

import json as json_text
import subprocess
import sys
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from invoke import Collection, Context, Exit, task

from commands.build import closing_table
from commands.cache import manage_cache
from commands.command import command
from commands.fetch import fetch_all, source_table
from commands.list import details, overview, summary
from console.program import Inv
from core.errors import ExitCode, UsageError
from core.visible import visible
from flow.build import ALL, Request, parse_targets
from flow.build import build as build_all
from flow.context import ROOT
from publish.manifest import read_manifest
from recipes.load import load_recipes

ENGINE = "where steps run: auto, docker, sandbox or host (default: auto)"
COMMON = {
    "image": "static-curl, static-curl:http, static-tools … also as bare words (default: all that can be made)",
    "recipes": "a directory with more recipes, added to our own (several: with commas between them)",
    "json": "print JSON instead of text",
}
"""Flags that say the same in every command that has them."""


def _task(*, optional: Sequence[str] = (), **texts: str) -> Callable[[Callable[..., None]], Any]:
    """Make a function a command: bare words go to its list, if it has one; ``texts`` say what its flags are for."""

    def make(body: Callable[..., None]) -> Any:
        flags = signature(body).parameters
        return task(
            name=body.__name__.rstrip("_"),
            iterable=[name for name, flag in flags.items() if flag.annotation == list[str]],
            optional=optional,
            help={**{name: COMMON[name] for name in COMMON if name in flags}, **texts},
        )(body)

    return make


def _show(value: object, text: str, *, json: bool) -> None:
    # All that JSON does not escape by itself is DEL.
    print(json_text.dumps(value, indent=2).replace("\x7f", r"\u007f") if json else visible(text))


def _refuse_unless(good: object, message: str = "") -> None:
    if not good:
        raise Exit(message, code=ExitCode.REFUSED)


@_task(
    optional=["timings"],
    product="PRODUCT or PRODUCT@VERSION, also as a bare word; none: the default products",
    target="platforms as Docker names them, e.g. linux/arm64,linux/amd64, or 'all' (default: this machine's)",
    engine=ENGINE,
    jobs="steps at a time (default: one per CPU core)",
    offline="fetch nothing from the network",
    exact="only the newest release, or the one named, will do",
    no_pack="make only plain files, and no UPX to pack them with",
    rebuild="look at no cached result of these products",
    rebuild_and_compare="build again elsewhere, compare byte for byte; exit code 1 when a file differs",
    timings="write a trace of every step for ui.perfetto.dev: --timings=FILE (default: artifacts/timings.json)",
)
def build(
    _: Context,
    product: list[str],
    target: str = "",
    engine: str = "",
    jobs: str = "",
    offline: bool = False,
    exact: bool = False,
    no_pack: bool = False,
    rebuild: bool = False,
    rebuild_and_compare: bool = False,
    timings: str | bool = "",
    recipes: str = "",
    json: bool = False,
) -> None:
    """Build, verify, pack and try out products: ./inv build curl:http curl:https@8.21.0"""
    request = Request(
        products=tuple(product),
        targets=parse_targets(target),
        everywhere=target == ALL,
        exact=exact,
        rebuild=rebuild,
        pack=not no_pack,
    )
    with command(
        timings=timings, engine=engine, jobs=jobs, offline=offline, recipes=recipes
    ) as context:
        if not rebuild_and_compare:
            made = build_all(context, request)
            _show([artifact.as_dict() for artifact in made], closing_table(made), json=json)
            return
        from commands.rebuild import rebuild_and_compare as compare

        compared = compare(context, request)
    _show(compared.as_dict(), compared.text(), json=json)
    _refuse_unless(compared)


@_task(
    product="only these products' sources",
    offline="only look",
)
def fetch(
    _: Context, product: list[str], offline: bool = False, recipes: str = "", json: bool = False
) -> None:
    """Fetch and check the sources of products (default: of all recipes)."""
    with command(offline=offline, recipes=recipes) as context:
        sources = fetch_all(context, product)
    _show([vars(source) for source in sources], source_table(sources), json=json)


@_task(target="exact sizes and states for these platforms, or 'all'")
def list_(_: Context, target: str = "", recipes: str = "", json: bool = False) -> None:
    """List products, their releases, and what is built for which target."""
    targets = parse_targets(target)
    with command(recipes=recipes) as context:
        rows = overview(context)
    text = details(rows, targets) if target else summary(rows)
    _show([row.as_dict() for row in rows], text, json=json)


@_task(
    optional=["sarif", "junit"],
    path="files, tar archives, image layouts, oci://HOST/REPO/NAME:TAG, - for standard input; also as bare words",
    target="the platform they must be for; of an image, only this one is looked at",
    policy="static (default), hardened, minimal, or a file that ends with .toml",
    recursive="judge every ELF file below directories",
    root="the root file system that the files are in: policy minimal looks loaders and libraries up there",
    facts="also say what is known of each file: protections, versions, rights, sizes",
    sarif="SARIF 2.1.0 for code scanning, instead of text; --sarif=FILE: into a file, beside the text",
    junit="JUnit's XML for CI servers, instead of text; --junit=FILE: into a file, beside the text",
    release="check a release instead: its directory, or oci://HOST/REPO[/NAME[:TAG]]",
    key="the public key file that the release must be signed by",
    insecure="plain http also to a registry on another machine",
)
def verify(
    _: Context,
    path: list[str],
    target: str = "",
    policy: str = "",
    recursive: bool = False,
    root: str = "",
    facts: bool = False,
    sarif: str | bool = "",
    junit: str | bool = "",
    release: str = "",
    key: str = "",
    insecure: bool = False,
    json: bool = False,
) -> None:
    """Judge files and images: do they start alone, are they hardened? Exit code 1: refused, 2: nothing to judge."""
    if bool(path) == bool(release):
        msg = "Files and --release are mutually exclusive." if path else "Nothing to verify."
        raise UsageError(msg, next="inv verify FILE…, or inv verify --release DIR")
    outputs = {"sarif": sarif, "junit": junit}
    if [json, *outputs.values()].count(True) > 1:
        msg = "Standard output takes one of --json, --sarif and --junit."
        raise UsageError(msg, next="write the others into files: --sarif=FILE")
    if release:
        if target or policy or recursive or root or facts or sarif or junit:
            msg = "--release takes --key, --insecure and --json alone."
            raise UsageError(msg, next="inv verify --policy NAME judges files, also those in DIR")
        _verify_release(release, key=key, insecure=insecure, json=json)
        return
    from commands.verify import VerifyRequest, as_text, judge, write_report

    request = VerifyRequest.of(
        path,
        target=target,
        policy=policy,
        recursive=recursive,
        root=root,
        insecure=insecure,
        thorough=facts or json,
    )
    with command() as context:
        report = judge(context, request)
    for kind, file in outputs.items():
        if isinstance(file, str) and file:
            write_report(report, file, kind, version=program.version or "")
    kinds = [kind for kind, file in outputs.items() if file is True]
    if kinds:
        print(as_text(report, kinds[0], version=program.version or ""))
    else:
        _show(
            report.as_dict() if json else None, "" if json else report.text(facts=facts), json=json
        )
    if not report:
        raise Exit(code=report.code)


def _verify_release(release: str, *, key: str, insecure: bool, json: bool) -> None:
    from commands.verify_release import check_releases

    with command(public_key=key) as context:
        found = check_releases(context, release, insecure=insecure)
    value = {"version": 1, "releases": [checked.as_dict() for checked in found]}
    _show(value, "\n".join(checked.text() for checked in found), json=json)
    _refuse_unless(all(found))


@_task(engine="docker: in scratch containers; sandbox: in an empty root (default: auto)")
def smoke(_: Context, engine: str = "", recipes: str = "", json: bool = False) -> None:
    """Try out everything in artifacts/ in an empty root. Exit code 1 when something fails."""
    from commands.smoke import describe_smoke, smoke_artifacts

    with command(engine=engine, recipes=recipes) as context:
        results = smoke_artifacts(context)
    rows = [{"path": path, **result.as_dict()} for path, result in results]
    _show(rows, describe_smoke(results), json=json)
    _refuse_unless(results, "Nothing is built yet: inv build")
    _refuse_unless(all(result.ok for _, result in results))


@_task(
    target="only these platforms of what is built (default: all of them)",
    packed="the files that UPX packed",
    plain="the files as they were linked (default, but for static-tools)",
    tar="also one tar for each platform, for docker load and skopeo oci-archive:",
    load="also put them into the Docker engine",
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
    from commands.image import ImageMaker, ImageSelection, describe_images

    selection = ImageSelection.of(image, target, packed=packed, plain=plain)
    with command() as context:
        maker = ImageMaker(context=context)
        made, lacking = maker.make(selection)
        lines = [f"not made: {line}" for line in lacking]
        lines += [str(path) for written in made for path in maker.archives(written)] if tar else []
        lines += [f"loaded: {maker.load(written)}" for written in made] if load else []
    _show(
        [written.as_dict() for written in made],
        "\n".join([describe_images(made), *lines]),
        json=json,
    )


@_task(
    to="a directory, which becomes a release ready to upload; or oci://HOST/REPO, a registry",
    target="only these platforms of what is built (default: all of them)",
    key="the secret key file to sign with (default: the one that inv key new made, if it did)",
    packed="images with the files that UPX packed",
    plain="images with the files as they were linked (default, but for static-tools)",
    latest="registry: also move the tags latest, http, … to what is pushed",
    insecure="registry: plain http also to another machine",
    dry_run="publish nothing; print every digest and tag",
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
        msg = "--to is required."
        raise UsageError(msg, next="inv publish --to DIR, or inv publish --to oci://HOST/REPO")
    from commands.image import ImageSelection
    from commands.key import secret_key
    from commands.publish import Publisher

    selection = ImageSelection.of(image, target, packed=packed, plain=plain)
    with command(key=key) as context:
        publisher = Publisher(context=context, key=secret_key(context))
        value, text = publisher.publish(
            to, selection, latest=latest, insecure=insecure, dry=dry_run
        )
    _show(value, text, json=json)


@_task(
    what="new [FILE]: make a key pair, FILE and FILE.pub; show: print the public key; also as bare words"
)
def key(_: Context, what: list[str], json: bool = False) -> None:
    """Make the key pair that signs releases (Ed25519, minisign's format): key new | show."""
    from commands.key import manage_keys

    with command() as context:
        lines = manage_keys(context, what)
    _show(lines, "\n".join(lines), json=json)


@_task(deep="hash every file of the toolchain, however it looks")
def doctor(_: Context, deep: bool = False, json: bool = False) -> None:
    """Explain this machine: which engines work, which settings won, what is missing."""
    from commands.doctor import describe, examine

    with command() as context:
        report = examine(context, deep=deep)
    _show(report, describe(report), json=json)


@_task(
    what="list (default), verify, prune, or mirror DIR; also as bare words",
    older="prune: what was not used for this many days (default: 30; 0: everything)",
)
def cache(
    _: Context, what: list[str], older: str = "30", recipes: str = "", json: bool = False
) -> None:
    """Look after the cache: cache list | verify | prune | mirror DIR."""
    with command(recipes=recipes) as context:
        lines = manage_cache(context, what or ["list"], older=older)
    _show(lines, "\n".join(lines), json=json)


@_task(cache="the cache too: the next build starts from nothing")
def clean(_: Context, cache: bool = False) -> None:
    """Remove what was built, and what a killed run left behind."""
    from commands.clean import clean as remove

    with command() as context:
        print(visible("\n".join(remove(context, cache=cache))))


@_task(
    recipe="only these recipes, also as bare words (default: all)",
    check="write nothing; exit code 1 when something would move",
)
def bump(
    _: Context, recipe: list[str], check: bool = False, recipes: str = "", json: bool = False
) -> None:
    """Move pins to newer releases, once upstream's signature was checked: ./inv bump curl"""
    from commands.bump import Bump, PinState, bump_table

    with command(recipes=recipes) as context:
        changes = Bump.of(context).run(recipe, check=check)
    value = {"version": 1, "recipes": [change.as_dict() for change in changes]}
    _show(value, bump_table(changes, check=check), json=json)
    states = {change.state for change in changes}
    _refuse_unless(not check or PinState.MOVED not in states)
    if PinState.UNSEEN in states and not {PinState.MOVED, PinState.NEWEST} & states:
        msg = "No source of newer releases could be reached."
        raise Exit(msg, code=ExitCode.SOURCE)


@_task(
    optional=["campaign"],
    only="directories or files below tests/, or campaigns, also as bare words (default: all)",
    match="only tests whose name matches (pytest -k)",
    fast="only what needs no build, no engine and no network",
    campaign="thousands of generated attacks instead of tests: --campaign NAME…, none: all; list: show them",
    minutes="campaign: each ends after this many",
    seed="campaign: what its chance begins with (default: 1)",
    case="campaign: only the case of this number",
    jobs="campaign: cases at a time, 1 or 2 (default: 1)",
    record="campaign: write whole runs down for docs/reliability.md",
)
def test(
    _: Context,
    only: list[str],
    match: str = "",
    fast: bool = False,
    campaign: str | bool = "",
    minutes: str = "",
    seed: str = "",
    case: str = "",
    jobs: str = "",
    record: bool = False,
) -> None:
    """Run the tests: unit tests, then the real thing in the engines that work here."""
    values = {"--minutes": minutes, "--seed": seed, "--case": case, "--jobs": jobs}
    if campaign:
        if match or fast:
            msg = "--match and --fast choose tests; a campaign has names, --case and --minutes."
            raise UsageError(msg, next="inv test --campaign list")
        if paths := [word for word in only if "/" in word or "." in word]:
            msg = f"'{paths[0]}' is no campaign: tests and campaigns are run one after the other."
            raise UsageError(msg, next="inv test --campaign list")
        words = [sys.executable, "-m", "tests.campaigns", *only]
        words += [campaign] if isinstance(campaign, str) else []
        words += [f"{flag}={value}" for flag, value in values.items() if value]
        _run(words + (["--record"] if record else []))
        return
    if record or any(values.values()):
        msg = "--minutes, --seed, --case, --jobs and --record are for campaigns."
        raise UsageError(msg, next="inv test --campaign")
    words = [sys.executable, "-m", "pytest", *(only or (["tests/unit"] if fast else ["tests"]))]
    words += ["-k", match] if match else []
    # Half of the time is waiting for servers and programs, so that the whole suite gains from a second process.
    processes = min(os.cpu_count() or 1, 4)
    words += ["-n", str(processes)] if processes > 1 and not only else []
    _run(words)


@_task(check="change nothing; exit code 1 when something is stale")
def docs(_: Context, check: bool = False) -> None:
    """Make the tables of README.md and docs/ anew from recipes, rules, settings and artifacts/."""
    from commands.docs import rewrite

    # The pages are about our own recipes only.
    with command() as context:
        done = rewrite(ROOT, load_recipes(), read_manifest(context.artifacts), check=check)
    for note in done.notes:
        print(f"note: {note}")
    for block in done.stale:
        print(f"{block} {'is stale: run inv docs' if check else 'made anew'}")
    _refuse_unless(not (check and done.stale))


@_task(fix="mend what can be mended")
def check(_: Context, fix: bool = False) -> None:
    """Lint, format, types, direction of imports, generated pages: what a change must pass."""
    python = [sys.executable, "-m"]
    _run([*python, "ruff", "check", *(["--fix"] if fix else []), "."])
    _run([*python, "ruff", "format", *([] if fix else ["--check"]), "."])
    _run([*python, "mypy", "."])
    linter = Path(sys.executable).with_name("lint-imports")
    _run([str(linter), "--no-cache", "--no-logo"])
    docs(_, check=not fix)


@_task(
    rounds="runs per file and figure (default: 200)",
    quick="no timed builds",
    cold="also time the probe's builds from its sources, and those for every target: minutes",
    only="some parts, with commas: sizes, checks, runs, curl, probes, verify, warm, targets, builds, fresh, cold",
    against="another curl with TLS, an older one for example, to be measured beside ours",
    record="keep what is measured in bench/figures.json, for docs/figures.md",
)
def bench(
    _: Context,
    json: bool = False,
    rounds: str = "200",
    quick: bool = False,
    cold: bool = False,
    only: str = "",
    against: str = "",
    record: bool = False,
) -> None:
    """Measure sizes, times and memory beside the reference figures."""
    words = [sys.executable, "-m", "bench", "--rounds", rounds]
    words += ["--only", only] if only else []
    words += ["--against", str(Path(against).resolve())] if against else []
    flags = {"--json": json, "--quick": quick, "--cold": cold, "--record": record}
    _run(words + [flag for flag, given in flags.items() if given])


def _run(words: list[str]) -> None:
    # Not `context.run`, which obeys settings of invoke that would run nothing, and outlives SIGTERM. In a session of
    # its own, the program is interrupted once, whether a terminal or somebody's `kill` interrupts us.
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if code:
        raise Exit(code=code if code > 0 else ExitCode.REFUSED)


namespace = Collection.from_module(sys.modules[__name__])
program = Inv(
    name="inv",
    binary="inv",
    binary_names=["inv", "./inv"],  # what a shell completes
    namespace=namespace,
    version="0.1.0",
)

if __name__ == "__main__":
    program.run()
