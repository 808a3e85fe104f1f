"""What a campaign is: a name, how many cases a full run has, and what runs one case."""

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOMS = ("builders", "commands", "console", "core", "flow", "publish", "recipes", "verify")


class Violation(Exception):
    """What should never happen, happened; the text says what."""


class NotRun(Exception):
    """A case, or a whole campaign, cannot be run on this machine; the text says why."""


class Case(NamedTuple):
    """What one case gets; ``random`` depends on campaign, seed and number alone, ``directory`` is empty."""

    seed: int
    number: int
    random: random.Random
    directory: Path


Outcome = str | Mapping[str, int]
"""In a word or a few; or, where a case is made of smaller ones, how many of them came to what."""

Run = Callable[[Case], Outcome]
"""Runs one case: returns its outcome, raises Violation or NotRun."""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """``open`` sets up what all cases share; each of several jobs opens its own. ``rooms``: the code attacked."""

    name: str
    purpose: str
    cases: int
    open: Callable[[], AbstractContextManager[Run]]
    rooms: tuple[str, ...] = ROOMS


def find_campaigns() -> dict[str, Campaign]:
    """Every campaign there is, by name."""
    found: dict[str, Campaign] = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        campaign = getattr(import_module(f"tests.campaigns.{path.stem}"), "CAMPAIGN", None)
        if isinstance(campaign, Campaign):
            found[campaign.name] = campaign
    return found
