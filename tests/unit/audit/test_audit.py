"""Known vulnerabilities: whom a record is about, which versions are in it, and what several databases say together."""

import itertools
import json
import random
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit import debian, osv
from audit.advisory import loose_version
from audit.databases import from_file, look_up
from audit.report import AuditReport, fixed_between, make_report
from audit.severity import Severity, by_word, of_record
from audit.subject import Subject, joined, repository_of, subject_of
from core.errors import SourceError, UsageError
from publish.trust.components import Role, component_of
from recipes.load import load_recipes
from recipes.model import Justification, Unaffected
from tests.unit.audit.databases import (
    BROTLI,
    CURL,
    MUSL,
    OURS,
    Web,
    curl_record,
    pypi_record,
    semver,
    tracked,
)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web.serving() as web:
        yield web


def at(subject: Subject, version: str) -> Subject:
    tag = "curl-" + version.replace(".", "_") if subject.tag else ""
    return replace(subject, version=version, tag=tag)


def affected(record: dict[str, Any], subject: Subject) -> bool:
    return bool(list(osv.advisories([record], [subject], "x")))


# --- whom it is about, and which versions ---


@pytest.mark.parametrize(
    ("version", "expected"),
    [("8.4.0", False), ("8.5.0", True), ("8.21.0", True), ("8.22.0", False), ("8.23.0", False)],
)
def test_curls_list_by_versions(version: str, expected: bool) -> None:
    assert affected(curl_record(), at(CURL, version)) is expected


def test_a_record_is_about_nobody_else() -> None:
    assert not affected(curl_record(), BROTLI)
    assert not affected(curl_record(), MUSL)
    assert not affected(pypi_record(), CURL)
    assert not affected(pypi_record("brotlicffi"), BROTLI)
    assert affected(pypi_record("Brotli"), BROTLI)
    assert not affected(pypi_record(), at(BROTLI, "1.2.1"))


def test_what_was_withdrawn_is_not_said() -> None:
    assert not affected(pypi_record(withdrawn="2026-01-01T00:00:00Z"), BROTLI)


@pytest.mark.parametrize(
    "repo",
    [
        "https://github.com/curl/curl",
        "https://github.com/curl/curl.git",
        "https://github.com/Curl/cURL/",
        "git://github.com/curl/curl.git",
        "github.com/curl/curl",
    ],
)
def test_a_repository_in_every_spelling(repo: str) -> None:
    assert repository_of(repo) == CURL.repository
    commits = semver({"introduced": "0"}, {"fixed": "c" * 40}, kind="GIT", repo=repo)
    of_tags = {"id": "CVE-1", "affected": [{"ranges": [commits], "versions": ["curl-8_21_0"]}]}
    assert affected(of_tags, CURL)
    assert not affected(of_tags, at(CURL, "8.22.0"))
    # NVD's ranges beside the commits, as OSV converts them.
    commits["database_specific"] = {"versions": [{"introduced": "0"}, {"fixed": "8.21.0"}]}
    assert not affected({"id": "CVE-1", "affected": [{"ranges": [commits]}]}, CURL)
    assert affected({"id": "CVE-1", "affected": [{"ranges": [commits]}]}, at(CURL, "8.20.0"))


def test_what_cannot_be_told_from_versions_counts() -> None:
    commits = semver(
        {"introduced": "0"}, {"fixed": "c" * 40}, kind="GIT", repo="https://github.com/curl/curl"
    )
    assert affected({"id": "CVE-1", "affected": [{"ranges": [commits]}]}, CURL)


def model(version: int, events: list[tuple[str, int]]) -> bool:
    """OSV's own words: walk through the sorted events."""
    state = False
    for kind, number in sorted(events, key=lambda it: (it[1], it[0] == "introduced")):
        if kind == "introduced" and version >= number:
            state = True
        if kind == "fixed" and version >= number:
            state = False
        if kind == "last_affected" and version > number:
            state = False
    return state


