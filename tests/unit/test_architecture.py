"""docs/architecture.md and CONTRIBUTING.md say how the tree is, and are held to it."""

import re

import grimp
import pytest

from flow.context import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def written() -> dict[str, set[str]]:
    """Each room of the page's table with what it is said to import."""
    rows = re.findall(r"^\| `(\w+)/` \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE)
    return {room: set(re.findall(r"\w+", cell)) for room, cell in rows}


def imported() -> dict[str, set[str]]:
    """Each room with the rooms that its modules import."""
    graph = grimp.build_graph(*ROOMS, cache_dir=None)
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for module in graph.modules:
        room = module.partition(".")[0]
        for other in graph.find_modules_directly_imported_by(module):
            found[room] |= {other.partition(".")[0]} - {room}
    return found


def test_the_page_shows_every_arrow_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    assert written() == imported()


def paths() -> list[str]:
    """What the guide names in backticks that looks like a path of the tree."""
    return sorted(set(re.findall(r"`((?:\.ci|\w+)/[\w./-]*|\w+\.(?:py|txt|in))`", GUIDE)))


@pytest.mark.parametrize("path", paths())
def test_what_the_guide_names_is_there(path: str) -> None:
    assert (ROOT / path).exists() or list(ROOT.glob(f"recipes/*/{path}"))


def test_every_room_is_on_the_map() -> None:
    block = GUIDE.split("```")[3]
    assert set(ROOMS) <= set(re.findall(r"(?:^|  )(\w+)/ ", block, re.MULTILINE))
