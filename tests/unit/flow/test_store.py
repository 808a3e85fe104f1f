"""Builds that share a store: what is known is taken over, what is damaged made again, nobody believed blindly."""

import hashlib
from pathlib import Path

import pytest

from builders.sources.shared import SharedCache
from commands.doctor import store as state
from core.errors import UsageError
from core.files import hash_file
from core.kinds import EntryKind
from core.target import Target
from flow.build import Request, build
from flow.proof import prove
from publish.manifest import read_manifest
from records.fill import read_fill
from tests.fakes import Running
from tests.sharing import Machine, Site, flip, rewritten
from tests.unit.flow.conftest import GOOD, hello
from tests.unit.flow.test_fill import GOOD_MAP, with_map


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


@pytest.fixture
def maker(site: Site) -> Machine:
    return site.machine("maker")


@pytest.fixture
def taker(site: Site, maker: Machine) -> Machine:
    machine = site.machine("taker")
    machine.trusts = (maker,)
    return machine


def blob(store: str, sha256: str) -> Path:
    return Path(store.removeprefix("file://")) / "cas" / sha256[:2] / sha256


def entries(store: str, kind: EntryKind = EntryKind.ACTION) -> list[Path]:
    return sorted((Path(store.removeprefix("file://")) / kind.value).iterdir())


def faults(machine: Machine, store: str) -> dict[str, str]:
    """What a build meets and does not believe."""
    context = machine.context(store=store)
    build(context, Request(targets=(Target.AMD64,)))
    assert isinstance(context.cache, SharedCache)
    said = "\n".join(context.faults())
    assert all(
        name[:80] in said and reason in said for name, reason in context.cache.faults.items()
    )
    return dict(context.cache.faults)


def test_a_machine_with_nothing_takes_over_all_and_pulls_what_it_delivers(
    maker: Machine, taker: Machine, store: str
) -> None:
    made = maker.build(store=store)
    assert maker.ran
    taken = taker.build(store=store, offline="1")
    assert taker.ran == []
    assert [(it.path, it.sha256, it.key) for it in taken] == [
        (it.path, it.sha256, it.key) for it in made
    ]
    assert taker.pulled() == {artifact.sha256 for artifact in made}
    assert taker.harness.files() == maker.harness.files()
    # What was found out of it is taken over too.
    assert taker.harness.environment.tried == []  # type: ignore[union-attr]
    assert taker.warnings == []
    assert taker.left() == []


def test_what_has_to_be_made_pulls_what_it_needs(
    site: Site, maker: Machine, taker: Machine, store: str
) -> None:
    maker.build("hello:plain", store=store)
    made = taker.build("hello:secure", store=store)
    assert (
        taker.ran == ["data-1.0", "tls-1.0-linux-amd64", "hello-secure-2.0-linux-amd64"]
        or set(taker.ran) & {"musl-1.0-linux-amd64", "upx-1.0-linux-amd64"} == set()
    )
    assert made
    both = site.machine("third")
    both.trusts = (maker, taker)
    both.build("hello:plain", "hello:secure", store=store)
    assert both.ran == []


def test_nobody_who_is_not_trusted_is_taken_over(site: Site, maker: Machine, store: str) -> None:
    maker.build(store=store)
    alone = site.machine("alone")
    found = faults(alone, store)
    assert sorted(alone.ran) == sorted(maker.ran)
    assert set(found.values()) == {"it is not signed by a trusted builder"}


def test_read_only_takes_over_and_leaves_no_trace(
    site: Site, maker: Machine, taker: Machine, store: str
) -> None:
    maker.build("hello:plain", store=store)
    before = {
        path: path.read_bytes()
        for path in Path(store.removeprefix("file://")).rglob("*")
        if path.is_file()
    }
    taker.build("hello:plain", "hello:secure", store=store, store_read_only="1")
    after = {
        path: path.read_bytes()
        for path in Path(store.removeprefix("file://")).rglob("*")
        if path.is_file()
    }
    assert after == before


def test_a_cache_that_was_there_first_fills_the_store(
    maker: Machine, taker: Machine, store: str
) -> None:
    maker.build()
    assert maker.ran
    ran = list(maker.ran)
    maker.build(store=store)
    assert maker.ran == ran
    taker.build(store=store)
    assert taker.ran == []