def test_ranges_as_the_specification_walks_them() -> None:
    chance = random.Random(7)
    for _ in range(400):
        numbers = sorted(chance.sample(range(1, 30), chance.randint(1, 3) * 2))
        ends = [chance.choice(["fixed", "last_affected"]) for _ in numbers[1::2]]
        events = [("introduced", number) for number in numbers[::2]]
        events += list(zip(ends, numbers[1::2], strict=True))
        chance.shuffle(events)
        entry = semver(*({kind: f"8.{number}.0"} for kind, number in events))
        record = {"id": "X-1", "affected": [{"package": {"name": "curl"}, "ranges": [entry]}]}
        for version in range(31):
            expected = model(version, events)
            assert affected(record, at(CURL, f"8.{version}.0")) is expected, (version, events)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"id": 5},
        {"id": "X"},
        {"id": "X", "affected": None},
        {"id": "X", "affected": [None, 1, {"package": "curl"}, {"ranges": "x"}, {"ranges": [1]}]},
        {"id": "X", "database_specific": [], "affected": [{"package": None}]},
        {"id": "X", "affected": [{"versions": 3, "package": {"name": 7}}]},
    ],
)
def test_nonsense_is_passed_over(broken: dict[str, Any]) -> None:
    assert not affected(broken, CURL)


def test_the_fix_is_the_next_one_up() -> None:
    record = pypi_record()
    record["affected"][0]["ranges"][0]["events"] = [
        *({"introduced": "0"}, {"fixed": "1.0.9"}),
        *({"introduced": "1.1.0"}, {"fixed": "1.2.1"}),
    ]
    (found,) = osv.advisories([record], [BROTLI], "x")
    assert found.fixed == "1.2.1"


# --- Debian ---


def known(entry: Any, version: str) -> list[str]:
    subject = at(CURL, version)
    return [it.fixed for it in debian.advisories({"curl": {"CVE-1": entry}, "x": {}}, [subject])]


@pytest.mark.parametrize(
    ("entry", "version", "fixed"),
    [
        (tracked(), "8.21.0", ["8.22.0"]),
        (tracked(), "8.22.0", []),
        (tracked(), "8.23.0", []),
        (tracked(fixed="8.21.0-3"), "8.21.0", ["8.21.0 with Debian's patch"]),
        (tracked(fixed="8.21.0-1.1"), "8.21.0", ["8.21.0 with Debian's patch"]),
        (tracked(fixed="8.21.0-3"), "8.22.0", []),
        (tracked(fixed="0"), "8.21.0", []),
        (tracked("open", ""), "8.23.0", [""]),
        (tracked("undetermined", ""), "8.21.0", []),
        (tracked(fixed="1:8.21.dfsg+really8.22.0-1"), "8.21.0", ["8.22.0"]),
        (tracked(fixed="8.22.0+dfsg-1"), "8.22.0", []),
        ({"releases": {}}, "8.21.0", []),
        ({"releases": {"sid": None}}, "8.21.0", []),
    ],
)
def test_debians_tracker(entry: Any, version: str, fixed: list[str]) -> None:
    assert known(entry, version) == fixed


@pytest.mark.parametrize(
    ("written", "upstream"),
    [
        ("1:1.3.dfsg+really1.3.2-3", "1.3.2"),
        ("1.5.7+dfsg-1", "1.5.7"),
        ("8.22.0-1~bpo13+1", "8.22.0"),
        ("1.26.1+ds-1", "1.26.1"),
        ("3.13.18-1", "3.13.18"),
    ],
)
def test_upstreams_part_of_debians_version(written: str, upstream: str) -> None:
    assert debian.upstream_part(written) == upstream
    assert loose_version(debian.upstream_part(written)) == loose_version(upstream)


@pytest.mark.parametrize("text", ["a" * 40, "0123456789" * 4, "", "main", "next"])
def test_what_is_no_version(text: str) -> None:
    assert loose_version(text) is None


# --- how bad ---


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("High", "high"),
        ("MODERATE", "medium"),
        ("medium**", "medium"),
        ("low*", "low"),
        ("unimportant", "negligible"),
        ("not yet assigned", "unknown"),
        (None, "unknown"),
    ],
)
def test_words(word: object, severity: str) -> None:
    assert by_word(word).value == severity


