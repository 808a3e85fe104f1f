"""What a step leaves comes out as files and directories, or not at all: odd modes, links, depth, masses, races."""

import os
import random
import socket
import tarfile
import threading
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.engine import EngineSetup
from builders.engines.host import HostEngine
from builders.engines.output import BOUNDS, Bounds, walk
from builders.tree import pack_tree
from core.errors import StepError
from tests.fakes import below, deep, powerless
from tests.open_files import open_files

OUT = PurePosixPath("out")


def reference(directory: Path, archive: Path) -> None:
    """Plain trees as a tar, the simple way."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(directory.rglob("*")):
            member = tarfile.TarInfo(str(path.relative_to(directory)))
            if path.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                member.size, mode = path.stat().st_size, path.stat().st_mode
                member.mode = 0o755 if mode & 0o100 else 0o644
                with path.open("rb") as file:
                    tar.addfile(member, file)


def grow(directory: Path, chance: random.Random, *, odd: bool) -> Path:
    """Make a tree of files and directories whose names sort in unlike ways, with any modes if it is to be odd."""
    directory.mkdir()
    places = [directory]
    for number in range(80):
        name = chance.choice(["a", "a.b", "a-b", "A", "é", "z\n"]) + str(number % 7)
        path = chance.choice(places) / name
        if path.exists():
            continue
        if chance.random() < 0.4:
            path.mkdir()
            places.append(path)
        else:
            path.write_bytes(chance.randbytes(chance.choice([0, 1, 5000])))
            path.chmod(chance.choice([0o644, 0o755, 0o600, 0o4711]))
    for path in sorted(directory.rglob("*"), reverse=True) if odd else ():
        path.chmod(chance.choice([0, 0o111, 0o200, 0o644, 0o755, 0o7777]))
    return directory


@pytest.mark.parametrize("seed", range(8))
def test_a_plain_tree_is_packed_as_ever(tmp_path: Path, seed: int) -> None:
    directory = grow(tmp_path / "tree", random.Random(seed), odd=False)
    files = pack_tree(directory, tmp_path / "one.tar")
    reference(directory, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert [str(path) for path in files] == list(below(directory))


GET = """
import sys
from pathlib import Path, PurePosixPath
from builders.engines.output import walk
for found in walk(Path(sys.argv[1]), PurePosixPath("out")):
    found.copy(Path(sys.argv[2]) / found.path)
"""


@pytest.mark.parametrize("seed", range(4))
def test_an_ordinary_user_gets_what_may_not_be_read(tmp_path: Path, seed: int) -> None:
    plain = grow(tmp_path / "plain", random.Random(seed), odd=False)
    files = below(plain)
    grow(tmp_path / "out", random.Random(seed), odd=True).chmod(0)
    (tmp_path / "made").mkdir()
    powerless(GET, str(tmp_path), str(tmp_path / "made"))
    assert below(tmp_path / "made") == files
    assert {path.stat().st_mode & 0o7777 for path in (tmp_path / "made").rglob("*")} <= {
        0o644,
        0o755,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what others cannot read")
def test_what_belongs_to_somebody_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").write_text("x")
    (tmp_path / "out" / "secret").chmod(0)
    os.chown(tmp_path / "out" / "secret", 4321, 4321)
    with pytest.raises(
        AssertionError, match="StepError: 'secret' in the output of the step cannot"
    ):
        powerless(GET, str(tmp_path), str(tmp_path / "made"))


@pytest.mark.parametrize("where", ["out", "out/sub", "out/sub/x"])
@pytest.mark.parametrize("kind", ["file", "directory", "nowhere", "itself", "pipe", "socket"])
def test_nothing_but_files_and_directories(
    tmp_path: Path, setup: EngineSetup, where: str, kind: str
) -> None:
    with HostEngine(setup).sandbox() as sandbox:
        path = sandbox.directory / where
        path.parent.mkdir(parents=True, exist_ok=True)
        match kind:
            case "file":
                path.symlink_to("/etc/passwd")
            case "directory":
                path.symlink_to("/etc")
            case "nowhere":
                path.symlink_to("/nowhere")
            case "itself":
                path.symlink_to(path.name)
            case "pipe":
                os.mkfifo(path)
            case _:
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(str(path))
        with pytest.raises(StepError, match="is neither"):
            sandbox.get(OUT, tmp_path / "made")
    assert below(tmp_path / "made") == {}


@pytest.mark.parametrize("depth", [65, 1_500, 20_000])
def test_no_deeper_than_may_be(tmp_path: Path, setup: EngineSetup, depth: int) -> None:
    before = open_files()
    with HostEngine(setup).sandbox() as sandbox:
        sandbox.directory.mkdir()
        deep(sandbox.directory / "out", depth)
        with pytest.raises(StepError, match="more than 64 directories deep"):
            sandbox.get(OUT, tmp_path / "made")
    assert not list(setup.scratch.iterdir())
    assert open_files() == before


def test_as_deep_as_may_be(tmp_path: Path) -> None:
    deep(tmp_path / "tree", 63)
    assert max(len(found.path.parts) for found in walk(tmp_path / "tree")) == BOUNDS.depth


@pytest.mark.parametrize("more", [0, 1])
def test_no_more_than_may_be(tmp_path: Path, more: int) -> None:
    for number in range(20 + more):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "file").touch()
    bounds = Bounds(entries=40)
    if not more:
        assert len(list(walk(tmp_path, bounds=bounds))) == 40
        return
    with pytest.raises(StepError, match="more than 40 files and directories"):
        list(walk(tmp_path, bounds=bounds))


def test_holes_count_as_bytes_and_are_not_copied_first(tmp_path: Path, setup: EngineSetup) -> None:
    with HostEngine(setup).sandbox() as sandbox:
        (sandbox.directory / "out").mkdir(parents=True)
        with (sandbox.directory / "out" / "huge").open("wb") as file:
            file.truncate(5 << 40)
        with pytest.raises(StepError, match=r"more than 4,294,967,296 bytes.*\n.*at 'huge'"):
            sandbox.get(OUT, tmp_path / "made")
    assert below(tmp_path / "made") == {}


def test_a_path_is_no_longer_than_may_be(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(5):
        os.mkdir("é" * 120, dir_fd=here)
        below_it = os.open("é" * 120, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below_it
    os.close(here)
    with pytest.raises(StepError, match="longer than 1,024 bytes"):
        list(walk(tmp_path))


def test_what_grows_while_it_is_read_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "top" / "file"
    path.parent.mkdir()
    path.write_bytes(b"first")
    for found in walk(tmp_path / "top"):
        with path.open("ab") as file:
            file.write(b"second" * 100_000)
        found.copy(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"first"


def test_links_put_in_meanwhile_lead_nowhere(tmp_path: Path) -> None:
    outside, top = tmp_path / "outside", tmp_path / "top"
    (outside / "x").mkdir(parents=True)
    (outside / "x" / "file").write_text("secret")
    (top / "d" / "x").mkdir(parents=True)
    (top / "d" / "x" / "file").write_text("own")
    (top / "link").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for one, two in (("d", "kept"), ("link", "d"), ("d", "link"), ("kept", "d")):
                (top / one).rename(top / two)

    thread = threading.Thread(target=swap)
    thread.start()
    read, refused = set(), 0
    try:
        for _ in range(2_000):
            try:
                read |= {found.file.read() for found in walk(top) if found.file}
            except StepError:
                refused += 1
    finally:
        over.set()
        thread.join()
    assert read <= {b"own"}
    assert refused
