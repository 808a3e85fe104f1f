"""Debian's docker-registry as a store: damaged, rewritten and killed in mid-build; and how long look-ups take."""

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builders.sources.cache import Cache
from builders.sources.shared import SharedCache
from core.errors import FromscratchError, PublishError
from core.files import hash_file
from core.kinds import EntryKind
from core.remove import remove
from core.target import Target
from flow.build import Request, build
from flow.context import ROOT
from flow.store import open_store
from publish.oci.layout import MANIFEST, Descriptor, canonical
from publish.registry.auth import Purpose
from publish.registry.registry import Registry
from publish.registry.store import RegistryStore, result_tag
from tests.behaviour.servers import free_port
from tests.fakes import Running, put_bytes
from tests.integration.registry import start
from tests.sharing import Machine, Site, flip, rewritten
from tests.unit.flow.conftest import hello

RUNS = 5


@dataclass
class Shop:
    """A registry that can be killed and started again, and what is on its disk."""

    directory: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"oci://127.0.0.1:{self.port}/team/cache"

    def open(self, **settings: str) -> None:
        self.process = start(self.directory, self.port, **settings)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def blobs(self) -> list[Path]:
        """The bytes of all that was pushed, but for the empty config."""
        found = self.directory.glob("images/docker/registry/v2/blobs/sha256/*/*/data")
        return sorted(path for path in found if path.read_bytes() != b"{}")

    def frames(self) -> list[Path]:
        """The blobs that are zstd frames."""
        magic = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")
        return [path for path in self.blobs if path.read_bytes()[:4] in magic]

    def manifests(self) -> list[Path]:
        found = [path for path in self.blobs if path.read_bytes().startswith(b'{"artifactType"')]
        return [path for path in found if b".result." in path.read_bytes()]

    def store(self, scratch: Path) -> RegistryStore:
        opened = open_store(self.url, scratch=scratch)
        assert isinstance(opened, RegistryStore)
        return opened


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "registry")
    made.open()
    yield made
    made.kill()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def maker(site: Site) -> Machine:
    return site.machine("maker")


@pytest.fixture
def taker(site: Site, maker: Machine) -> Machine:
    machine = site.machine("taker")
    machine.trusts = (maker,)
    return machine


def met(machine: Machine, shop: Shop) -> dict[str, str]:
    """Build, and return what was met in the registry and not believed."""
    context = machine.context(store=shop.url)
    build(context, Request(targets=(Target.AMD64,)))
    assert isinstance(context.cache, SharedCache)
    return dict(context.cache.faults)


def test_a_machine_with_nothing_takes_over_all_and_pulls_what_it_delivers(
    shop: Shop, maker: Machine, taker: Machine
) -> None:
    made = maker.build(store=shop.url)
    taken = taker.build(store=shop.url, offline="1")
    assert taker.ran == []
    assert [(it.path, it.sha256, it.key) for it in taken] == [
        (it.path, it.sha256, it.key) for it in made
    ]
    assert taker.pulled() == {artifact.sha256 for artifact in made}
    assert taker.warnings == taker.left() == []


def test_flipped_frames_are_named_made_again_and_healed_though_the_registry_keeps_them(
    shop: Shop, site: Site, maker: Machine, taker: Machine
) -> None:
    maker.build(store=shop.url)
    for path in shop.frames():
        flip(path)
    found = met(taker, shop)
    assert found
    assert all(name.startswith("blob ") and "its sha256 is" in why for name, why in found.items())
    assert sorted(taker.ran) == sorted(maker.ran)
    assert taker.harness.files() == maker.harness.files()
    for name in taker.harness.files():
        one, two = (m.harness.artifacts / "files" / name for m in (maker, taker))
        assert one.read_bytes() == two.read_bytes()
    third = site.machine("third")
    third.trusts = (maker, taker)
    assert met(third, shop) == {}
    assert third.ran == taker.left() == third.left() == []


