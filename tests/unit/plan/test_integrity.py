"""The toolchain that runs is the one that was installed, or nothing runs."""

import base64
import hashlib
import os
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from builders.integrity import check_toolchain
from builders.toolchain import SEEN, Toolchain
from core.errors import EngineError
from tests.fakes import fake_toolchain

FILES = {
    "ziglang": ("ziglang/zig", "ziglang/lib/compiler_rt.zig", "ziglang/lib/std/std.zig"),
    "cmake": ("cmake/data/bin/cmake", "cmake/data/share/cmake-x/Modules/a, file.cmake"),
    "ninja": ("../bin/ninja",),
}
SOME = [name for names in FILES.values() for name in names]


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    """As pip leaves it: files, and a RECORD of their hashes."""
    made = fake_toolchain(tmp_path / "toolchain")
    for wheel, names in FILES.items():
        lines = []
        for name in names:
            path = made.packages / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content of {name}", "utf-8")
            digest = hashlib.sha256(path.read_bytes()).digest()
            text = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            lines.append(f'"{name}",sha256={text},{path.stat().st_size}')
        lines += [f"{wheel}-1.dist-info/RECORD,,", f"{wheel}/__pycache__/x.pyc,,"]
        (made.packages / f"{wheel}-1.dist-info/RECORD").write_text("\n".join(lines), "utf-8")
    return made


@pytest.fixture
def stamp(tmp_path: Path) -> Path:
    return tmp_path / "cache/toolchain"


def test_what_was_installed_is_good_and_remembered(toolchain: Toolchain, stamp: Path) -> None:
    assert check_toolchain(toolchain, stamp) == len(SOME)
    before = stamp.read_bytes()
    assert (
        check_toolchain(toolchain, stamp)
        == check_toolchain(toolchain, stamp, deep=True)
        == len(SOME)
    )
    assert stamp.read_bytes() == before


def test_what_no_step_sees_does_not_count(toolchain: Toolchain, stamp: Path) -> None:
    """And no step sees it: what is looked at is what is shown."""
    for name in ("ziglang/lib/libc/mingw/x.c", "ziglang/lib/libc/include/x-windows-any/x.h"):
        path = toolchain.packages / name
        path.parent.mkdir(parents=True)
        path.touch()
        assert not any(path.is_relative_to(part) for _, part in toolchain.parts())
    assert check_toolchain(toolchain, stamp) == len(SOME)


@pytest.mark.parametrize(("wheel", "pattern"), [(w, p) for _, w, ps in SEEN for p in ps])
def test_a_part_that_is_missing_is_named(toolchain: Toolchain, wheel: str, pattern: str) -> None:
    path = toolchain.packages / wheel / pattern.replace("*", "x")
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(EngineError, match=re.escape(pattern)) as caught:
        list(toolchain.parts())
    assert "rm -r .venv" in caught.value.next


def test_bytecode_does_not_count(toolchain: Toolchain, stamp: Path) -> None:
    directory = toolchain.packages / "ziglang/__pycache__"
    directory.mkdir()
    (directory / "main.pyc").write_bytes(b"x")
    assert check_toolchain(toolchain, stamp) == len(SOME)


def change(path: Path) -> None:
    state = path.stat()
    path.write_text(path.read_text("utf-8").replace("content", "CONTENT"), "utf-8")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # whoever means ill sets it back


def link(path: Path) -> None:
    copy = path.with_name("elsewhere.pyc")
    path.rename(copy)
    path.symlink_to(copy)


def add(path: Path) -> None:
    path.with_name("stdio.h").write_text("#define EVIL\n", "utf-8")


DAMAGES = [change, Path.unlink, link, add]


NAMES = ["ziglang/zig", "ziglang/lib/std/std.zig", "cmake/data/share/cmake-x/Modules/a, file.cmake"]


@pytest.mark.parametrize(
    ("name", "damage"),
    # Beside the program lies nothing that a step sees; without it there is no toolchain at all.
    [pair for pair in product(NAMES, DAMAGES) if pair[0] != NAMES[0] or pair[1] in (change, link)],
)
@pytest.mark.parametrize("seen", [False, True])
def test_a_file_that_is_not_as_installed_stops_everything(
    toolchain: Toolchain, stamp: Path, damage: Callable[[Path], None], name: str, seen: bool
) -> None:
    if seen:
        check_toolchain(toolchain, stamp)
    damage(toolchain.packages / name)
    for _ in range(2):  # it is not remembered as good either
        with pytest.raises(EngineError, match="is not what was installed") as caught:
            check_toolchain(toolchain, stamp)
        assert str((toolchain.packages / name).parent) in caught.value.what
        assert caught.value.next.startswith("rm -r .venv")


def test_a_changed_program_outside_the_packages_is_seen(toolchain: Toolchain, stamp: Path) -> None:
    change(toolchain.programs / "ninja")
    with pytest.raises(EngineError, match="ninja"):
        check_toolchain(toolchain, stamp)


def test_a_stamp_of_somebody_else_does_not_count(toolchain: Toolchain, stamp: Path) -> None:
    stamp.parent.mkdir()
    stamp.write_text("0" * 64, "ascii")
    change(toolchain.packages / "ziglang/zig")
    with pytest.raises(EngineError):
        check_toolchain(toolchain, stamp)


def test_deep_believes_no_stamp(toolchain: Toolchain, stamp: Path) -> None:
    """As when a disk rots: what is read has changed, and nothing else has."""
    check_toolchain(toolchain, stamp)
    record = toolchain.packages / "ziglang-1.dist-info/RECORD"
    # The other way round, for want of a rotting disk: the files look the same, what they should be has changed.
    digest = toolchain.digest
    assert digest  # made, and kept, before
    record.write_text(record.read_text("utf-8").replace("sha256=", "sha256=A"), "utf-8")
    assert check_toolchain(toolchain, stamp) == len(SOME)
    with pytest.raises(EngineError):
        check_toolchain(toolchain, stamp, deep=True)


@pytest.mark.parametrize("kind", ["huge", "link", "pipe", "directory"])
def test_whatever_lies_in_the_stamps_place_is_no_stamp(
    toolchain: Toolchain, stamp: Path, kind: str, tmp_path: Path
) -> None:
    check_toolchain(toolchain, stamp)
    good = stamp.read_bytes()
    stamp.unlink()
    match kind:
        case "huge":
            stamp.touch()
            os.truncate(stamp, 1 << 40)
        case "link":
            (tmp_path / "elsewhere").write_bytes(good)
            stamp.symlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(stamp)
        case _:
            stamp.mkdir()
    assert check_toolchain(toolchain, stamp) == len(SOME)
    assert not stamp.is_symlink()
    assert stamp.read_bytes() == good
