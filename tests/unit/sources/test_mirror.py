from pathlib import Path

import pytest

from builders.sources.cache import Cache, WrongBytesError
from builders.sources.fetch import fetch
from builders.sources.mirror import mirror
from builders.sources.mirrors import Mirrors
from core.errors import RecipeError
from recipes.model import Source
from tests.unit.sources.servers import source_of

SOURCES = [source_of(b"one", filename="one.tar.gz"), source_of(b"two", filename="two.tar.gz")]


def put(tmp_path: Path, source: Source) -> Path:
    path = tmp_path / f"blob-{source.filename}"
    path.write_bytes(source.filename.partition(".")[0].encode())
    return path


def test_directory_serves_another_machine(tmp_path: Path, cache: Cache) -> None:
    directory = tmp_path / "deep" / "mirror"
    done = mirror(SOURCES, directory, get=lambda source: put(tmp_path, source))
    assert (done.files, done.written, done.size) == (2, 2, 6)
    assert sorted(path.name for path in directory.iterdir()) == ["one.tar.gz", "two.tar.gz"]
    mirrors = Mirrors.from_environment({"FROMSCRATCH_MIRRORS": f"file://{directory}"})
    for source in SOURCES:
        assert fetch(source, cache, mirrors, offline=True).path.read_bytes()


def test_second_time_only_what_is_damaged_is_written(tmp_path: Path) -> None:
    directory = tmp_path / "mirror"
    mirror(SOURCES, directory, get=lambda source: put(tmp_path, source))
    (directory / "two.tar.gz").write_bytes(b"owt")
    asked: list[str] = []

    def get(source: Source) -> Path:
        asked.append(source.filename)
        return put(tmp_path, source)

    assert mirror(SOURCES, directory, get=get).written == 1
    assert asked == ["two.tar.gz"]
    assert (directory / "two.tar.gz").read_bytes() == b"two"


def test_one_name_for_two_files_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    clash = [*SOURCES, source_of(b"other", filename="one.tar.gz")]
    with pytest.raises(RecipeError, match=r"one\.tar\.gz"):
        mirror(clash, tmp_path / "mirror", get=lambda source: put(tmp_path, source))
    assert not (tmp_path / "mirror").exists()
    mirror([*SOURCES, *SOURCES], tmp_path / "mirror", get=lambda source: put(tmp_path, source))


def test_wrong_bytes_are_not_passed_on(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"eno")
    with pytest.raises(WrongBytesError):
        mirror(SOURCES, tmp_path / "mirror", get=lambda _: wrong)
    assert list((tmp_path / "mirror").iterdir()) == []
