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
ROOMS = ("builders", "commands", "console", "core", "flow", "probe", "publish", "recipes", "verify")
IMPORT = re.compile(r"(?m)^from probe\.(\w+)_check import (\w+)$")
SMOKE = re.compile(r'(?s)\[\[smoke\]\]\nargs = (?!\["--(?:version|help)"\]).*?(?=\n\[)\n')


def check_sizes(options: argparse.Namespace) -> Iterator[Figure]:
    """Bytes that each check adds to the frozen programs."""
    why = "--quick" if options.quick else ""
    known = checks_of((ROOT / "probe" / "checks.py").read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        place = Path(directory)
        whole = {} if why else sizes_of(copied(place / "whole"))
        for name in known:
            rest = {}
            if not why:
                copy = copied(place / name)
                table = copy / "probe" / "checks.py"
                table.write_text(without(table.read_text("utf-8"), name), "utf-8")
                rest = sizes_of(copy)
                shutil.rmtree(copy)
            for product in PRODUCTS:
                cost = None if why else whole[product] - rest[product]
                yield Figure(f"{product}: what the check {name} costs", "bytes", cost, why=why)


def checks_of(table: str) -> dict[str, str]:
    """The checks of a table and the names of their rows, in the order of the rows."""
    rows = table.partition("CHECKS: ")[2].partition("\n)")[0]
    names = {row: module for module, row in IMPORT.findall(table)}
    return {names[row]: row for row in re.findall(r"(?m)^    (\w+),$", rows)}


def without(table: str, name: str) -> str:
    """The table without the row and the import of one check."""
    row = checks_of(table)[name]
    for line in (f"from probe.{name}_check import {row}\n", f"    {row},\n"):
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
