"""What a push consists of: blobs and manifests, each with what must be in the registry before it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from publish.oci.attachment import NOTHING, Attachment
from publish.oci.layout import Descriptor, Layout


class ItemKind(StrEnum):
    """What is pushed."""

    BLOB = "blob"
    MANIFEST = "manifest"
    INDEX = "index"
    ATTACHMENT = "attachment"
    REFERRERS = "referrers tag"
    """The list that we keep where the registry keeps none."""
    TAG = "tag"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that the registry must have."""

    kind: ItemKind
    label: str
    """For people: ``linux/arm64 layer``, ``sbom.cdx.json``, ``8.21.0-http``."""
    digest: str
    size: int
    """Bytes; 0 of a tag, which only names what has been sent."""
    present: bool
    """It was there before; of a tag: it pointed there already."""
    before: str = ""
    """Of a tag that is moved: the digest that it pointed at."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push has done, or would do."""

    reference: str
    """``HOST/REPO/NAME:TAG`` with the first tag."""
    digest: str
    """Of the image index: what every tag resolves to."""
    items: tuple[Item, ...]

    @property
    def uploaded(self) -> int:
        """Bytes that had to be sent."""
        return sum(item.size for item in self.items if not item.present)

    @property
    def present(self) -> int:
        """Bytes that were there already."""
        return sum(item.size for item in self.items if item.present)

    @property
    def changed(self) -> bool:
        """Whether anything was sent or moved at all."""
        return not all(item.present for item in self.items)


@dataclass(frozen=True, kw_only=True)
class UploadItem:
    """A blob or manifest, with what must be there before it."""

    kind: ItemKind
    label: str
    descriptor: Descriptor
    source: bytes | Path
    parts: tuple["UploadItem", ...] = ()


def pack_image(layout: Layout) -> UploadItem:
    """Return a whole image, every blob of which has been hashed once more. Raises PublishError."""
    manifests = tuple(_pack_manifest(layout, manifest) for manifest in layout.manifests())
    return _pack(layout, ItemKind.INDEX, "index", layout.index, manifests)


def _pack_manifest(layout: Layout, manifest: Descriptor) -> UploadItem:
    name = manifest.platform.value if manifest.platform else manifest.digest
    config, *layers = layout.entries(manifest, "config", "layers")
    parts = [_pack(layout, ItemKind.BLOB, f"{name} layer", layer) for layer in layers]
    parts.append(_pack(layout, ItemKind.BLOB, f"{name} config", config))
    return _pack(layout, ItemKind.MANIFEST, name, manifest, tuple(parts))


def _pack(
    layout: Layout,
    kind: ItemKind,
    label: str,
    descriptor: Descriptor,
    parts: tuple[UploadItem, ...] = (),
) -> UploadItem:
    layout.check(descriptor)
    path = layout.blob(descriptor.digest)
    return UploadItem(kind=kind, label=label, descriptor=descriptor, source=path, parts=parts)


def pack_attachment(attachment: Attachment) -> UploadItem:
    """Return what is said about an image as what a registry keeps."""
    pairs = (
        (attachment.filename, attachment.layer, attachment.data),
        ("empty config", attachment.config, NOTHING),
    )
    return UploadItem(
        kind=ItemKind.ATTACHMENT,
        label=attachment.filename,
        descriptor=attachment.descriptor,
        source=attachment.manifest,
        parts=tuple(
            UploadItem(kind=ItemKind.BLOB, label=label, descriptor=descriptor, source=data)
            for label, descriptor, data in pairs
        ),
    )