def test_flipped_manifests_are_never_used_and_are_replaced(
    shop: Shop, site: Site, maker: Machine, taker: Machine
) -> None:
    maker.build(store=shop.url)
    for path in shop.manifests():
        flip(path)
    # It must read from its disk: what it remembers is still good.
    shop.kill()
    shop.open()
    made = taker.build(store=shop.url)
    assert [it.sha256 for it in made] == [it.sha256 for it in maker.build(store="")]
    assert taker.left() == []


@pytest.mark.parametrize(
    "place",
    ["_layers/sha256/*", "_manifests/tags/action-*/current", "_manifests/revisions/sha256/*"],
)
def test_what_a_registry_has_written_half_is_made_again_and_healed(
    shop: Shop, site: Site, maker: Machine, taker: Machine, place: str
) -> None:
    """A registry that is killed, or whose disk was full, answers HTTP 500 whenever it is asked for that."""
    maker.build(store=shop.url)
    links = sorted(shop.directory.glob(f"images/docker/registry/v2/repositories/*/*/{place}/link"))
    assert len(links) > 3
    for path in links[::3][:4]:
        path.write_bytes(b"")
    shop.kill()
    shop.open()
    taker.build(store=shop.url)
    assert taker.harness.files() == maker.harness.files()
    assert taker.warnings == taker.left() == []
    third = site.machine("third")
    third.trusts = (maker, taker)
    third.build(store=shop.url)
    assert third.warnings == []


def test_entries_that_were_rewritten_moved_or_signed_by_a_stranger_are_named_and_healed(
    shop: Shop, site: Site, maker: Machine, taker: Machine, tmp_path: Path
) -> None:
    maker.build(store=shop.url)
    other = Shop(tmp_path / "elsewhere")
    other.open()
    try:
        site.machine("stranger").build(store=other.url)
        theirs = other.store(tmp_path / "theirs")
        store = shop.store(tmp_path / "ours")
        keys = sorted(path.name for path in (maker.cache / "ac").iterdir())
        kept = [store.result(EntryKind.ACTION, key) or b"" for key in keys]
        evil = tmp_path / "evil"
        evil.write_bytes(b"evil")
        store.push(evil, hash_file(evil), over=False)
        for number, key in enumerate(keys):
            match number % 3:
                case 0:
                    data = rewritten(kept[number], output=hash_file(evil))
                case 1:
                    data = kept[number - 1]
                case _:
                    data = theirs.result(EntryKind.ACTION, key) or b""
            store.put_result(EntryKind.ACTION, key, data, [hash_file(evil)])
    finally:
        other.kill()
    found = met(taker, shop)
    assert set(found) == {f"action {key}" for key in keys}
    assert {why.partition(" since")[0] for why in found.values()} == {
        "it was altered",
        "it is not the entry of this key",
        "it is not signed by a trusted builder",
    }
    assert sorted(taker.ran) == sorted(maker.ran)
    assert hash_file(evil) not in taker.pulled()
    third = site.machine("third")
    third.trusts = (maker, taker)
    assert met(third, shop) == {}
    assert third.ran == []


def test_a_manifest_of_any_shape_is_no_result(shop: Shop, maker: Machine, tmp_path: Path) -> None:
    maker.build(store=shop.url)
    store = shop.store(tmp_path / "scratch")
    (key, *_) = (path.name for path in (maker.cache / "ac").iterdir())
    with Registry(store.repository, Purpose.WRITE) as registry:
        good = registry.get_manifest(result_tag(EntryKind.ACTION, key))
        assert good
        whole = good.json()
        (inline, *blobs) = whole["layers"]
        shapes: list[dict[str, object]] = [
            {**whole, "layers": []},
            {**whole, "layers": [{**inline, "data": "?"}, *blobs]},
            {**whole, "layers": [{**inline, "data": "eA=="}, *blobs]},
            {**whole, "layers": list(reversed(whole["layers"]))},
        ]
        for shape in shapes:
            data = canonical(shape)
            try:
                tag = result_tag(EntryKind.ACTION, key)
                registry.put_manifest(tag, data, Descriptor.of(data, MANIFEST), look=False)
            except PublishError:
                continue  # the registry does not take it
            found = shop.store(tmp_path / "scratch").result(EntryKind.ACTION, key)
            cache = Cache(tmp_path / "cache", keys=maker.keys)
            try:
                value = cache.adopt(key, found or b"")
            except ValueError:
                continue
            assert value == json.loads((maker.cache / "ac" / key).read_bytes())["value"]


