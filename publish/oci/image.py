"""From the manifest's artifacts to images: what goes into each, for every target, and writing it down as OCI says.

https://github.com/opencontainers/image-spec/blob/main/config.md and …/manifest.md
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import PublishError
from core.files import write_file
from core.target import Target
from publish.oci.layer import Layer, LayerFile
from publish.oci.layout import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Descriptor,
    Layout,
    canonical,
    platform,
    write_index,
)
from recipes.images import ImageRecipe

USER = "65532:65532"
"""Nobody in particular: the number that distroless images use."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One platform's image."""

    recipe: ImageRecipe
    target: Target
    layer: Layer
    labels: Mapping[str, str]
    artifacts: tuple[Mapping[str, Any], ...]
    """The manifest's entries of the files in it."""

    @property
    def config(self) -> dict[str, Any]:
        """How it is run, without what only its layer's bytes can say."""
        made: dict[str, Any] = {"User": USER, "WorkingDir": "/", "Labels": dict(self.labels)}
        if self.recipe.entrypoint:
            made["Entrypoint"] = list(self.recipe.entrypoint)
        if self.recipe.command:
            made["Cmd"] = list(self.recipe.command)
        if self.recipe.environment:
            made["Env"] = [
                f"{name}={self.recipe.environment[name]}"
                for name in sorted(self.recipe.environment)
            ]
        return made


@dataclass(frozen=True, kw_only=True)
class MultiArch:
    """One image for several platforms, under one tag."""

    name: str
    tag: str
    moving: tuple[str, ...] = ()
    """Further tags, for those who want the newest release whatever it is."""
    images: tuple[Image, ...]


def write_layout(directory: Path, wanted: MultiArch) -> Layout:
    """Write ``wanted`` as a layout into ``directory``: blobs first, then what makes it one.

    The same images give the same bytes; what is there already is not written again, what belongs to no image
    any more is removed. Raises PublishError when a file is not what the manifest says, or cannot be written.
    """
    try:
        kept = set()
        entries = []
        for image in sorted(wanted.images, key=lambda one: list(Target).index(one.target)):
            descriptor, blobs = _write_image(directory, image)
            kept |= blobs
            entries.append(descriptor.as_dict())
        index, data = _blob({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
        kept.add(_put(directory, index, data))
        layout = Layout(directory=directory, name=wanted.name, tag=wanted.tag, index=index)
        write_index(layout)
        for path in (directory / "blobs" / "sha256").iterdir():
            if path.name not in kept:
                path.unlink()
    except OSError as error:
        msg = f"The image {wanted.name}:{wanted.tag} cannot be written: {error}"
        raise PublishError(msg, next=f"see to the room and the rights of {directory}") from error
    return layout


def _write_image(directory: Path, image: Image) -> tuple[Descriptor, set[str]]:
    """Write the layer, the config and the manifest; return the last, and the names of all three."""
    contents = {file.sha256: _read(file) for file in image.layer.files}
    tar = image.layer.tar(contents)
    layer = Descriptor.of(tar, LAYER)
    created = datetime.fromtimestamp(image.layer.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config, config_data = _blob(
        {
            **platform(image.target),
            "created": created,
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
            "history": [{"created": created, "created_by": "fromscratch"}],
        },
        CONFIG,
    )
    manifest, manifest_data = _blob(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.as_dict(),
            "layers": [layer.as_dict()],
            "annotations": dict(image.labels),
        },
        MANIFEST,
    )
    pairs = ((layer, tar), (config, config_data), (manifest, manifest_data))
    names = {_put(directory, descriptor, data) for descriptor, data in pairs}
    described = Descriptor(
        media_type=manifest.media_type,
        digest=manifest.digest,
        size=manifest.size,
        platform=image.target,
    )
    return described, names


def _read(file: LayerFile) -> bytes:
    data = file.source.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        msg = f"{file.source} is not what was proven: its sha256 is {found}, not {file.sha256}."
        raise PublishError(msg, why="it was changed since", next="inv build makes it anew")
    return data


def _blob(value: object, media_type: str) -> tuple[Descriptor, bytes]:
    data = canonical(value)
    return Descriptor.of(data, media_type), data


def _put(directory: Path, descriptor: Descriptor, data: bytes) -> str:
    """Write a blob, unless it is there already, bytes and all; return its file name."""
    name = descriptor.digest.partition(":")[2]
    write_file(directory / "blobs" / "sha256" / name, data)
    return name


def choose(
    recipe: ImageRecipe,
    entries: Sequence[Mapping[str, Any]],
    *,
    versions: Mapping[str, str],
    targets: Iterable[Target],
    packed: bool,
) -> dict[Target, dict[str, Mapping[str, Any]]]:
    """Return the artifacts of an image for each target that has them all, by product.

    A target whose files cannot be packed has plain ones in a packed image. What is no program is not looked for.
    """
    found: dict[Target, dict[str, Mapping[str, Any]]] = {}
    programs = [one for one in recipe.contents if one.recipe in versions]
    for target in targets:
        chosen: dict[str, Mapping[str, Any]] = {}
        for content in programs:
            forms = {
                bool(entry["packed"]): entry
                for entry in entries
                if (entry["product"], entry["release"], entry["target"])
                == (content.product, versions[content.recipe], target.value)
            }
            if entry := (forms.get(packed) or (forms.get(False) if packed else None)):
                chosen[content.product] = entry
        if len(chosen) == len(programs):
            found[target] = chosen
    return found
