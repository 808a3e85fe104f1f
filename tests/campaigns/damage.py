"""Damage to any file of a cache that real code filled: never wrong bytes, and it heals or says what to do.

What nobody here can mend, such as a builder key that is none, must be named by the error.
"""

import json
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from builders.sources.cache import FOLDERS, Cache
from core.builder_keys import BuilderKeys
from core.files import hash_file
from core.remove import remove
from tests.campaigns.campaign import Campaign, Case, Run, Violation
from tests.campaigns.yard import End, Ended, Yard, judge_names, judge_results, own_umask

ODD = (
    *(b"null", b"[]", b"{}", b"0", b'"x"', b"[" * 100_000, b'{"version": 2}', b"\xff\xfe", b"\n"),
    b'{"key": 1, "kind": [], "version": 1e999, "value": {}, "signatures": [{}]}',
)
DECOY = b"somebody's file"
RESULTS = {folder: kind for kind, folder in FOLDERS.items()}
FOLDER = "folder"
KEYS = "builder's key"


class Spoil(StrEnum):
    """What is done to a file, or a folder."""

    FLIP = "flipped"
    TRUNCATE = "truncated"
    EMPTY = "emptied"
    GROW = "grown"
    SWAP = "swapped"
    DIRECTORY = "a directory"
    LINK = "a link"
    LOOP = "a loop of links"
    PIPE = "a pipe"
    SOCKET = "a socket"
    SPARSE = "huge"
    ODD = "odd"
    MODE = "of another mode"
    FORGED = "forged"
    REMOVED = "removed"


WHOLE = (Spoil.EMPTY, Spoil.LINK, Spoil.LOOP, Spoil.PIPE, Spoil.MODE, Spoil.REMOVED, Spoil.ODD)
"""What can be done to a folder."""


def kinds(yard: Yard) -> dict[str, list[Path]]:
    """Every file and folder of a cache, and the builder's key, by what it is."""
    cache = yard.cache
    found = {
        "blob": cache.glob("cas/*/*"),
        "seal of a blob": cache.glob("seen/??/*"),
        "seal of a result": cache.glob("seen/???*/*"),
        **{folder: cache.glob(f"{folder}/*") for folder in RESULTS},
        **{name: cache.glob(f"{name}/*") for name in ("part", "tmp", "locks", "logs")},
        "toolchain's stamp": cache.glob("toolchain"),
        KEYS: yard.key.parent.glob("*"),
        FOLDER: (Path(top) for top, _, _ in os.walk(cache)),
    }
    return {kind: sorted(paths) for kind, paths in found.items()}