def test_what_tags_lead_to_outlives_the_garbage_collection_and_what_is_replaced_does_not(
    shop: Shop, site: Site, maker: Machine, taker: Machine
) -> None:
    maker.build(store=shop.url)
    site.machine("second").build(store=shop.url)  # signs all of it, too
    before = len(shop.blobs)
    shop.kill()
    words = ["docker-registry", "garbage-collect", "--delete-untagged"]
    subprocess.run(
        [*words, shop.directory / "config.yml"], check=True, capture_output=True, timeout=60
    )
    shop.open()
    assert 0 < len(shop.blobs) < before
    taker.build(store=shop.url)
    assert taker.ran == []


def test_a_registry_that_takes_nothing_is_read_and_that_is_said_once(
    shop: Shop, maker: Machine, taker: Machine
) -> None:
    maker.build("hello:plain", store=shop.url)
    shop.kill()
    shop.open(STORAGE_MAINTENANCE_READONLY="{enabled: true}")
    before = len(shop.blobs)
    assert taker.build("hello:plain", "hello:secure", store=shop.url)
    assert not any(name.startswith(("musl", "hello-plain")) for name in taker.ran)
    (warning,) = taker.warnings
    assert "From now on nothing is put into the store" in warning
    assert "read-only" in warning
    assert len(shop.blobs) == before


def spoil(files: list[Path], chance: random.Random) -> None:
    """Do to one file what a disk, a crash or somebody with bad intentions does."""
    path, other = chance.choice(files), chance.choice(files)
    data = path.read_bytes() if path.is_file() else b""
    remove(path)
    match chance.randrange(8):
        case 0 | 1:
            place = chance.randrange(len(data) or 1)
            path.write_bytes(
                data[:place] + bytes([(data[place : place + 1] or b"x")[0] ^ 1]) + data[place + 1 :]
            )
        case 2:
            path.write_bytes(data[: chance.randrange(len(data) or 1)])
        case 3:
            path.write_bytes(other.read_bytes() if other.is_file() else b"")
        case 4:
            path.write_bytes(data + b"more")
        case 5:
            path.mkdir()
        case 6:
            path.symlink_to(other)
        case _:
            pass


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", ["folder", "registry"])
def test_whatever_happens_to_its_files_the_build_is_right_and_so_is_the_next(
    shop: Shop, site: Site, maker: Machine, taker: Machine, tmp_path: Path, kind: str, number: int
) -> None:
    root = tmp_path / "folder" if kind == "folder" else shop.directory / "images"
    url = shop.url if kind == "registry" else f"file://{root}"
    right = {(it.path, it.sha256) for it in maker.build(store=url)}
    chance = random.Random(number)
    shop.kill()
    for _ in range(chance.randrange(1, 12)):
        spoil(sorted(path for path in root.rglob("*") if path.is_file()), chance)
    shop.open()
    third = site.machine("third")
    third.trusts = (maker, taker)
    for machine in (taker, third):
        assert {(it.path, it.sha256) for it in machine.build(store=url)} == right
        for path, sha256 in right:
            assert hash_file(machine.harness.artifacts / path) == sha256
        assert machine.left() == []
    if kind == "folder" and not taker.warnings:
        last = site.machine("last")
        last.trusts = (maker, taker, third)
        context = last.context(store=url)
        build(context, Request(targets=(Target.AMD64,)))
        assert isinstance(context.cache, SharedCache)
        # Where a source came from is known only to whoever fetched it.
        assert {name.partition(" ")[0] for name in context.cache.faults} <= {"origin"}
        assert last.ran == []
        maker.build(store=url)
        again = site.machine("again")
        again.trusts = last.trusts
        context = again.context(store=url)
        build(context, Request(targets=(Target.AMD64,)))
        assert context.faults() == again.ran == []


