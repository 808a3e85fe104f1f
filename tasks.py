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
from commands.renames import note_renamed, note_renamed_images
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
    "cluster": "run steps on the workers of this scheduler, tls://HOST:8786; needs --store; see docs/cluster.md",
    "store": "share results with other machines: oci://HOST/REPO, s3://…, gs://… or file:///DIR; see docs/cluster.md",
    "store_read_only": "take results from the store, and put none there: for branches that nobody has looked at",
    "recipes": "a directory with more recipes, added to our own (several: with commas between them)",
    "json": "print JSON instead of text",
}
"""Flags that say the same in every command that has them."""

CI_FILES = {
    "github-workflows": [".github/workflows/publish.yml", ".github/workflows/test.yml"],
    "github-actions": ["action.yml"],
    "gitlab-ci": ["docs/examples/gitlab/gitlab-ci.yml"],
}
"""What build services read, by the schema that it must have."""


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


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)


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
    cluster: str = "",
    store: str = "",
    store_read_only: bool = False,
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
        timings=timings,
        engine=engine,
        jobs=jobs,
        offline=offline,
        cluster=cluster,
        store=store,
        store_read_only=store_read_only,
        recipes=recipes,
    ) as context:
        note_renamed(context, product)
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
        note_renamed(context, product)
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
    key="the public key files that the release must be signed by, or their lines, with commas between them",
    only="release directory: look at these files alone (with commas); the others need not be there",
    keys="release directory: how many of the keys that are named must have signed (default: 1)",
    expect_version="release: the version that it must be: 8.21.0, or curl-8.21.0",
    not_older_than="release: the date that it must be of, or later: 2026-07-15",
    ca_file="certificates of an authority that the registry's may be signed by, besides the usual ones",
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
    ca_file: str = "",
    only: str = "",
    keys: str = "",
    expect_version: str = "",
    not_older_than: str = "",
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
            msg = "--target, --policy, --recursive, --root, --facts, --sarif and --junit judge files, not a --release."
            raise UsageError(msg, next="inv verify --policy NAME judges files, also those in DIR")
        from commands.verify_release import Question, check_releases

        question = Question.of(
            only=only, keys=keys, expect_version=expect_version, not_older_than=not_older_than
        )
        with command(public_key=key, ca_file=ca_file) as context:
            found = check_releases(context, release, insecure=insecure, question=question)
        value = {"version": 1, "releases": [checked.as_dict() for checked in found]}
        _show(value, "\n".join(checked.text() for checked in found), json=json)
        _refuse_unless(all(found))
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
    with command(ca_file=ca_file) as context:
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
    compression="of the layers: gzip (default), zstd (smaller; not every older client reads it) or none",
    tar="also one tar for each platform, for docker load and skopeo oci-archive:",
    load="also put them into the Docker engine",
)
def image(
    _: Context,
    image: list[str],
    target: str = "",
    packed: bool = False,
    plain: bool = False,
    compression: str = "",
    tar: bool = False,
    load: bool = False,
    json: bool = False,
) -> None:
    """Make multi-arch scratch images of what is built: ./inv image static-curl --tar"""
    from commands.image import ImageMaker, ImageSelection, describe_images

    selection = ImageSelection.of(
        image, target, packed=packed, plain=plain, compression=compression
    )
    with command() as context:
        note_renamed_images(context, image)
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
    key="the secret key file to sign with (default: the one that inv key new made, if it did); -: standard input",
    packed="images with the files that UPX packed",
    plain="images with the files as they were linked (default, but for static-tools)",
    compression="of the images' layers: gzip (default), zstd or none",
    flat="directory: no directories below it, as GitHub and GitLab keep a release's files",
    latest="registry: also move the tags latest, http, … to what is pushed",
    rebuild="only what was built again elsewhere with the same bytes: what was not is built again now",
    build_number="the same versions once more, in other bytes: 1 makes 8.21.0-r1 of 8.21.0 in every name",
    allow_dirty="also from a tree with changes that no commit has: names and provenance say so",
    ca_file="registry: certificates of an authority that its own may be signed by, besides the usual ones",
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
    compression: str = "",
    flat: bool = False,
    latest: bool = False,
    rebuild: bool = False,
    build_number: str = "",
    allow_dirty: bool = False,
    ca_file: str = "",
    insecure: bool = False,
    dry_run: bool = False,
    store: str = "",
    store_read_only: bool = False,
    json: bool = False,
) -> None:
    """Publish what is proven, with checksums, signature, SBOMs and provenance: ./inv publish --to DIR or oci://HOST/REPO"""
    if not to:
        msg = "--to is required."
        raise UsageError(msg, next="inv publish --to DIR, or inv publish --to oci://HOST/REPO")
    from commands.image import ImageSelection
    from commands.key import secret_key
    from commands.publish import Publisher, build_number_of

    selection = ImageSelection.of(
        image, target, packed=packed, plain=plain, compression=compression
    )
    number = build_number_of(build_number)
    with command(key=key, ca_file=ca_file, store=store, store_read_only=store_read_only) as context:
        note_renamed_images(context, image)
        publisher = Publisher(
            context=context,
            key=secret_key(context),
            selection=selection,
            allow_dirty=allow_dirty,
            rebuild=rebuild,
            number=number,
        )
        value, text = publisher.publish(
            to, latest=latest, insecure=insecure, flat=flat, dry=dry_run
        )
    _show(value, text, json=json)


