"""What a path names, and what is in it: archives, layouts, `docker save`, and what hostile ones do."""

import io
import json
import os
import random
import re
import stat
import struct
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.make_elf import DIRECTORY
from tests.unit.verify.images import Entry, LayoutMaker, files, packed, saved, tar
from verify.inputs.archive import CAPABILITY, Scratch
from verify.inputs.folder import folder_batch
from verify.inputs.limits import LIMITS, InputError, InputLimits
from verify.inputs.open import is_layout_directory, open_layout, open_path, spool
from verify.inputs.subject import Batch
from verify.inputs.tree import OPAQUE, Tree, TreeFile
from verify.rights import Rights

GOOD = (DIRECTORY / "good-amd64").read_bytes()
DYNAMIC = (DIRECTORY / "dynamic").read_bytes()
TEXT = b"#!/bin/sh\n"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    (tmp_path / "scratch").mkdir()
    return Scratch(directory=tmp_path / "scratch")


Opener = Callable[[bytes], list[Batch]]


@pytest.fixture
def opened(tmp_path: Path, scratch: Scratch) -> Opener:
    """Open bytes as a file."""

    def open_bytes(data: bytes) -> list[Batch]:
        path = tmp_path / "input"
        path.write_bytes(data)
        return list(open_path(path, scratch, name="input"))

    return open_bytes


def found(batches: Iterable[Batch]) -> dict[str, bytes]:
    """Every program with its bytes, and every problem with its words."""
    return {
        subject.label: subject.problem.encode() or subject.path.read_bytes()
        for batch in batches
        for subject in batch.subjects
    }


@pytest.mark.parametrize("how", ["", "gzip", "zstd"])
def test_a_tar_is_what_is_in_it(opened: Opener, how: str) -> None:
    data = tar(files({"bin/good": GOOD, "./lib/dyn": DYNAMIC, "bin/run": TEXT}))
    batches = opened(packed(data, how))
    assert found(batches) == {"input:/bin/good": GOOD, "input:/lib/dyn": DYNAMIC}
    assert [batch.others for batch in batches] == [1]


@pytest.mark.parametrize("data", [GOOD, TEXT, b"", bytes(10240), b"\x1f\x8b broken", b"PK\x03\x04"])
def test_what_is_no_archive_is_the_file_itself(opened: Opener, tmp_path: Path, data: bytes) -> None:
    (batch,) = opened(data)
    (subject,) = batch.subjects
    assert (subject.path, subject.problem, batch.loader) == (tmp_path / "input", "", None)


def test_what_is_not_there_or_no_file_is_left_to_the_verdict(
    tmp_path: Path, scratch: Scratch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "missing", tmp_path / "fifo", Path("/dev/null"), Path("nul\0")):
        (batch,) = open_path(path, scratch)
        assert [subject.path for subject in batch.subjects] == [path]


