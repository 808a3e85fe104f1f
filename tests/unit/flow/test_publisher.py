"""What `publish` does with what is proven: names, marks, and builds that are made again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands.publish import Publisher, build_number_of, hash_toolchain, requests
from commands.rebuild import Comparison, Pair
from core.errors import EngineError, PublishError, UsageError
from core.kinds import EntryKind
from core.signing import SecretKey
from core.target import Target
from flow.build import Request, build
from flow.context import Context
from publish.manifest import read_manifest
from publish.trust.envelope import payloads
from publish.trust.revision import Revision
from tests.fakes import below
from tests.unit.flow.conftest import FakeEnvironment, Harness

DIRTY = Revision(commit="e" * 40, tree="f" * 64, changed=("core/x.py",))
CLEAN = Revision(commit="e" * 40, tree="f" * 64)
PLAIN, PACKED = "hello-plain-2.0-linux-amd64", "hello-plain-2.0-linux-amd64.upx"


@pytest.fixture
def shop(harness: Harness) -> Harness:
    harness.environment = FakeEnvironment()
    for name in ("musl", "tls", "data", "upx", "hello"):
        with (harness.world.recipes / name / "recipe.toml").open("a") as recipe:
            recipe.write('\n[bill]\nlicence_files = ["source.c"]\n')
    harness.build("hello:plain")
    return harness


def untouched(_: Context) -> None:
    """Say at once that the toolchain is what it was: hashing it takes seconds."""


def publisher(shop: Harness, *revisions: Revision, **options: Any) -> Publisher:
    """A publisher who finds these states of the tree, one after the other; the last one stays."""
    found = list(revisions or (CLEAN,))
    made = Publisher(
        context=shop.context(),
        key=SecretKey.generate(),
        **{"look_at_toolchain": untouched, **options},
    )
    return replace(made, find_revision=lambda _: found.pop(0) if len(found) > 1 else found[0])


def test_the_toolchain_is_looked_at_before_anything_is_signed(
    shop: Harness, tmp_path: Path
) -> None:
    looked: list[Context] = []

    def changed(context: Context) -> None:
        looked.append(context)
        msg = "The toolchain is not what was installed"
        raise EngineError(msg)

    assert Publisher.look_at_toolchain is hash_toolchain
    with pytest.raises(EngineError, match="not what was installed"):
        publisher(shop, look_at_toolchain=changed).publish(str(tmp_path / "r"), dry=False)
    assert len(looked) == 1
    assert not (tmp_path / "r").exists()


def statements(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "provenance.intoto.jsonl").read_bytes()
    return [json.loads(payload) for payload in payloads(lines)]


def test_a_clean_tree_is_published(shop: Harness, tmp_path: Path) -> None:
    publisher(shop).publish(str(tmp_path / "release"), dry=False)
    names = set(below(tmp_path / "release"))
    assert {PLAIN, PACKED, "hello-2.0-linux-amd64.tar"} <= names


def test_a_dirty_tree_is_refused_before_anything_else(shop: Harness, tmp_path: Path) -> None:
    for to in (str(tmp_path / "release"), "oci://127.0.0.1:1/x"):
        with pytest.raises(PublishError, match="is not the commit"):
            publisher(shop, DIRTY).publish(to, dry=False)
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize(
    "later", [DIRTY, replace(CLEAN, commit="a" * 40), replace(CLEAN, tree="a" * 64)]
)
def test_a_tree_that_is_changed_meanwhile_is_not_signed_for(
    shop: Harness, tmp_path: Path, later: Revision
) -> None:
    with pytest.raises(PublishError, match="changed while it was being published"):
        publisher(shop, CLEAN, later).publish(str(tmp_path / "release"), dry=False)
    assert not (tmp_path / "release").exists()


def test_a_dirty_tree_marks_names_versions_and_provenance(shop: Harness, tmp_path: Path) -> None:
    made = publisher(shop, DIRTY, allow_dirty=True)
    made.publish(str(tmp_path / "release"), dry=False)
    names = set(below(tmp_path / "release"))
    assert "hello-plain-2.0-dirty-linux-amd64.upx" in names
    assert "hello-2.0-dirty-linux-amd64.tar" in names
    assert not any("2.0-linux" in name for name in names)
    for said in statements(tmp_path / "release"):
        internal = said["predicate"]["buildDefinition"]["internalParameters"]
        assert internal["changedSinceCommit"] == ["core/x.py"]
    images, _ = made.maker.make(made.selection)
    (image,) = images
    labels = image.layout.json(image.layout.manifests()[0])["annotations"]
    assert labels["org.opencontainers.image.version"] == "2.0-dirty"
    assert image.moving == ()


def test_a_file_that_is_listed_twice_is_published_once(shop: Harness, tmp_path: Path) -> None:
    manifest = shop.artifacts / "manifest.json"
    data = json.loads(manifest.read_text())
    data["artifacts"] *= 2
    manifest.write_text(json.dumps(data))
    publisher(shop).publish(str(tmp_path / "release"), dry=False)
    subjects = [said["subject"][0]["name"] for said in statements(tmp_path / "release")]
    assert sorted(subjects) == sorted({PLAIN, PACKED, "hello:2.0"})


def test_a_build_number_is_in_every_name(shop: Harness, tmp_path: Path) -> None:
    made = publisher(shop, number=2)
    made.publish(str(tmp_path / "release"), dry=False)
    names = set(below(tmp_path / "release"))
    assert {"hello-plain-2.0-r2-linux-amd64", "hello-2.0-r2-linux-amd64.tar"} <= names
    assert PLAIN not in names
    assert (shop.artifacts / "files" / PLAIN).is_file()  # only what is published has it


def test_build_numbers_are_numbers() -> None:
    assert [build_number_of(text) for text in ("", "1", "12")] == [0, 1, 12]
    for text in ("0", "-1", "x", "1.5", "1000", "\u0661"):
        with pytest.raises(UsageError, match="--build-number"):
            build_number_of(text)


def pair(equal: bool) -> Pair:
    return Pair(
        product="hello:plain",
        target=Target.AMD64,
        packed=False,
        path=f"files/{PLAIN}",
        sha256=("a" * 64, ("a" if equal else "b") * 64),
        difference=None,
    )


def again(*, equal: bool = True, notes: bool = True) -> Callable[[Context, Request], Comparison]:
    """A second build that made the same, or not; and whether it was of what is published."""

    def compare(context: Context, request: Request) -> Comparison:
        asked.append(request)
        for artifact in build(context, request) if equal and notes else ():
            note = {"sha256": artifact.sha256, "how": {"engine": "fake -> other"}}
            context.cache.put_action(artifact.key, note, kind=EntryKind.REBUILT)
        return Comparison(pairs=(pair(equal),), varied={}, kept="/kept")

    asked: list[Request] = []
    compare.asked = asked  # type: ignore[attr-defined]
    return compare


def test_built_again_is_said_of_each_file(shop: Harness, tmp_path: Path) -> None:
    compare = again()
    publisher(shop, rebuild=True, again=compare).publish(str(tmp_path / "one"), dry=False)
    (request,) = compare.asked  # type: ignore[attr-defined]
    assert (request.products, request.targets) == (("hello:plain@2.0",), (Target.AMD64,))
    for said in statements(tmp_path / "one"):
        files = said["predicate"]["buildDefinition"]["internalParameters"]["files"]
        assert all(file["rebuilt"] == {"engine": "fake -> other"} for file in files)
    # It is remembered, and said whether it is asked for or not; nothing is built a third time.
    publisher(shop, rebuild=True, again=compare).publish(str(tmp_path / "two"), dry=False)
    publisher(shop, again=compare).publish(str(tmp_path / "three"), dry=False)
    assert len(compare.asked) == 1  # type: ignore[attr-defined]
    files = [set(below(tmp_path / name)) for name in ("one", "two", "three")]
    assert files[0] == files[1] == files[2]
    assert "rebuilt" in str(statements(tmp_path / "three"))


def test_nothing_is_said_to_be_built_again_that_was_not(shop: Harness, tmp_path: Path) -> None:
    publisher(shop).publish(str(tmp_path / "release"), dry=False)
    assert "rebuilt" not in str(statements(tmp_path / "release"))


def test_what_comes_out_otherwise_is_not_published(shop: Harness, tmp_path: Path) -> None:
    for compare, said in (
        (again(equal=False), "Built again, and not the same"),
        (again(notes=False), "not with what went into these files"),
    ):
        with pytest.raises(PublishError, match=said):
            publisher(shop, rebuild=True, again=compare).publish(str(tmp_path / "r"), dry=False)
    assert not (tmp_path / "r").exists()


def test_a_note_about_other_bytes_is_none(shop: Harness) -> None:
    made = publisher(shop)
    (first, *_) = made.maker.artifacts
    note = {"sha256": "0" * 64, "how": {"engine": "x"}}
    shop.context().cache.put_action(first.key, note, kind=EntryKind.REBUILT)
    assert made.maker.rebuilt(first) == {}


def test_each_build_has_one_release_of_a_recipe(shop: Harness) -> None:
    shop.build("hello:secure")
    shop.build("hello:plain@1.0")
    made = requests(read_manifest(shop.artifacts))
    assert sorted(request.products for request in made) == [
        ("hello:plain@1.0",),
        ("hello:plain@2.0", "hello:secure@2.0"),
    ]
    assert all(request.targets == (Target.AMD64,) and request.exact for request in made)
