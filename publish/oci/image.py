"""From the manifest's artifacts to images: what goes into each, for every target, and writing it down as OCI says.

https://github.com/opencontainers/image-spec/blob/main/config.md and …/manifest.md
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import PublishError
from core.files import write_file
from core.target import Target
from publish.manifest import Artifact
from publish.oci.compression import TAR, Compression
from publish.oci.layer import LayerFile, layer_tar
from publish.oci.layout import (
    CONFIG,
    INDEX,
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
    files: tuple[LayerFile, ...]
    epoch: int
    """Every time in it: seconds since 1970."""
    labels: Mapping[str, str]
    compression: Compression = Compression.GZIP

    @property
    def config(self) -> dict[str, Any]:
        """How it is run, without what only its layer's bytes can say."""
        environment = sorted(self.recipe.environment.items())
        optional = {
            "Entrypoint": list(self.recipe.entrypoint),
            "Cmd": list(self.recipe.command),
            "Env": [f"{name}={value}" for name, value in environment],
        }
        return {"User": USER, "WorkingDir": "/", "Labels": dict(self.labels)} | {
            key: value for key, value in optional.items() if value
        }


def write_layout(directory: Path, name: str, tag: str, images: Iterable[Image]) -> Layout:
    """Write ``images``, one for each platform, as a layout into ``directory``: blobs first, then what makes it one.

    The same images give the same bytes; what is there already is not written again, what belongs to no image
    any more is removed. Raises PublishError when a file is not what the manifest says, or cannot be written.
    """
    try:
        by_target = sorted(images, key=lambda image: list(Target).index(image.target))
        manifests = [_write_image(directory, image).as_dict() for image in by_target]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        index["annotations"] = _common([image.labels for image in by_target])
        layout = Layout(
            directory=directory,
            name=name,
            tag=tag,
            index=_put(directory, canonical(index), INDEX),
        )
        write_index(layout)
        kept = {layout.blob(descriptor.digest) for descriptor in layout.reachable()}
        for path in (directory / "blobs" / "sha256").iterdir():
            if path not in kept:
                path.unlink()
    except OSError as error:
        msg = f"The image {name}:{tag} cannot be written: {error}"
        raise PublishError(msg, next=f"check free space and permissions of {directory}") from error
    return layout


def _write_image(directory: Path, image: Image) -> Descriptor:
    """Write the layer, the config and the manifest; return the last."""
    tar = layer_tar(image.files, image.recipe.directories, epoch=image.epoch)
    layer = _put(directory, image.compression.pack(tar), image.compression.media_type)
    created = datetime.fromtimestamp(image.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = {
        **platform(image.target),
        "created": created,
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": [Descriptor.of(tar, TAR).digest]},
        "history": [{"created": created, "created_by": "fromscratch"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _put(directory, canonical(config), CONFIG).as_dict(),
        "layers": [layer.as_dict()],
        "annotations": dict(image.labels),
    }
    written = _put(directory, canonical(manifest), MANIFEST)
    return dataclasses.replace(written, platform=image.target)


def _common(labels: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What is true of every platform: all that a registry's page shows of an index is what stands in it."""
    first, *others = (set(one.items()) for one in labels)
    return dict(sorted(first.intersection(*others)))


def _put(directory: Path, data: bytes, media_type: str) -> Descriptor:
    """Write a blob, unless it is there already, bytes and all."""
    descriptor = Descriptor.of(data, media_type)
    write_file(directory / descriptor.path, data)
    return descriptor


def choose(
    recipe: ImageRecipe,
    artifacts: Sequence[Artifact],
    *,
    versions: Mapping[str, str],
    targets: Iterable[Target],
    packed: bool,
) -> dict[Target, dict[str, Artifact]]:
    """Return the artifacts of an image for each target that has them all, by product.

    A target whose files cannot be packed has plain ones in a packed image. What is no program is not looked for.
    """
    built = {(it.product, it.release, it.target, it.packed): it for it in artifacts}
    found: dict[Target, dict[str, Artifact]] = {}
    programs = [content for content in recipe.contents if content.recipe in versions]
    for target in targets:
        chosen: dict[str, Artifact] = {}
        for content in programs:
            for form in (packed, False):
                artifact = built.get((content.product, versions[content.recipe], target, form))
                if artifact and content.product not in chosen:
                    chosen[content.product] = artifact
        if len(chosen) == len(programs):
            found[target] = chosen
    return found
