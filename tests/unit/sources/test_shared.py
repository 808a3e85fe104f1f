"""A cache with a store behind it: what moves, when, and what is believed of it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from builders.sources.cache import Cache
from builders.sources.entry import decode, encode, signed_part
from builders.sources.shared import SHARED, SharedCache, blobs_of
from core.builder_keys import BuilderKeys
from core.cancel import Cancelled
from core.errors import StorageError
from core.kinds import EntryKind
from core.signing import PublicKey
from tests.fakes import Lines, put_bytes
from tests.sharing import RecordingStore, rewritten

KEY = "0" * 63 + "1"
OTHER = "0" * 63 + "2"


class Peer:
    """A machine as far as the cache goes."""

    def __init__(self, directory: Path, store: RecordingStore, *, trusts: tuple[str, ...] = ()):
        self.report = Lines()
        self.keys = BuilderKeys(path=directory / "builder.key", trusted=trusts)
        self.local = Cache(directory / "cache", keys=self.keys)
        self.store = store
        self.cache = self.again()

    def again(self, *, read_only: bool = False) -> SharedCache:
        """Another run."""
        self.cache = SharedCache(self.local, self.store, report=self.report, read_only=read_only)
        return self.cache

    @property
    def line(self) -> str:
        return PublicKey(id=self.keys.own.id, point=self.keys.own.point).line

    def make(self, key: str = KEY, data: bytes = b"made", **more: object) -> str:
        """Do as a step does."""
        sha256 = put_bytes(self.local, data)
        self.cache.put_action(key, self.value(sha256, **more))
        return sha256

    @staticmethod
    def value(sha256: str, **more: object) -> dict[str, object]:
        kept = {"output": sha256, "files": {"made": sha256}, "engine": "sandbox", "isolated": True}
        return {"step": "one", **kept, "seconds": 1.5, "usage": {}, **more}


@pytest.fixture
def store() -> RecordingStore:
    return RecordingStore()


@pytest.fixture
def maker(tmp_path: Path, store: RecordingStore) -> Peer:
    return Peer(tmp_path / "maker", store)


@pytest.fixture
def taker(tmp_path: Path, store: RecordingStore, maker: Peer) -> Peer:
    """It trusts the maker."""
    return Peer(tmp_path / "taker", store, trusts=(maker.line,))


def test_what_one_makes_the_other_knows_and_nothing_moves_until_it_is_needed(
    maker: Peer, taker: Peer, store: RecordingStore
) -> None:
    sha256 = maker.make()
    value = taker.cache.get_action(KEY)
    assert value == maker.cache.get_action(KEY)
    assert taker.cache.has(sha256)
    assert store.count("pull") == 0
    assert not taker.local.has(sha256)
    path = taker.cache.blob(sha256)
    assert path
    assert path.read_bytes() == b"made"
    assert taker.cache.blob(sha256) == path
    assert store.count("pull") == 1
    assert list((taker.local.root / "tmp").iterdir()) == []


def test_a_blob_is_pushed_before_its_result_and_once(maker: Peer, store: RecordingStore) -> None:
    sha256 = maker.make()
    order = [method for method, _ in store.asked]
    assert order.index("push") < order.index("put_result")
    maker.again().put_action(OTHER, Peer.value(sha256))
    assert store.count("push") == 1


def test_what_was_made_before_there_was_a_store_is_put_there_when_it_is_looked_up(
    maker: Peer, store: RecordingStore
) -> None:
    sha256 = put_bytes(maker.local, b"made")
    maker.local.put_action(KEY, Peer.value(sha256))
    assert maker.cache.get_action(KEY)
    assert store.blobs == {sha256: b"made"}
    assert (EntryKind.ACTION, KEY) in store.results
    store.asked.clear()
    assert maker.cache.get_action(KEY)
    assert store.asked == []


def test_an_input_is_offered_by_itself(maker: Peer, store: RecordingStore) -> None:
    sha256 = put_bytes(maker.local, b"input")
    assert maker.cache.offer_blob(sha256)
    assert store.blobs == {sha256: b"input"}
    assert not maker.cache.offer_blob("f" * 64)


def test_a_result_whose_blobs_are_gone_is_not_put_there(maker: Peer, store: RecordingStore) -> None:
    maker.local.put_action(KEY, Peer.value("f" * 64))
    assert maker.cache.get_action(KEY)
    assert store.results == {}


def test_what_is_not_signed_is_no_shared_result(
    maker: Peer, tmp_path: Path, store: RecordingStore
) -> None:
    sha256 = maker.make()
    store.results.clear()
    path = maker.local.root / "ac" / KEY
    entry = json.loads(path.read_bytes())
    path.write_text(json.dumps({**entry, "signatures": []}), "utf-8")
    assert maker.again().get_action(KEY) is None
    stranger = Peer(tmp_path / "stranger", store)
    path.write_bytes(
        encode(
            EntryKind.ACTION,
            KEY,
            Peer.value(sha256),
            [stranger.keys.sign(signed_part(EntryKind.ACTION, KEY, Peer.value(sha256)))],
        )
    )
    maker.cache.offer(KEY)
    assert maker.again().get_action(KEY) is None
    assert store.results == {}


@pytest.mark.parametrize("kind", [kind for kind in EntryKind if kind is not EntryKind.BLOB])
def test_every_kind_travels_but_how_long_things_took_here(
    maker: Peer, taker: Peer, store: RecordingStore, kind: EntryKind
) -> None:
    key = f"origin-{put_bytes(maker.local, b'source')}" if kind is EntryKind.ORIGIN else KEY
    maker.cache.put_action(key, {"seconds": 1.0}, kind=kind)
    found = taker.cache.get_action(key, kind=kind)
    assert (found is not None) == (kind in SHARED) == (kind is not EntryKind.TOOK)
    assert bool(store.asked) == (kind in SHARED)


@pytest.mark.parametrize("kind", sorted(SHARED))
def test_nothing_unsigned_is_shared_or_believed_of_any_kind(
    maker: Peer, taker: Peer, store: RecordingStore, kind: EntryKind
) -> None:
    store.results[kind, KEY] = encode(kind, KEY, {"ok": True}, [])
    assert taker.cache.get_action(KEY, kind=kind) is None
    assert taker.cache.faults == {f"{kind.value} {KEY}": "it is not signed"}


def test_read_only_takes_and_never_puts(maker: Peer, taker: Peer, store: RecordingStore) -> None:
    sha256 = maker.make()
    store.asked.clear()
    reading = taker.again(read_only=True)
    assert reading.get_action(KEY)
    assert reading.blob(sha256)
    taker.make(OTHER, b"more")
    assert not reading.offer_blob(put_bytes(taker.local, b"input"))
    assert {method for method, _ in store.asked} <= {"result", "pull", "has"}


POISON = {
    "rewritten": "it was altered since it was signed",
    "of another key": "it is not the entry of this key",
    "of another kind": "it is the entry of another kind or version",
    "a stranger's": "it is not signed by a trusted builder",
    "unsigned": "it is not signed",
    "no JSON": "it is no JSON",
    "nothing": "it is no JSON",
    "lies about its files": "it does not say what its output holds",
}


@pytest.mark.parametrize("how", POISON)
def test_a_poisoned_result_is_as_if_absent_and_named_and_the_next_one_takes_its_place(
    maker: Peer, taker: Peer, tmp_path: Path, store: RecordingStore, how: str
) -> None:
    sha256 = maker.make()
    evil = put_bytes(maker.local, b"evil")
    store.blobs[evil] = b"evil"
    data, check = store.results[EntryKind.ACTION, KEY], None
    match how:
        case "rewritten":
            data = rewritten(data, output=evil, files={"made": evil})
        case "of another key":
            maker.make(OTHER, b"evil")
            data = store.results[EntryKind.ACTION, OTHER]
        case "of another kind":
            maker.cache.put_action(KEY, Peer.value(evil), kind=EntryKind.VERDICT)
            data = store.results[EntryKind.VERDICT, KEY]
        case "a stranger's":
            other = Peer(tmp_path / "stranger", RecordingStore())
            other.make(data=b"evil")
            data = other.store.results[EntryKind.ACTION, KEY]
        case "unsigned":
            data = encode(EntryKind.ACTION, KEY, Peer.value(evil), [])
        case "no JSON":
            data = b"\xff{"
        case "nothing":
            data = b""
        case _:
            check = lambda _: False  # noqa: E731
    store.results[EntryKind.ACTION, KEY] = data
    assert taker.cache.get_action(KEY, check=check) is None
    assert taker.cache.get_action(KEY, check=check) is None
    ((name, reason),) = taker.cache.faults.items()
    assert name == f"action {KEY}"
    assert POISON[how] in reason
    assert reason
    assert taker.make() == sha256
    if check is None:
        mended = taker.again().statements(KEY)[-1]
        assert mended.value["output"] == sha256
        healed = decode(store.results[EntryKind.ACTION, KEY], EntryKind.ACTION, KEY)
        assert healed.value["output"] == sha256


def test_an_old_entry_of_another_output_is_not_believed_where_something_else_was_made(
    maker: Peer, taker: Peer, store: RecordingStore
) -> None:
    maker.make(data=b"old")
    old = store.results[EntryKind.ACTION, KEY]
    new = taker.make(data=b"new")
    store.results[EntryKind.ACTION, KEY] = (
        old  # replayed: it is signed, and by somebody who is trusted
    )
    again = taker.again()
    value = again.get_action(KEY)
    assert value
    assert value["output"] == new
    assert again.faults == {
        f"action {KEY}": "it says that something else was made than was made here"
    }
    healed = decode(store.results[EntryKind.ACTION, KEY], EntryKind.ACTION, KEY)
    assert healed.value["output"] == new


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "gone"])
def test_a_damaged_blob_is_not_used_and_is_pushed_over(
    maker: Peer, taker: Peer, store: RecordingStore, how: str
) -> None:
    sha256 = maker.make()
    bad = {"flipped": b"mad\x65", "cut": b"mad", "empty": b""}
    bad["flipped"] = b"Made"
    if how == "gone":
        del store.blobs[sha256]
    else:
        store.blobs[sha256] = bad[how]
    assert taker.cache.get_action(KEY)
    assert taker.cache.blob(sha256) is None
    assert not taker.cache.has(sha256)
    assert list((taker.local.root / "tmp").iterdir()) == []
    assert set(taker.cache.faults) == (set() if how == "gone" else {f"blob {sha256}"})
    taker.make()
    assert store.blobs[sha256] == b"made"
    assert taker.cache.has(sha256)


def test_a_second_builder_who_made_the_same_adds_its_signature(
    maker: Peer, taker: Peer, store: RecordingStore, tmp_path: Path
) -> None:
    maker.make()
    taker.local.put_action(KEY, Peer.value(put_bytes(taker.local, b"made"), seconds=9.0))
    taker.cache.offer(KEY)
    third = Peer(tmp_path / "third", store, trusts=(maker.line, taker.line))
    (statement,) = third.cache.statements(KEY)
    assert {key.line for key in statement.signers} == {maker.line, taker.line}
    assert statement.value["seconds"] == 1.5
    before = store.results[EntryKind.ACTION, KEY]
    for peer in (maker, taker):
        peer.again().offer(KEY)
    assert store.results[EntryKind.ACTION, KEY] == before


def test_one_who_trusts_nobody_adds_its_signature_too_unless_more_is_said_than_it_can_know(
    maker: Peer, store: RecordingStore, tmp_path: Path
) -> None:
    maker.make()
    lonely = Peer(tmp_path / "lonely", store)
    lonely.make(seconds=9.0, usage={"cpu": 2})
    third = Peer(tmp_path / "third", store, trusts=(maker.line, lonely.line))
    (statement,) = third.cache.statements(KEY)
    assert {key.line for key in statement.signers} == {maker.line, lonely.line}
    bare = Peer(tmp_path / "bare", store)
    bare.make(isolated=False)
    assert third.again().statements(KEY) == []
    assert (
        decode(store.results[EntryKind.ACTION, KEY], EntryKind.ACTION, KEY).value["isolated"]
        is False
    )


@pytest.mark.parametrize("kind", sorted(SHARED))
def test_two_pools_that_trust_only_themselves_do_not_undo_each_other_s_work(
    maker: Peer, store: RecordingStore, tmp_path: Path, kind: EntryKind
) -> None:
    lonely = Peer(tmp_path / "lonely", store)
    source = hashlib.sha256(b"source").hexdigest()
    key = f"origin-{source}" if kind is EntryKind.ORIGIN else KEY
    for peer, seconds in ((maker, 1.0), (lonely, 2.0)):
        assert put_bytes(peer.local, b"source") == source
        value = Peer.value(put_bytes(peer.local, b"made"), seconds=seconds)
        peer.cache.put_action(key, value, kind=kind)
    before = store.results[kind, key]
    assert len(decode(before, kind, key).signatures) == 2
    for peer in (maker, lonely, maker):
        peer.again().offer(key, kind=kind)
        assert peer.cache.get_action(key, kind=kind)
        assert peer.cache.faults == {}
    assert store.results[kind, key] == before


def test_two_who_are_trusted_and_disagree_are_named_by_a_third_who_changes_nothing(
    maker: Peer, store: RecordingStore, tmp_path: Path
) -> None:
    maker.make(data=b"one")
    second = Peer(tmp_path / "second", store)
    third = Peer(tmp_path / "third", store, trusts=(maker.line, second.line))
    assert third.cache.get_action(KEY)
    second.make(data=b"two")
    before = store.results[EntryKind.ACTION, KEY]
    assert third.again().get_action(KEY)
    assert list(third.cache.faults) == [f"action {KEY}"]
    assert store.results[EntryKind.ACTION, KEY] == before


def test_who_only_took_over_signs_nothing(
    maker: Peer, taker: Peer, store: RecordingStore, tmp_path: Path
) -> None:
    maker.make()
    before = dict(store.results)
    assert taker.cache.get_action(KEY)
    taker.again().offer(KEY)
    assert taker.cache.get_action(KEY)
    assert store.results == before


def test_one_key_under_two_names_is_one_builder(
    maker: Peer, store: RecordingStore, tmp_path: Path
) -> None:
    maker.make()
    twin = PublicKey(id=b"another1", point=maker.keys.own.point).line
    third = Peer(tmp_path / "third", store, trusts=(maker.line, twin))
    (statement,) = third.cache.statements(KEY)
    assert len(statement.signers) == 1


@pytest.mark.parametrize("method", ["result", "has", "pull"])
def test_a_store_that_cannot_be_read_is_said_once_and_asked_no_more(
    maker: Peer, taker: Peer, store: RecordingStore, method: str
) -> None:
    sha256 = maker.make()
    store.broken = {method}
    taker.local.adopt(KEY, store.results[EntryKind.ACTION, KEY])
    again = taker.again()
    for key in ("1" * 64, "2" * 64):
        assert again.get_action(key) is None
    again.has(sha256)
    assert again.blob(sha256) is None
    asked = len(store.asked)
    assert again.get_action("3" * 64) is None
    again.put_action(OTHER, Peer.value(put_bytes(taker.local, b"more")))
    assert len(store.asked) == asked
    (warning,) = taker.report.warnings
    assert f"cannot be asked to {method}" in warning
    assert "goes on without the store" in warning
    assert again.faults == {}


@pytest.mark.parametrize("method", ["push", "put_result"])
def test_a_store_that_takes_nothing_is_still_read(
    maker: Peer, taker: Peer, store: RecordingStore, method: str
) -> None:
    sha256 = maker.make()
    store.asked.clear()
    store.broken = {method}
    for number in range(3):
        taker.make("3" * 63 + str(number), f"more {number}".encode())
    (warning,) = taker.report.warnings
    assert "nothing is put into the store" in warning
    assert taker.cache.get_action(KEY)
    assert taker.cache.blob(sha256)
    assert sum(store.count(word) for word in ("push", "put_result")) <= 2


def test_what_ends_a_pull_leaves_nothing(maker: Peer, taker: Peer, store: RecordingStore) -> None:
    sha256 = maker.make()

    def interrupted(method: str) -> None:
        if method == "pull":
            raise KeyboardInterrupt

    store.during = interrupted
    with pytest.raises(KeyboardInterrupt):
        taker.cache.blob(sha256)

    def cancelled(method: str) -> None:
        if method == "pull":
            msg = "Cancelled: pulling"
            raise Cancelled(msg)

    store.during = cancelled
    with pytest.raises(Cancelled):
        taker.cache.blob(sha256)
    assert list((taker.local.root / "tmp").iterdir()) == []
    store.during = lambda _: None
    assert taker.cache.blob(sha256)


def test_a_disk_that_fills_up_is_said_and_nothing_is_left(
    maker: Peer, taker: Peer, store: RecordingStore
) -> None:
    sha256 = maker.make()

    def full(method: str) -> None:
        if method == "pull":
            raise OSError(28, "No space left on device")

    store.during = full
    with pytest.raises(StorageError, match="No space left"):
        taker.cache.blob(sha256)
    assert list((taker.local.root / "tmp").iterdir()) == []
    assert not taker.local.has(sha256)


def test_the_blobs_of_a_result_are_those_that_it_names() -> None:
    one, two = "1" * 64, "2" * 64
    value = {"output": one, "files": {"a": two, "b": one, "c": "../../x"}}
    assert blobs_of(EntryKind.ACTION, KEY, value) == (one, two)
    assert blobs_of(EntryKind.ACTION, KEY, {"files": ["x"], "output": 3}) == ()
    assert blobs_of(EntryKind.VERDICT, KEY, value) == ()
    assert blobs_of(EntryKind.ORIGIN, f"origin-{one}", {}) == (one,)


def test_trust_that_ends_takes_back_what_was_taken_over(
    maker: Peer, taker: Peer, store: RecordingStore
) -> None:
    maker.make()
    assert taker.cache.get_action(KEY)
    alone = replace(taker.local, keys=BuilderKeys(path=taker.keys.path))
    (taker.local.root / "seen" / "action" / KEY).unlink()
    assert SharedCache(alone, store).get_action(KEY) is None
