"""Every fixture gets the verdict it was made for; a verdict is a value, a text and JSON."""

import json
import os
from pathlib import Path

import pytest

from tests.fixtures.make_elf import DIRECTORY, fixtures
from verify.rules import RULES, explain, verify_file
from verify.verdict import Policy, Severity, Verdict

UNREADABLE = {"readable-elf"}
UNTOLD = {"all-bytes-described", "no-appended-data", "no-debug", "no-symbols"}
"""What nobody can tell without section headers that can be read."""
ERRORS: dict[str, set[str]] = {
    "good-amd64": set(),
    "good-amd64-static-pie": set(),
    "good-arm64": set(),
    "good-386": set(),
    "good-s390x": set(),
    "good-arm64-static-pie": set(),
    "good-386-static-pie": set(),
    "good-s390x-static-pie": set(),
    "good-run-time-paths-static-pie": set(),
    "good-run-time-paths": set(),
    "good-no-sections": set(),
    "no-relro": set(),
    "good-no-pie-flag": set(),
    "good-unloaded-sections": set(),
    "good-ppc64-descriptor": set(),
    "good-padded": set(),
    "ppc64-no-descriptor": {"entry-point"},
    "secret-in-a-hole": {"all-bytes-described"},
    "secret-section": {"all-bytes-described"},
    "secret-note": {"all-bytes-described"},
    "unknown-machine": {"known-machine"},
    "x32": {"consistent-header", "loadable-segments", "entry-point", *UNTOLD}
    | {"stack-not-executable"},
    "header-size-lies": {"consistent-header"},
    "byte-order-lies": {"consistent-header"},
    "class-lies": {"consistent-header", "no-interpreter", "elf-type", *UNTOLD}
    | {"stack-not-executable"},
    "packed-marks-wiped": {"packed-contents"},
    "packed": {"packed-contents"},
    "packed-then-stripped": {"packed-as-expected", "packed-contents"},
    "packed-then-appended": {"packed-as-expected", "packed-contents", "no-appended-data"},
    "dynamic": {"no-interpreter", "no-needed", "elf-type"},
    "dynamic-no-sections": {"no-interpreter", "no-needed", "elf-type"},
    "dynamic-unterminated": {"no-needed", "no-rpath"},
    "needed-no-interpreter": {"no-needed", "elf-type"},
    "interpreter-no-needed": {"no-interpreter"},
    "rwx-segment": {"no-writable-executable-segment"},
    "stack-executable": {"stack-not-executable"},
    "stack-missing": {"stack-not-executable"},
    "unstripped": {"no-symbols"},
    "unstripped-static-pie": {"no-symbols"},
    "debug-info": {"no-debug"},
    "build-paths": {"no-build-paths"},
    "rpath": {"no-rpath"},
    "runpath": {"no-rpath"},
    "freebsd": {"linux-abi"},
    "object-file": {
        "elf-type",
        "entry-point",
        "loadable-segments",
        "no-symbols",
        "stack-not-executable",
    },
    "shared-library": {"elf-type"},
    "core-dump": {"elf-type", "entry-point", "stack-not-executable"},
    "entry-outside": {"entry-point"},
    "segment-overlaps": {"loadable-segments", "packed-contents"},
    "segment-outside-file": {"segments-inside-file"},
    "segment-misaligned": {"loadable-segments", "packed-contents"},
    "appended": {"no-appended-data"},
    "appended-elf": {"no-appended-data"},
    "truncated-sections": UNTOLD,
    "header-count-lies": UNREADABLE,
    "prefixed": UNREADABLE,
    "truncated-header": UNREADABLE,
    "truncated-segments": UNREADABLE,
    "random-bytes": UNREADABLE,
    "empty": UNREADABLE,
    "script": UNREADABLE,
}


def errors(verdict: Verdict) -> set[str]:
    return {f.rule for f in verdict.findings if f.severity is Severity.ERROR}


def test_every_fixture_has_an_expected_verdict() -> None:
    assert set(ERRORS) == set(fixtures())


@pytest.mark.parametrize(("name", "expected"), ERRORS.items())
def test_each_fixture_breaks_exactly_the_rules_it_was_made_to_break(
    name: str, expected: set[str]
) -> None:
    verdict = verify_file(DIRECTORY / name, Policy())
    assert errors(verdict) == expected
    assert bool(verdict) is verdict.ok is (not expected)