@pytest.mark.parametrize("how", ["", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["directory", "tar"])
def test_every_platform_of_a_layout_is_looked_into(
    opened: Opener, tmp_path: Path, scratch: Scratch, how: str, form: str
) -> None:
    maker = LayoutMaker()
    maker.image([files({"a": GOOD})], "linux/amd64", how=how)
    maker.image([files({"b": DYNAMIC})], "linux/arm64/v8", how=how, said=False)
    if form == "tar":
        batches = opened(tar(files(maker.files())))
    else:
        directory = maker.write(tmp_path / "oci")
        assert is_layout_directory(directory)
        batches = list(open_layout(directory, scratch, name="input"))
    assert found(batches) == {"input@linux/amd64:/a": GOOD, "input@linux/arm64:/b": DYNAMIC}
    assert [batch.platform for batch in batches] == ["linux/amd64", "linux/arm64"]


def test_only_the_platform_that_is_asked_for_is_looked_at(tmp_path: Path, scratch: Scratch) -> None:
    maker = LayoutMaker()
    maker.image([files({"a": GOOD})], "linux/amd64")
    maker.image([files({"b": DYNAMIC})], "linux/arm64")
    directory = maker.write(tmp_path / "oci")
    asked = open_layout(directory, scratch, name="it", platform="linux/arm64")
    assert found(asked) == {"it@linux/arm64:/b": DYNAMIC}
    none = open_layout(directory, scratch, name="it", platform="linux/s390x")
    assert found(none) == {"it": b"there is no image for linux/s390x in it"}


def test_what_docker_save_writes_is_an_image(opened: Opener) -> None:
    data = saved([files({"a": GOOD}), files({"b": DYNAMIC})])
    assert found(opened(data)) == {
        "input@linux/amd64:/a": GOOD,
        "input@linux/amd64:/b": DYNAMIC,
    }


def test_an_image_that_is_named_in_both_ways_is_looked_into_once(opened: Opener) -> None:
    maker = LayoutMaker()
    entry = maker.image([files({"a": GOOD})])
    made = maker.files()
    manifest = maker.blobs[entry["digest"]]
    content = json.loads(manifest)
    old = {
        "Config": f"blobs/{content['config']['digest'].replace(':', '/')}",
        "Layers": [f"blobs/{it['digest'].replace(':', '/')}" for it in content["layers"]],
    }
    made["manifest.json"] = json.dumps([old]).encode()
    assert len(opened(tar(files(made)))) == 1
    other = tar(files({"b": DYNAMIC}))
    made |= {
        "other.tar": other,
        "manifest.json": json.dumps([old | {"Layers": ["other.tar"]}]).encode(),
    }
    assert set(found(opened(tar(files(made)))).values()) == {GOOD, DYNAMIC}


LAYERS: dict[str, tuple[list[list[Entry]], set[str]]] = {
    "a later file wins": ([files({"a": GOOD}), files({"a": TEXT})], set()),
    "a whiteout": ([files({"d/a": GOOD, "b": GOOD}), files({"d/.wh.a": b""})], {"/b"}),
    "a whiteout of a directory": ([files({"d/e/a": GOOD}), files({".wh.d": b""})], set()),
    "an opaque directory": (
        [files({"d/a": GOOD, "d/e/b": GOOD}), files({"d/c": GOOD, f"d/{OPAQUE}": b""})],
        {"/d/c"},
    ),
    "an opaque directory before what is in it": (
        [files({"d/a": GOOD}), files({f"d/{OPAQUE}": b"", "d/e/c": GOOD})],
        {"/d/e/c"},
    ),
    "a whiteout hides nothing of its own layer": (
        [files({"d/a": GOOD}), files({"d/b": GOOD, ".wh.d": b""})],
        {"/d/b"},
    ),
    "a whiteout of what is not there": ([files({"a": GOOD}), files({"x/.wh.y": b""})], {"/a"}),
    "a file replaces a directory": ([files({"d/a": GOOD}), files({"d": TEXT})], set()),
    "a directory replaces a file": ([files({"d": GOOD}), files({"d/a": GOOD})], {"/d/a"}),
    "a directory keeps what is in it": (
        [files({"d/a": GOOD}), [Entry(name="d")]],
        {"/d/a"},
    ),
    "a parent that is a link": (
        [[Entry(name="bin", link="usr/bin")], files({"usr/bin/a": GOOD}), files({"bin/b": GOOD})],
        {"/usr/bin/a", "/usr/bin/b"},
    ),
    "a hard link": (
        [files({"a": GOOD}), [Entry(name="b", link="a", hard=True), Entry(name=".wh.a", data=b"")]],
        {"/b"},
    ),
    "a hard link beside its file": (
        [[*files({"a": GOOD}), Entry(name="b", link="a", hard=True)]],
        {"/a"},
    ),
    "a link is not a file": ([[*files({"a": GOOD}), Entry(name="b", link="/a")]], {"/a"}),
}


@pytest.mark.parametrize(("layers", "expected"), LAYERS.values(), ids=LAYERS)
def test_layers_lie_one_upon_the_other(
    tmp_path: Path, scratch: Scratch, layers: list[list[Entry]], expected: set[str]
) -> None:
    maker = LayoutMaker()
    maker.image(layers)
    batches = open_layout(maker.write(tmp_path / "oci"), scratch, name="it")
    assert {label.removeprefix("it@linux/amd64:") for label in found(batches)} == expected


def test_whiteouts_are_files_like_others_where_there_are_no_layers(opened: Opener) -> None:
    assert found(opened(tar(files({"d/a": GOOD, "d/.wh.a": DYNAMIC})))) == {
        "input:/d/a": GOOD,
        "input:/d/.wh.a": DYNAMIC,
    }


def test_modes_and_capabilities_come_with_the_file(opened: Opener) -> None:
    raw = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    entries = [
        Entry(name="su", data=GOOD, mode=0o4755),
        Entry(name="cap", data=DYNAMIC, pax={CAPABILITY: raw.decode("latin-1")}),
    ]
    (batch,) = opened(tar(entries))
    rights = {subject.where: subject.rights for subject in batch.subjects}
    assert rights == {
        "/su": Rights(setuid=True),
        "/cap": Rights(capabilities=("cap_net_raw",)),
    }


def problems(batches: Iterable[Batch]) -> str:
    return "; ".join(subject.problem for batch in batches for subject in batch.subjects)


@pytest.mark.parametrize("name", ["../../etc/x", "a/../../x", "../x"])
def test_a_name_that_leads_out_is_refused_and_written_nowhere(
    opened: Opener, tmp_path: Path, name: str
) -> None:
    before = {path for path in tmp_path.parent.rglob("*") if "scratch" not in path.parts}
    batches = opened(tar(files({name: GOOD, "b": GOOD})))
    assert "leads out of the image" in problems(batches)
    after = {path for path in tmp_path.parent.rglob("*") if "scratch" not in path.parts}
    assert after - before == {tmp_path / "input"}
    assert all(path.name.isdigit() for path in (tmp_path / "scratch").iterdir())


def test_links_lead_nowhere_outside(tmp_path: Path, scratch: Scratch) -> None:
    maker = LayoutMaker()
    maker.image(
        [
            [
                Entry(name="out", link=str(tmp_path)),
                Entry(name="up", link="../../../../../../" + str(tmp_path)),
                Entry(name="out/a", data=GOOD),
                Entry(name="loop", link="loop"),
                Entry(name="loop/b", data=GOOD),
                Entry(name="hard", link="/etc/passwd", hard=True),
            ]
        ]
    )
    batches = list(open_layout(maker.write(tmp_path / "oci"), scratch, name="it"))
    loader = batches[0].loader
    assert loader
    assert f"it@linux/amd64:{tmp_path}/a" in found(batches) or "it@linux/amd64:/out/a" in found(
        batches
    )
    assert not (tmp_path / "a").exists()
    assert loader.root.find("/etc/passwd") is None
    assert loader.root.find("/loop") is None
    assert loader.root.find("/up/input") is None


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated in a file": (
        lambda: tar(files({"a": GOOD}))[:700],
        "unexpected end of data|in the middle of a file",
    ),
    "a negative size": (
        lambda: _resized(tar(files({"a": TEXT})), -1024),
        "impossible size|no whole tar archive .invalid offset",  # Python 3.14 says it before us
    ),
    "a size beyond the end": (
        lambda: _resized(tar(files({"a": GOOD})), 1 << 40),
        "unexpected end of data|more than the",
    ),
    "headers that fill the memory": (
        lambda: tar([Entry(name="a", data=GOOD, pax={"comment": "x" * (2 << 20)})]),
        "claims",
    ),
    "a name that is too long": (
        lambda: tar(files({"a/" * 3000 + "b": GOOD})),
        "longer than any file's",
    ),
    "links for ever": (
        lambda: tar(
            [Entry(name=f"l{i}", link=f"l{i + 1}") for i in range(500)] + files({"l0/a": GOOD})
        ),
        "",
    ),
    "a chain of headers": (lambda: _chain(3000), "no whole tar archive"),
}


