"""Verdicts for code scanning: SARIF 2.1.0, as GitHub and others take it.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from verify.printable import printable
from verify.reports.report import Judged, Report
from verify.rules import RULES
from verify.verdict import Finding, Severity, State

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning"}


def sarif(report: Report, *, version: str) -> dict[str, Any]:
    """Return a report as one run of one tool, of this ``version``. What could not be judged is a notification."""
    numbers = {rule.name: number for number, rule in enumerate(RULES)}
    results = [
        _result(one, finding, numbers)
        for one in report.judged
        if one.verdict.unjudged is None
        for finding in one.verdict.findings
    ]
    failed = [
        {
            "level": "error",
            "message": {"text": finding.message},
            "locations": [_location(one)],
            "descriptor": {"id": one.verdict.state.value},
        }
        for one in report.judged
        if one.verdict.unjudged is not None
        for finding in one.verdict.findings
    ]
    run = {
        "tool": {
            "driver": {
                "name": "fromscratch",
                "semanticVersion": version,
                "rules": [
                    {
                        "id": rule.name,
                        "shortDescription": {"text": rule.explanation},
                        "defaultConfiguration": {
                            "enabled": rule.severity is not None,
                            "level": _LEVELS.get(rule.severity or Severity.WARNING, "warning"),
                        },
                    }
                    for rule in RULES
                ],
                "notifications": [
                    {"id": state.value, "shortDescription": {"text": text}}
                    for state, text in (
                        (State.MISSING, "There is no such file."),
                        (State.NOT_ELF, "It is no ELF file."),
                        (State.UNREADABLE, "Nobody could look."),
                    )
                ],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not failed,
                "exitCode": int(report.code),
                "toolExecutionNotifications": failed,
            }
        ],
        "properties": {"policy": report.policy, "counts": report.counts},
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(one: Judged, finding: Finding, numbers: dict[str, int]) -> dict[str, Any]:
    number = {"ruleIndex": numbers[finding.rule]} if finding.rule in numbers else {}
    return {
        "ruleId": finding.rule,
        **number,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{printable(one.verdict.name)}: {finding.message}"},
        "locations": [_location(one)],
    }


def _location(one: Judged) -> dict[str, Any]:
    """A file as a relative reference where that is what it is called, and by its name in an image."""
    name = one.verdict.name
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(name, local=not one.image)}}
    }
    if one.image:
        location["logicalLocations"] = [
            {
                "fullyQualifiedName": printable(name),
                "kind": "member" if one.platform else "resource",
            }
        ]
    return location


def _uri(name: str, *, local: bool) -> str:
    """Return a name as a URI reference (RFC 3986); every byte that could mean something else is quoted."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a half of a pair that an image's JSON names itself by
        raw = name.encode("utf-8", "surrogatepass")
    quoted = quote(raw, safe="/._~-")
    absolute = local and PurePosixPath(name).is_absolute()
    return f"file://{quoted}" if absolute else quoted
