"""A step that tries to get out, in every engine, as root and as an ordinary user: `tests/fixtures/escape.c`."""

import json
import os
from pathlib import Path

import pytest

from builders.engines.isolation import Backend, try_backend
from tests.isolation import BLOCKED, COLUMNS, RECORD

MARKS = {"docker": pytest.mark.docker}

pytestmark = [
    pytest.mark.builds,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can also be an ordinary user"),
    pytest.mark.skipif(
        not Path("/usr/bin/python3").exists(), reason="no Python that any user may run"
    ),
]


@pytest.mark.parametrize(
    "column",
    [pytest.param(name, marks=MARKS.get(name, pytest.mark.sandbox)) for name in COLUMNS],
)
def test_nothing_gets_out(column: str, tmp_path: Path) -> None:
    kind = column.partition(",")[0]
    if column.endswith(", ordinary user"):
        reason = try_backend(Backend(kind), tmp_path)
        if "is not installed" in reason:
            pytest.skip(reason)
    found = COLUMNS[column]()
    assert {attack: outcome for attack, outcome in found.items() if outcome != BLOCKED} == {}
    # The table in docs/engines.md is what came out, not what should.
    assert found == json.loads(RECORD.read_bytes())[column]


def test_the_attacks_are_the_same_everywhere() -> None:
    recorded = json.loads(RECORD.read_bytes())
    assert list(recorded) == list(COLUMNS)
    attacks = [set(outcomes) for outcomes in recorded.values()]
    assert all(found == attacks[0] for found in attacks)
    assert len(attacks[0]) >= 50
