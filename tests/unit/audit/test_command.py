"""./inv audit: from products to an exit code, with databases in files."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands.audit import Audit, audit_text, read_threshold
from console.program import Inv
from core.errors import ExitCode, UsageError
from core.settings import Settings
from flow.context import Context
from recipes.load import load_recipes
from tasks import namespace
from tests.fakes import Lines
from tests.unit.audit.databases import curl_record, options, pypi_record

CURL = load_recipes()["curl"].releases


def audit(tmp_path: Path, **flags: str) -> Audit:
    settings = Settings.read(
        {"cache": str(tmp_path / "cache"), **flags}, environment={}, directory=tmp_path
    )
    return Audit(context=Context(settings=settings, report=Lines()), options=options())


def database(tmp_path: Path, *records: dict[str, Any]) -> list[str]:
    path = tmp_path / "database.json"
    path.write_text(json.dumps(list(records)), "utf-8")
    return [str(path)]


def trouble(severity: str = "High") -> dict[str, Any]:
    return curl_record(introduced="1.0.0", fixed="99.0.0", severity=severity)


def test_what_is_linked_in_is_looked_up(tmp_path: Path) -> None:
    files = database(tmp_path, trouble(), pypi_record(fixed="99.0"))
    done = audit(tmp_path).run(["curl:mini"], databases=files)
    assert [it.subject.name for it in done.findings] == ["curl"]
    assert {it.name for it in done.looked.subjects} >= {"curl", "musl", "upx"}
    everything = audit(tmp_path).run([], databases=files)
    assert [it.subject.name for it in everything.findings] == ["brotli", "curl"]
    assert "curl:h2" in everything.findings[0].products
    assert "curl:mini" not in everything.findings[0].products


def test_an_older_release_can_be_named(tmp_path: Path) -> None:
    newest, older = (release.version for release in CURL[:2])
    files = database(tmp_path, curl_record(introduced="1.0.0", fixed=newest))
    assert audit(tmp_path).run(["curl:mini"], databases=files)
    done = audit(tmp_path).run([f"curl:mini@{older}"], databases=files)
    assert [it.fixed for it in done.findings] == [newest]
    with pytest.raises(UsageError, match=r"not pinned at '1\.0'"):
        audit(tmp_path).run(["curl:mini@1.0"], databases=files)


def test_the_text_says_what_and_whom(tmp_path: Path) -> None:
    files = database(tmp_path, trouble("Low"))
    text = audit_text(audit(tmp_path).run(["curl:mini"], databases=files))
    assert "low       CVE-2026-1111  curl" in text
    assert "known to no database that was asked: " in text
    assert "0 of medium severity or worse; asked: database.json" in text


def test_a_stub_is_not_the_packer(tmp_path: Path) -> None:
    record = curl_record("CVE-2025-2849", "1.0.0", "99.0.0", "High")
    record["database_specific"]["package"] = "upx"
    del record["affected"][0]["ranges"][1]  # in curl's git
    done = audit(tmp_path).run(["curl:mini"], databases=database(tmp_path, record))
    assert done
    (finding,) = done.findings
    assert (finding.subject.name, finding.state) == ("upx", "not affected")
    assert "not affected: CVE-2025-2849 in curl:mini: code_not_present" in audit_text(done)


def test_offline_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be asked offline"):
        audit(tmp_path, offline="1").run(["curl:mini"])
    assert audit(tmp_path, offline="1").run(
        ["curl:mini"], databases=database(tmp_path, trouble("Low"))
    )


@pytest.mark.parametrize("text", ["", "low", "medium", "high", "critical"])
def test_thresholds(text: str) -> None:
    assert read_threshold(text).value == (text or "medium")


def test_an_unknown_threshold_is_met_with_a_guess() -> None:
    with pytest.raises(UsageError, match=r"'hihg' is no severity\. Perhaps you meant 'high'"):
        read_threshold("hihg")


@pytest.mark.parametrize(
    ("severity", "words", "code"),
    [
        ("High", [], ExitCode.REFUSED),
        ("High", ["--threshold", "critical"], ExitCode.DONE),
        ("Low", [], ExitCode.DONE),
        ("Low", ["--threshold", "low"], ExitCode.REFUSED),
        ("Low", ["--threshold", "bad"], ExitCode.USAGE),
    ],
)
def test_exit_codes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    severity: str,
    words: list[str],
    code: ExitCode,
) -> None:
    (file,) = database(tmp_path, trouble(severity))
    assert run("audit", "curl:mini", "--database", file, *words) == code
    capsys.readouterr()
    run("audit", "curl:mini", "--database", file, "--json", *words)
    if code is not ExitCode.USAGE:
        said = json.loads(capsys.readouterr().out)
        assert said["ok"] is (code is ExitCode.DONE)
        assert said["findings"][0]["component"] == "curl"


def run(*words: str) -> int:
    return Inv(namespace=namespace).outcome(["inv", *words])