def _resized(data: bytes, size: int) -> bytes:
    info = tarfile.TarInfo.frombuf(data[:512], "utf-8", "strict")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + data[512:]


def _chain(count: int) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4
    return (info.tobuf(tarfile.GNU_FORMAT) + b"abc\0".ljust(512, b"\0")) * count


@pytest.mark.parametrize(("make", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_with_the_reason(
    opened: Opener, tmp_path: Path, scratch: Scratch, make: Callable[[], bytes], reason: str
) -> None:
    assert re.search(reason, problems(opened(make())))
    maker = LayoutMaker()
    maker.image([make()])
    layout = open_layout(maker.write(tmp_path / "oci"), scratch)
    assert re.search(reason, problems(layout))


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_bomb_is_stopped(tmp_path: Path, how: str) -> None:
    (tmp_path / "scratch").mkdir()
    limits = replace(LIMITS, unpacked=1 << 20, extracted=1 << 20)
    scratch = Scratch(directory=tmp_path / "scratch", limits=limits)
    path = tmp_path / "bomb"
    path.write_bytes(packed(tar(files({"a": b"\x7fELF" + bytes(8 << 20)})), how))
    assert "more bytes than are looked at" in problems(open_path(path, scratch))
    maker = LayoutMaker()
    maker.image([files({"a": bytes(8 << 20)})], how=how)
    layout = open_layout(maker.write(tmp_path / "oci"), scratch)
    assert "more bytes than are looked at" in problems(layout)
    assert sum(path.stat().st_size for path in scratch.directory.iterdir()) <= 2 << 20


def test_there_may_be_so_many_entries_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    limits = replace(LIMITS, entries=50)
    scratch = Scratch(directory=tmp_path / "scratch", limits=limits)
    path = tmp_path / "many.tar"
    path.write_bytes(tar(files({f"f{i}": TEXT for i in range(60)})))
    assert "more than 50 files" in problems(open_path(path, scratch))
    path.write_bytes(tar(files({f"f{i}": TEXT for i in range(50)})))
    assert problems(open_path(path, scratch)) == ""


def spoil(change: Callable[[LayoutMaker], None]) -> LayoutMaker:
    maker = LayoutMaker()
    maker.image([files({"a": GOOD})])
    change(maker)
    return maker


def _other_bytes(maker: LayoutMaker) -> None:
    layer = next(digest for digest, data in maker.blobs.items() if b"ustar" in data)
    maker.blobs[layer] = tar(files({"a": TEXT}))


def _lacks_layer(maker: LayoutMaker) -> None:
    del maker.blobs[next(digest for digest, data in maker.blobs.items() if b"ustar" in data)]


def _indexes(maker: LayoutMaker) -> None:
    for _ in range(8):
        entry = maker.put({"schemaVersion": 2, "manifests": maker.entries})
        maker.entries = [entry]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other_bytes, "is not what it is called"),
        (_lacks_layer, "is missing, or is no regular file"),
        (_indexes, "indexes inside indexes"),
        (lambda m: m.entries.clear(), "there is no image in it"),
        (lambda m: m.entries.__setitem__(0, {"digest": "sha256:../../../x"}), "is no digest"),
        (lambda m: m.entries.__setitem__(0, 7), "is no JSON object"),
        (lambda m: m.entries.extend(m.entries * 100), "lists no images, or more than"),
        (lambda m: m.image([b"no tar at all" * 100]), "no whole tar archive"),
        (lambda m: m.image([b"\x1f\x8b\x08broken"]), "cannot be unpacked"),
        (lambda m: m.image([b"\x28\xb5\x2f\xfdbroken"]), "cannot be unpacked"),
        (lambda m: m.image([b"BZh91AY&SY"]), "packed by bzip2 or xz"),
    ],
)
def test_a_hostile_layout_is_refused_with_the_reason(
    tmp_path: Path, scratch: Scratch, change: Callable[[LayoutMaker], None], reason: str
) -> None:
    directory = spoil(change).write(tmp_path / "oci")
    assert reason in problems(open_layout(directory, scratch))


