"""Hostile archives: nothing is written outside, what is refused leaves nothing, and neither takes long or much memory.

A case is made by one kind of trick, packed in one of the ways there are, and then perhaps torn.
"""

import bz2
import gzip
import io
import lzma
import os
import random
import resource
import stat
import struct
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.sources.unpack import unpack
from core.errors import SourceError
from tests.campaigns.campaign import Campaign, Case, Run, Violation

MAX_BYTES = 4 << 20
MAX_FILES = 2000
SECONDS = 20.0
"""Of the processor, for one archive within these limits."""
MEMORY = 300 * 1024
"""KiB that the process may grow in a whole campaign: xz may have 256 MiB."""
SECRET = b"not yours"
MAGIC_ZSTD = b"\x28\xb5\x2f\xfd"

OUTSIDE = (
    *("../out", "../../out", "/tmp/campaign-out", "a/../../out", "./../out", "a/./../../out", ".."),
    *(
        "//out",
        "../box-2/out",
        "a/b/../../../secret",
        "../secret",
        "/etc/passwd",
        "a/..",
        "..\\out",
    ),
)
NAMES = (
    *(
        "a",
        "a/b",
        "a/b/c",
        "d",
        "d/e",
        "a/",
        "./a",
        "a//b",
        ".",
        "",
        "/",
        "a/.",
        "x" * 255,
        "x" * 256,
    ),
    *(
        "y/" * 99 + "f",
        "y/" * 101 + "f",
        "z/" * 600 + "f",
        "\u00e9",
        "con",
        "a b",
        "-rf",
        "a\nb",
        "\x1b[2J",
    ),
    *("\udcff", "a\\b", "C:\\x", "~", "$(id)", ".git/config", "A", "e\u0301"),
)
KINDS = (
    *(tarfile.REGTYPE, tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE),
    *(tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE),
    *(tarfile.GNUTYPE_SPARSE, b"Z", b"M"),
)
PAX: tuple[tuple[str, str], ...] = (
    *(
        ("path", "../out"),
        ("path", "/tmp/campaign-out"),
        ("linkpath", "../../secret"),
        ("size", "1"),
    ),
    *(("size", "99999999999"), ("size", "-1"), ("size", "x"), ("mtime", "nan"), ("mtime", "1e400")),
    *(("GNU.sparse.map", "0,1,99999999999,1"), ("GNU.sparse.size", "1" * 12), ("path", "")),
    *(("GNU.sparse.major", "1"), ("GNU.sparse.name", "../out"), ("GNU.sparse.realsize", "9" * 11)),
    *(
        ("hdrcharset", "BINARY"),
        ("hdrcharset", "x"),
        ("path", "p" * 3000),
        ("mtime", "-1e12"),
        ("uid", "x"),
    ),
)
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, 1),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "none": lambda data: data,
    # No library here packs it; whoever sees the first bytes knows enough to refuse it.
    "zst": lambda data: MAGIC_ZSTD + data,
}


@dataclass(kw_only=True)
class Attack:
    """An archive, and the files that it ought to become if it is sound; None: any that stay inside, or an error."""

    data: bytes
    expected: dict[str, bytes] | None = None


def entry(chance: random.Random) -> tuple[tarfile.TarInfo, bytes]:
    """One member of a tar, seldom a decent one."""
    info = tarfile.TarInfo(chance.choice(OUTSIDE if chance.random() < 0.25 else NAMES))
    info.type = chance.choice(KINDS)
    info.mode = chance.choice((0o644, 0o755, 0o000, 0o4755, 0o7777))
    info.mtime = chance.choice((0, 1_000_000_000, 1 << 33, 1 << 40))
    info.linkname = chance.choice((*OUTSIDE, "a", "a/b", "b", ".", "", "d/e", "l/l", "x" * 2000))
    data = chance.randbytes(chance.choice((0, 1, 511, 512, 513, 5000)))
    info.size = len(data) if info.isreg() else 0
    if chance.random() < 0.15:
        info.pax_headers = dict([chance.choice(PAX)])
    return info, data