@pytest.mark.parametrize("which", ["delivered", "input", "source", "every blob"])
def test_damaged_blobs_are_named_made_again_and_healed(
    site: Site, maker: Machine, taker: Machine, store: str, which: str
) -> None:
    made = maker.build(store=store)
    third = site.machine("third")
    third.trusts = (maker, taker)
    everything = list(Path(store.removeprefix("file://")).glob("cas/*/*"))
    match which:
        case "delivered":
            bad = [blob(store, made[0].sha256)]
        case "input":
            # What musl made is an input, once hello has to be made.
            (entry,) = [path for path in entries(store) if b'"step":"musl' in path.read_bytes()]
            text = entry.read_text("utf-8")
            bad = [blob(store, text.partition('"output":"')[2][:64])]
            for path in entries(store):
                if b'"step":"hello' in path.read_bytes():
                    path.unlink()
        case "source":
            (archive,) = [p for p in site.world.mirror.iterdir() if p.name.startswith("hello-2")]
            bad = [blob(store, hash_file(archive))]
            for path in entries(store):
                if b'"step":"hello' in path.read_bytes():
                    path.unlink()
        case _:
            bad = everything
    for path in bad:
        flip(path)
    found = faults(taker, store)
    assert {f"blob {path.name}" for path in bad} >= {name for name in found if "blob" in name}
    assert any("its sha256 is" in reason for reason in found.values())
    assert taker.ran or which == "source"
    assert taker.harness.files() == maker.harness.files()
    for name in taker.harness.files():
        files = [machine.harness.artifacts / "files" / name for machine in (maker, taker)]
        assert files[0].read_bytes() == files[1].read_bytes()
    # Whoever comes next meets nothing of it.
    assert faults(third, store) == {}
    assert third.ran == []
    assert taker.left() == third.left() == []


def test_every_poisoned_entry_is_named_and_none_is_used(
    site: Site, maker: Machine, taker: Machine, store: str
) -> None:
    maker.build(store=store)
    evil = site.directory / "evil"
    evil.write_bytes(b"evil")
    paths = entries(store)
    kept = [path.read_bytes() for path in paths]
    stranger = site.machine("stranger")
    stranger.build(store=f"file://{site.directory}/elsewhere")
    for number, path in enumerate(paths):
        match number % 3:
            case 0:
                path.write_bytes(rewritten(kept[number], output=hash_file(evil)))
            case 1:
                path.write_bytes(kept[number - 1])
            case _:
                elsewhere = site.directory / "elsewhere" / "action" / path.name
                path.write_bytes(elsewhere.read_bytes())
    found = faults(taker, store)
    named = {name.partition(" ")[2]: why for name, why in found.items() if "action" in name}
    assert set(named) == {path.name for path in paths}
    assert sorted(taker.ran) == sorted(maker.ran)
    third = site.machine("third")
    third.trusts = (maker, taker)
    assert faults(third, store) == {}
    assert third.ran == []