def leave_halves(yard: Yard) -> None:
    """Leave behind what a killed run does: half a download with its notes, and a scratch directory."""
    source = yard.world.archive("musl", "1.0")
    sha256, data = hash_file(source), source.read_bytes()
    (yard.cache / "part").mkdir(exist_ok=True)
    (yard.cache / "part" / f"{sha256}.part").write_bytes(data[: len(data) // 2])
    notes = {"url": "http://127.0.0.1:1/", "validator": '"one"'}
    (yard.cache / "part" / f"{sha256}.json").write_text(json.dumps(notes))
    scratch = yard.cache / "tmp" / "123-left"
    scratch.mkdir(parents=True)
    (scratch / "file").write_bytes(b"left")
    (yard.cache / "cas" / sha256[:2] / sha256).unlink()  # so that it is fetched


def spoil(yard: Yard, kind: str, path: Path, how: Spoil, chance: random.Random) -> list[Path]:
    """Do it; return the files that are not what they were."""
    data = path.read_bytes() if path.is_file() else b""
    others = [other for other in kinds(yard).get(kind, []) if other != path and other.is_file()]
    match how:
        case Spoil.FLIP:
            at = chance.randrange(max(len(data), 1))
            _write(
                path,
                data[:at] + bytes([(data + b"\0")[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            )
        case Spoil.TRUNCATE:
            _write(path, data[: chance.randrange(max(len(data), 1))])
        case Spoil.GROW:
            _write(path, data + chance.randbytes(9))
        case Spoil.ODD:
            _write(path, chance.choice(ODD))
        case Spoil.SWAP:
            if not others or (other := chance.choice(others)).read_bytes() == data:
                return []
            _write(path, other.read_bytes())
            _write(other, data)
            return [path, other]
        case Spoil.EMPTY:
            if path.is_dir():
                _replace(path).mkdir()
            else:
                _write(path, b"")
        case Spoil.DIRECTORY:
            _replace(path).mkdir()
            (path / "file").write_bytes(data)
        case Spoil.LINK:
            decoy = decoy_of(yard)
            target = chance.choice([str(decoy), str(decoy / "file"), "/dev/zero", "/nowhere"])
            _replace(path).symlink_to(target)
        case Spoil.LOOP:
            _replace(path).symlink_to(path)
        case Spoil.PIPE:
            os.mkfifo(_replace(path))
        case Spoil.SOCKET:
            _bind(_replace(path))
        case Spoil.SPARSE:
            # Bytes whose sha256 is known are hashed to their end, however many there are.
            _write(path, data)
            os.truncate(path, (1 << 28) if kind == "blob" else (1 << 40))
        case Spoil.MODE:
            path.chmod(chance.choice([0o000, 0o111, 0o444, 0o777, 0o6755]))
            return []
        case Spoil.FORGED:
            return forge(yard, kind, path, chance)
        case Spoil.REMOVED:
            remove(path)
            return []
        case _:
            assert_never(how)
    return [path]


def decoy_of(yard: Yard) -> Path:
    """A directory that links lead to: nobody is to write there."""
    decoy = yard.directory / "decoy"
    if not decoy.is_dir():
        decoy.mkdir()
        (decoy / "file").write_bytes(DECOY)
    return decoy


def judge_decoy(yard: Yard) -> None:
    """Raise Violation when a link was followed: what it leads to was changed."""
    decoy = decoy_of(yard)
    if (decoy / "file").read_bytes() != DECOY:
        msg = "a link was followed, and the file it leads to was written over"
        raise Violation(msg)


def forge(yard: Yard, kind: str, path: Path, chance: random.Random) -> list[Path]:
    """Put there what would be believed if nobody looked who says it."""
    evil = BuilderKeys(path=yard.directory / "evil.key")
    if kind in RESULTS:
        entry = json.loads(path.read_bytes())
        other = chance.choice([one for one in path.parent.iterdir() if one.is_file()])
        entry["value"] = json.loads(other.read_bytes())["value"] | {"forged": True}
        stranger = [evil.sign(b"anything")]
        entry["signatures"] = chance.choice([entry["signatures"], [], stranger])
        _write(path, json.dumps(entry).encode())
        return [path]
    blob = path if kind == "blob" else yard.cache / "cas" / path.parent.name / path.name
    if not blob.is_file():
        return []
    data = bytearray(blob.read_bytes())
    data[chance.randrange(len(data))] ^= 1
    _write(blob, bytes(data))
    cache = Cache(yard.cache, keys=evil)
    state = blob.lstat()
    stamp = [state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns, state.st_uid]
    cache._seal(yard.cache / "seen" / blob.name[:2] / blob.name, blob.name, stamp)
    return [blob]


def _write(path: Path, data: bytes) -> None:
    """Into the file that is there: its inode stays. In the place of a directory, where that is one."""
    if path.is_dir():
        remove(path)
    else:
        path.chmod(0o644)
    path.write_bytes(data)


def _replace(path: Path) -> Path:
    remove(path)
    return path


def _bind(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name[:80]}")
        Path(f"/proc/self/fd/{here}/{path.name[:80]}").rename(path)
    finally:
        os.close(here)


def choices(kind: str, path: Path) -> list[Spoil]:
    """What can be done to it."""
    if kind == FOLDER or path.is_dir():
        return list(WHOLE)
    forged = kind in RESULTS or kind in {"blob", "seal of a blob"}
    return [how for how in Spoil if how is not Spoil.FORGED or forged]


def must_be_found(kind: str) -> bool:
    """True for what `cache verify` looks at."""
    return kind == "blob" or kind in RESULTS


def judge_found(kind: str, spoilt: list[Path], verified: Ended) -> None:
    """Raise Violation unless `cache verify` named every file that is not what it was."""
    if verified.end is End.REFUSED:
        return
    for path in spoilt:
        looked_at = must_be_found(kind) or path.parent.parent.name == "cas"
        if looked_at and path.name not in verified.text:
            msg = f"cache verify did not find {path}:\n{verified.text}"
            raise Violation(msg)


def judge_error(ended: Ended, path: Path, yard: Yard) -> None:
    """Raise Violation unless an error that stays names the place that the user has to mend."""
    # Not `Path.resolve`, which raises where the damage is a link to itself.
    places = [path, Path(os.path.realpath(path)), *path.parents]
    named = any(str(place) in ended.text for place in places[: places.index(yard.directory)])
    if not named:
        msg = f"it does not heal, and the error does not name {path}:\n{ended.text}"
        raise Violation(msg)


def run_case(case: Case) -> str:
    with own_umask():
        return _run_case(case)


def _run_case(case: Case) -> str:
    chance, yard = case.random, Yard.make(case.directory)
    built = yard.build()
    judge_results(yard, built)
    if built.end is not End.DONE:
        msg = f"the first build failed: {built.text}"
        raise Violation(msg)
    leave_halves(yard)
    found = {kind: paths for kind, paths in kinds(yard).items() if paths}
    kind = sorted(found)[case.number % len(found)]  # each in its turn
    path = chance.choice(found[kind])
    how = chance.choice(choices(kind, path))
    spoilt = spoil(yard, kind, path, how, chance)
    if kind in {"logs", "locks"} or chance.random() < 0.2:
        remove(yard.cache / "ac")  # every step runs again
    if chance.random() < 0.7:
        remove(yard.artifacts)
    try:
        return judge(yard, kind, path, spoilt, verify_first=chance.random() < 0.5)
    except Violation as violation:
        msg = f"{kind} {how.value} ({path.relative_to(yard.directory)}): {violation}"
        raise Violation(msg) from violation


def judge(yard: Yard, kind: str, path: Path, spoilt: list[Path], *, verify_first: bool) -> str:
    """Build twice on what is there, and once more after `cache verify`. Raises Violation; returns the outcome."""
    if verify_first:
        judge_found(kind, spoilt, yard.manage("verify"))
    first = yard.build()
    judge_results(yard, first)
    second = yard.build()
    judge_results(yard, second)
    judge_decoy(yard)
    if second.end is End.REFUSED:
        judge_error(second, path, yard)
        return "refused, and said what to mend"
    verified = yard.manage("verify")
    again = yard.manage("verify")
    for ended in (verified, again):
        if ended.end is End.REFUSED:
            judge_error(ended, path, yard)
            return "built, and verify said what to mend"
    if "\n0 damaged" not in f"\n{again.text}":
        msg = f"cache verify found it twice:\n{again.text}"
        raise Violation(msg)
    judge_names(yard.cache)
    third = yard.build()
    judge_results(yard, third)
    if third.end is End.REFUSED:
        msg = f"a good cache is refused: {third.text}"
        raise Violation(msg)
    return "healed" if first.end is End.DONE else "healed by the next build"


@contextmanager
def opened() -> Iterator[Run]:
    yield run_case


CAMPAIGN = Campaign(
    name="damage",
    purpose="Damage to any file of a cache: never wrong bytes; it heals, or an error says what to mend.",
    cases=100,
    open=opened,
    rooms=("builders", "core", "flow"),
)
