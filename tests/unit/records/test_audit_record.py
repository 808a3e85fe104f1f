"""What an audit found is kept, and told of the very files that are there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import RecipeError
from core.target import Target
from publish.manifest import Artifact, Input, Seconds, VerdictSummary
from records.audit import NAME, AuditRecord, Known, Looked, read_audit, remember_audit
from report.gather import audited
from verify.smoke import Smoke

RECORD = AuditRecord(
    when="2026-11-28T12:00:00Z",
    threshold="medium",
    databases=("osv",),
    blind=False,
    components=(
        Looked(name="curl", version="8.22.0", products=("curl:http", "curl:https"), named=True),
        Looked(name="mbedtls", version="3.6.7", products=("curl:https",), named=False),
    ),
    known=(
        Known(
            id="CVE-1", component="mbedtls", severity="high", counts=True, products=("curl:https",)
        ),
        Known(id="CVE-2", component="curl", severity="low", counts=False, products=("curl:https",)),
    ),
)


def artifact(product: str, version: str = "8.22.0") -> Artifact:
    source = Input(name="curl", version=version, sha256="0" * 64, url="", licence="curl")
    return Artifact(
        product=product,
        release=version,
        target=Target.AMD64,
        packed=False,
        path=f"files/{product}",
        size=1,
        sha256="0" * 64,
        engine="host",
        isolated=False,
        key="",
        seconds=Seconds(fetch=0.0, build=0.0),
        verdict=VerdictSummary(ok=True, findings=()),
        smoke=Smoke(ran=True, ok=True, how="sandbox"),
        inputs=(source,),
    )


def test_it_is_read_as_it_was_kept(tmp_path: Path) -> None:
    assert read_audit(tmp_path) is None
    remember_audit(tmp_path, RECORD)
    assert read_audit(tmp_path) == RECORD


@pytest.mark.parametrize("name", ["when", "known", "blind"])
def test_what_is_missing_or_of_another_type_is_refused(tmp_path: Path, name: str) -> None:
    remember_audit(tmp_path, RECORD)
    table = json.loads((tmp_path / NAME).read_text())
    value: object
    for value in (None, 3, [3], [{}], "\x1b"):
        (tmp_path / NAME).write_text(json.dumps({**table, name: value}))
        with pytest.raises(RecipeError) as error:
            read_audit(tmp_path)
        assert NAME in error.value.what
    del table[name]
    (tmp_path / NAME).write_text(json.dumps(table))
    with pytest.raises(RecipeError):
        read_audit(tmp_path)


def test_only_what_concerns_the_files_that_are_there_counts() -> None:
    found = audited([artifact("curl:https")], RECORD)
    assert found
    assert (found.affecting, found.refused, found.blind) == (2, 1, False)
    assert (found.parts, found.unnamed) == (2, 1)
    found = audited([artifact("curl:http")], RECORD)
    assert found
    assert (found.affecting, found.refused, found.blind) == (0, 0, False)


@pytest.mark.parametrize(
    ("files", "record"),
    [
        ([artifact("curl:http", "8.21.0")], RECORD),
        ([artifact("probe:full")], RECORD),
        ([artifact("curl:http")], replace(RECORD, blind=True)),
    ],
)
def test_what_was_not_looked_up_is_said(files: list[Artifact], record: AuditRecord) -> None:
    found = audited(files, record)
    assert found
    assert found.blind
