"""A cache that others can write to: what they put there is a miss, and never believed, waited for or a traceback."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.sources.cache import FOLDERS, Cache, Remedy, _stamp
from builders.sources.entry import LARGEST, canonical, decode, encode, signed_part
from core.builder_keys import BuilderKeys
from core.errors import FromscratchError
from core.kinds import EntryKind
from core.remove import remove
from core.signing import PublicKey
from flow.context import ROOT
from tests.fakes import put_bytes

KINDS = list(FOLDERS)
VALUE = {"output": "0" * 64, "files": {}, "seconds": 1.5}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", keys=BuilderKeys(path=tmp_path / "own.key"))


@pytest.fixture
def stranger(cache: Cache, tmp_path: Path) -> Cache:
    """The same cache, as somebody else uses it."""
    return replace(cache, keys=BuilderKeys(path=tmp_path / "stranger.key"), strangers=set())


def line(keys: BuilderKeys) -> str:
    return PublicKey(id=keys.own.id, point=keys.own.point).line


def place(cache: Cache, kind: EntryKind, key: str = "key") -> Path:
    path = cache.root / FOLDERS[kind] / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000 + b"]" * 100_000)


def deep_value(path: Path) -> None:
    inner = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    path.write_bytes(
        b'{"key":"key","kind":"action","version":2,"signatures":[],"value":' + inner + b"}"
    )


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def long_number(path: Path) -> None:
    path.write_bytes(b'{"key":"key","version":' + b"9" * 10_000 + b"}")


def outside(path: Path) -> None:
    (path.parents[2] / "outside").write_text("kept", "utf-8")
    path.symlink_to(path.parents[2] / "outside")


def full_directory(path: Path) -> None:
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "c").write_text("x", "utf-8")


SHAPES: dict[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "full directory": full_directory,
    "fifo": os.mkfifo,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link elsewhere": outside,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to a directory": lambda path: path.symlink_to("/usr"),
    "huge": huge,
    "deep": deep,
    "deep value": deep_value,
    "long number": long_number,
    "empty": Path.touch,
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "surrogates": lambda path: path.write_bytes(b'{"key":"\\ud800"}'),
    "nan": lambda path: path.write_bytes(b"NaN"),
}
if os.getuid() == 0:
    SHAPES["device"] = lambda path: os.mknod(path, 0o20666, os.makedev(1, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_result_of_any_shape_is_a_miss_and_can_be_made_again(
    cache: Cache, shape: str, kind: EntryKind
) -> None:
    for looks in ("get", "verify", "put"):
        path = place(cache, kind)
        remove(path)
        SHAPES[shape](path)
        match looks:
            case "get":
                assert cache.get_action("key", kind=kind) is None
            case "verify":
                assert [found.name for found in cache.verify()] == ["key"]
                assert cache.verify() == []
            case _:
                pass
        cache.put_action("key", VALUE, kind=kind)
        assert cache.get_action("key", kind=kind) == VALUE
    assert cache.verify() == []
    assert Path("/usr/bin").is_dir()
    kept = cache.root.parent / "outside"
    assert not kept.exists() or kept.read_text("utf-8") == "kept"


@pytest.mark.parametrize(
    ("which", "shape"),
    [
        *(("seen", shape) for shape in SHAPES),
        *(("cas", shape) for shape in SHAPES if shape != "huge"),  # hashed, which takes its time
    ],
)
def test_a_blob_or_a_seal_of_any_shape_is_a_miss(cache: Cache, shape: str, which: str) -> None:
    sha256 = put_bytes(cache, b"hello")
    path = cache.root / which / sha256[:2] / sha256
    path.unlink()
    SHAPES[shape](path)
    found = cache.blob(sha256)
    assert (found is None) == (which == "cas")
    assert put_bytes(cache, b"hello") == sha256
    found = cache.blob(sha256)
    assert found is not None
    assert found.read_bytes() == b"hello"
    assert not found.is_symlink()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_seal_of_a_result_may_be_of_any_shape(
    cache: Cache, shape: str, kind: EntryKind
) -> None:
    cache.put_action("key", VALUE, kind=kind)
    seal = cache.root / "seen" / kind.value / "key"
    seal.unlink()
    SHAPES[shape](seal)
    assert cache.get_action("key", kind=kind) == VALUE
    assert seal.is_file()
    assert not seal.is_symlink()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    whole=JSON,
    changed=st.dictionaries(
        st.sampled_from(["version", "key", "kind", "value", "signatures"]), JSON
    ),
)
def test_any_json_is_a_miss(cache: Cache, whole: object, changed: dict[str, object]) -> None:
    path = place(cache, EntryKind.ACTION)
    entry = {"version": 2, "key": "key", "kind": "action", "value": VALUE, "signatures": []}
    for value in (whole, {**entry, **changed}):
        path.write_text(json.dumps(value), "utf-8")
        assert cache.get_action("key") is None
        path.write_text(json.dumps(value), "utf-8")
        assert len(cache.verify()) == 1


@settings(max_examples=100, deadline=None)
@given(value=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_what_is_encoded_comes_back(value: dict[str, Any]) -> None:
    data = encode(EntryKind.SMOKE, "key", value, ["x"])
    result = decode(data, EntryKind.SMOKE, "key")
    assert canonical(result.value) == canonical(value)
    assert signed_part(EntryKind.SMOKE, "key", result.value) == signed_part(
        EntryKind.SMOKE, "key", value
    )


def change(path: Path, change: Callable[[dict[str, Any]], Mapping[str, object]]) -> None:
    entry = json.loads(path.read_bytes())
    path.write_bytes(canonical({**entry, **change(entry)}))


FORGED: dict[str, Callable[[dict[str, Any]], Mapping[str, object]]] = {
    "another blob": lambda entry: {"value": {**entry["value"], "output": "1" * 64}},
    "other seconds": lambda entry: {"value": {**entry["value"], "seconds": 0}},
    "more": lambda entry: {"value": {**entry["value"], "more": 1}},
    "unsigned": lambda _: {"signatures": []},
    "no signatures": lambda _: {"signatures": ["", "x", "untrusted comment: x\n"]},
    "old version": lambda _: {"version": 1},
    "signature cut": lambda entry: {"signatures": [entry["signatures"][0][:-9]]},
}


@pytest.mark.parametrize("how", FORGED)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep_seal", [True, False])
def test_what_was_altered_is_not_believed(
    cache: Cache, how: str, kind: EntryKind, *, keep_seal: bool
) -> None:
    cache.put_action("key", VALUE, kind=kind)
    if not keep_seal:
        remove(cache.root / "seen")
    change(place(cache, kind), FORGED[how])
    assert cache.get_action("key", kind=kind) is None
    assert (kind, "key") in cache.strangers


@pytest.mark.parametrize("forge", ["as it is", "renamed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_result_cannot_be_moved_to_another_key_or_kind(
    cache: Cache, kind: EntryKind, forge: str
) -> None:
    cache.put_action("key", VALUE, kind=kind)
    data = place(cache, kind).read_bytes()
    moves = [(kind, "other"), *((other, "key") for other in KINDS if other is not kind)]
    for other, key in moves:
        path = place(cache, other, key)
        path.write_bytes(data)
        if forge == "renamed":
            change(path, lambda _, key=key, other=other: {"key": key, "kind": other.value})  # type: ignore[misc]
        seal = cache.root / "seen" / other.value / key
        seal.parent.mkdir(parents=True, exist_ok=True)
        seal.write_bytes((cache.root / "seen" / kind.value / "key").read_bytes())
        assert cache.get_action(key, kind=other) is None
    assert cache.get_action("key", kind=kind) == VALUE


@pytest.mark.parametrize("kind", KINDS)
def test_a_strangers_result_is_left_and_not_believed_and_one_of_who_is_trusted_is(
    cache: Cache, stranger: Cache, kind: EntryKind
) -> None:
    stranger.put_action("key", VALUE, kind=kind)
    assert stranger.get_action("key", kind=kind) == VALUE
    assert cache.get_action("key", kind=kind) is None
    assert cache.strangers == {(kind, "key")}
    assert [found.done for found in cache.verify()] == [Remedy.IGNORED]
    assert stranger.get_action("key", kind=kind) == VALUE
    trusting = replace(
        cache, keys=replace(cache.keys, trusted=(line(stranger.keys),)), strangers=set()
    )
    for _ in range(2):
        assert trusting.get_action("key", kind=kind) == VALUE
    assert trusting.strangers == set()


def test_what_a_trusted_builder_says_is_checked_once(cache: Cache, stranger: Cache) -> None:
    stranger.put_action("key", VALUE)
    trusting = replace(cache, keys=replace(cache.keys, trusted=(line(stranger.keys),)))
    assert trusting.get_action("key", check=lambda _: False) is None
    asked: list[object] = []

    def check(value: object) -> bool:
        asked.append(value)
        return True

    for _ in range(3):
        assert trusting.get_action("key", check=check) == VALUE
    assert asked == [VALUE]


@pytest.mark.parametrize("sealer", ["nobody", "a stranger", "an old version"])
def test_a_forged_stamp_over_flipped_bytes_is_not_believed(
    cache: Cache, stranger: Cache, sealer: str
) -> None:
    sha256 = put_bytes(cache, b"hello")
    path = cache.blob(sha256)
    assert path is not None
    seal = cache._seen_path(sha256)
    path.chmod(0o644)
    path.write_bytes(b"jello")
    match sealer:
        case "nobody":
            pass
        case "a stranger":
            stranger._seal(seal, sha256, _stamp(path.lstat()))
        case _:
            seal.write_text(str(_stamp(path.lstat())[:4]), "utf-8")
    assert cache.blob(sha256) is None
    assert put_bytes(cache, b"hello") == sha256


OTHER_USER = """
import codecs, os, sys
from pathlib import Path
import core.signing
from builders.sources.cache import Cache
from core.builder_keys import BuilderKeys
from core.errors import FromscratchError
root = Path(sys.argv[1])
codecs.lookup("ascii")  # what is loaded late cannot be read by then
os.setgid(65534)
os.setuid(65534)
cache = Cache(root / "cache", keys=BuilderKeys(path=root / "home" / "builder.key"))
print(cache.get_action("key"), cache.blob(sys.argv[2]), len(cache.verify()))
try:
    cache.put_action("key", {})