@_task(
    what="new [FILE]: make a key pair, FILE and FILE.pub; show [FILE]: print the public key; pem [FILE]: for cosign; "
    "sign RELEASE: sign a release once more, whose files were made here too; also as bare words",
    key="the secret key file (default: the one that inv key new made); -: standard input",
)
def key_(_: Context, what: list[str], key: str = "", json: bool = False) -> None:
    """Make the key pair that signs releases (Ed25519, minisign's format): key new | show | pem | sign RELEASE."""
    from commands.key import manage_keys

    with command(key=key) as context:
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
    what="start: run a scheduler; join [ADDRESS]: run a worker; status [ADDRESS]; keys: make the certificates; also as "
    "bare words",
    listen="start: where to wait, tls://HOST:PORT (default: tls://0.0.0.0:8786); tcp:// only on this machine alone",
    name="join: what the worker is called (default: after its machine)",
    jobs="join: steps at a time (default: one per CPU core)",
    engine=f"join: {ENGINE}",
)
def cluster(
    _: Context,
    what: list[str],
    listen: str = "",
    name: str = "",
    jobs: str = "",
    engine: str = "",
    store: str = "",
    json: bool = False,
) -> None:
    """Run steps on many machines: cluster start | join tls://HOST:8786 | status | keys."""
    from commands.cluster import Stay, cluster_text, manage_cluster

    with command(engine=engine, jobs=jobs, store=store) as context:
        stay = Stay(listen=listen, name=name)
        shown = manage_cluster(context, what, stay, say=_say)
    _show(shown, cluster_text(shown), json=json)


@_task(
    recipe="only these recipes, also as bare words (default: all); curl@8.22.0 for this version",
    check="write nothing; exit code 1 when something would move",
    database="a downloaded database that says which releases fix vulnerabilities, see docs/audit.md",
)
def bump(
    _: Context,
    recipe: list[str],
    database: list[str],
    check: bool = False,
    recipes: str = "",
    json: bool = False,
) -> None:
    """Move pins to newer releases, once upstream's signature was checked: ./inv bump curl"""
    from commands.bump import Bump, PinState, bump_table

    with command(recipes=recipes) as context:
        changes = Bump.of(context, database).run(recipe, check=check)
    value = {"version": 1, "recipes": [change.as_dict() for change in changes]}
    _show(value, bump_table(changes, check=check), json=json)
    states = {change.state for change in changes}
    _refuse_unless(not check or PinState.MOVED not in states)
    if PinState.UNSEEN in states and not {PinState.MOVED, PinState.NEWEST} & states:
        msg = "No source of newer releases could be reached."
        raise Exit(msg, code=ExitCode.SOURCE)


