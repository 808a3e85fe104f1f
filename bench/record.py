"""The last figures that have a bar, kept in a file: what docs/figures.md is made of."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.report import Figure
from core.files import write_file
from flow.context import ROOT
from records.bench import BenchFigure, remember_bench

AGAINST = "against "
"""What the names of files begin with that only who measures knows."""

RECORD = ROOT / "bench" / "figures.json"


def keep(artifacts: Path, figures: Sequence[Figure], machine: str, *, quick: bool) -> None:
    """Keep what was measured beside what was built, for the report. Raises OSError, RecipeError."""
    when = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    remember_bench(
        artifacts,
        [
            BenchFigure(
                **asdict(figure),
                state=figure.state,
                bar=figure.bar,
                when=when,
                machine=machine,
                quick=quick,
            )
            for figure in figures
            if not figure.row.startswith(AGAINST)
        ],
    )


def remember(figures: Sequence[Figure], machine: str, *, record: Path = RECORD) -> None:
    """Put what was measured in the place of the older figures of the same names; the others stay."""
    old = json.loads(record.read_text("utf-8"))["figures"] if record.exists() else []
    now = f"{datetime.now(UTC):%Y-%m-%d}"
    kept = {figure["name"]: figure for figure in old}
    for figure in figures:
        shown = figure.bar or (figure.row and figure.value is not None)
        if not shown or figure.row.startswith(AGAINST):
            continue
        kept[figure.name] = {
            "name": figure.name,
            "value": figure.value,
            "unit": figure.unit,
            "must": figure.must,
            "aim": figure.aim,
            "bar": figure.bar,
            "row": figure.row,
            "column": figure.column,
            "date": now,
            "machine": machine,
        }
    text = json.dumps({"version": 1, "figures": list(kept.values())}, indent=1)
    write_file(record, f"{text}\n".encode())
