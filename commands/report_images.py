"""`inv report --against oci://…`: how big the files in released images are."""

import re
from collections.abc import Iterator, Sequence

from commands.registry_options import registry_options
from core.errors import PublishError
from flow.context import Context
from publish.check.archive import layer_files
from publish.oci.compression import Compression
from publish.oci.layout import Layout
from publish.registry.pull import list_tags, pull
from publish.registry.reference import Reference, Repository
from recipes.images import ImageRecipe, load_images
from report.data import Before
from report.previous import Key, Previous


def released_images(context: Context, where: str, *, insecure: bool = False) -> Previous:
    """Return the files of images: ``oci://HOST/REPO/NAME:TAG``, or without a tag the newest of each kind.

    Their digests are checked, their signatures are not: `inv verify --release` does that. Raises UsageError, and
    PublishError when there is no image of ours, or it cannot be had.
    """
    images = load_images(context.recipes, context.recipes_directory)
    found: dict[Key, Before] = {}
    for reference in _references(context, where, images, insecure=insecure):
        with context.cache.scratch() as scratch:
            layout, _ = pull(
                reference,
                scratch / "image",
                options=registry_options(context),
                progress=context.report.progress("copy"),
            )
            found.update(_files(layout, images))
    if not found:
        msg = f"There is no image of ours at {where}."
        raise PublishError(msg, next="name oci://HOST/REPO, or oci://HOST/REPO/NAME:TAG")
    return found


def _references(
    context: Context, where: str, images: Sequence[ImageRecipe], *, insecure: bool
) -> list[Reference]:
    last = where.rpartition("/")[2]
    if (":" in last and where.count("/") > 2) or "@" in last:
        return [Reference.parse(where, insecure=insecure)]
    repository = Repository.parse(where, insecure=insecure)
    names = dict.fromkeys(image.name for image in images)
    itself = repository.path.rpartition("/")[2] in names
    repositories = [repository] if itself else [repository.joined(name) for name in names]
    return [
        Reference(repository=one, word=tag)
        for one in repositories
        for tag in _newest(one.name, list_tags(one, options=registry_options(context)), images)
    ]


def _newest(name: str, tags: Sequence[str], images: Sequence[ImageRecipe]) -> Iterator[str]:
    """Of each kind of this image the newest version."""
    for image in images:
        for packed in (False, True):
            versions = [tag for tag in tags if image.is_tag(tag, packed=packed)]
            if image.name == name and versions:
                yield max(versions, key=_version)


def _version(tag: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", tag)]


def _files(layout: Layout, images: Sequence[ImageRecipe]) -> Iterator[tuple[Key, Before]]:
    kinds = [
        (image, packed)
        for image in images
        for packed in (False, True)
        if image.name == layout.name and image.is_tag(layout.tag, packed=packed)
    ]
    for image, packed in kinds[:1]:
        products = {it.path.as_posix().lstrip("/"): it.product for it in image.contents}
        for manifest in layout.manifests():
            (_, *layers) = layout.entries(manifest, "config", "layers")
            for layer in layers:
                data = layout.blob(layer.digest).read_bytes()
                for file in layer_files(Compression.of(layer.media_type).unpack(data)):
                    product = products.get(file.path.lstrip("/"))
                    if product and manifest.platform:
                        key = (product, manifest.platform.value, packed)
                        yield key, Before(release=layout.tag, size=len(file.data))
