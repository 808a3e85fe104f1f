"""Archives that try to get out, to fill the disk, or to confuse."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import resource
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.sources.archive import Unreadable, members
from builders.sources.unpack import MAX_DEPTH, MAX_IMPLIED, _Tree, unpack
from core.cancel import Cancelled, CancelToken
from core.errors import SourceError, StorageError

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", **fields: Any) -> Entry:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mtime = 1_000_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    return entry(name, type=kind, linkname=target)


def directory(name: str, **fields: Any) -> Entry:
    return entry(name, type=tarfile.DIRTYPE, **fields)


def tar(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def stored(tmp_path: Path, data: bytes, pack: Callable[[bytes], bytes] = gzip.compress) -> Path:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(pack(data))
    return path


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def refused(tmp_path: Path, archive: Path, **limits: Any) -> str:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SourceError) as caught:
        unpack(archive, tmp_path / "out", **limits, label="curl.tar.gz")
    assert sorted(tmp_path.rglob("*")) == before
    assert "curl.tar.gz" in str(caught.value)
    return str(caught.value)


GOOD = tar(
    directory("curl-1", mode=0o700),
    entry("curl-1/configure", b"#!/bin/sh\n", mode=0o4755),
    entry("curl-1/lib/a.c", b"int a;\n", mode=0o600),
    link("curl-1/lib/b.c", "a.c"),
    link("curl-1/top", "lib/../configure"),
    link("curl-1/hard", "curl-1/configure", tarfile.LNKTYPE),
)


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, lambda data: lzma.compress(data) + b"\0" * 8],
    ids=["gz", "bz2", "xz", "padded xz"],
)
def test_good_archive(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    top = unpack(stored(tmp_path, GOOD, pack), tmp_path / "out")
    assert top == tmp_path / "out" / "curl-1"
    assert tree(top) == {
        "configure": b"#!/bin/sh\n",
        "lib/a.c": b"int a;\n",
        "lib/b.c": b"int a;\n",
        "top": b"#!/bin/sh\n",
        "hard": b"#!/bin/sh\n",
    }
    modes = {name: (top / name).stat().st_mode & 0o7777 for name in ("", "configure", "lib/a.c")}
    assert modes == {"": 0o755, "configure": 0o755, "lib/a.c": 0o644}
    assert (top / "configure").stat().st_mtime == 1_000_000_000
    assert (top / "lib/b.c").readlink() == Path("a.c")
    assert (top / "hard").stat().st_nlink == 1


def test_streams_in_a_row_are_one(tmp_path: Path) -> None:
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        halves = stored(tmp_path, GOOD, lambda data, p=pack: p(data[:700]) + p(data[700:]))  # type: ignore[misc]
        top = unpack(halves, tmp_path / pack.__module__)
        assert len(tree(top)) == 5


def test_epoch_is_the_time_of_everything(tmp_path: Path) -> None:
    unpack(stored(tmp_path, GOOD), tmp_path / "out", epoch=86400)
    times = {path.lstat().st_mtime for path in (tmp_path / "out").rglob("*")}
    assert times == {86400}


def test_umask_does_not_matter(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        top = unpack(stored(tmp_path, GOOD), tmp_path / "out")
    finally:
        os.umask(old)
    assert (top / "lib").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_several_tops(tmp_path: Path) -> None:
    archive = stored(tmp_path, tar(entry("./a", b"1"), entry("./b", b"2")))
    assert unpack(archive, tmp_path / "out") == tmp_path / "out"
    assert tree(tmp_path / "out") == {"a": b"1", "b": b"2"}


def test_unused_directories_of_the_top_are_left_out(tmp_path: Path) -> None:
    archive = stored(
        tmp_path,
        tar(
            *(directory(name) for name in ("c", "c/tests", "c/lib", "c/lib/tests")),
            *(entry(f"c/{name}", b"1") for name in ("tests/a", "docs/deep/b", "lib/tests/c")),
            *(entry(f"c/{name}", b"2") for name in ("tests.c", "docs.h")),
            link("c/lib/man", "../docs/deep/b"),
        ),
    )
    top = unpack(archive, tmp_path / "out", unused=["docs", "tests"])
    assert top.name == "c"
    assert tree(top) == {"lib/tests/c": b"1", "tests.c": b"2", "docs.h": b"2"}
    assert sorted(path.name for path in top.iterdir()) == ["docs.h", "lib", "tests.c"]


LEFT_OUT = {
    "a hard link to it": [entry("c/docs/a", b"x"), link("c/b", "c/docs/a", tarfile.LNKTYPE)],
    "two tops": [entry("c/a", b"x"), entry("d/docs/a", b"x")],
    "a way out": [entry("c/a", b"x"), entry("c/docs/../../../a", b"x")],
    "a device in it": [entry("c/a", b"x"), entry("c/docs/a", type=tarfile.CHRTYPE)],
}
"""Archives that are refused although the bad member lies in, or beside, what is left out."""


@pytest.mark.parametrize("entries", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_is_judged_all_the_same(tmp_path: Path, entries: list[Entry]) -> None:
    refused(tmp_path, stored(tmp_path, tar(*entries)), unused=["docs"])


def test_what_is_left_out_has_no_room_for_a_bomb(tmp_path: Path) -> None:
    archive = stored(tmp_path, tar(entry("c/docs/a", bytes(1 << 20))), gzip.compress)
    refused(tmp_path, archive, unused=["docs"], max_bytes=1000, max_files=2)


HOSTILE = {
    "absolute": [entry("/etc/passwd", b"x")],
    "dots": [entry("a/../../b", b"x")],
    "dots inside": [entry("a/../b", b"x")],
    "absolute link": [link("a", "/etc/passwd")],
    "link out": [link("top/a", "../../b")],
    "link to itself upwards": [link("a", "..")],
    "empty link": [link("a", "")],
    "write through link": [link("a", "."), entry("a/b", b"x")],
    "link over file": [entry("a", b"x"), link("a", "b")],
    "file over link": [link("a", "b"), entry("a", b"x")],
    "link over directory": [entry("a/b", b"x"), link("a", "b")],
    "links that add up": [
        directory("a/b/c"),
        link("a/b/c/up", "../../.."),
        link("out", "a/b/c/up/.."),
    ],
    "hard link out": [link("a", "../../etc/passwd", tarfile.LNKTYPE)],
    "hard link absolute": [link("a", "/etc/passwd", tarfile.LNKTYPE)],
    "hard link to nothing": [link("a", "b", tarfile.LNKTYPE), entry("b", b"x")],
    "hard link to link": [link("l", "x"), link("a", "l", tarfile.LNKTYPE)],
    "fifo": [entry("a", type=tarfile.FIFOTYPE)],
    "character device": [entry("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "block device": [entry("a", type=tarfile.BLKTYPE, devmajor=8)],
    "twice": [entry("a", b"x"), entry("./a", b"y")],
    "file in a file": [entry("a", b"x"), entry("a/b", b"y")],
    "directory over file": [entry("a", b"x"), directory("a")],
    "no name": [entry(".", b"x")],
    "long name": [entry("a" * 256, b"x")],
    "long path": [entry("a/" * 600 + "b", b"x")],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_tar_leaves_nothing(tmp_path: Path, entries: list[Entry]) -> None:
    data = tar(entry("innocent", b"x"), *entries)
    message = refused(tmp_path, stored(tmp_path, data))
    assert "member" in message


def test_too_many_files(tmp_path: Path) -> None:
    data = tar(*[entry(f"f{number}") for number in range(11)])
    assert "one too many" in refused(tmp_path, stored(tmp_path, data), max_files=10)
    deep = tar(entry("/".join("abcdefghijk"), b""))
    assert "one too many" in refused(tmp_path, stored(tmp_path, deep), max_files=10)


def test_declared_size_over_the_cap(tmp_path: Path) -> None:
    data = tar(entry("a", b"x" * 600), entry("b", b"x" * 600))
    assert "too big" in refused(tmp_path, stored(tmp_path, data), max_bytes=1000)


def test_hard_links_count_as_files(tmp_path: Path) -> None:
    links = [link(f"l{number}", "a", tarfile.LNKTYPE) for number in range(10)]
    data = tar(entry("a", b"x" * 600), *links)
    assert "too big" in refused(tmp_path, stored(tmp_path, data), max_bytes=3000)


def header(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo("bomb")
    info.size = size
    info.type = kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (tarfile.REGTYPE, 10 << 30),
        (tarfile.GNUTYPE_LONGNAME, 10 << 30),
        (tarfile.GNUTYPE_LONGLINK, 10 << 30),
        (tarfile.XHDTYPE, 10 << 30),
        (tarfile.XGLTYPE, 10 << 30),
        (b"?", 10 << 30),
        (tarfile.REGTYPE, -512),
        (tarfile.XHDTYPE, -1024),
        (b"?", -4096),
    ],
)
def test_bomb_takes_neither_memory_nor_disk_nor_time(
    tmp_path: Path, kind: bytes, size: int
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    archive = stored(tmp_path, header(size, kind) + b"\0" * (8 << 20))
    message = refused(tmp_path, archive, max_bytes=4 << 20)
    assert "a.tar.gz" not in message
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 << 10  # KiB


def test_xz_that_wants_gigabytes_of_memory(tmp_path: Path) -> None:
    # A real stream whose filter flags declare a dictionary of 4 GiB.
    data = bytearray(lzma.compress(GOOD))
    block = 12
    length = (data[block] + 1) * 4
    at = data.index(b"\x21\x01", block) + 2
    data[at] = 40
    import zlib  # noqa: PLC0415

    check = zlib.crc32(data[block : block + length - 4]).to_bytes(4, "little")
    data[block + length - 4 : block + length] = check
    assert "emory" in refused(tmp_path, stored(tmp_path, bytes(data), lambda same: same))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_truncated_or_trailing_damage(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    refused(tmp_path, stored(tmp_path, pack(GOOD)[:-20], lambda data: data))


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04rest", b"\x1f\x8b", b"BZh9", GOOD])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, stored(tmp_path, data, lambda same: same))


def test_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    data = bytearray(tar(entry("a", b"x"), entry("b", b"y")))
    data[1024 + 150] ^= 0xFF
    assert "header" in refused(tmp_path, stored(tmp_path, bytes(data)))


@settings(max_examples=150, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8),
    names=st.lists(st.sampled_from(["..", "/", "../x", "a", "\0"]), max_size=2),
)
def test_any_damage_is_refused_or_stays_inside(
    flips: list[tuple[int, int]], names: list[str]
) -> None:
    data = bytearray(GOOD)
    for at, value in flips:
        data[at] = value
    for number, name in enumerate(names):
        at = 512 * number * 2
        data[at : at + len(name)] = name.encode()
    # Right checksums, so that the damage gets past the first guard.
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    with tempfile.TemporaryDirectory() as name:
        room = Path(name) / "room"
        room.mkdir()
        archive = Path(name) / "a.tar.gz"
        archive.write_bytes(gzip.compress(bytes(data), 1))
        with contextlib.suppress(SourceError):
            unpack(archive, room / "out", max_bytes=1 << 20, max_files=50)
        assert {path.name for path in Path(name).iterdir()} == {"room", "a.tar.gz"}
        assert {path.name for path in room.iterdir()} <= {"out"}
        root = os.path.realpath(room)
        for path in room.rglob("*"):
            assert os.path.realpath(path).startswith(root)


def wheel(tmp_path: Path, *members: tuple[zipfile.ZipInfo, bytes]) -> Path:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in members:
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def zipped(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2001, 9, 9, 1, 46, 40))
    info.external_attr = mode << 16
    return info


def test_wheel(tmp_path: Path) -> None:
    archive = wheel(
        tmp_path,
        (zipped("ziglang/"), b""),
        (zipped("ziglang/zig", 0o100755), b"ELF"),
        (zipped("ziglang.dist-info/RECORD", 0), b""),
    )
    out = unpack(archive, tmp_path / "out")
    assert out == tmp_path / "out"
    assert tree(out) == {"ziglang/zig": b"ELF", "ziglang.dist-info/RECORD": b""}
    assert (out / "ziglang/zig").stat().st_mode & 0o777 == 0o755
    assert (out / "ziglang/zig").stat().st_mtime == 1_000_000_000


@pytest.mark.parametrize(
    "info",
    [zipped("/abs"), zipped("../out"), zipped("a/../../b"), zipped("l", 0o120777), zipped("ok")],
    ids=lambda info: info.filename,
)
def test_hostile_zip(tmp_path: Path, info: zipfile.ZipInfo) -> None:
    archive = wheel(tmp_path, (zipped("fine"), b"x"), (info, b"0" * 2000))
    refused(tmp_path, archive, max_bytes=1000)


def test_zip_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    archive = wheel(tmp_path, (zipped("bomb"), b"\0" * (4 << 20)))
    size = (4 << 20).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (10).to_bytes(4, "little")))
    refused(tmp_path, archive, max_bytes=1000)


def test_damaged_zip(tmp_path: Path) -> None:
    archive = wheel(tmp_path, (zipped("a"), os.urandom(500)))
    data = bytearray(archive.read_bytes())
    data[100] ^= 0xFF
    archive.write_bytes(data)
    refused(tmp_path, archive)


def test_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    archive = stored(tmp_path, GOOD)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(StorageError, match="out"):
        unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"x"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "out"]


@given(
    parts=st.lists(st.integers(0, 3).map(str), min_size=1, max_size=400),
    count=st.integers(1, 60),
)
@settings(deadline=None, max_examples=40)
def test_directories_that_are_only_implied_count_and_have_a_depth(
    parts: list[str], count: int
) -> None:
    names = [f"{number}/{'/'.join(parts)}/f" for number in range(count)]
    depth = len(parts) + 2
    with tempfile.TemporaryDirectory() as directory:
        path = stored(Path(directory), tar(*[entry(name) for name in names]))
        try:
            unpack(path, Path(directory, "out"), max_files=500)
        except SourceError as error:
            reason = str(error)
            assert "too many" in reason or "folders deep" in reason or "too long" in reason
            assert depth * count > 500 or depth > MAX_DEPTH
        else:
            assert depth * count <= 500
            assert depth <= MAX_DEPTH


def test_a_deep_tree_costs_no_more_than_its_parts(tmp_path: Path) -> None:
    """Each directory is looked at once, not once for each that lies in it."""
    deep = "/".join(["d"] * (MAX_DEPTH - 2))
    path = stored(tmp_path, tar(*[entry(f"{deep}/{number}") for number in range(5000)]))
    asked = 0

    class Counting(dict[Any, Any]):
        def get(self, *words: Any) -> Any:
            nonlocal asked
            asked += 1
            return super().get(*words)

    tree_of = _Tree(tmp_path / "out", max_bytes=1000, max_files=6000, epoch=0)
    (tmp_path / "out").mkdir()
    tree_of._kinds = Counting()
    with members(path, max_read=1 << 30) as found:
        tree_of.take(found)
    assert asked < 3 * (5000 + MAX_DEPTH)


@given(times=st.integers(0, 30), limit=st.integers(1, 10))
@settings(deadline=None, max_examples=40)
def test_naming_one_directory_again_and_again_counts(times: int, limit: int) -> None:
    directory_entry = entry("d", type=tarfile.DIRTYPE)
    with tempfile.TemporaryDirectory() as directory:
        path = stored(Path(directory), tar(*[directory_entry] * times))
        if times > limit + 1:
            with pytest.raises(SourceError, match="one too many"):
                unpack(path, Path(directory, "out"), max_files=limit)
        else:
            unpack(path, Path(directory, "out"), max_files=limit)


@pytest.mark.parametrize("depth", [2, 90])
def test_a_few_names_cannot_imply_any_number_of_directories(tmp_path: Path, depth: int) -> None:
    """160,000 took minutes, most of it in making and removing them."""
    deep = "/".join(["d"] * (depth - 1))
    names = [f"{number}/{deep}/f" for number in range(160_000 // depth)]
    path = stored(tmp_path, tar(*[entry(name) for name in names]))
    tree_of = _Tree(tmp_path / "out", max_bytes=1000, max_files=200_000, epoch=0)
    (tmp_path / "out").mkdir()
    with (
        members(path, max_read=1 << 30) as found,
        pytest.raises(Unreadable, match="implies too many directories"),
    ):
        tree_of.take(found)
    made = sum(len(directories) for _, directories, _ in os.walk(tmp_path / "out"))
    assert made == MAX_IMPLIED


def test_directories_that_are_named_are_not_only_implied(tmp_path: Path) -> None:
    names = [f"{number}" for number in range(MAX_IMPLIED + 10)]
    found = [entry(f"{name}/", type=tarfile.DIRTYPE) for name in names]
    path = stored(tmp_path, tar(*found))
    assert len(list(unpack(path, tmp_path / "out").iterdir())) == len(names)


def test_a_reason_is_never_as_long_as_the_name_it_quotes(tmp_path: Path) -> None:
    path = stored(tmp_path, tar(entry("x", type=tarfile.SYMTYPE, linkname="/" + "y" * 500_000)))
    with pytest.raises(SourceError) as caught:
        unpack(path, tmp_path / "out")
    assert len(str(caught.value)) < 4000


def test_a_run_that_is_over_unpacks_no_more(tmp_path: Path) -> None:
    cancel = CancelToken()
    archive = stored(tmp_path, tar(*[entry(f"a/{number}", b"x") for number in range(9)]))
    (tmp_path / "room").mkdir()
    cancel.set()
    with pytest.raises(Cancelled, match=r"unpack a\.tar\.gz"):
        unpack(archive, tmp_path / "room" / "out", cancel=cancel)
    assert list((tmp_path / "room").iterdir()) == []
    unpack(archive, tmp_path / "room" / "out", cancel=CancelToken())
