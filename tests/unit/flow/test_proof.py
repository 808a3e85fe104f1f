"""What is signed was made here: whatever the manifest, the cache or a file says otherwise is refused."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from commands.image import ImageSelection
from commands.publish import Publisher
from core.cancel import Cancelled
from core.errors import PublishError, StorageError
from core.files import hash_file
from core.kinds import EntryKind
from core.signing import SecretKey
from flow.context import Context
from flow.proof import prove
from publish.manifest import read_manifest
from publish.trust.revision import Revision
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.flow.conftest import GOOD, FakeEnvironment, Harness

PLAIN = "files/hello-plain-2.0-linux-amd64"
OTHER = (DIRECTORY / "good-amd64").read_bytes()
"""A static program that passes verification, and that no recipe here made."""


@pytest.fixture
def shop(harness: Harness) -> Harness:
    harness.environment = FakeEnvironment()
    harness.build("hello:plain")
    return harness


def edit(shop: Harness, of: str = PLAIN, /, **changes: object) -> None:
    manifest = shop.artifacts / "manifest.json"
    data = json.loads(manifest.read_text())
    for entry in data["artifacts"]:
        if entry["path"] == of:
            entry.update(changes)
    manifest.write_text(json.dumps(data))


def refusals(shop: Harness) -> dict[str, str]:
    proofs = prove(shop.context(), read_manifest(shop.artifacts))
    for proof in proofs:
        assert (proof.proven is None) is bool(proof.refused)
    return {proof.listed.path: proof.refused for proof in proofs if proof.refused}


def untouched(_: Context) -> None:
    """Say at once that the toolchain is what it was: hashing it takes seconds."""


def publisher(shop: Harness, **options: Any) -> Publisher:
    options = {"find_revision": lambda _: Revision(tree=""), **options}
    return Publisher(
        context=shop.context(),
        key=SecretKey.generate(),
        **{"look_at_toolchain": untouched, **options},
    )


def test_what_was_made_here_is_proven_and_only_what_is_proven_is_believed(shop: Harness) -> None:
    edit(shop, engine="docker", isolated=False, key="0" * 64, size=1)
    edit(shop, inputs=[])
    assert set(refusals(shop)) == {PLAIN}  # it has to say which releases went in
    shop.build("hello:plain")
    edit(shop, engine="docker", isolated=False, key="0" * 64, size=1)
    first, packed = prove(shop.context(), read_manifest(shop.artifacts))
    assert not first.refused + packed.refused
    assert first.proven
    assert first.proven != first.listed
    assert (first.proven.engine, first.proven.isolated) == (shop.engine.name, True)
    assert first.proven.size == len(GOOD)
    assert first.proven.key != "0" * 64


def test_it_is_judged_again_and_not_run_again(shop: Harness) -> None:
    assert isinstance(shop.environment, FakeEnvironment)
    tried = len(shop.environment.tried)
    context = shop.context()
    for entry in context.local.entries():
        if entry.kind is EntryKind.VERDICT:  # a lie, signed by this very builder
            value = {"ok": False, "findings": []}
            context.cache.put_action(entry.name, value, kind=EntryKind.VERDICT)
    assert refusals(shop) == {}
    assert len(shop.environment.tried) == tried


def a_program_of_the_machine(shop: Harness) -> None:
    (shop.artifacts / PLAIN).write_bytes(Path("/bin/ls").read_bytes())
    edit(shop, sha256=hash_file(shop.artifacts / PLAIN))


def a_static_program_from_elsewhere(shop: Harness) -> None:
    (shop.artifacts / PLAIN).write_bytes(OTHER)
    edit(shop, sha256=hash_file(shop.artifacts / PLAIN))


def a_path_that_leads_out(shop: Harness) -> None:
    (shop.directory / "busybox").write_bytes(OTHER)
    out = shop.directory / "busybox"
    edit(shop, path="../busybox", sha256=hash_file(out))


def a_name_of_another_product(shop: Harness) -> None:
    edit(shop, product="hello:secure")


def a_name_of_none(shop: Harness) -> None:
    edit(shop, product="curl:http")


def a_release_that_was_not_built(shop: Harness) -> None:
    edit(shop, release="1.0", path="files/hello-plain-1.0-linux-amd64")
    shutil.copy(shop.artifacts / PLAIN, shop.artifacts / "files/hello-plain-1.0-linux-amd64")


def a_release_that_nobody_pinned(shop: Harness) -> None:
    edit(shop, release="3.0", path="files/hello-plain-3.0-linux-amd64")
    shutil.copy(shop.artifacts / PLAIN, shop.artifacts / "files/hello-plain-3.0-linux-amd64")


def a_target_that_was_not_built(shop: Harness) -> None:
    edit(shop, target="linux/arm64", path="files/hello-plain-2.0-linux-arm64")


def a_target_that_has_none(shop: Harness) -> None:
    edit(shop, target="linux/loong64", path="files/hello-plain-2.0-linux-loong64")


def a_link(shop: Harness) -> None:
    (shop.artifacts / PLAIN).rename(shop.directory / "away")
    (shop.artifacts / PLAIN).symlink_to(shop.directory / "away")


def a_directory_that_is_a_link(shop: Harness) -> None:
    (shop.artifacts / "files").rename(shop.directory / "away")
    (shop.artifacts / "files").symlink_to(shop.directory / "away")


def a_file_that_is_gone(shop: Harness) -> None:
    (shop.artifacts / PLAIN).unlink()


def a_changed_file(shop: Harness) -> None:
    (shop.artifacts / PLAIN).write_bytes(OTHER)


def a_changed_sum(shop: Harness) -> None:
    edit(shop, sha256="0" * 64)


def a_changed_recipe(shop: Harness) -> None:
    with (shop.world.recipes / "hello" / "build.sh").open("a") as script:
        script.write("# and more\n")


def a_changed_dependency(shop: Harness) -> None:
    with (shop.world.recipes / "musl" / "build.sh").open("a") as script:
        script.write("# and more\n")


def an_emptied_cache(shop: Harness) -> None:
    shop.context().local.prune(max_age=0)


def another_builder(shop: Harness) -> None:
    """Who is not trusted here has signed it all."""
    key = Path(shop.context().builder_keys.path)
    key.unlink()
    key.with_suffix(".pub").unlink()


def a_rewritten_result(shop: Harness) -> None:
    """A step's result in the cache names other bytes, which are there, and the manifest agrees."""
    context = shop.context()
    sha256 = context.cache.put_file(DIRECTORY / "good-amd64")
    old = hash_file(shop.artifacts / PLAIN)
    for entry in context.local.entries():
        if entry.kind is EntryKind.ACTION:
            path = context.cache.root / "ac" / entry.name
            path.write_text(path.read_text().replace(old, sha256))
    (shop.artifacts / PLAIN).write_bytes(OTHER)
    edit(shop, sha256=sha256)


