"""The summary for CI runs: short, and no markup but its own."""

import re
from collections.abc import Callable

import pytest

from report.data import Report
from report.summary import summary
from report.words import change, seconds, size
from tests import reports


@pytest.mark.parametrize("make", [reports.whole, reports.refused, reports.empty, reports.nine])
def test_every_tile_and_file_is_in_it(make: Callable[[], Report]) -> None:
    report = make()
    text = summary(report)
    for file in report.plain:
        assert f"{file.size:,}" in text
    for it in report.trouble:
        assert it.name in text.replace("\\", "")
    assert len(text) < 64_000


def test_differences_are_in_it() -> None:
    assert "+1,234 (+0.4 %)" in summary(reports.whole())


def test_hostile_names_are_no_markup() -> None:
    text = summary(reports.hostile())
    assert not re.search(r"<(?!/?(details|summary)>)", text)
    for line in text.splitlines():
        assert not line.startswith(("# c", "`d`"))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) in {4, 8} for row in rows)
    assert "\x1b" not in text


def test_numbers_are_written_for_people() -> None:
    assert [size(it) for it in (0, 999, 1000, 9999, 802_648, 3_720_648)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "10 kB",
        "803 kB",
        "3.72 MB",
    ]
    assert [seconds(it) for it in (0.01, 0.44, 12.3, 185)] == [
        "< 0.1 s",
        "0.4 s",
        "12 s",
        "3 min 5 s",
    ]
    assert change(5, 5) == "0"
    assert change(110, 100) == "+10 (+10.0 %)"
    assert change(1, 0) == "+1 (new)"
