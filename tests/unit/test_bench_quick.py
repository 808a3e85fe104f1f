"""A bench of a minute builds nothing, and what any bench measured is kept for the report."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

from bench.record import AGAINST, keep
from bench.report import Figure
from bench.runs import Case, interleaved
from flow.context import ROOT
from records.bench import read_bench


def quick(directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run it where nothing is built and nothing is cached."""
    places = {
        "FROMSCRATCH_ARTIFACTS": directory / "artifacts",
        "FROMSCRATCH_CACHE": directory / "c",
    }
    return subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--rounds", "1", *words],
        cwd=ROOT,
        env={**os.environ, **{name: str(path) for name, path in places.items()}},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_quick_bench_builds_nothing_and_leaves_its_figures(tmp_path: Path) -> None:
    done = quick(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "c").exists()
    said = {row["name"]: row["value"] for row in json.loads(done.stdout)["figures"]}
    kept = read_bench(tmp_path / "artifacts")
    assert {figure.name: figure.value for figure in kept} == said
    assert all(figure.quick for figure in kept)
    assert {figure.when[:3] for figure in kept} == {"202"}
    own = [figure for figure in kept if figure.row == "curl:mini" and figure.value is None]
    assert {figure.why for figure in own} == {"it is not built"}
    (python,) = [one for one in kept if one.name == "python -m probe: CPU, HTTP check"]
    assert python.value
    assert "instructions" not in {figure.column for figure in kept if figure.value is not None}
    assert "calls" not in {figure.column for figure in kept}
    assert next(one.why for one in kept if one.row == "Go net/http twin") == "--quick"


def test_one_part_of_a_quick_bench_replaces_only_its_own(tmp_path: Path) -> None:
    figures = [Figure("x", "ms", 1.0), Figure("curl:mini plain", "bytes", 7.0)]
    keep(tmp_path / "artifacts", figures, "2 cores", quick=False)
    done = quick(tmp_path, "--only", "sizes")
    assert done.returncode == 0, done.stderr
    kept = {figure.name: figure for figure in read_bench(tmp_path / "artifacts")}
    assert (kept["x"].value, kept["x"].quick) == (1.0, False)
    assert kept["curl:mini plain"].value == 7.0  # it is not built here: the older figure stays
    assert kept["curl:http plain"].why == "it is not built"


def test_a_damaged_record_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "bench.json").write_text("{", "utf-8")
    done = quick(tmp_path)
    assert done.returncode == 5
    assert "bench.json cannot be read" in done.stderr
    assert "measuring" not in done.stderr
    assert (tmp_path / "artifacts" / "bench.json").read_text("utf-8") == "{"


def test_files_that_only_who_measures_knows_are_not_kept(tmp_path: Path) -> None:
    figures = [Figure("x", "ms", 1.0, row=f"{AGAINST}secret"), Figure("y", "ms", 2.0, row="y")]
    keep(tmp_path, figures, "2 cores", quick=False)
    assert [figure.name for figure in read_bench(tmp_path)] == ["y"]


def test_no_round_begins_when_time_is_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    case = Case(name="log", words=("/bin/sh", "-c", f"echo >>{log}"))
    assert interleaved([case], 5, seconds=0.0)["log"] >= 0
    once = log.stat().st_size  # the run that reads the disk, and one round
    interleaved([case], 5, seconds=math.inf)
    assert (once, log.stat().st_size) == (2, 8)