@pytest.mark.parametrize(
    ("vector", "severity"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "critical"),
        ("CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", "low"),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N", "high"),
        ("CVSS:3.1/AV:N", "unknown"),
        ("CVSS:4.0/x", "unknown"),
        ("7.5", "unknown"),
        ("", "unknown"),
    ],
)
def test_vectors(vector: str, severity: str) -> None:
    assert of_record({"severity": [{"type": "CVSS", "score": vector}]}).value == severity


def test_thresholds() -> None:
    for severity, threshold in itertools.product(Severity, Severity):
        if Severity.UNKNOWN not in {severity, threshold}:
            assert severity.reaches(threshold) is (severity.rank >= threshold.rank)
    assert Severity.UNKNOWN.reaches(Severity.MEDIUM)
    assert not Severity.UNKNOWN.reaches(Severity.HIGH)


# --- together ---


def report(web: Web, *subjects: Subject, threshold: Severity = Severity.MEDIUM) -> AuditReport:
    return make_report(look_up(web.databases, subjects), threshold)


def test_three_databases_and_one_vulnerability(web: Web) -> None:
    web.files["/curl"] = [curl_record(severity="Low")]
    web.files["/tracker"] = {"curl": {"CVE-2026-1111": tracked(urgency="not yet assigned")}}
    web.answers["https://github.com/curl/curl.git"] = [[{**curl_record(severity="High")}]]
    done = report(web, CURL)
    (finding,) = done.findings
    assert (finding.id, finding.severity, finding.fixed) == (
        "CVE-2026-1111",
        Severity.HIGH,
        "8.22.0",
    )
    assert finding.sources == ("OSV", "Debian's security tracker", "curl's list")
    assert not done
    assert web.queries == [
        {
            "package": {"ecosystem": "GIT", "name": "https://github.com/curl/curl.git"},
            "version": "curl-8_21_0",
        }
    ]
    fixed = report(web, at(CURL, "8.22.0"))
    # OSV compares by itself: what it says stands. The others are compared here.
    assert [it.sources for it in fixed.findings] == [("OSV",)]


def test_pages_are_followed_to_their_end(web: Web) -> None:
    web.answers["brotli"] = [
        [pypi_record()],
        [],
        [pypi_record() | {"id": "PYSEC-1", "aliases": []}],
    ]
    assert [it.id for it in report(web, BROTLI).findings] == ["CVE-2026-2222", "PYSEC-1"]
    assert [query.get("page_token") for query in web.queries] == [None, "1", "2"]
    web.answers["brotli"] = [[]] * 500
    looked = look_up(web.databases, [BROTLI])
    assert "no end of pages" in looked.failed["OSV"]


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"vulns": 3}', b'{"vulns": [1]}'])
def test_a_database_that_says_something_else_has_failed(web: Web, answer: bytes) -> None:
    web.answers["brotli"] = [answer]
    done = report(web, BROTLI)
    assert "OSV" in done.looked.failed
    assert done.blind
    assert done.as_dict()["ok"] is False


@pytest.mark.parametrize("path", ["/tracker", "/curl"])
@pytest.mark.parametrize("answer", [None, b"", b"<html>", b'{"a": 1}', b'"x"', b"{}"])
def test_a_list_that_is_none_has_failed(web: Web, path: str, answer: bytes | None) -> None:
    web.files[path] = answer
    looked = look_up(web.databases, [CURL])
    assert len(looked.failed) == 1
    assert not make_report(looked, Severity.LOW).blind  # another one knows curl


def test_who_was_looked_up_nowhere_is_named(web: Web) -> None:
    web.files["/tracker"] = None
    done = report(web, CURL, MUSL, OURS)
    assert [it.name for it in done.looked.unknown] == ["musl"]
    assert done.blind
    nobody = replace(MUSL, debian="")
    web.files["/tracker"] = {"curl": {}}
    done = report(web, CURL, nobody)
    assert [it.name for it in done.looked.unknown] == ["musl"]
    assert not done.blind  # everybody answered