def test_a_store_that_is_gone_is_said_once_and_the_build_is_right(
    maker: Machine, store: str, tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("no directory", "utf-8")
    made = maker.build(store=store)
    assert len(made) == 2
    assert maker.harness.files()
    assert len(maker.warnings) == 1
    assert "From now on nothing is put into the store" in maker.warnings[0]


def test_what_is_no_store_is_said_before_anything_is_built(maker: Machine) -> None:
    with pytest.raises(UsageError, match="is no store"):
        maker.build(store="ftp://host")
    assert maker.ran == []


def test_the_doctor_says_whether_the_store_answers(
    maker: Machine, store: str, tmp_path: Path
) -> None:
    assert state(maker.context()) == "none"
    assert state(maker.context(store=store)) == f"{store} answers"
    said = state(maker.context(store=store, store_read_only="1"))
    assert said == f"{store} answers, and is only read"
    gone = state(maker.context(store="oci://127.0.0.1:1/cache"))
    assert gone.startswith("The store oci://127.0.0.1:1/cache cannot be used: ")


# --- who may publish what


def refusals(machine: Machine, store: str) -> dict[str, str]:
    proofs = prove(machine.context(store=store), read_manifest(machine.harness.artifacts))
    return {proof.listed.path: proof.refused for proof in proofs if proof.refused}


def test_what_only_one_other_builder_made_is_not_proven(
    maker: Machine, taker: Machine, store: str
) -> None:
    maker.build("hello:plain", store=store)
    assert refusals(maker, store) == {}
    taker.build("hello:plain", store=store)
    found = refusals(taker, store)
    assert len(found) == 2
    for why in found.values():
        assert f"only one trusted builder ({maker.name_of_key}) has signed" in why
        assert "it was not made here" in why


def test_what_two_others_made_alike_is_proven_and_says_by_whom(
    site: Site, maker: Machine, store: str
) -> None:
    second, last = site.machine("second"), site.machine("last")
    maker.build("hello:plain", store=store)
    second.build("hello:plain", store=store)
    assert sorted(second.ran) == sorted(maker.ran), "it believes nobody"
    last.trusts = (maker, second)
    made = last.build("hello:plain", store=store)
    assert last.ran == []
    both = tuple(sorted(machine.name_of_key for machine in (maker, second)))
    for artifact in made:
        assert tuple(sorted(artifact.reproduced_by)) == both
    assert refusals(last, store) == {}
    (proof, *_) = prove(last.context(store=store), read_manifest(last.harness.artifacts))
    assert proof.proven
    assert tuple(sorted(proof.proven.reproduced_by)) == both


def test_who_signs_a_release_once_more_has_made_all_of_it(
    site: Site, maker: Machine, store: str
) -> None:
    """Two others are enough to publish, and no reason to say that it came out here, too."""
    second, last = site.machine("second"), site.machine("last")
    maker.build("hello:plain", store=store)
    second.build("hello:plain", store=store)
    last.trusts = (maker, second)
    last.build("hello:plain", store=store)
    for machine, enough in ((second, True), (last, False)):
        listed = read_manifest(machine.harness.artifacts)
        proofs = prove(machine.context(store=store), listed, only_here=True)
        assert all(bool(proof.proven) is enough for proof in proofs)
        assert enough or all("was not run here: musl" in proof.refused for proof in proofs)


def test_a_second_signature_that_comes_later_counts(
    site: Site, maker: Machine, taker: Machine, store: str
) -> None:
    maker.build("hello:plain", store=store)
    second = site.machine("second")
    taker.trusts = (maker, second)
    taker.build("hello:plain", store=store)
    assert refusals(taker, store)
    second.build("hello:plain", store=store)
    assert refusals(taker, store) == {}


def test_every_step_counts_not_only_the_last(site: Site, maker: Machine, store: str) -> None:
    """Who takes over a library that only one has made, and links it, has reproduced nothing of it."""
    second, last = site.machine("second"), site.machine("last")
    maker.build("hello:plain", store=store)
    second.trusts = (maker,)
    second.harness.build("hello:plain", rebuild=True, **second.flags(store=store))
    assert "hello-plain-2.0-linux-amd64" in second.ran
    assert "musl-1.0-linux-amd64" not in second.ran
    last.trusts = (maker, second)
    last.build("hello:plain", store=store)
    assert last.ran == []
    found = refusals(last, store)
    assert found
    assert all("only one trusted builder" in why and "musl" in why for why in found.values())


def test_two_who_made_different_things_do_not_vouch_for_each_other(
    site: Site, maker: Machine, store: str
) -> None:
    second, last = site.machine("second"), site.machine("last")
    maker.build("hello:plain", store=store)

    def other(running: Running) -> int:
        if running.step != "hello-plain-2.0-linux-amd64":
            return hello(running)
        running.make("hello", GOOD + b"\0")
        return 0

    second.harness.engine.script = other
    second.build("hello:plain", store=store)
    last.trusts = (maker, second)
    last.build("hello:plain", store=store)
    assert refusals(last, store)


def test_an_ordinary_build_asks_nobody_who_else_made_it(maker: Machine) -> None:
    for artifact in maker.build("hello:plain"):
        assert artifact.reproduced_by == ()
        assert artifact.as_dict()["reproduced_by"] == ()


@pytest.mark.parametrize("harm", ["none", "gone", "damaged"])
def test_what_fills_a_program_travels_with_it_and_is_missed_by_nobody(
    maker: Machine, taker: Machine, store: str, harm: str
) -> None:
    maker.harness.engine.script = with_map()
    plain = maker.build(store=store)[0]
    name = Path(plain.path).name
    first = read_fill(maker.harness.artifacts, name, plain.sha256)
    assert first is not None
    sha256 = hashlib.sha256(GOOD_MAP.encode()).hexdigest()
    if harm == "gone":
        blob(store, sha256).unlink()
    if harm == "damaged":
        flip(blob(store, sha256))
    taker.harness.engine.script = with_map()
    taken = taker.build(store=store)
    assert taken[0].sha256 == plain.sha256
    second = read_fill(taker.harness.artifacts, name, plain.sha256)
    if harm == "none":
        assert taker.ran == []
    assert second == (first if harm == "none" or taker.ran else None)