def test_three_hundred_look_ups_take_a_second(shop: Shop, maker: Machine, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", keys=maker.keys)
    filling = SharedCache(cache, shop.store(tmp_path / "scratch"))
    keys = [f"{number:064x}" for number in range(300)]
    sha256 = put_bytes(cache, b"made")
    assert maker.keys.own

    def fill(key: str) -> None:
        value = {"output": sha256, "files": {"made": sha256}, "engine": "x", "isolated": True}
        filling.put_action(key, {"step": key, "seconds": 1.0, "usage": {}, **value})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, keys))
    seconds = []
    for number in range(3):
        empty = Cache(tmp_path / f"empty-{number}", keys=maker.keys)
        asking = SharedCache(empty, shop.store(tmp_path / "scratch"))
        began = time.monotonic()
        with ThreadPoolExecutor(asking.width) as pool:
            assert all(pool.map(asking.get_action, keys))
            assert all(pool.map(asking.has, [sha256] * len(keys)))
        seconds.append(time.monotonic() - began)
        assert not empty.has(sha256)
        assert asking.faults == {}
    print(f"300 look-ups: {', '.join(f'{it:.2f} s' for it in seconds)}")
    # A machine that has other things to do may need longer: the best of three is what the program takes.
    assert min(seconds) <= 1.0


@pytest.mark.parametrize("number", range(RUNS))
def test_a_registry_that_is_killed_in_mid_build_leaves_a_right_build_and_nothing_behind(
    shop: Shop, site: Site, maker: Machine, taker: Machine, tmp_path: Path, number: int
) -> None:
    maker.build("hello:plain", store=shop.url)
    right = maker.build(store="", artifacts=str(tmp_path / "right"))
    chance = random.Random(number)
    # Some of it is known, some has to be made: there is something to pull, and something to push.
    moment = chance.randrange(3)
    seen: list[str] = []

    def script(running: Running) -> int:
        seen.append(running.step)
        if len(seen) == moment + 1:
            time.sleep(chance.random() / 20)
            shop.kill()
        return hello(running)

    taker.harness.engine.script = script
    made = []
    with contextlib.suppress(FromscratchError):  # a clear error
        made = taker.build("hello:plain", "hello:secure", store=shop.url)
    if shop.process is None:
        shop.open()
    assert made == [] or {it.path for it in right} <= {it.path for it in made}
    assert taker.left() == []
    made = taker.build("hello:plain", "hello:secure", store=shop.url)
    assert {(it.path, it.sha256) for it in right} <= {(it.path, it.sha256) for it in made}
    assert taker.left() == []
    third = site.machine("third")
    third.trusts = (maker, taker)
    assert {it.sha256 for it in third.build("hello:plain", "hello:secure", store=shop.url)} == {
        it.sha256 for it in made
    }
    assert third.ran == third.left() == []


FULL = """
import resource, sys
from pathlib import Path
from builders.sources.cache import Cache
from builders.sources.shared import SharedCache
from core.builder_keys import BuilderKeys
from core.errors import StorageError
from flow.store import open_store
root = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
local = Cache(root / "small", keys=BuilderKeys(path=root / "builder.key"))
cache = SharedCache(local, open_store(sys.argv[2], scratch=local.root / "tmp"))
try:
    print(cache.blob(sys.argv[3]))
except StorageError as error:
    print("full:", error.what)
"""


@pytest.mark.parametrize("kind", ["registry", "folder"])
def test_a_disk_that_fills_up_while_pulling_is_said_and_nothing_is_left(
    shop: Shop, tmp_path: Path, kind: str
) -> None:
    url = shop.url if kind == "registry" else f"file://{tmp_path}/folder"
    (tmp_path / "large").write_bytes(random.Random(1).randbytes(300_000))
    sha256 = hash_file(tmp_path / "large")
    open_store(url, scratch=tmp_path / "scratch").push(tmp_path / "large", sha256, over=False)
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path, url, sha256],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("full: ")
    assert "File too large" in done.stdout
    left = {path.parent.name for path in (tmp_path / "small").rglob("*") if path.is_file()}
    assert left <= {"locks"}
