"""Layers that are not what the image says of them: found in an image, and found in its archive."""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from publish.check.archive import check_archive
from publish.check.claims import Claim
from publish.check.image import check_image
from publish.oci.archive import write_archive
from publish.oci.compression import Compression
from publish.oci.layout import Descriptor, Layout, canonical
from tests.unit.publish.test_layout import layout

Change = Callable[[dict[str, Any], dict[str, Any], bytes], bytes]
"""Of a config, a manifest's layer and the layer's bytes: changes the former, returns the latter."""


def rewritten(made: Layout, change: Change) -> Layout:
    """The image with every layer changed, and every digest as it must be then."""

    def put(data: bytes, media_type: str) -> Descriptor:
        descriptor = Descriptor.of(data, media_type)
        made.blob(descriptor.digest).write_bytes(data)
        return descriptor

    entries = []
    for entry in made.manifests():
        content = made.json(entry)
        config, layer = made.entries(entry, "config", "layers")
        said, (listed,) = made.json(config), content["layers"]
        data = change(said, listed, made.blob(layer.digest).read_bytes())
        content["layers"] = [{**put(data, layer.media_type).as_dict(), **listed_type(listed)}]
        content["config"] = put(canonical(said), config.media_type).as_dict()
        manifest = put(canonical(content), entry.media_type)
        entries.append(replace(manifest, platform=entry.platform).as_dict())
    index = canonical({**made.json(made.index), "manifests": entries})
    return replace(made, index=put(index, made.index.media_type))


def listed_type(listed: dict[str, Any]) -> dict[str, Any]:
    return {"mediaType": listed["mediaType"]}


def other_layers(said: dict[str, Any], _: dict[str, Any], data: bytes) -> bytes:
    said["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    return data


def no_layers(said: dict[str, Any], _: dict[str, Any], data: bytes) -> bytes:
    del said["rootfs"]
    return data


def foreign(_: dict[str, Any], listed: dict[str, Any], data: bytes) -> bytes:
    listed["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    return data


def called_zstd(_: dict[str, Any], listed: dict[str, Any], data: bytes) -> bytes:
    listed["mediaType"] = Compression.ZSTD.media_type
    return data


def half(_: dict[str, Any], __: dict[str, Any], data: bytes) -> bytes:
    return data[: len(data) // 2]


def twice(_: dict[str, Any], __: dict[str, Any], data: bytes) -> bytes:
    return data * 2


def no_tar(said: dict[str, Any], _: dict[str, Any], data: bytes) -> bytes:
    return gzip.compress(b"no tar" * 1000)


BAD: list[tuple[Change, str]] = [
    (other_layers, "its config names other layers"),
    (no_layers, "its config names other layers"),
    (foreign, "has a layer of another kind"),
    (called_zstd, "a layer is damaged"),
    (half, "a layer is damaged"),
    (twice, "follow the end of a layer"),
    (no_tar, "a layer is damaged"),
]


def nobody(made: Layout) -> Claim:
    return Claim(subjects={}, sboms={}, builder="", target=None, packed=False, image=made.reference)


@pytest.mark.parametrize(("change", "what"), BAD)
def test_found_in_an_image(tmp_path: Path, change: Change, what: str) -> None:
    made = layout(tmp_path)
    done = check_image(made, ())
    assert not any(what in finding.what for finding in done.findings)
    done = check_image(rewritten(made, change), ())
    said = [finding for finding in done.findings if what in finding.what]
    assert len(said) == len(made.manifests()), done.text()


@pytest.mark.parametrize(("change", "what"), BAD)
def test_found_in_its_archive(tmp_path: Path, change: Change, what: str) -> None:
    made = layout(tmp_path)

    def findings(of: Layout) -> Iterator[str]:
        for manifest in of.manifests():
            path = tmp_path / "image.tar"
            write_archive(path, of, manifest)
            yield from check_archive(path, nobody(made))

    assert not [it for it in findings(made) if what in it]
    assert len([it for it in findings(rewritten(made, change)) if what in it]) == 2