def a_verdict_that_was_bad(shop: Harness) -> None:
    edit(shop, verdict={"ok": False, "findings": []})


def a_smoke_run_that_was_not_run(shop: Harness) -> None:
    edit(shop, smoke={"ran": False, "ok": False, "how": "no qemu"})


def a_smoke_run_of_other_bytes(shop: Harness) -> None:
    """Nothing is known of these bytes, and they cannot be tried here."""
    for entry in (cache := shop.context().local).entries():
        if entry.kind is EntryKind.SMOKE:
            (cache.root / "smoke" / entry.name).unlink()
    shop.environment = "nobody looks"


ATTACKS = [
    (a_program_of_the_machine, "the step that makes it made"),
    (a_static_program_from_elsewhere, "the step that makes it made"),
    (a_path_that_leads_out, "its name is files/hello-plain-2.0-linux-amd64"),
    (a_name_of_another_product, "its name is files/hello-secure-2.0-linux-amd64"),
    (a_name_of_none, "Unknown product 'curl:http'"),
    (a_release_that_was_not_built, "no trusted builder has signed"),
    (a_release_that_nobody_pinned, "3.0 went in, which is not pinned"),
    (a_target_that_was_not_built, "no trusted builder has signed"),
    (a_target_that_has_none, "cannot be built for linux/loong64"),
    (a_link, "no plain file"),
    (a_directory_that_is_a_link, "no plain file"),
    (a_file_that_is_gone, "cannot be read"),
    (a_changed_file, "it was changed"),
    (a_changed_sum, "the manifest names 000000"),
    (a_changed_recipe, "no trusted builder has signed"),
    (a_changed_dependency, "no trusted builder has signed"),
    (an_emptied_cache, "no trusted builder has signed"),
    (another_builder, "no trusted builder has signed"),
    (a_rewritten_result, "no trusted builder has signed"),
    (a_verdict_that_was_bad, "refused by verification"),
    (a_smoke_run_that_was_not_run, "its smoke run was not run: no qemu"),
    (a_smoke_run_of_other_bytes, "its smoke run was not run: nobody looks"),
]


@pytest.mark.parametrize(
    ("attack", "said"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS]
)
def test_what_was_not_made_here_is_refused_before_anything_is_signed(
    shop: Harness, attack: Callable[[Harness], None], said: str
) -> None:
    attack(shop)
    found = refusals(shop)
    assert any(said in why for why in found.values()), found
    with pytest.raises(PublishError, match="Only what is proven can be published") as refused:
        publisher(shop).publish(str(shop.directory / "release"), dry=False)
    assert said in str(refused.value)
    assert not (shop.directory / "release").exists()


@dataclass
class Ending(FakeEnvironment):
    """What ends a smoke run is not the program's fault."""

    error: Exception = field(default_factory=lambda: Cancelled("Cancelled: a smoke run"))

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> Iterator["Ending"]:
        raise self.error
        yield self


@pytest.mark.parametrize("error", [Cancelled("Cancelled: it"), StorageError("full")])
def test_what_ends_it_is_no_refusal(shop: Harness, error: Exception) -> None:
    a_smoke_run_of_other_bytes(shop)
    shop.environment = Ending(error=error)
    with pytest.raises(type(error)):
        refusals(shop)


def test_a_result_that_does_not_pass_any_more_is_refused(shop: Harness) -> None:
    """Made here and signed, before the recipe asked for less."""
    shop.world.edit("hello", "max_size = 100_000", "max_size = 10")
    (first, *_) = refusals(shop).values()
    assert first.startswith("it was refused by verification; ")
    assert "size-budget" in first


def test_only_what_is_chosen_has_to_be_proven(shop: Harness) -> None:
    shop.build("hello:secure")
    edit(shop, "files/hello-secure-2.0-linux-amd64", sha256="0" * 64)
    chosen = publisher(shop, selection=ImageSelection(words=("hello:plain",)))
    assert {artifact.product for artifact in chosen.maker.artifacts} == {"hello:plain"}
    with pytest.raises(PublishError, match=r"hello-secure-2[.]0-linux-amd64: the manifest names"):
        publisher(shop).proven()


def test_a_packed_file_that_the_recipe_does_not_make(shop: Harness) -> None:
    shop.world.edit("hello", 'pack = "nrv"', 'pack = "none"')
    assert any("is not packed for linux/amd64" in why for why in refusals(shop).values())
