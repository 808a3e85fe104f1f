"""Verdicts as text, JSON, SARIF and JUnit: whole, countable, and safe whatever a file is called."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from core.errors import ExitCode
from tests.fixtures.make_elf import DIRECTORY
from verify.facts import Depth
from verify.reports.junit import junit
from verify.reports.report import VERSION, Judged, Report
from verify.reports.sarif import SCHEMA, sarif
from verify.rules import RULES, Look, verify_file
from verify.verdict import Policy, Verdict

NASTY = "x\n\x1b[2J\x00\x07<&\"'>]]>\ud800\ufffe é%20#?:"


def verdict(name: str, *, depth: Depth = Depth.BYTES) -> Verdict:
    return verify_file(DIRECTORY / name, Policy(), Look(depth=depth))


def report(*names: str, depth: Depth = Depth.BYTES) -> Report:
    return Report(
        policy="static", judged=tuple(Judged(verdict=verdict(name, depth=depth)) for name in names)
    )


MIXED = ("good-amd64", "dynamic", "no-relro", "script", "missing")


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("good-amd64", "no-relro"), ExitCode.DONE),
        (("good-amd64", "dynamic", "missing"), ExitCode.REFUSED),
        (("good-amd64", "missing"), ExitCode.USAGE),
        (("good-amd64", "script"), ExitCode.USAGE),
        (("truncated-segments",), ExitCode.REFUSED),
        ((), ExitCode.DONE),
    ],
)
def test_refused_is_1_and_what_could_not_be_judged_is_2(
    names: tuple[str, ...], code: ExitCode
) -> None:
    made = report(*names)
    assert made.code is code
    assert bool(made) is (code == 0)


def test_text_ends_with_a_count() -> None:
    assert (
        report(*MIXED).text().splitlines()[-1] == "5 files: 2 ok, 1 refused, 1 missing, 1 not ELF"
    )
    assert report("good-amd64").text().splitlines()[-1] == "1 file: 1 ok"
    headers = report("dynamic", depth=Depth.HEADERS).text().splitlines()[-1]
    assert headers == "1 file: 1 refused (1 by headers alone: their bytes were not searched)"


def test_facts_are_told_when_asked_for() -> None:
    text = report("good-amd64", depth=Depth.ALL).text(facts=True)
    for word in (
        "position     fixed",
        "RELRO        none",
        "stack guard  no",
        "needs        nothing",
    ):
        assert word in text
    assert "entropy" in text
    assert "position" not in report("good-amd64").text()


def test_json_is_of_version_2_with_counts_and_states() -> None:
    made = json.loads(json.dumps(report(*MIXED).as_dict()))
    assert list(made) == ["version", "policy", "ok", "counts", "others", "notes", "verdicts"]
    assert made["version"] == VERSION == 2
    assert made["counts"] == {
        "ok": 2, "refused": 1, "missing": 1, "not-elf": 1, "unreadable": 0, "others": 0,
    }  # fmt: skip
    assert [it["state"] for it in made["verdicts"]] == ["ok", "refused", "ok", "not-elf", "missing"]
    assert list(made["verdicts"][0]) == [
        "path", "image", "platform", "ok", "state", "findings", "facts",
    ]  # fmt: skip


def test_json_tells_every_fact() -> None:
    made = report("good-amd64-static-pie", depth=Depth.ALL).as_dict()
    facts = json.loads(json.dumps(made))["verdicts"][0]["facts"]
    assert facts["protection"]["position"] == "static-pie"
    assert facts["protection"]["relro"] == "partial"
    assert facts["place"]["rights"] == {"setuid": False, "setgid": False, "capabilities": []}
    assert facts["about"]["parts"][0]["access"] == "r-x"


def test_sarif_has_what_its_schema_requires() -> None:
    """The required properties of sarif-schema-2.1.0.json, and what GitHub asks for beyond them."""
    made = json.loads(json.dumps(sarif(report(*MIXED), version="0.1.0")))
    assert (made["$schema"], made["version"]) == (SCHEMA, "2.1.0")
    (run,) = made["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert [rule["id"] for rule in driver["rules"]] == [rule.name for rule in RULES]
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in {"error", "warning", "note", "none"}
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 1
    assert len(invocation["toolExecutionNotifications"]) == 2
    for notification in invocation["toolExecutionNotifications"]:
        assert notification["message"]["text"]
    assert len(run["results"]) == 4  # three of "dynamic", the warning of "no-relro"
    for result in run["results"]:
        assert result["message"]["text"]
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning"}
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"]


def test_a_finding_of_no_rule_in_the_table_has_no_index() -> None:
    refused = verdict("dynamic")
    other = Verdict(
        path=refused.path,
        facts=None,
        findings=tuple(
            type(f)(rule="unpacks", severity=f.severity, message="") for f in refused.findings
        ),
    )
    made = sarif(Report(policy="static", judged=(Judged(verdict=other),)), version="1")
    assert all("ruleIndex" not in result for result in made["runs"][0]["results"])


def nasty(tmp_path: Path) -> Report:
    inside = Verdict(
        path=Path("x"), findings=verdict("dynamic").findings, facts=None, label=f"img:/{NASTY}"
    )
    (tmp_path / "dynamic").write_bytes((DIRECTORY / "dynamic").read_bytes())
    return Report(
        policy=NASTY,
        judged=(
            Judged(verdict=inside, image=f"img{NASTY}", platform="linux/amd64"),
            Judged(verdict=verify_file(tmp_path / NASTY.replace("\0", ""), Policy())),
        ),
        notes=(NASTY,),
    )


def test_uris_are_ascii_whatever_a_file_is_called(tmp_path: Path) -> None:
    made = sarif(nasty(tmp_path), version="1")
    text = json.dumps(made)
    for uri in re.findall(r'"uri": "([^"]*)"', text):
        assert re.fullmatch(r"[A-Za-z0-9/._~%:-]+", uri), uri
    result = made["runs"][0]["results"][0]
    name = result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]
    assert name.isprintable()
    absolute = made["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]["locations"][0]
    assert absolute["physicalLocation"]["artifactLocation"]["uri"].startswith("file:///")


def test_junit_counts_as_ci_servers_do() -> None:
    root = ET.fromstring(junit(report(*MIXED)))
    assert root.tag == "testsuites"
    (suite,) = root
    counted = {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "5", "failures": "1", "errors": "2", "skipped": "0"}
    cases = {Path(case.attrib["name"]).name: [child.tag for child in case] for case in suite}
    assert cases == {
        "good-amd64": [],
        "dynamic": ["failure"],
        "no-relro": ["system-out"],
        "script": ["error"],
        "missing": ["error"],
    }
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "asks for the loader '/lib64/ld-linux-x86-64.so.2'"
    assert len((failure.text or "").splitlines()) == 3


def test_junit_is_xml_whatever_a_file_is_called(tmp_path: Path) -> None:
    text = junit(nasty(tmp_path))
    root = ET.fromstring(text)
    assert len(root) == 2
    text.encode("utf-8")
    assert all(char == "\n" or char.isprintable() for char in text)


def test_text_shows_no_control_character(tmp_path: Path) -> None:
    text = nasty(tmp_path).text(facts=True)
    assert all(line.isprintable() for line in text.split("\n"))
