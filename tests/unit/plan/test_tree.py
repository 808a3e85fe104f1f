"""A directory as one file: equal directories are equal files."""

import io
import os
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from builders.tree import pack_files, pack_tree, unpack_tree
from core.errors import StepError
from tests.fakes import below

FILES = {"program": b"\x7fELF", "include/a.h": b"a", "include/b/c.h": b"", "b": b"x" * 100_000}


def make(directory: Path, names: list[str], *, time: int, mode: int = 0o644) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])
        path.chmod(mode | (0o111 if name == "program" else 0))
        os.utime(path, (time, time))
        os.utime(path.parent, (time, time))
    return directory


def test_time_order_owner_and_umask_do_not_matter(tmp_path: Path) -> None:
    one = make(tmp_path / "one", list(FILES), time=0)
    two = make(tmp_path / "two", list(reversed(FILES)), time=1_000_000_000, mode=0o600)
    if os.geteuid() == 0:
        os.chown(two / "b", 1000, 1000)
    (two / "include").chmod(0o700)
    pack_tree(one, tmp_path / "one.tar")
    pack_tree(two, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


@pytest.mark.parametrize("change", ["content", "name", "mode", "directory"])
def test_content_name_mode_and_directories_matter(tmp_path: Path, change: str) -> None:
    directory = make(tmp_path / "directory", list(FILES), time=0)
    pack_tree(directory, tmp_path / "one.tar")
    match change:
        case "content":
            (directory / "b").write_bytes(b"y" * 100_000)
        case "name":
            (directory / "b").rename(directory / "c")
        case "mode":
            (directory / "b").chmod(0o755)
        case _:
            (directory / "empty").mkdir()
    pack_tree(directory, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() != (tmp_path / "two.tar").read_bytes()


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    directory = make(tmp_path / "directory", list(FILES), time=5)
    (directory / "empty" / "deep").mkdir(parents=True)
    pack_tree(directory, tmp_path / "one.tar")
    unpack_tree(tmp_path / "one.tar", tmp_path / "again")
    assert below(tmp_path / "again") == FILES
    assert (tmp_path / "again" / "empty" / "deep").is_dir()
    modes = {name: (tmp_path / "again" / name).stat().st_mode & 0o777 for name in FILES}
    assert modes == {"program": 0o755, "include/a.h": 0o644, "include/b/c.h": 0o644, "b": 0o644}
    pack_tree(tmp_path / "again", tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_long_names_are_no_trouble(tmp_path: Path) -> None:
    deep = tmp_path / "directory" / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    (deep / ("f" * 120)).write_bytes(b"x")
    pack_tree(tmp_path / "directory", tmp_path / "one.tar")
    unpack_tree(tmp_path / "one.tar", tmp_path / "again")
    assert below(tmp_path / "again") == below(tmp_path / "directory")


def test_a_link_is_refused_not_followed(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "link").symlink_to("/etc/passwd")
    with pytest.raises(StepError, match="'link' is neither"):
        pack_tree(directory, tmp_path / "one.tar")


def test_files_from_anywhere_are_packed_as_the_directory_that_they_make(tmp_path: Path) -> None:
    directory = make(tmp_path / "directory", list(FILES), time=0)
    elsewhere = {}
    for number, name in enumerate(FILES):
        elsewhere[PurePosixPath(name)] = tmp_path / str(number)
        (tmp_path / str(number)).write_bytes(FILES[name])
        (tmp_path / str(number)).chmod(0o700 if name == "program" else 0o600)
    pack_tree(directory, tmp_path / "one.tar")
    pack_files(elsewhere, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.addfile(member, io.BytesIO())
    with pytest.raises(StepError, match="is not a file or a directory inside"):
        unpack_tree(tmp_path / "bad.tar", tmp_path / "in" / "side")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_in_an_archive_is_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.addfile(member)
    with pytest.raises(StepError, match="'link' is not a file or a directory inside"):
        unpack_tree(tmp_path / "bad.tar", tmp_path / "inside")
    assert list((tmp_path / "inside").iterdir()) == []


def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)
    with pytest.raises(StepError, match="is no output of a step"):
        unpack_tree(tmp_path / "bad.tar", tmp_path / "inside")
