"""A tree is removed whatever it is like, and nothing outside it."""

import os
import random
from pathlib import Path

import pytest

from core.remove import remove_tree, temporary_tree
from tests.fakes import below, deep, powerless
from tests.open_files import open_files


@pytest.mark.parametrize(("depth", "mode"), [(1, 0), (1_500, 0o755), (3_000, 0), (20_000, 0o755)])
def test_no_tree_is_too_deep(tmp_path: Path, depth: int, mode: int) -> None:
    directory = deep(tmp_path / "tree", depth, mode=mode)
    before = open_files()
    remove_tree(directory)
    assert not directory.exists()
    assert open_files() == before


@pytest.mark.parametrize("seed", range(12))
def test_any_tree_is_removed_and_nothing_beside_it(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (outside / "kept").chmod(0o640)
    top = tmp_path / "top"
    top.mkdir()
    places = [top]
    for number in range(200):
        path = chance.choice(places) / f"{number}\udcff\x1b[31m"
        match chance.randrange(6):
            case 0 | 1:
                path.mkdir()
                places.append(path)
            case 2:
                path.write_bytes(b"x")
            case 3:
                path.symlink_to(chance.choice([outside, outside / "kept", Path(), Path("/none")]))
            case 4:
                os.mkfifo(path)
            case _:
                os.link(outside / "kept", path)
    for place in reversed(places):  # those below first: who is not root gets there no more
        place.chmod(chance.choice([0, 0o111, 0o400, 0o555, 0o755]))
    remove_tree(top)
    assert not top.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").read_text() == "kept"
    assert (outside / "kept").stat().st_mode & 0o777 == 0o640


def test_what_is_not_there_is_removed_already(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
    remove_tree(tmp_path / "none" / "below")


@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_is_not_followed_at_the_top_either(tmp_path: Path, dangling: bool) -> None:
    target = tmp_path / "target"
    if not dangling:
        target.mkdir()
        (target / "file").write_text("kept")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError, match="link"):
        remove_tree(tmp_path / "link")
    assert dangling or (target / "file").read_text() == "kept"


REMOVE = """
import sys
from pathlib import Path
from core.remove import remove_tree
try:
    remove_tree(Path(sys.argv[1]))
except OSError as error:
    print(error)
"""


def test_an_ordinary_user_removes_what_may_not_be_read(tmp_path: Path) -> None:
    directory = deep(tmp_path / "tree", 50, mode=0)
    directory.chmod(0)
    assert powerless(REMOVE, str(directory)) == ""
    assert not directory.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what others cannot remove")
def test_what_cannot_be_removed_does_not_keep_the_rest(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for name in "abc":
        (top / name).mkdir(parents=True)
        (top / name / "file").write_text("x")
    os.chown(top / "b", 4321, 4321)
    assert "Permission denied" in powerless(REMOVE, str(top))
    assert below(top) == {"b/file": b"x"}
    remove_tree(top)
    assert not top.exists()


def test_a_lent_directory_is_removed_after_an_error_too(tmp_path: Path) -> None:
    def fail() -> None:
        with temporary_tree(prefix="x-", directory=tmp_path) as directory:
            deep(directory / "tree", 1_200, mode=0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())
