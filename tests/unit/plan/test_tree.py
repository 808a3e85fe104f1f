"""A folder as one file: equal folders are equal files."""

import os
from pathlib import Path

import pytest

from builders.tree import pack_tree, unpack_tree
from recipes.errors import StepError
from tests.fakes import below

FILES = {"program": b"\x7fELF", "include/a.h": b"a", "include/b/c.h": b"", "b": b"x" * 100_000}


def make(folder: Path, names: list[str], *, time: int, mode: int = 0o644) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])
        path.chmod(mode | (0o111 if name == "program" else 0))
        os.utime(path, (time, time))
        os.utime(path.parent, (time, time))
    return folder


def test_time_order_owner_and_umask_do_not_matter(tmp_path: Path) -> None:
    one = make(tmp_path / "one", list(FILES), time=0)
    two = make(tmp_path / "two", list(reversed(FILES)), time=1_000_000_000, mode=0o600)
    if os.geteuid() == 0:
        os.chown(two / "b", 1000, 1000)
    (two / "include").chmod(0o700)
    pack_tree(one, tmp_path / "one.tar")
    pack_tree(two, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


@pytest.mark.parametrize("change", ["content", "name", "mode", "folder"])
def test_content_name_mode_and_folders_matter(tmp_path: Path, change: str) -> None:
    folder = make(tmp_path / "folder", list(FILES), time=0)
    pack_tree(folder, tmp_path / "one.tar")
    match change:
        case "content":
            (folder / "b").write_bytes(b"y" * 100_000)
        case "name":
            (folder / "b").rename(folder / "c")
        case "mode":
            (folder / "b").chmod(0o755)
        case _:
            (folder / "empty").mkdir()
    pack_tree(folder, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() != (tmp_path / "two.tar").read_bytes()


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    folder = make(tmp_path / "folder", list(FILES), time=5)
    (folder / "empty" / "deep").mkdir(parents=True)
    pack_tree(folder, tmp_path / "one.tar")
    unpack_tree(tmp_path / "one.tar", tmp_path / "again")
    assert below(tmp_path / "again") == FILES
    assert (tmp_path / "again" / "empty" / "deep").is_dir()
    modes = {name: (tmp_path / "again" / name).stat().st_mode & 0o777 for name in FILES}
    assert modes == {"program": 0o755, "include/a.h": 0o644, "include/b/c.h": 0o644, "b": 0o644}
    pack_tree(tmp_path / "again", tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_long_names_are_no_trouble(tmp_path: Path) -> None:
    deep = tmp_path / "folder" / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    (deep / ("f" * 120)).write_bytes(b"x")
    pack_tree(tmp_path / "folder", tmp_path / "one.tar")
    unpack_tree(tmp_path / "one.tar", tmp_path / "again")
    assert below(tmp_path / "again") == below(tmp_path / "folder")


def test_a_link_is_refused_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(StepError, match="no file and no folder: 'link'"):
        pack_tree(folder, tmp_path / "one.tar")
