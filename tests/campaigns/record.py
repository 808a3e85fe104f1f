"""Whole runs, written down: what docs/reliability.md shows."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from flow.context import ROOT
from tests.campaigns.runner import Tally

RECORDS = Path(__file__).parent / "records"


def code_digest(rooms: tuple[str, ...], root: Path = ROOT) -> str:
    """The sha256 over the names and bytes of all Python files of these rooms."""
    digest = hashlib.sha256()
    for path in sorted(path for room in rooms for path in (root / room).rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content} {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()


def write_record(tally: Tally, directory: Path = RECORDS) -> Path:
    """Write down a whole run. Raises ValueError for one that is not."""
    if not tally.whole:
        msg = f"not recorded: {tally.done:,} of {tally.campaign.cases:,} cases were run"
        raise ValueError(msg)
    value = {
        "version": 1,
        "name": tally.campaign.name,
        "purpose": tally.campaign.purpose,
        "cases": tally.done,
        "outcomes": dict(sorted(tally.outcomes.items())),
        "violations": len(tally.violations),
        "seconds": round(tally.seconds),
        "seed": tally.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "rooms": list(tally.campaign.rooms),
        "code": code_digest(tally.campaign.rooms),
    }
    path = directory / f"{tally.campaign.name}.json"
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    return path
