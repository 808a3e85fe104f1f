"""Moving pins: what is taken, what is left alone and why, and what stops everything."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
import requests

from audit.databases import Database, from_file, over_network
from builders.sources.apt import OTHER_SUITES, SUITE, Apt, DebianRelease
from builders.sources.candidate import release_date
from builders.sources.client import MirrorError
from builders.sources.http_get import ARCHIVE_MAX
from builders.sources.signature import BadSignatureError
from commands.bump import Bump, PinChange, PinState, bump_table
from core.errors import RecipeError, UsageError
from core.retry import ClientOptions, RetryPolicy
from core.settings import Settings
from flow.context import Context
from tests.fakes import Lines
from tests.keys import Signer, write_keys
from tests.upstream import DAY, Upstream, archive_of


@dataclass(frozen=True, kw_only=True)
class FakeApt(Apt):
    """What unstable's index says, None: it cannot be had; and what those of other suites say."""

    packaged: dict[str, DebianRelease] | None = None
    others: dict[str, dict[str, DebianRelease]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def releases(self, package: str, suite: str = SUITE) -> dict[str, DebianRelease]:
        self.asked.append(suite)
        if suite in self.others:
            return self.others[suite]
        if suite != SUITE:
            msg = f"there is no {suite} here"
            raise MirrorError(msg)
        if self.packaged is None:
            msg = "no apt here"
            raise MirrorError(msg)
        return self.packaged


def loopback() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream.serving(tmp_path) as server:
        yield server


def bump(
    upstream: Upstream,
    *names: str,
    check: bool = False,
    debian: bool = False,
    others: dict[str, dict[str, DebianRelease]] | None = None,
    asked: list[str] | None = None,
    max_bytes: int = ARCHIVE_MAX,
    databases: tuple[Database, ...] = (),
    **settings: str,
) -> list[PinChange]:
    directory = upstream.directory
    flags = {
        "cache": str(directory / "cache"),
        "debian_mirror": f"file://{upstream.pool}",
        **settings,
    }
    context = Context(
        settings=Settings.read(flags, environment={}, directory=directory),
        report=Lines(),
        recipes_directory=upstream.recipes,
    )
    fake = FakeApt(
        directory=directory / "apt",
        bases=tuple,
        packaged=upstream.packaged if debian else None,
        others=others or {},
        asked=[] if asked is None else asked,
    )
    options = ClientOptions(session=loopback, policy=RetryPolicy(tries=1))
    return Bump(
        context=context, apt=fake, options=options, max_bytes=max_bytes, databases=databases
    ).run(names, check=check)


def one(rows: Sequence[PinChange]) -> PinChange:
    (row,) = rows
    return row


def releases(upstream: Upstream) -> list[dict[str, object]]:
    found: list[dict[str, object]] = tomllib.loads(upstream.recipe.read_text("utf-8"))["releases"]
    return found


def unchanged(upstream: Upstream) -> bool:
    return [entry["version"] for entry in releases(upstream)] == ["1.0"]


def test_a_newer_release_is_pinned_whole(upstream: Upstream) -> None:
    data = upstream.release("1.1")
    before = upstream.recipe.read_text("utf-8")
    row = one(bump(upstream))
    assert (row.state, row.old, row.new, row.dropped) == (PinState.MOVED, "1.0", "1.1", ())
    new, old = releases(upstream)
    assert new == {
        "version": "1.1",
        "date": DAY,
        "licence": "MIT",
        "filename": "tool-1.1.tar.gz",
        "urls": [f"{upstream.url}/tool-1.1.tar.gz", f"{upstream.url}/other/v1_1/tool-1.1.tar.gz"],
        "debian": "pool/main/t/tool/tool_1.1.orig.tar.gz",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "signature": {
            "url": f"{upstream.url}/tool-1.1.tar.gz.asc",
            "key": upstream.signer.fingerprint,
        },
    }
    assert old["version"] == "1.0"
    after = upstream.recipe.read_text("utf-8")
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []


def test_the_archive_is_in_the_cache_afterwards(upstream: Upstream) -> None:
    upstream.release("1.1")
    bump(upstream)
    sha256 = str(releases(upstream)[0]["sha256"])
    assert list((upstream.directory / "cache" / "cas").glob(f"*/{sha256}"))
    assert not list((upstream.directory / "cache" / "tmp").iterdir())


def test_twice_is_once_and_older_ones_are_dropped(upstream: Upstream) -> None:
    upstream.release("1.1")
    bump(upstream)
    text = upstream.recipe.read_text("utf-8")
    assert one(bump(upstream)).state is PinState.NEWEST
    assert upstream.recipe.read_text("utf-8") == text
    upstream.release("1.2")
    assert one(bump(upstream)).dropped == ("1.0",)
    assert [entry["version"] for entry in releases(upstream)] == ["1.2", "1.1"]
    assert upstream.recipe.read_text("utf-8").endswith("# the end\n")


def test_check_writes_nothing(upstream: Upstream) -> None:
    upstream.release("1.1")
    row = one(bump(upstream, check=True))
    assert (row.state, row.new) == (PinState.MOVED, "1.1")
    assert unchanged(upstream)
    assert "would move" in bump_table([row], check=True)


@pytest.mark.parametrize(
    "version", ["1.1~rc1", "1.1-rc1", "1.1rc1", "1.1.dev1", "0.9", "1.0.0", "1.0"]
)
def test_candidates_and_older_ones_are_not_taken(upstream: Upstream, version: str) -> None:
    upstream.release(version)
    assert one(bump(upstream)).state is PinState.NEWEST
    assert unchanged(upstream)


def test_a_series_is_not_left(upstream: Upstream) -> None:
    upstream.edit('listing = "', 'series = "1", listing = "')
    upstream.release("2.0")
    assert one(bump(upstream)).state is PinState.NEWEST
    upstream.release("1.7")
    assert one(bump(upstream)).new == "1.7"


# --- signatures ---


def stopped(upstream: Upstream, *, debian: bool = False) -> str:
    with pytest.raises(BadSignatureError) as caught:
        bump(upstream, debian=debian)
    assert unchanged(upstream)
    return caught.value.what


def test_a_changed_archive_stops_everything(upstream: Upstream) -> None:
    data = upstream.release("1.1")
    upstream.files["/tool-1.1.tar.gz"] = archive_of("1.1", files=3)
    assert "not of this file" in stopped(upstream)
    upstream.files["/tool-1.1.tar.gz"] = data[:-1]
    stopped(upstream)
    upstream.files["/tool-1.1.tar.gz"] = b"<html>come back later</html>"
    stopped(upstream)


def test_a_bad_signature_is_no_reason_to_ask_debian(upstream: Upstream) -> None:
    upstream.release("1.1", signature=Signer.new("mallory").sign(archive_of("1.1")))
    upstream.package("1.1")
    assert "not by the recipe's key" in stopped(upstream, debian=True)


def test_a_revoked_or_expired_key_stops_everything(upstream: Upstream) -> None:
    upstream.release("1.1")
    keys = upstream.recipe.parent / "upstream.asc"
    write_keys(keys, upstream.signer.revoked())
    assert "was revoked" in stopped(upstream)
    write_keys(keys, upstream.signer.expired())
    assert "expired" in stopped(upstream)


def test_an_old_release_under_a_new_name_stops_everything(upstream: Upstream) -> None:
    """The signature is upstream's, and good; it was made before the pinned release came out."""
    old = upstream.signer.sign(archive_of("0.9"))
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    upstream.edit("date = 2026-01-02", f"date = {tomorrow}")
    upstream.release("1.1", archive_of("0.9"), signature=old)
    assert "before 1.0 came out" in stopped(upstream)


def test_an_archive_of_another_version_is_left_alone(upstream: Upstream) -> None:
    upstream.release("1.1", archive_of("0.9"))
    row = one(bump(upstream))
    assert row.state is PinState.LEFT
    assert "no directory in the archive is called after 1.1: tool-0.9" in row.notes[-1]


@pytest.mark.parametrize("day", [date(2025, 12, 31), date(1971, 1, 1), date(2100, 1, 1)])
def test_a_day_that_cannot_be_is_left_alone(upstream: Upstream, day: date) -> None:
    upstream.release("1.1", archive_of("1.1", day=day))
    assert "cannot be the day of a release" in one(bump(upstream)).notes[-1]


def test_nothing_is_written_when_another_recipe_is_bad(upstream: Upstream) -> None:
    upstream.release("1.1")
    text = upstream.recipe.read_text("utf-8")
    other = upstream.recipes / "another"
    other.mkdir()
    (other / "build.sh").touch()
    (other / "recipe.toml").write_text(text.replace('name = "tool"', 'name = "another"'), "utf-8")
    write_keys(other / "upstream.asc", upstream.signer.revoked())
    stopped(upstream)
    assert [row.state for row in bump(upstream, "tool")] == [PinState.MOVED]


def test_without_a_signature_it_is_left_alone_and_the_next_one_tried(upstream: Upstream) -> None:
    upstream.release("1.2")
    upstream.release("1.1")
    del upstream.files["/tool-1.2.tar.gz.asc"]
    row = one(bump(upstream))
    assert (row.state, row.new) == (PinState.MOVED, "1.1")
    assert any("1.2: its signature could not be had" in note for note in row.notes)
    assert any("HTTP 404" in note for note in row.notes)


def test_without_a_key_it_is_left_alone(upstream: Upstream) -> None:
    upstream.release("1.1")
    (upstream.recipe.parent / "upstream.asc").unlink()
    row = one(bump(upstream))
    assert row.state is PinState.LEFT
    assert "no upstream.asc beside the recipe" in row.notes[-1]


# --- Debian ---


def without_upstream(upstream: Upstream) -> None:
    upstream.files.clear()


def test_debian_alone_is_enough(upstream: Upstream) -> None:
    data = upstream.package("1.1")
    without_upstream(upstream)
    row = one(bump(upstream, debian=True))
    assert (row.state, row.new) == (PinState.MOVED, "1.1")
    new = releases(upstream)[0]
    assert new["sha256"] == hashlib.sha256(data).hexdigest()
    assert new["debian"] == "pool/main/t/tool/tool_1.1.orig.tar.gz"
    assert new["urls"] == [
        f"{upstream.url}/tool-1.1.tar.gz",
        f"{upstream.url}/other/v1_1/tool-1.1.tar.gz",
    ]
    assert any(note.startswith(f"could not look at {upstream.url}/") for note in row.notes)
    assert "the archive is from Debian's pool" in row.notes


def test_a_bad_signature_from_debian_stops_everything(upstream: Upstream) -> None:
    upstream.signer, good = Signer.new("mallory"), upstream.signer
    upstream.package("1.1")
    without_upstream(upstream)
    assert "not by the recipe's key" in stopped(upstream, debian=True)
    upstream.signer = good
    upstream.package("1.1")
    assert one(bump(upstream, debian=True)).state is PinState.MOVED


def test_in_the_index_but_not_in_the_pool(upstream: Upstream) -> None:
    upstream.package("1.2", pool=False)
    without_upstream(upstream)
    row = one(bump(upstream, debian=True))
    assert row.state is PinState.LEFT
    assert "is in Debian's index, but not in its pool" in row.notes[-1]
    upstream.package("1.1")
    assert one(bump(upstream, debian=True)).new == "1.1"


def test_debian_without_upstreams_signature_is_left_alone(upstream: Upstream) -> None:
    upstream.package("1.1", signed=False)
    without_upstream(upstream)
    row = one(bump(upstream, debian=True))
    assert row.state is PinState.LEFT
    assert row.notes[-1].endswith("its signature could not be had: Debian carries none")


def test_upstream_comes_first_and_debians_copy_is_compared(upstream: Upstream) -> None:
    data = upstream.release("1.1")
    upstream.package("1.1", data)
    assert one(bump(upstream, debian=True)).notes == ()
    upstream.release("1.2")
    upstream.package("1.2", archive_of("1.2", files=5))
    row = one(bump(upstream, debian=True))
    assert any("has other bytes: its path was left out" in note for note in row.notes)
    assert "debian" not in releases(upstream)[0]
    # What the source package is called is still known, from the release before.
    upstream.package("1.3")
    assert one(bump(upstream, debian=True)).new == "1.3"


def test_another_kind_of_archive_is_not_taken_for_upstreams(upstream: Upstream) -> None:
    upstream.package("1.1")
    found = upstream.packaged["1.1"]
    other = found.archive.path.replace(".tar.gz", ".tar.xz")
    upstream.packaged["1.1"] = DebianRelease(
        version="1.1",
        archive=type(found.archive)(path=other, size=1, sha256="0" * 64),
        signature=None,
    )
    without_upstream(upstream)
    assert "which is another file" in one(bump(upstream, debian=True)).notes[-1]


def test_nobody_can_be_asked(upstream: Upstream) -> None:
    without_upstream(upstream)
    row = one(bump(upstream))
    assert row.state is PinState.UNSEEN
    assert len(row.notes) == 2


def unsigned(upstream: Upstream) -> None:
    line = next(x for x in upstream.recipe.read_text("utf-8").splitlines() if "signature" in x)
    upstream.edit(line, 'unsigned = "nobody does"')


def test_unsigned_over_plain_http_is_left_alone(upstream: Upstream) -> None:
    unsigned(upstream)
    upstream.release("1.1")
    row = one(bump(upstream))
    assert row.state is PinState.LEFT
    assert "plain http vouches for nothing" in row.notes[-1]
    assert "/tool-1.1.tar.gz" not in upstream.asked


def test_unsigned_from_debian_is_noted(upstream: Upstream) -> None:
    unsigned(upstream)
    upstream.package("1.1", signed=False)
    row = one(bump(upstream, debian=True))
    assert row.state is PinState.MOVED
    assert any("compare it with upstream's" in note for note in row.notes)
    assert releases(upstream)[0]["unsigned"] == "nobody does"


# --- hostile ---


@pytest.mark.parametrize(
    "link",
    [
        *("tool-../../etc/passwd.tar.gz", "tool-2.0/../9.tar.gz", "tool-%2e%2e%2f9.0.tar.gz"),
        *(
            "tool-9.0%00.tar.gz",
            "javascript:tool-9",
            "//[bad/tool-9.0",
            "tool-" + "9" * 500 + ".tar.gz",
        ),
        "tool-9.0;touch x.tar.gz",
    ],
)
def test_hostile_links_lead_nowhere(upstream: Upstream, link: str) -> None:
    upstream.release("1.1")
    upstream.list(link)
    assert one(bump(upstream)).new == "1.1"
    assert all(".." not in path and "9.0" not in path for path in upstream.asked)


def test_versions_that_are_not_there_are_asked_for_a_few_times_only(upstream: Upstream) -> None:
    upstream.release("1.1")
    upstream.list(*(f"tool-{number}.0.tar.gz" for number in range(100, 200)))
    row = one(bump(upstream))
    assert row.state is PinState.LEFT
    assert len(upstream.asked) < 12


@pytest.mark.parametrize("page", [b"", b"\xff\xfe\0", b"<a href=", b"<html>nothing</html>"])
def test_a_listing_that_says_nothing_is_no_news(upstream: Upstream, page: bytes) -> None:
    upstream.files["/"] = page
    row = one(bump(upstream))
    assert row.state is PinState.UNSEEN
    assert any("lists nothing that is called like" in note for note in row.notes)


def test_a_huge_listing_is_not_read(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream.release("1.1")
    upstream.files["/"] += b" " * (9 << 20)
    assert any("more than 8388608 bytes" in note for note in one(bump(upstream)).notes)


def test_a_bomb_is_not_unpacked_to_the_end(tmp_path: Path) -> None:
    bomb = tmp_path / "tool-1.1.tar.gz"
    bomb.write_bytes(archive_of("1.1", padding=1 << 20))
    with pytest.raises(
        MirrorError, match="its archive cannot be used: unpacks to more than 1000000"
    ):
        release_date(
            bomb, "tool 1.1", "1.1", DAY, now=DAY.toordinal() * 86400.0, max_read=1_000_000
        )


def test_an_archive_that_never_ends_is_not_kept(upstream: Upstream) -> None:
    upstream.release("1.1", b"\x1f\x8b" + b"\0" * 2_000_000)
    row = one(bump(upstream, max_bytes=1_000_000))
    assert row.state is PinState.LEFT
    assert any("sends more than 1000000 bytes" in note for note in row.notes)


# --- the rest ---


def test_frozen_says_why(upstream: Upstream) -> None:
    line = next(x for x in upstream.recipe.read_text("utf-8").splitlines() if "update" in x)
    upstream.edit(line, 'update = { frozen = "it is perfect" }')
    row = one(bump(upstream))
    assert (row.state, row.notes) == (PinState.LEFT, ("frozen: it is perfect",))
    assert upstream.asked == []


def test_an_unknown_recipe_is_met_with_a_guess(upstream: Upstream) -> None:
    with pytest.raises(UsageError, match="Perhaps you meant 'tool'"):
        bump(upstream, "tol")


def test_offline_is_a_contradiction(upstream: Upstream) -> None:
    with pytest.raises(UsageError, match="offline"):
        bump(upstream, offline="1")


def test_a_layout_that_cannot_be_rewritten_names_the_file(upstream: Upstream) -> None:
    upstream.release("1.1")
    upstream.edit("[[releases]]", '[["releases"]]')
    with pytest.raises(RecipeError, match="cannot be rewritten") as caught:
        bump(upstream)
    assert str(upstream.recipe) in caught.value.what


def test_rows_tell_a_program_the_same(upstream: Upstream) -> None:
    upstream.release("1.1")
    row = one(bump(upstream))
    assert row.as_dict() == {
        "recipe": "tool",
        "state": "moved",
        "from": "1.0",
        "to": "1.1",
        "dropped": [],
        "notes": ["could not look at Debian's index: no apt here"],
        "passed_over": [],
        "fixes": [],
    }
    assert "tool    moved     1.0     1.1  could" in bump_table([row], check=False)


# --- what can be had of what there is ---


def move(upstream: Upstream, name: str) -> DebianRelease:
    """Take a release out of unstable's index, as when another suite alone has it."""
    return upstream.packaged.pop(name)


@pytest.mark.parametrize("suite", OTHER_SUITES)
def test_another_suite_has_what_unstables_pool_lacks(upstream: Upstream, suite: str) -> None:
    upstream.package("1.1")
    upstream.package("1.2")
    elsewhere = {"1.2": move(upstream, "1.2"), "0.9": upstream.packaged["1.1"]}
    upstream.package("1.3", pool=False)
    without_upstream(upstream)
    row = one(bump(upstream, debian=True, others={suite: elsewhere}))
    assert (row.state, row.new) == (PinState.MOVED, "1.2")
    assert any(note.startswith("not 1.3: ") for note in row.notes)
    assert releases(upstream)[0]["debian"] == "pool/main/t/tool/tool_1.2.orig.tar.gz"


def test_the_pool_shows_what_no_index_names(upstream: Upstream) -> None:
    data = upstream.package("1.2")
    move(upstream, "1.2")
    upstream.package("1.3", pool=False)
    without_upstream(upstream)
    row = one(bump(upstream, debian=True))
    assert (row.state, row.new) == (PinState.MOVED, "1.2")
    assert "the archive is from Debian's pool, by no index" in row.notes
    assert releases(upstream)[0]["sha256"] == hashlib.sha256(data).hexdigest()


def test_other_places_are_asked_only_when_the_newest_cannot_be_had(upstream: Upstream) -> None:
    upstream.package("1.2")
    asked: list[str] = []
    assert one(bump(upstream, debian=True, asked=asked)).new == "1.2"
    assert asked == [SUITE]


def test_without_any_index_the_pool_is_still_there(upstream: Upstream) -> None:
    upstream.package("1.2")
    without_upstream(upstream)
    assert one(bump(upstream)).new == "1.2"


def test_what_no_index_names_must_be_signed(upstream: Upstream) -> None:
    upstream.package("1.2", signed=False)
    move(upstream, "1.2")
    upstream.package("1.3", pool=False)
    without_upstream(upstream)
    row = one(bump(upstream, debian=True))
    assert row.state is PinState.LEFT
    assert any(note.startswith("not 1.2: its signature could not be had") for note in row.notes)
    unsigned(upstream)
    row = one(bump(upstream, debian=True))
    assert row.state is PinState.LEFT
    assert any("no index names it, and nobody signs it" in note for note in row.notes)


def test_a_bad_signature_in_the_pool_stops_everything(upstream: Upstream) -> None:
    upstream.package("1.2")
    move(upstream, "1.2")
    path = upstream.pool / "pool/main/t/tool/tool_1.2.orig.tar.gz"
    path.write_bytes(archive_of("1.2", files=7))
    upstream.package("1.3", pool=False)
    without_upstream(upstream)
    assert "it is not of this file" in stopped(upstream, debian=True)


@pytest.mark.parametrize("where", ["upstream", "index", "pool"])
def test_a_version_can_be_wished_for(upstream: Upstream, where: str) -> None:
    for version in ("1.1", "1.2"):
        (upstream.release if where == "upstream" else upstream.package)(version)
    if where == "pool":
        move(upstream, "1.1")
    if where != "upstream":
        without_upstream(upstream)
    row = one(bump(upstream, "tool@1.1", debian=True))
    assert (row.state, row.new) == (PinState.MOVED, "1.1")


def test_a_wish_need_not_be_listed(upstream: Upstream) -> None:
    upstream.release("1.1")
    del upstream.files["/"]
    assert one(bump(upstream, "tool@1.1")).new == "1.1"


def test_no_other_version_is_taken_for_the_one_wished_for(upstream: Upstream) -> None:
    upstream.release("1.2")
    row = one(bump(upstream, "tool@1.1", debian=True))
    assert row.state is PinState.LEFT
    assert any(note.startswith("not 1.1: ") for note in row.notes)
    assert unchanged(upstream)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tool@"], "is no version"),
        (["tool@1.1rc1"], "is no version"),
        (["tool@../1"], "is no version"),
        (["tool@1.0"], "1.0 is not newer"),
        (["tool@0.9"], "0.9 is not newer"),
        (["tool@2.0"], "not of the series 1"),
        (["tool@1.1", "tool@1.2"], "named twice"),
        (["tool@1.1", "tool"], "named twice"),
        (["tol@1.1"], "There is no recipe 'tol'"),
    ],
)
def test_wishes_that_cannot_be(upstream: Upstream, words: list[str], complaint: str) -> None:
    upstream.edit('/" }\n\n[[rel', '/", series = "1" }\n\n[[rel')
    with pytest.raises(UsageError, match=complaint):
        bump(upstream, *words)


