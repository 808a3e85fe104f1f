"""What is there, and in what state: the commands that look, explain and tidy up. Building is `flow`."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from builders.engines.scratch_root import find_emulator
from console.table import table
from core.errors import EngineError, UsageError
from core.settings import SETTINGS
from core.target import Target
from flow.build import Pipeline
from publish.manifest import Artifact

DAY = 86400


def closing_table(artifacts: Iterable[Artifact]) -> str:
    """What a build ends with: one line per file."""
    rows = [
        (
            one.product,
            one.target,
            one.release,
            f"{one.size:,}",
            "upx" if one.packed else "plain",
            "ok" if one.verdict["ok"] else "REFUSED",
            ("ok" if one.smoke["ok"] else "FAILED") if one.smoke["ran"] else "not run",
            f"{one.seconds['build']:.1f}",
            "yes" if one.cached else "no",
            f"artifacts/{one.path}",
        )
        for one in artifacts
    ]
    head = (
        "product",
        "target",
        "version",
        "bytes",
        "form",
        "verdict",
        "smoke",
        "seconds",
        "cached",
        "file",
    )
    return table(head, rows)


def fetch_all(pipeline: Pipeline, names: Sequence[str]) -> list[tuple[str, str, int, str, str]]:
    """Fetch the sources of ``names``, or of every recipe; return what is in the cache now."""
    from builders.plan import needed_recipes  # noqa: PLC0415

    products, pins = pipeline.select(names)
    recipes = needed_recipes(products, pipeline.recipes) if names else pipeline.recipes.values()
    fetched = pipeline.fetch(recipes, pins)
    return [
        (name, release.version, release.source.size, release.source.sha256, got.url)
        for name, (release, got) in sorted(fetched.items())
        if release.source
    ]


def examine(pipeline: Pipeline) -> dict[str, Any]:
    """Everything a bug report should say about this machine."""
    candidates = list(pipeline.chooser.candidates())
    auto = next(one.name for one in candidates if one.works)
    tools = [
        ("docker", "docker.io", "looking at what the docker engine does"),
        ("bwrap", "bubblewrap", "the sandbox engine"),
        ("unshare", "util-linux", "the sandbox engine without bubblewrap"),
        ("mmdebstrap", "mmdebstrap", "the base of the docker engine's builder image"),
        ("apt-get", "apt", "finding a Debian mirror"),
    ]
    found = [
        {
            "name": name,
            "path": shutil.which(name),
            "install": f"apt-get install -y {package}",
            "purpose": purpose,
        }
        for name, package, purpose in tools
    ]
    foreign = [target for target in Target if not target.runs_natively]
    missing = [target.value for target in foreign if find_emulator(target) is None]
    found.append(
        {
            "name": "qemu-user",
            "path": None if missing else "yes",
            "install": "apt-get install -y qemu-user-static",
            "purpose": f"smoke runs for {' '.join(missing or [one.value for one in foreign])}",
        }
    )
    return {
        "engines": [
            {"name": one.name, "works": one.works, "reason": one.reason} for one in candidates
        ],
        "auto": auto,
        "tools": found,
        "settings": [
            {
                "name": setting.variable,
                "value": setting.shown(pipeline.settings[setting.name]),
                "origin": pipeline.settings.values[setting.name][1].value,
                "help": setting.help,
            }
            for setting in SETTINGS
        ],
        "cache": str(pipeline.cache_directory),
        "debian": list(pipeline.mirrors.debian()),
    }


def describe(report: dict[str, Any]) -> str:
    """The same for people."""
    engines = [(e["name"], "yes" if e["works"] else "no", e["reason"]) for e in report["engines"]]
    tools = [(t["name"], t["path"] or f"no: {t['install']}", t["purpose"]) for t in report["tools"]]
    settings = [(s["name"], s["value"] or "-", s["origin"], s["help"]) for s in report["settings"]]
    debian = ", ".join(report["debian"]) or "none (set FROMSCRATCH_DEBIAN_MIRROR)"
    parts = [
        table(("engine", "works", "why"), engines),
        f"'auto' would use: {report['auto']}",
        table(("tool", "found", "for"), tools),
        table(("setting", "value", "from", "what"), settings),
        f"cache: {report['cache']}\nDebian mirrors: {debian}",
    ]
    return "\n\n".join(parts)


def look_after_cache(pipeline: Pipeline, words: Sequence[str], *, older: str) -> list[str]:
    """Do what ``cache WORD`` says; return what to print."""
    cache = pipeline.cache
    match list(words):
        case ["list"]:
            entries = cache.entries()
            total = sum(entry.size for entry in entries)
            lines = [f"{entry.kind.value:6} {entry.name} {entry.size:>12,}" for entry in entries]
            return [*lines, f"{len(entries)} entries, {total:,} bytes in {cache.root}"]
        case ["verify"]:
            damaged = cache.verify()
            lines = [f"removed {one.kind.value} {one.name}: {one.reason}" for one in damaged]
            return [*lines, f"{len(damaged)} damaged entries; the next build makes them again"]
        case ["prune"]:
            if not older.isdecimal():
                msg = f"--older takes a number of days, not '{older}'."
                raise UsageError(msg)
            pruned = cache.prune(max_age=int(older) * DAY)
            return [f"removed {pruned.entries} entries, {pruned.size:,} bytes"]
        case ["mirror", directory]:
            return _mirror(pipeline, Path(directory))
        case _:
            msg = f"'cache {' '.join(words)}' is no command."
            raise UsageError(msg, next="cache list | verify | prune [--older DAYS] | mirror DIR")


def _mirror(pipeline: Pipeline, directory: Path) -> list[str]:
    from builders.sources.mirror import mirror  # noqa: PLC0415

    fetched = pipeline.fetch(pipeline.recipes.values(), {})
    paths = {release.source: got.path for release, got in fetched.values() if release.source}
    done = mirror(paths, directory, get=lambda source: paths[source])
    url = f"file://{directory.absolute()}"
    return [f"{done.files} files, {done.size:,} bytes", f"use it with: FROMSCRATCH_MIRRORS={url}"]


def sweep(pipeline: Pipeline, *, cache: bool) -> list[str]:
    """Remove results and leftovers; with ``cache`` everything that was kept."""
    lines = []
    for directory in (pipeline.artifacts / one for one in ("files", "oci", "compare")):
        if directory.is_dir():
            shutil.rmtree(directory)
            lines.append(f"removed {directory}")
    for file in (pipeline.artifacts / "manifest.json", pipeline.artifacts / "timings.json"):
        if file.exists():
            file.unlink()
            lines.append(f"removed {file}")
    root = pipeline.cache_directory
    for left in sorted([*root.glob("boxes/*-*"), *root.glob("tmp/*")]):
        if any(part.isdecimal() and _alive(int(part)) for part in left.name.split("-")[:2]):
            continue  # another run is at work in there
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
        lines.append(f"removed {left}")
    lines += _sweep_containers()
    if cache and pipeline.cache_directory.is_dir():
        shutil.rmtree(pipeline.cache_directory)
        lines.append(f"removed {pipeline.cache_directory}")
    return lines or ["nothing to remove"]


def _sweep_containers() -> list[str]:
    from builders.engines.docker import LABEL, connect, engine_errors  # noqa: PLC0415

    try:
        client = connect()
    except EngineError:
        return []
    lines = []
    labelled = {"label": LABEL}
    with engine_errors():
        for one in client.containers.list(all=True, filters=labelled, ignore_removed=True):
            owner = one.labels[LABEL]
            if not (owner.isdecimal() and _alive(int(owner))):
                one.remove(force=True, v=True)
                lines.append(f"removed container {one.name}")
    return lines


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