def test_every_rule_that_needs_no_expectations_is_broken_by_some_fixture() -> None:
    with_expectations = {"machine", "elf-class", "endianness", "size-budget", "relro", "no-rights"}
    too_large = {"no-dense-data"}  # in test_packing: fixtures stay tiny
    asked = {rule.name for rule in RULES if rule.severity is not None}
    assert set().union(*ERRORS.values()) == asked - with_expectations - too_large


def test_a_warning_is_shown_and_does_not_make_the_verdict_bad() -> None:
    verdict = verify_file(DIRECTORY / "no-relro", Policy())
    assert [(f.rule, f.severity) for f in verdict.findings] == [("relro", Severity.WARNING)]
    assert verdict
    assert [line.split(": ", 1)[1] for line in verdict.text().splitlines()] == [
        "warning [relro]: PT_GNU_RELRO is missing",
        "ok",
    ]


def test_a_dynamic_program_of_this_system_is_refused() -> None:
    ls = Path("/bin/ls")
    if not ls.exists():
        pytest.skip("no /bin/ls here")
    assert {"no-interpreter", "no-needed"} <= errors(verify_file(ls, Policy()))


def test_text_has_one_line_per_finding_and_the_path_first() -> None:
    path = DIRECTORY / "dynamic"
    verdict = verify_file(path, Policy())
    lines = verdict.text().splitlines()
    assert len(lines) == len(verdict.findings) == 3
    assert all(line.startswith(f"{path}: error [") for line in lines)
    assert verify_file(DIRECTORY / "good-amd64", Policy()).text().endswith("good-amd64: ok")


def test_names_from_a_hostile_file_cannot_forge_lines_of_the_report(tmp_path: Path) -> None:
    path = tmp_path / "x\n\x1b[2Jgood: ok"
    forged = (DIRECTORY / "dynamic").read_bytes().replace(b"libc.so.6", b"a: ok\n\x1b[m")
    path.write_bytes(forged)
    verdict = verify_file(path, Policy())
    assert len(verdict.text().splitlines()) == len(verdict.findings)
    assert verdict.text().replace("\n", "").isprintable()


def test_json_has_the_promised_shape() -> None:
    path = DIRECTORY / "dynamic"
    report = json.loads(json.dumps(verify_file(path, Policy()).as_dict()))
    assert list(report) == ["path", "ok", "state", "findings", "facts"]
    assert report["path"] == str(path)
    assert report["ok"] is False
    assert report["state"] == "refused"
    assert report["findings"][1] == {
        "rule": "no-needed",
        "severity": "error",
        "message": "needs libc.so.6",
    }
    facts = report["facts"]
    assert facts["size"] == path.stat().st_size
    assert facts["needed"] == ["libc.so.6"]
    assert facts["packing"] == "none"
    assert facts["segments"][0]["type"] == "PT_LOAD"


def test_json_of_an_unreadable_file_has_no_facts() -> None:
    report = json.loads(json.dumps(verify_file(DIRECTORY / "empty", Policy()).as_dict()))
    assert report["facts"] is None
    assert [finding["rule"] for finding in report["findings"]] == ["readable-elf"]


def test_whatever_a_path_names_gets_a_verdict_and_nothing_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    cases = {
        tmp_path: "is a directory, not a regular file",
        tmp_path / "fifo": "is a FIFO, not a regular file",
        Path("/dev/null"): "is a device, not a regular file",
        tmp_path / "missing": "could not be opened: No such file or directory",
        tmp_path / "loop": "could not be opened: Too many levels of symbolic links",
        Path("nul\0inside"): "could not be opened: its name has a NUL byte in it",
    }
    for path, message in cases.items():
        verdict = verify_file(path, Policy())
        assert [f.message for f in verdict.findings] == [message]
        assert errors(verdict) == UNREADABLE


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "the file is empty"),
        ("script", "it is a script"),
        ("prefixed", "ELF begins at byte 17"),
        ("header-count-lies", "claims 65535 program headers"),
        ("truncated-segments", "the program header table lies outside the file"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(name: str, reason: str) -> None:
    assert reason in verify_file(DIRECTORY / name, Policy()).text()


def test_every_rule_is_explained_once() -> None:
    rows = explain().splitlines()[2:]
    assert len(rows) == len(RULES)
    assert all(row.startswith(f"| `{rule.name}` |") for row, rule in zip(rows, RULES, strict=True))