# --- security releases that cannot be had ---


def known(upstream: Upstream, **fixed: str) -> tuple[Database, ...]:
    """A database in which each number was fixed in a version."""
    events = {
        number: [{"introduced": "0"}, {"fixed": version}] for number, version in fixed.items()
    }
    records = [
        {
            "id": number.replace("_", "-"),
            "affected": [
                {"package": {"name": "tool"}, "ranges": [{"type": "SEMVER", "events": it}]}
            ],
            "database_specific": {"package": "tool", "severity": "High"},
        }
        for number, it in events.items()
    ]
    path = upstream.directory / "known.json"
    path.write_text(json.dumps(records), "utf-8")
    return (from_file(path),)


def test_a_security_release_that_cannot_be_had_is_said(upstream: Upstream) -> None:
    upstream.package("1.1")
    upstream.package("1.2", pool=False)
    without_upstream(upstream)
    everything = known(upstream, CVE_2026_1="1.1", CVE_2026_2="1.2", CVE_2026_3="1.3")
    row = one(bump(upstream, debian=True, databases=everything))
    assert (row.new, row.passed, row.fixes) == ("1.1", ("1.2",), ("CVE-2026-2",))
    assert "1.2 is a security release: it fixes CVE-2026-2" in row.notes
    assert row.as_dict()["passed_over"] == ["1.2"]
    assert row.as_dict()["fixes"] == ["CVE-2026-2"]


def test_a_release_that_fixes_nothing_known_is_told_apart(upstream: Upstream) -> None:
    upstream.package("1.2", pool=False)
    without_upstream(upstream)
    row = one(bump(upstream, debian=True, databases=known(upstream, CVE_2026_1="1.3")))
    assert row.state is PinState.LEFT
    assert "1.2 fixes nothing that is known of 1.0" in row.notes


def test_a_database_that_cannot_be_asked_is_no_good_news(upstream: Upstream) -> None:
    upstream.package("1.2", pool=False)
    without_upstream(upstream)
    options = ClientOptions(session=loopback, policy=RetryPolicy(tries=1))
    nowhere = "http://127.0.0.1:1"
    databases = over_network(options, osv_api=nowhere, tracker=nowhere, curl=nowhere)
    row = one(bump(upstream, debian=True, databases=databases))
    assert "whether 1.2 is a security release could not be asked" in row.notes


def test_nobody_is_asked_when_nothing_was_passed_over(upstream: Upstream) -> None:
    def never(_: object) -> NoReturn:
        raise AssertionError

    upstream.release("1.1")
    asked = (Database(name="x", knows=never, ask=never),)
    assert one(bump(upstream, databases=asked)).fixes == ()