@_task(
    product="PRODUCT or PRODUCT@VERSION, also as a bare word (default: all products)",
    database="a downloaded database instead of the network; several: the flag again; see docs/audit.md",
    threshold="exit code 1 from this severity on: low, medium, high or critical (default: medium)",
)
def audit(
    _: Context,
    product: list[str],
    database: list[str],
    threshold: str = "",
    recipes: str = "",
    json: bool = False,
) -> None:
    """Look up known vulnerabilities of what is linked in: ./inv audit curl:https"""
    from commands.audit import Audit, audit_text, remember

    with command(recipes=recipes) as context:
        note_renamed(context, product)
        report = Audit(context=context).run(product, databases=database, threshold=threshold)
        remember(context, report)
    _show(report.as_dict(), audit_text(report), json=json)
    _refuse_unless(report)
    if report.blind:
        msg = "Not everything could be looked up."
        raise Exit(msg, code=ExitCode.SOURCE)


@_task(
    against="an earlier release to compare with: a manifest.json, a directory with one, a release, oci://HOST/REPO",
    output="the page's file (default: artifacts/report.html)",
    open="show the page in a browser",
    no_charts="tables alone: nothing is installed for that",
    markdown="print a summary in Markdown instead of writing the page: for GITHUB_STEP_SUMMARY, GitLab",
    insecure="--against a registry: plain http also to another machine",
    ca_file="certificates of an authority that the registry's may be signed by, besides the usual ones",
)
def report(
    _: Context,
    against: str = "",
    output: str = "",
    open: bool = False,
    no_charts: bool = False,
    markdown: bool = False,
    insecure: bool = False,
    ca_file: str = "",
    recipes: str = "",
    json: bool = False,
) -> None:
    """Write one page of what was built: sizes, what fills them, how, at which cost, from what."""
    from commands.report import ReportMaker, check_flags, show
    from report.summary import summary

    check_flags(json=json, markdown=markdown, output=output, open=open, no_charts=no_charts)
    with command(recipes=recipes, ca_file=ca_file) as context:
        maker = ReportMaker(context=context)
        made = maker.gather(against=against, insecure=insecure)
        if markdown or json:
            _show(made.as_dict() if json else None, "" if json else summary(made), json=json)
            return
        path = maker.write(made, output=output, charts=not no_charts)
        print(visible(f"{path}  {path.stat().st_size:,} bytes"))
        if open:
            show(path, context.report.note)


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
    """Lint, format, types, direction of imports, CI files, generated pages: what a change must pass."""
    python = [sys.executable, "-m"]
    _run([*python, "ruff", "check", *(["--fix"] if fix else []), "."])
    _run([*python, "ruff", "format", *([] if fix else ["--check"]), "."])
    _run([*python, "mypy", "."])
    programs = Path(sys.executable).parent
    _run([str(programs / "lint-imports"), "--no-cache", "--no-logo"])
    _run(
        [str(programs / "zizmor"), "--offline", "--no-progress", "--quiet", ".github", "action.yml"]
    )
    for schema, paths in CI_FILES.items():
        _run([str(programs / "check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *paths])
    docs(_, check=not fix)


@_task(
    rounds="runs per file and figure (default: 200)",
    quick="a minute at most, on what is built: sizes, CPU and memory; builds, compiles and counts nothing",
    cold="also time the probe's builds from its sources, and those for every target: minutes",
    only="some parts, with commas: sizes, checks, runs, curl, bulk, probes, verify, warm, targets, builds, fresh, cold",
    against="another curl with TLS, an older one for example, to be measured beside ours",
    record="keep what is measured in bench/figures.json, for docs/figures.md; with --scale the seconds of steps, in"
    " bench/seconds.json",
    scale="instead: how much sooner many workers would be done, by the seconds that steps took",
    timings="with --scale: take seconds out of what `build --timings` wrote, too",
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
    scale: bool = False,
    timings: str = "",
) -> None:
    """Measure sizes, times and memory beside the reference figures."""
    words = [sys.executable, "-m", "bench", "--rounds", rounds]
    words += ["--only", only] if only else []
    words += ["--against", str(Path(against).resolve())] if against else []
    words += ["--timings", str(Path(timings).resolve())] if timings else []
    flags = {"--json": json, "--quick": quick, "--cold": cold, "--record": record, "--scale": scale}
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