def test_a_blob_that_is_a_link_is_not_followed(tmp_path: Path, scratch: Scratch) -> None:
    maker = spoil(lambda _: None)
    directory = maker.write(tmp_path / "oci")
    layer = next(
        path for path in directory.rglob("*") if path.is_file() and b"ustar" in path.read_bytes()
    )
    layer.rename(tmp_path / "elsewhere")
    layer.symlink_to(tmp_path / "elsewhere")
    assert "no regular file" in problems(open_layout(directory, scratch))
    (directory / "blobs").rename(tmp_path / "blobs")
    (directory / "blobs").symlink_to(tmp_path / "blobs")
    assert "behind a link" in problems(open_layout(directory, scratch))


def test_what_is_about_an_image_is_none(tmp_path: Path, scratch: Scratch) -> None:
    maker = spoil(lambda _: None)
    about = maker.put({"layers": [], "config": {}})
    maker.entries.append(
        {**about, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    )
    (batch,) = open_layout(maker.write(tmp_path / "oci"), scratch)
    assert [subject.where for subject in batch.subjects] == ["/a"]
    assert any("none itself" in note for note in batch.notes)


def test_a_folder_is_its_elf_files_and_links_are_not_followed(tmp_path: Path) -> None:
    directory = tmp_path / "folder"
    (directory / "deep/er").mkdir(parents=True)
    (directory / "b").write_bytes(GOOD)
    (directory / "deep/er/a").write_bytes(DYNAMIC)
    (directory / "text").write_bytes(TEXT)
    (directory / "link").symlink_to(directory / "b")
    (directory / "loop").symlink_to(directory)
    os.mkfifo(directory / "fifo")
    batch = folder_batch(directory)
    assert [subject.path for subject in batch.subjects] == [
        directory / "b",
        directory / "deep/er/a",
    ]
    assert batch.others == 1


def test_standard_input_is_written_down_up_to_a_limit(tmp_path: Path) -> None:
    scratch = Scratch(directory=tmp_path, limits=InputLimits(extracted=1000))
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        spool(io.BytesIO(bytes(2000)), scratch)
    (tmp_path / "standard-input").unlink()
    assert spool(io.BytesIO(b"abc"), scratch).read_bytes() == b"abc"


def test_a_tree_answers_as_a_kernel_does() -> None:
    tree = Tree()
    tree.add_file("usr/bin/a", TreeFile(text=b"a"))
    tree.add_link("bin", "usr/bin")
    tree.add_link("b", "bin/../../usr/./bin//a")
    tree.add_link("up", "../../..")
    tree.add_link("dangling", "nowhere")
    for name in ("/usr/bin/a", "/bin/a", "/b", "/up/bin/a", "/../bin/a", "usr/bin/../bin/a"):
        file = tree.find(name)
        assert file is not None, name
        assert file.text == b"a"
    for name in (
        "/usr",
        "/bin",
        "/dangling",
        "/usr/bin/a/",
        "/usr/bin/a/b",
        "/none",
        "/" + "x/" * 5000,
    ):
        assert tree.find(name) is None or name == "/usr/bin/a/"
    assert tree.names("/bin") == ("a",)
    assert tree.names("/b") == ()


def test_extracted_files_can_be_run_by_nobody(opened: Opener, tmp_path: Path) -> None:
    opened(tar([Entry(name="a", data=GOOD, mode=0o4755)]))
    modes = [path.stat().st_mode for path in (tmp_path / "scratch").iterdir()]
    assert modes
    assert not any(mode & (stat.S_ISUID | 0o111) for mode in modes)


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """Change some bytes, most of them in headers; cut, repeat or insert a piece."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(made))
        at = (
            min(at // 512 * 512 + chance.randrange(345), len(made) - 1)
            if chance.random() < 0.5
            else at
        )
        match chance.randrange(10):
            case 0:
                made = made[: at + 1]
            case 1:
                made[at:at] = made[max(0, at - 512) : at]
            case 2:
                made[at : at + 40] = chance.randbytes(chance.randrange(80))
            case _:
                made[at] = chance.choice((0, 255, 128, ord("7"), ord("-"), chance.randrange(256)))
        made = made or bytearray(b"x")
    return bytes(made)


def _whole() -> list[bytes]:
    entries = [
        *files({"bin/a": GOOD, "b/c": DYNAMIC, "etc/ld.so.conf": b"/opt\n"}),
        Entry(name="l", link="bin/a"),
        Entry(name="h", link="bin/a", hard=True),
        Entry(name="x" * 120, data=GOOD, pax={CAPABILITY: "abc", "comment": "y" * 300}),
    ]
    maker = LayoutMaker()
    maker.image([entries, files({"b/.wh.c": b"", f"d/{OPAQUE}": b"", "q": GOOD})], how="gzip")
    maker.image([entries], "linux/arm64", how="zstd")
    plain = tar(entries)
    return [
        plain,
        saved([entries]),
        tar(files(maker.files())),
        packed(plain, "gzip"),
        packed(plain, "zstd"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_archive_is_told_and_nothing_of_it_leaves_the_scratch_directory(
    tmp_path: Path, seed: int
) -> None:
    chance, originals = random.Random(seed), _whole()
    path = tmp_path / "input"
    for number in range(60):
        path.write_bytes(_damaged(chance.choice(originals), chance))
        directory = tmp_path / str(number)
        directory.mkdir()
        for batch in open_path(path, Scratch(directory=directory), name="input"):
            for subject in batch.subjects:
                assert subject.problem or subject.path == path or subject.path.parent == directory
        assert {it.name for it in tmp_path.iterdir()} == {"input", *map(str, range(number + 1))}


ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    1e400,
    "",
    "x" * 5000,
    "\ud800",
    "../../x",
    [],
    {},
    [[]],
    {"a": {}},
    "sha256:" + "0" * 64,
)


def _changed(value: object, chance: random.Random) -> object:
    if chance.random() < 0.15:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {key: _changed(it, chance) for key, it in value.items()}
    return [_changed(it, chance) for it in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(5))
def test_whatever_an_index_says_it_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(60):
        maker = LayoutMaker()
        layer = maker.put(tar(files({"a": GOOD})))
        config = maker.put(_changed({"os": "linux", "architecture": "amd64"}, chance))
        manifest = maker.put(_changed({"config": config, "layers": [layer, layer]}, chance))
        about = {"os": "linux", "architecture": "arm64", "variant": "v8"}
        index = maker.put(_changed({"manifests": [{**manifest, "platform": about}]}, chance))
        maker.entries = [manifest, index]
        directory = maker.write(tmp_path / f"oci-{number}")
        old = {"Config": "config", "RepoTags": ["a:b"], "Layers": ["layer"]}
        for name, value in (("index.json", {"manifests": maker.entries}), ("manifest.json", [old])):
            (directory / name).write_text(json.dumps(_changed(value, chance)), "utf-8")
        (tmp_path / str(number)).mkdir()
        scratch = Scratch(directory=tmp_path / str(number))
        batches = list(open_layout(directory, scratch, name="it"))
        assert batches
        assert all(
            batch.target is None or batch.target.value in batch.platform for batch in batches
        )
