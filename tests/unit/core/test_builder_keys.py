"""The builder's key is made once, is its owner's alone, and what is wrong with it is said."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.builder_keys import BuilderKeys
from core.errors import StorageError
from core.signing import PublicKey, SecretKey
from flow.context import ROOT

MAKE = """
import sys
from pathlib import Path
from core.builder_keys import BuilderKeys
sys.stdin.read()
print(BuilderKeys(path=Path(sys.argv[1])).own.point.hex())
"""


@pytest.fixture
def keys(tmp_path: Path) -> BuilderKeys:
    return BuilderKeys(path=tmp_path / "state" / "builder.key")


def test_nothing_is_made_before_it_is_needed(keys: BuilderKeys) -> None:
    assert keys.seal("x") is None
    assert keys.signer(b"x", []) is None
    assert not keys.claimed([])
    assert not keys.path.parent.exists()


def test_the_key_is_its_owners_alone_whatever_the_umask(keys: BuilderKeys) -> None:
    before = os.umask(0)
    try:
        own = keys.own
    finally:
        os.umask(before)
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert sorted(path.name for path in keys.path.parent.iterdir()) == [
        "builder.key",
        "builder.pub",
    ]
    assert PublicKey.read(keys.path.with_suffix(".pub")).point == own.point
    assert own.seed.hex() not in repr(own) + repr(keys)
    assert repr(own.seed) not in repr(own)


def test_processes_at_the_same_time_make_one_key(keys: BuilderKeys) -> None:
    words = [sys.executable, "-c", MAKE, str(keys.path)]
    running = [
        subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    made = set()
    for process in running:
        with process:
            assert process.stdout is not None
            made.add(process.stdout.read().strip())
    assert made == {keys.own.point.hex()}
    assert len(list(keys.path.parent.iterdir())) == 2


def test_a_signature_is_of_its_key_and_for_its_bytes(keys: BuilderKeys, tmp_path: Path) -> None:
    signature = keys.sign(b"data")
    signer = keys.signer(b"data", [signature])
    assert signer is not None
    assert signer.point == keys.own.point
    assert keys.signer(b"date", [signature]) is None
    assert keys.claimed([signature])
    other = BuilderKeys(path=tmp_path / "other.key")
    assert other.signer(b"data", [signature]) is None
    assert not other.claimed([signature])
    for word in (signer.line, str(keys.path.with_suffix(".pub"))):
        trusting = BuilderKeys(path=tmp_path / "other.key", trusted=(word,))
        assert trusting.signer(b"data", ["", "x", signature]) == signer


def test_a_releases_signature_stands_for_no_result(keys: BuilderKeys) -> None:
    own = keys.own
    key = SecretKey(public=PublicKey(id=own.id, point=own.point), seed=own.seed)
    release = key.sign(b"data", comment="timestamp:0 file:SHA256SUMS").decode()
    assert keys.signer(b"data", [release]) is None


def test_a_seal_is_of_one_key_and_for_its_facts(keys: BuilderKeys, tmp_path: Path) -> None:
    seal = keys.seal("a", 1, make=True)
    assert seal is not None
    assert seal == keys.seal("a", 1)
    assert seal not in {keys.seal("a", 2), keys.seal("a", "1"), keys.seal("a1")}
    assert seal != BuilderKeys(path=tmp_path / "other.key").seal("a", 1, make=True)


def world_readable(path: Path) -> None:
    assert BuilderKeys(path=path).own
    path.chmod(0o644)


def group_writable(path: Path) -> None:
    assert BuilderKeys(path=path).own
    path.chmod(0o620)


def foreign(path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file away; and root's own files are never foreign")
    assert BuilderKeys(path=path).own
    os.chown(path, 65534, 65534)


def damaged(path: Path) -> None:
    assert BuilderKeys(path=path).own
    text = path.read_text("ascii")
    path.write_text(text[:-20] + ("A" if text[-20] != "A" else "B") + text[-19:], "ascii")


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(300))
    path.chmod(0o600)


def empty(path: Path) -> None:
    path.touch(0o600)


def huge(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, 1 << 40)


WRONG: list[Callable[[Path], None]] = [
    world_readable,
    group_writable,
    foreign,
    damaged,
    random_bytes,
    empty,
    huge,
    Path.mkdir,
    os.mkfifo,
    lambda path: path.symlink_to(path.parent / "nowhere"),
    lambda path: path.symlink_to("/dev/zero"),
]


@pytest.mark.parametrize("spoil", WRONG)
def test_a_key_that_is_wrong_is_named_and_left(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "builder.key"
    spoil(path)
    before = path.lstat()
    uses: list[Callable[[BuilderKeys], object]] = [
        lambda keys: keys.own,
        lambda keys: keys.sign(b"x"),
        lambda keys: keys.seal("x"),
    ]
    for use in uses:
        with pytest.raises(StorageError, match=r"builder\.key") as caught:
            use(BuilderKeys(path=path))
        assert caught.value.next
    assert os.path.samestat(before, path.lstat())


@pytest.mark.parametrize(
    "word", ["/nowhere/x.pub", "RW" + "x" * 54, "RW" + "A" * 54, "/dev/zero", "/"]
)
def test_a_trusted_key_that_is_none_is_named(tmp_path: Path, word: str) -> None:
    keys = BuilderKeys(path=tmp_path / "builder.key", trusted=(word,))
    with pytest.raises(StorageError):
        keys.signer(b"x", ["x"])


@pytest.mark.parametrize("place", ["/proc/nowhere/builder.key", "/dev/null/builder.key", "~/x.key"])
def test_a_place_where_no_key_can_be_is_named(place: str) -> None:
    with pytest.raises(StorageError, match="builder key") as caught:
        assert BuilderKeys(path=Path(place)).own
    assert "FROMSCRATCH_BUILDER_KEY" in caught.value.next