def tar_of(chance: random.Random, entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    layout = chance.choice((tarfile.PAX_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=out, mode="w:", format=layout, errors="surrogateescape") as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def headers(data: bytes) -> list[int]:
    """Where the headers of a tar of ours begin."""
    return [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]


def field_changed(chance: random.Random, data: bytes) -> bytes:
    """A number of one header replaced, with a checksum that is right all the same."""
    found = headers(data)
    if not found:
        return data
    at, torn = chance.choice(found), bytearray(data)
    start, width = chance.choice(((100, 8), (124, 12), (136, 12), (156, 1), (329, 8), (345, 155)))
    values = (
        *(
            b"\xff" * width,
            b"\x80" + b"\0" * (width - 2) + b"\xff",
            b"7" * width,
            b"-1",
            b"\0" * width,
        ),
        *(chance.randbytes(width), b"../../../out"[:width], b"S", b"L", b"K", b"x", b"g"),
    )
    value = chance.choice(values)[:width]
    torn[at + start : at + start + len(value)] = value
    torn[at + 148 : at + 156] = b" " * 8
    torn[at + 148 : at + 156] = b"%06o\0 " % sum(torn[at : at + 512])
    return bytes(torn)


def link_chain(chance: random.Random) -> bytes:
    """Links that lead out only together, and what would be written through them."""
    steps = [("a", "."), ("a/b", ".."), ("c", "a/b"), ("c/d", ".."), ("e", "c/d/../.."), ("f", "f")]
    found = []
    for name, target in chance.sample(steps, chance.randint(2, len(steps))):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        found.append((info, b""))
    for name in chance.sample(["a/out", "c/out", "e/out", "a/b/out", "f/x"], 2):
        info = tarfile.TarInfo(name)
        info.size = len(SECRET)
        found.insert(chance.randrange(len(found) + 1), (info, SECRET))
    return tar_of(chance, found)


def crowd(chance: random.Random) -> bytes:
    """Too many of something: files, directories that names imply, one directory again, links, headers of headers."""
    count, found = chance.choice((500, 3000, 12_000)), []
    depth = chance.choice((1, 2, 20, 90, 99))
    shape = chance.randrange(5)
    for number in range(count if shape or depth == 1 else 1 + count // 4):
        info = tarfile.TarInfo(f"{number}/" + "d/" * (depth - 1) + "f")
        match shape:
            case 1:
                info.name, info.type = "same", tarfile.DIRTYPE
            case 2:
                info.type, info.linkname = tarfile.SYMTYPE, f"../{number - 1}"
                info.name = f"{number}"
            case 3:
                info.name = "same" if number else "0/x"
                info.pax_headers = {f"comment{number}": "x" * 20}
            case 4:
                info.type, info.linkname = (tarfile.LNKTYPE if number else tarfile.REGTYPE), "0"
                info.name, info.size = f"{number}", 0 if number else 4096
            case _:
                pass
        found.append((info, b"x" * 4096 if info.size else b""))
    return tar_of(chance, found)


def bomb(chance: random.Random) -> bytes:
    """Much from little: a big file, a big name, a big comment, or nothing but padding behind the end."""
    size = chance.choice((MAX_BYTES - 1, MAX_BYTES + 1, 64 << 20))
    info = tarfile.TarInfo("big")
    match chance.randrange(4):
        case 0:
            info.size = size
            return tar_of(chance, [(info, bytes(size))])
        case 1:
            info.name = "n/" * min(size // 2, 4 << 20)
            return tar_of(chance, [(info, b"")])
        case 2:
            info.pax_headers = {"comment": "x" * min(size, 8 << 20)}
            return tar_of(chance, [(info, b"")])
        case _:
            return tar_of(chance, [(info, b"")]) + bytes(size)


def nested_headers(chance: random.Random) -> bytes:
    """Headers about headers about headers, which a reader may follow by recursion."""
    kind = chance.choice((b"x", b"g", b"L", b"K"))
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, 512
    block = info.tobuf(tarfile.GNU_FORMAT) + b"11 path=ab\n".ljust(512, b"\0")
    return block * chance.choice((2, 500, 5000)) + bytes(1024)


def zip_of(chance: random.Random) -> bytes:
    """A zip of odd members, with numbers in its headers that may be wrong."""
    out = io.BytesIO()
    method = chance.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    with zipfile.ZipFile(out, "w", method, strict_timestamps=False) as archive:
        for number in range(chance.choice((1, 3, 10, 2500))):
            names = OUTSIDE if chance.random() < 0.2 else NAMES
            name = chance.choice(names) if number < 10 else f"{number}"
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "e")
            mode = chance.choice((stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, 0))
            info.external_attr = (mode | 0o777) << 16
            info.compress_type = method
            size = chance.choice((0, 1, 100, 5000)) if number else chance.choice((1, 16 << 20))
            with warnings.catch_warnings(action="ignore"), archive.open(info, "w") as file:
                file.write(bytes(size))
    torn = bytearray(out.getvalue())
    if chance.random() < 0.5:
        for _ in range(chance.randint(1, 3)):
            at = torn.rfind(b"PK\x01\x02", 0, chance.randrange(len(torn)) + 4)
            start = max(at, 0) + chance.choice((8, 10, 16, 20, 24, 28, 38, 42))
            torn[start : start + 4] = struct.pack(
                "<I", chance.choice((0, 1, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, chance.getrandbits(32)))
            )
    return bytes(torn)


def sound(chance: random.Random) -> tuple[bytes, dict[str, bytes]]:
    """A good archive: what it ought to become is known."""
    files: dict[str, bytes] = {}
    found: list[tuple[tarfile.TarInfo, bytes]] = []
    for number in range(chance.randint(1, 40)):
        parts = [chance.choice("abc") for _ in range(chance.choice((0, 1, 5, 90)))]
        name = "/".join(["top", *parts, f"{number}"])
        info = tarfile.TarInfo(chance.choice(("", "./")) + name)
        data = chance.randbytes(chance.choice((0, 1, 512, 5000)))
        info.size = len(data)
        if files and chance.random() < 0.1:
            original = chance.choice(sorted(files))
            info.type, info.linkname, info.size = tarfile.LNKTYPE, original, 0
            data = files[original]
        files[name] = data
        found.append((info, data if info.isreg() else b""))
    return tar_of(chance, found), files


def draw(chance: random.Random) -> Attack:
    """An archive of a kind, packed, and perhaps torn."""
    pack = COMPRESSORS[chance.choice(("gz", "gz", "gz", "bz2", "xz", "none", "zst"))]
    expected: dict[str, bytes] | None = None
    match chance.randrange(10):
        case 0 | 1:
            data, expected = sound(chance)
            pack = COMPRESSORS[chance.choice(("gz", "bz2", "xz"))]
        case 2:
            data = link_chain(chance)
        case 3:
            data = crowd(chance)
        case 4:
            data, pack = bomb(chance), COMPRESSORS[chance.choice(("gz", "bz2", "xz"))]
        case 5:
            data = nested_headers(chance)
        case 6:
            data, pack = zip_of(chance), COMPRESSORS["none"]
        case 7:
            data = field_changed(chance, sound(chance)[0])
        case _:
            data = tar_of(chance, [entry(chance) for _ in range(chance.randint(1, 12))])
            if chance.random() < 0.3:
                data = field_changed(chance, data)
    packed = bytearray(pack(data))
    match chance.randrange(6):
        case 0:
            del packed[chance.randrange(len(packed)) :]
            expected = None
        case 1:
            for _ in range(chance.randint(1, 4)):
                packed[chance.randrange(len(packed))] = chance.randrange(256)
            expected = None
        case 2:
            packed += chance.choice((bytes(packed), b"x" * 100, bytes(100)))
            expected = None
        case _:
            pass
    return Attack(data=bytes(packed), expected=expected)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below ``root``, by its path; links are not followed."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                found[str(path.relative_to(root))] = path.read_bytes()
    return found


def judge_tree(root: Path, attack: Attack) -> None:
    """Raise Violation for anything that leads out, is neither file, directory nor link, or is too much."""
    size = count = 0
    inside = os.path.realpath(root)
    for directory, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = Path(directory, name)
            state = path.lstat()
            count += 1
            if stat.S_ISLNK(state.st_mode):
                if os.path.commonpath([inside, os.path.realpath(path)]) != inside:
                    msg = f"'{path}' leads outside: {os.readlink(path)}"  # noqa: PTH115
                    raise Violation(msg)
                continue
            if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
                msg = f"'{path}' is a device or a pipe"
                raise Violation(msg)
            if stat.S_ISREG(state.st_mode):
                size += state.st_size
                if state.st_nlink != 1:
                    msg = f"'{path}' has a second name"
                    raise Violation(msg)
            if state.st_mode & 0o7022:
                msg = f"'{path}' has the mode {state.st_mode:o}"
                raise Violation(msg)
    if size > MAX_BYTES or count > MAX_FILES:
        msg = f"{count} files with {size} bytes were allowed"
        raise Violation(msg)
    if attack.expected is not None and contents(root) != attack.expected:
        msg = "the tree is not what was packed"
        raise Violation(msg)


def run_case(case: Case, most_memory: int) -> str:
    attack = draw(case.random)
    archive, box = case.directory / "archive", case.directory / "box"
    box.mkdir()
    (case.directory / "secret").write_bytes(SECRET)
    archive.write_bytes(attack.data)
    names = {"archive", "box", "secret"}
    reason = ""
    began = time.process_time()
    try:
        unpack(archive, box / "tree", max_bytes=MAX_BYTES, max_files=MAX_FILES)
    except SourceError as error:
        reason = str(error)
    took = time.process_time() - began
    if took > SECONDS:
        msg = f"took {took:.1f} s of the processor"
        raise Violation(msg)
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > most_memory:
        msg = f"took over {MEMORY} KiB"
        raise Violation(msg)
    if {path.name for path in case.directory.iterdir()} != names or (
        case.directory / "secret"
    ).read_bytes() != SECRET:
        msg = f"something was written outside: {sorted(case.directory.iterdir())}"
        raise Violation(msg)
    if Path("/tmp/campaign-out").exists():
        msg = "something was written to /tmp"
        raise Violation(msg)
    left = sorted(path.name for path in box.iterdir())
    if reason:
        if left:
            msg = f"refused, and yet there is {left}"
            raise Violation(msg)
        if attack.expected is not None:
            msg = f"a sound archive was refused: {reason}"
            raise Violation(msg)
        if len(reason) > 4000:
            msg = f"a reason of {len(reason)} characters"
            raise Violation(msg)
        return "refused"
    if left != ["tree"]:
        msg = f"beside the tree there is {left}"
        raise Violation(msg)
    judge_tree(box / "tree", attack)
    return "right tree" if attack.expected is not None else "stayed inside"


@contextmanager
def opened() -> Iterator[Run]:
    # What the packing of the largest bomb takes is no matter of the one who unpacks it.
    zlib.compress(bytes(80 << 20), 1)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + MEMORY
    yield lambda case: run_case(case, most)


CAMPAIGN = Campaign(
    name="archives",
    purpose="Hostile tar and zip archives: nothing outside, nothing left of what is refused, bounded time and memory.",
    cases=500,
    open=opened,
    rooms=("builders", "core"),
)
