"""The page at a glance: is it good, was it tried, was it built twice, how old is it, what is known against it?"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from report.data import Report
from report.words import age, count, exact, moment, size


class State(StrEnum):
    """What a tile says of what it shows."""

    GOOD = "good"
    BAD = "bad"
    CARE = "care"
    PLAIN = "plain"

    @property
    def sign(self) -> str:
        """Said beside the colour."""
        match self:
            case State.GOOD:
                return "✓ "
            case State.BAD:
                return "✗ "
            case State.CARE:
                return "! "
            case State.PLAIN:
                return ""
            case _:
                assert_never(self)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One of them."""

    label: str
    value: str
    detail: str
    state: State = State.PLAIN


def tiles(report: Report) -> list[Tile]:
    """Return all tiles."""
    return [
        _verdicts(report),
        _smoke(report),
        _twice(report),
        *_sizes(report),
        *_pins(report),
        _audit(report),
    ]


def _verdicts(report: Report) -> Tile:
    good = sum(file.ok for file in report.files)
    refused = len(report.files) - good + sum(it.what == "refused" for it in report.trouble)
    failed = sum(it.what in {"step failed", "fetch failed"} for it in report.trouble)
    warned = sum(bool(file.findings) for file in report.files if file.ok)
    warnings = f", {warned} with warnings" if warned else ""
    bad = [f"{refused} refused"] if refused else []
    bad += [f"{count(failed, 'step')} failed"] if failed else []
    if bad:
        value, detail = ", ".join(bad), f"{good} ok{warnings}"
        return Tile(label="Verdicts", value=value, detail=detail, state=State.BAD)
    state = State.GOOD if good else State.CARE
    return Tile(label="Verdicts", value=f"{good} ok", detail=f"none refused{warnings}", state=state)


def _smoke(report: Report) -> Tile:
    states = [file.smoke for file in report.files]
    ran, idle = states.count("ok"), states.count("not run")
    failed = len(states) - ran - idle
    failed += sum(it.what in {"smoke run failed", "smoke failed"} for it in report.trouble)
    if failed:
        value, detail = f"{failed} failed", f"{ran} ok, {idle} not run"
        return Tile(label="Smoke runs", value=value, detail=detail, state=State.BAD)
    state = State.CARE if idle or not ran else State.GOOD
    return Tile(
        label="Smoke runs", value=f"{ran} ok", detail=f"none failed, {idle} not run", state=state
    )


def _twice(report: Report) -> Tile:
    label = "Built twice alike"
    equal = [file for file in report.files if file.again and file.again.equal]
    other = [file for file in report.files if file.again and not file.again.equal]
    others = [file for file in report.files if file.reproduced_by]
    builders = {name for file in others for name in file.reproduced_by}
    if not (equal or other or others):
        detail = "not recorded: ./inv build --rebuild-and-compare"
        return Tile(label=label, value="nobody tried", detail=detail, state=State.CARE)
    alike = sum(
        bool((file.again and file.again.equal) or file.reproduced_by) for file in report.files
    )
    ways = [f"{len(equal)} by --rebuild-and-compare"] if equal else []
    ways += [f"{len(others)} by {count(len(builders), 'other builder')}"] if others else []
    ways += [f"{len(other)} DIFFER"] if other else []
    whole = alike == len(report.files) and not other
    return Tile(
        label=label,
        value=f"{alike} of {len(report.files)}",
        detail="; ".join(ways),
        state=State.BAD if other else State.GOOD if whole else State.PLAIN,
    )


def _sizes(report: Report) -> Iterator[Tile]:
    total = sum(file.size for file in report.files)
    packed = sum(file.size for file in report.files if file.packed)
    detail = f"{exact(total)} bytes in {count(len(report.files), 'file')}"
    detail += f", {size(packed)} of them packed forms" if packed else ""
    yield Tile(label="All files", value=size(total), detail=detail)


def _pins(report: Report) -> Iterator[Tile]:
    dated = sorted((it.date, it.name, it.version) for it in report.parts if it.date)
    if not dated:
        yield Tile(label="Pins", value="none", detail="nothing was delivered", state=State.CARE)
        return
    for label, (day, name, version) in (("Newest pin", dated[-1]), ("Oldest pin", dated[0])):
        days = age(day, report.made)
        ago = "" if days is None else f", {count(days, 'day')} ago"
        yield Tile(label=label, value=f"{name} {version}", detail=f"{day}{ago}")


def _audit(report: Report) -> Tile:
    label, audit = "Known vulnerabilities", report.audit
    if audit is None:
        detail = "not recorded: ./inv audit"
        return Tile(label=label, value="not asked", detail=detail, state=State.CARE)
    asked = ", ".join(audit.asked) or "nobody"
    detail = f"{audit.refused} of {audit.threshold} severity or worse; asked {asked}, {moment(audit.when)}"
    if audit.unnamed:
        detail += f"; of {audit.unnamed} of {count(audit.parts, 'part')} nothing is known"
    if audit.blind:
        detail += "; some files hold what was not looked up"
    state = (
        State.BAD
        if audit.refused
        else State.CARE
        if audit.affecting or audit.blind or not audit.asked
        else State.GOOD
    )
    return Tile(label=label, value=f"{audit.affecting}", detail=detail, state=state)