except FromscratchError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be two users")
def test_what_another_user_lets_nobody_read_is_a_miss(cache: Cache, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own directories are for one user
        root = Path(name)
        root.chmod(0o755)
        shared = replace(cache, root=root / "cache")
        shared.put_action("key", VALUE)
        sha256 = put_bytes(shared, b"hello")
        place(shared, EntryKind.ACTION).chmod(0o600)
        (root / "cache" / "cas" / sha256[:2] / sha256).chmod(0o600)
        (root / "home").mkdir()
        os.chown(root / "home", 65534, 65534)
        done = subprocess.run(
            [sys.executable, "-c", OTHER_USER, name, sha256],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        assert done.stdout.splitlines() == ["None None 2", "StorageError"]
        assert shared.get_action("key") == VALUE


def test_without_a_place_for_a_key_sources_are_still_good_and_results_say_what_is_missing(
    cache: Cache,
) -> None:
    sha256 = put_bytes(cache, b"hello")
    cache.put_action("key", VALUE)
    homeless = replace(cache, keys=BuilderKeys(path=Path("/proc/nowhere/builder.key")))
    assert homeless.blob(sha256) is not None
    assert homeless.get_action("key") is None
    assert put_bytes(homeless, b"other")
    for act in (homeless.check_key, lambda: homeless.put_action("key", VALUE)):
        with pytest.raises(FromscratchError, match="builder key"):
            act()
    assert cache.get_action("key") == VALUE


def test_nothing_that_is_written_is_larger_than_what_is_read(cache: Cache) -> None:
    cache.put_action("key", {"findings": ["x" * 100] * 1000})
    assert place(cache, EntryKind.ACTION).stat().st_size < LARGEST
    assert cache.get_action("key") is not None