def test_what_does_not_concern_a_product_is_not_held_against_it(web: Web) -> None:
    web.files["/curl"] = [curl_record()]
    entry = Unaffected(
        id="CVE-2026-1111", why=Justification.CODE_NOT_PRESENT, detail="no such protocol in it"
    )
    some = replace(CURL, excused=(("curl:mini", entry),))
    done = report(web, some)
    assert not done
    assert done.findings[0].products == ("curl:h2",)
    every = replace(CURL, excused=(("curl:mini", entry), ("curl:h2", entry)))
    done = report(web, every)
    assert done
    assert done.findings[0].state == "not affected"
    assert "no such protocol" in done.as_dict()["findings"][0]["excused"]["curl:h2"]
    other = replace(CURL, excused=(("curl:mini", replace(entry, id="CVE-2026-9")),) * 2)
    assert not report(web, other)


def test_below_the_threshold_is_shown_and_passes(web: Web) -> None:
    web.files["/curl"] = [curl_record(severity="Low")]
    assert report(web, CURL, threshold=Severity.MEDIUM)
    assert not report(web, CURL, threshold=Severity.LOW)
    assert len(report(web, CURL).findings) == 1


def test_what_a_release_fixes(web: Web) -> None:
    web.files["/curl"] = [curl_record(), curl_record("CVE-2026-3", fixed="8.23.0")]
    old, new = CURL, at(CURL, "8.22.0")
    assert fixed_between(look_up(web.databases, [old, new]), old, new) == ("CVE-2026-1111",)


def test_a_subject_is_asked_about_once() -> None:
    found = joined((CURL, product, ()) for product in ("curl:h2", "curl:mini", "curl:h2"))
    assert [it.products for it in found] == [("curl:h2", "curl:mini")]


def test_every_pinned_component_is_known_somewhere() -> None:
    recipes = load_recipes()
    for recipe in recipes.values():
        part = component_of(recipe, recipe.releases[0], Role.LIBRARY)
        subject = subject_of(part, recipe)
        assert subject.ours or subject.pypi or subject.debian, recipe.name
        if subject.tag:
            assert loose_version(subject.tag) == loose_version(subject.version)
            assert subject.repository == subject.repository.lower()


# --- files ---


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def names(path: Path, *subjects: Subject) -> list[str]:
    looked = look_up([from_file(path)], subjects)
    assert not looked.failed
    return [it.id for it in looked.advisories]


def test_downloaded_databases(tmp_path: Path) -> None:
    everybody = (CURL, BROTLI, MUSL)
    curl = write(tmp_path / "vuln.json", [curl_record()])
    assert names(curl, *everybody) == ["CURL-CVE-2026-1111"]
    looked = look_up([from_file(curl)], everybody)
    assert [it.name for it in looked.unknown] == ["brotli", "musl"]  # it is curl's alone
    tracker = write(
        tmp_path / "json", {"curl": {"CVE-1": tracked()}, "musl": {"TEMP-0": tracked()}}
    )
    assert names(tracker, *everybody) == ["CVE-1", "TEMP-0"]
    one = write(tmp_path / "one.json", pypi_record())
    assert names(one, *everybody) == ["GHSA-aaaa-bbbb-cccc"]
    answer = write(tmp_path / "answer.json", {"vulns": [pypi_record()]})
    assert names(answer, *everybody) == ["GHSA-aaaa-bbbb-cccc"]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(f"{json.dumps(it)}\n" for it in (pypi_record(), curl_record())))
    assert len(names(lines, *everybody)) == 2
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("GHSA-aaaa-bbbb-cccc.json", json.dumps(pypi_record()))
        opened.writestr("README", "hello")
    assert names(archive, *everybody) == ["GHSA-aaaa-bbbb-cccc"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"[]",
        b"[1]",
        b'{"a": 1}',
        b'{"a": {"CVE-1": {}}}',
        b'{"vulns": 1}',
        b"[" * 9000,
    ],
)
def test_what_is_no_database_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="no database of vulnerabilities"):
        from_file(path)


@pytest.mark.parametrize("name", ["x.json", "README"])
def test_an_archive_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(name, "nothing")
    with pytest.raises(UsageError, match="no database of vulnerabilities"):
        from_file(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        from_file(tmp_path / "nothing")
