"""Image layouts: the same contents give the same bytes, and what is damaged is not taken for whole."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from core.errors import PublishError
from core.target import Target
from publish.oci.archive import archive_name, write_archive
from publish.oci.compression import Compression
from publish.oci.image import Image, write_layout
from publish.oci.layer import LayerFile, layer_tar
from publish.oci.layout import FULL_NAME, REF_NAME, Descriptor, Layout
from recipes.images import ImageFile, ImageRecipe

EPOCH = 1_782_259_200
TWO = (Target.AMD64, Target.ARM_V7)

RECIPE = ImageRecipe(
    name="static-curl",
    summary="curl",
    tag="{curl}-http",
    packed=False,
    entrypoint=("/curl",),
    environment={},
    directories={},
    contents=(ImageFile(product="curl:http", path=PurePosixPath("/curl")),),
)


def file(directory: Path, name: str, data: bytes, inside: str, **more: Any) -> LayerFile:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    options = {"mode": 0o755} | more
    return LayerFile(path=PurePosixPath(inside), source=path, sha256=sha256, **options)


def curl(directory: Path, targets: tuple[Target, ...] = TWO) -> tuple[Image, ...]:
    """An image of a small file that says which machine it is for."""
    return tuple(
        Image(
            recipe=RECIPE,
            target=target,
            files=(file(directory / "files", target.slug, target.encode(), "/curl"),),
            epoch=EPOCH,
            labels={"org.opencontainers.image.title": "static-curl"},
        )
        for target in targets
    )


def write(directory: Path, images: tuple[Image, ...]) -> Layout:
    return write_layout(directory, "static-curl", "8.21.0-http", images)


def layout(directory: Path, targets: tuple[Target, ...] = TWO) -> Layout:
    return write(directory / "oci", curl(directory, targets))


def bytes_below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def members(made: Layout, manifest: Descriptor) -> list[tarfile.TarInfo]:
    (layer,) = made.entries(manifest, "layers")
    with tarfile.open(made.blob(layer.digest), "r:gz") as tar:
        return tar.getmembers()


def member_json(path: Path, name: str) -> Any:
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file
        return json.loads(file.read())


def test_the_same_files_give_the_same_bytes_elsewhere_and_later(tmp_path: Path) -> None:
    first = layout(tmp_path / "a")
    other = tmp_path / "somewhere" / "else"
    images = curl(other, TWO[::-1])  # asked for the other way round
    for image in images:
        os.utime(image.files[0].source, (1, 1))
        image.files[0].source.chmod(0o600)
    old = os.umask(0o077)
    try:
        second = write(other / "oci", images)
    finally:
        os.umask(old)
    assert first.index == second.index
    assert bytes_below(first.directory) == bytes_below(second.directory)


def test_other_bytes_give_another_digest(tmp_path: Path) -> None:
    assert layout(tmp_path / "a").index != layout(tmp_path / "b", (Target.AMD64,)).index


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = layout(tmp_path)
    assert Layout.read(made.directory) == made
    assert [manifest.platform for manifest in made.manifests()] == list(TWO)
    (entry,) = json.loads((made.directory / "index.json").read_bytes())["manifests"]
    assert entry["annotations"] == {
        REF_NAME: "8.21.0-http",
        FULL_NAME: "docker.io/library/static-curl:8.21.0-http",
    }


def test_a_layer_holds_the_file_and_nothing_else(tmp_path: Path) -> None:
    made = layout(tmp_path)
    for manifest in made.manifests():
        (member,) = members(made, manifest)
        assert (member.name, member.mode, member.uid, member.gid) == ("curl", 0o755, 0, 0)
        assert (member.uname, member.gname, member.mtime) == ("", "", EPOCH)


def test_the_config_says_how_it_is_run_and_for_what(tmp_path: Path) -> None:
    made = layout(tmp_path)
    manifest = made.manifests()[1]
    (config,), (layer,) = made.entries(manifest, "config"), made.entries(manifest, "layers")
    said = made.json(config)
    assert (said["os"], said["architecture"], said["variant"]) == ("linux", "arm", "v7")
    assert said["config"]["Entrypoint"] == ["/curl"]
    assert said["config"]["User"] == "65532:65532"
    assert said["created"] == "2026-06-24T00:00:00Z"
    # Engines compare it with what the layer unpacks to.
    tar = gzip.decompress(made.blob(layer.digest).read_bytes())
    assert said["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}"]


def test_an_index_says_what_is_true_of_every_platform(tmp_path: Path) -> None:
    title = {"org.opencontainers.image.title": "static-curl"}
    images = [
        dataclasses.replace(image, labels={**title, "licenses": image.target.value})
        for image in curl(tmp_path)
    ]
    made = write(tmp_path / "oci", tuple(images))
    assert made.json(made.index)["annotations"] == title
    assert [made.json(it)["annotations"] for it in made.manifests()] == [it.labels for it in images]


@pytest.mark.parametrize("how", Compression)
def test_a_layer_is_written_as_asked(tmp_path: Path, how: Compression) -> None:
    images = [dataclasses.replace(image, compression=how) for image in curl(tmp_path)]
    made = write(tmp_path / "oci", tuple(images))
    for manifest in made.manifests():
        (config,), (layer,) = made.entries(manifest, "config"), made.entries(manifest, "layers")
        assert layer.media_type == how.media_type
        tar = how.unpack(made.blob(layer.digest).read_bytes())
        diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}"]
        assert made.json(config)["rootfs"]["diff_ids"] == diff_ids
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as opened:
            assert opened.getnames() == ["curl"]
    assert Layout.read(made.directory) == made


def test_what_a_client_downloads_is_counted(tmp_path: Path) -> None:
    made = layout(tmp_path)
    for manifest in made.manifests():
        assert manifest.platform
        parts = [manifest, *made.entries(manifest, "config", "layers")]
        sizes = [made.blob(part.digest).stat().st_size for part in parts]
        assert made.pulled[manifest.platform.value] == sum(sizes)


def test_directories_links_and_modes_of_a_composed_image(tmp_path: Path) -> None:
    links = tuple(map(PurePosixPath, ("/bin/sh", "/bin/curl")))
    files = (
        file(tmp_path, "curl", b"curl", "/bin/curl"),
        file(tmp_path, "busybox", b"busybox", "/bin/busybox", links=links),
        file(tmp_path, "ca.pem", b"ca", "/etc/ssl/ca.pem", mode=0o644),
    )
    layer = layer_tar(files, {PurePosixPath("/tmp"): 0o1777}, epoch=EPOCH)
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        found = {member.name: member for member in tar}
    assert list(found) == sorted(found)
    assert found["tmp"].mode == 0o1777
    assert found["tmp"].isdir()
    assert found["etc/ssl"].mode == 0o755
    assert found["etc/ssl/ca.pem"].mode == 0o644
    assert found["bin/sh"].linkname == "/bin/busybox"
    assert found["bin/curl"].isfile()  # a real file wins over a link of the same name


def test_writing_again_touches_nothing(tmp_path: Path) -> None:
    made = layout(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in made.directory.rglob("*")}
    assert layout(tmp_path) == made
    assert {path: path.stat().st_mtime_ns for path in made.directory.rglob("*")} == before


def test_blobs_of_a_former_image_go(tmp_path: Path) -> None:
    layout(tmp_path)
    made = layout(tmp_path, (Target.ARM64,))
    reachable = {descriptor.digest.partition(":")[2] for descriptor in made.reachable()}
    assert {path.name for path in (made.directory / "blobs" / "sha256").iterdir()} == reachable


def test_a_half_written_layout_is_completed(tmp_path: Path) -> None:
    made = layout(tmp_path)
    whole = bytes_below(made.directory)
    (made.directory / "index.json").unlink()
    victim = next((made.directory / "blobs" / "sha256").iterdir())
    victim.write_bytes(b"half")
    layout(tmp_path)
    assert bytes_below(made.directory) == whole


def test_a_file_that_was_changed_since_it_was_proven_is_refused(tmp_path: Path) -> None:
    images = curl(tmp_path)
    images[0].files[0].source.write_bytes(b"other")
    with pytest.raises(PublishError, match="is not what was proven"):
        write(tmp_path / "oci", images)
    assert not (tmp_path / "oci" / "index.json").exists()


def test_every_damage_is_found(tmp_path: Path) -> None:
    made = layout(tmp_path)
    for path in sorted(made.directory.rglob("*")):
        if path.is_file():
            good = path.read_bytes()
            for bad in (good[:-1], bytes([good[0] ^ 1]) + good[1:], b""):
                path.write_bytes(bad)
                with pytest.raises(PublishError):
                    Layout.read(made.directory)
            path.unlink()
            with pytest.raises(PublishError):
                Layout.read(made.directory)
            path.write_bytes(good)
    assert Layout.read(made.directory) == made


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"manifests": 3}',
        b'{"manifests": [{}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"manifests": [{"mediaType": "x", "digest": "sha256:../../etc/passwd", "size": 1}]}',
        b'{"manifests": [{"mediaType": "x", "digest": "md5:00", "size": true}]}',
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    made = layout(tmp_path)
    (made.directory / "index.json").write_bytes(content)
    with pytest.raises(PublishError):
        Layout.read(made.directory)
    # The same, where the digest is right: what a registry might hand out.
    index = Descriptor.of(content, made.index.media_type)
    made.blob(index.digest).write_bytes(content)
    hostile = Layout(directory=made.directory, name=made.name, tag=made.tag, index=index)
    with pytest.raises(PublishError):
        list(hostile.reachable())


def test_an_archive_is_a_layout_and_what_docker_save_writes(tmp_path: Path) -> None:
    made = layout(tmp_path)
    manifest = made.manifests()[0]
    path = tmp_path / archive_name(made, manifest)
    assert path.name == "static-curl-8.21.0-http-linux-amd64.tar"
    write_archive(path, made, manifest)
    first = path.read_bytes()
    with tarfile.open(path) as tar:
        names = tar.getnames()
        saved = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert names == sorted(names)
    assert saved[0]["RepoTags"] == ["docker.io/library/static-curl:8.21.0-http"]
    (entry,) = member_json(path, "index.json")["manifests"]
    assert entry["annotations"] == {
        REF_NAME: "8.21.0-http",
        FULL_NAME: "docker.io/library/static-curl:8.21.0-http",
    }
    assert {saved[0]["Config"], *saved[0]["Layers"]} < set(names)
    stamp = path.stat().st_mtime_ns
    write_archive(path, made, manifest)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (first, stamp)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "oci").write_text("a file stands here")
    with pytest.raises(PublishError, match="cannot be written"):
        layout(tmp_path)
