"""What each check of the probe costs: the frozen program without its row and its import, beside the whole one.

What several checks share is counted for none of them, so the sum is less than the program. The interpreter's own step
is cached; each check takes a freeze and a link, once: the next run finds them in the cache.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure
from core.target import Target
from flow.context import ROOT
from publish.manifest import read_manifest

PRODUCTS = ("probe:mini", "probe:full")
ROOMS = (
    *("builders", "commands", "console", "core", "flow"),
    *("probe", "publish", "recipes", "records", "verify"),
)
IMPORT = re.compile(r"(?m)^from probe\.(\w+)_check import (\w+)$")
SMOKE = re.compile(r'(?s)\[\[smoke\]\]\nargs = (?!\["--(?:version|help)"\]).*?(?=\n\[)\n')


def check_sizes(options: argparse.Namespace) -> Iterator[Figure]:
    """Bytes that each check adds to the frozen programs."""
    why = "--quick" if options.quick else ""
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        # One copy, whose table is changed again and again: who edits the source meanwhile is not measured.
        copy = copied(Path(directory) / "copy")
        place = copy / "probe" / "checks.py"
        table = place.read_text("utf-8")
        whole = {} if why else sizes_of(copy)
        for name in checks_of(table):
            left_out = [name, *users_of(name, copy / "probe")]
            place.write_text(without(table, *left_out), "utf-8")
            rest = {} if why else sizes_of(copy)
            label = f"{name} (and {', '.join(left_out[1:])}, made of it)" if left_out[1:] else name
            for product in PRODUCTS:
                cost = None if why else whole[product] - rest[product]
                yield Figure(f"{product}: what the check {label} costs", "bytes", cost, why=why)


def checks_of(table: str) -> dict[str, str]:
    """The checks of a table and the names of their rows, in the order of the rows."""
    rows = table.partition("CHECKS: ")[2].partition("\n)")[0]
    names = {row: module for module, row in IMPORT.findall(table)}
    return {names[row]: row for row in re.findall(r"(?m)^    (\w+),$", rows)}


def users_of(name: str, package: Path) -> list[str]:
    """The checks whose modules import that of a check: they would keep it in."""
    wanted = f"from probe.{name}_check import "
    found = [path for path in package.glob("*_check.py") if wanted in path.read_text("utf-8")]
    return sorted(path.stem.removesuffix("_check") for path in found)


def without(table: str, *names: str) -> str:
    """The table without the rows and the imports of some checks."""
    rows = checks_of(table)
    for name in names:
        for line in (f"from probe.{name}_check import {rows[name]}\n", f"    {rows[name]},\n"):
            assert table.count(line) == 1, line
            table = table.replace(line, "")
    return table


def copied(directory: Path) -> Path:
    """A copy of what builds the probe. It is tried out by no check: one of them will be missing."""
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / room, directory / room, ignore=ignored)
    for file in ("tasks.py", "pyproject.toml"):
        shutil.copyfile(ROOT / file, directory / file)
    recipe = directory / "recipes" / "probe" / "recipe.toml"
    recipe.write_text(SMOKE.sub("", recipe.read_text("utf-8")), "utf-8")
    return directory


def sizes_of(copy: Path) -> dict[str, int]:
    """Build there, with the user's own cache; bytes of the plain files."""
    artifacts = copy / "artifacts"
    words = [sys.executable, str(copy / "tasks.py"), "build", *PRODUCTS]
    settings = {**os.environ, "FROMSCRATCH_ARTIFACTS": str(artifacts)}
    subprocess.run(words, cwd=copy, env=settings, stdout=subprocess.DEVNULL, check=True)
    return {
        artifact.product: artifact.size
        for artifact in read_manifest(artifacts)
        if artifact.target == Target.native() and not artifact.packed
    }
