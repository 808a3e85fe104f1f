"""Verdicts for CI servers: JUnit's XML, as Jenkins and GitLab read it.

https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd
"""

from pathlib import PurePosixPath
from typing import Final
from xml.etree import ElementTree as ET

from verify.printable import printable
from verify.reports.report import Judged, Report
from verify.verdict import Severity, State

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'


def junit(report: Report) -> str:
    """Return a report as one test suite for each image, or for all files; a file is a test case.

    A refused file is a failure, one that could not be judged an error. Nothing in it is a control character: XML
    knows no way to write one.
    """
    suites: dict[tuple[str, str], list[Judged]] = {}
    for one in report.judged:
        suites.setdefault((one.image, one.platform), []).append(one)
    root = ET.Element("testsuites", _totals(report.judged, name=f"policy {report.policy}"))
    for (image, platform), judged in suites.items():
        name = " ".join(filter(None, (image, platform))) or "files"
        suite = ET.SubElement(root, "testsuite", _totals(judged, name=name))
        for one in judged:
            _case(suite, one)
    ET.indent(root)
    return f"{_DECLARATION}\n{ET.tostring(root, encoding='unicode')}"


def _totals(judged: "tuple[Judged, ...] | list[Judged]", *, name: str) -> dict[str, str]:
    states = [one.verdict.state for one in judged]
    failures = states.count(State.REFUSED)
    return {
        "name": printable(name),
        "tests": str(len(states)),
        "failures": str(failures),
        "errors": str(len(states) - failures - states.count(State.OK)),
        "skipped": "0",
        "time": "0",
    }


def _case(suite: ET.Element, one: Judged) -> None:
    verdict = one.verdict
    classname = printable(str(PurePosixPath(verdict.name).parent))
    case = ET.SubElement(
        suite, "testcase", {"classname": classname, "name": printable(verdict.name), "time": "0"}
    )
    said = [
        f"{finding.severity} [{finding.rule}]: {printable(finding.message)}"
        for finding in verdict.findings
    ]
    if verdict.state is State.OK:
        if said:
            ET.SubElement(case, "system-out").text = "\n".join(said)
        return
    errors = [finding for finding in verdict.findings if finding.severity is Severity.ERROR]
    kind = "failure" if verdict.state is State.REFUSED else "error"
    first = errors[0] if errors else verdict.findings[0]
    attributes = {"type": first.rule, "message": printable(first.message)}
    ET.SubElement(case, kind, attributes).text = "\n".join(said)
