"""An image with all that goes along with it, to a release as to a registry: SBOMs, provenance, a signature."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from core.errors import PublishError
from core.signing import SecretKey
from core.target import Target
from publish.oci.attachment import Attachment
from publish.oci.layout import Descriptor, Layout
from publish.trust.comment import write_comment
from publish.trust.envelope import MEDIA_TYPE as ENVELOPE
from publish.trust.envelope import envelope
from publish.trust.provenance import BuildPlatform, statement_of_image
from publish.trust.published import PublishedFile, require_proven
from publish.trust.sbom import MEDIA_TYPE as SBOM
from publish.trust.sbom import SUFFIX, sbom_of_image
from publish.trust.spdx import MEDIA_TYPE as SPDX
from publish.trust.spdx import SUFFIX as SPDX_SUFFIX
from publish.trust.spdx import spdx_of_image

SIGNATURE = "application/vnd.fromscratch.minisig.v1"


@dataclass(frozen=True, kw_only=True)
class PublishedImage:
    """A layout of one image for several platforms, and the files that its layers hold."""

    layout: Layout
    files: Mapping[Target, tuple[PublishedFile, ...]]
    """For each platform. A file that is no program has no target."""
    moving: tuple[str, ...] = ()
    """Further tags, for those who want the newest release whatever it is."""
    archives: tuple[Path, ...] = ()
    """Tars of it that go into the release."""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the files in it, by platform: what an engine counts."""
        return {
            target.value: sum(file.path.stat().st_size for file in files)
            for target, files in self.files.items()
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.layout.name,
            "tag": self.layout.tag,
            "digest": self.layout.index.digest,
            "layout": str(self.layout.directory),
            "bytes": self.sizes,
            "pulled": self.layout.pulled,
        }

    @property
    def all_files(self) -> tuple[PublishedFile, ...]:
        """Every file once."""
        found = {file.name: file for target in sorted(self.files) for file in self.files[target]}
        return tuple(found[name] for name in sorted(found))

    def sboms(self) -> dict[str, tuple[Descriptor, str, bytes]]:
        """The SBOMs of each platform's image by file name, with the manifest that they are about and what they are.

        Raises PublishError.
        """
        made: dict[str, tuple[Descriptor, str, bytes]] = {}
        layout = self.layout
        for manifest in layout.manifests():
            files = self.files.get(manifest.platform) if manifest.platform else None
            if not manifest.platform or not files:
                msg = f"What is in {layout.reference} for {manifest.platform} is not known."
                raise PublishError(msg, next="inv image makes it anew")
            name = f"{layout.slug}-{manifest.platform.slug}"
            of = (layout.name, layout.tag, manifest.digest, files)
            made[name + SUFFIX] = (manifest, SBOM, sbom_of_image(*of))
            made[name + SPDX_SUFFIX] = (manifest, SPDX, spdx_of_image(*of))
        return made

    def statement(self, builder: BuildPlatform, archives: Mapping[str, str] | None = None) -> bytes:
        """Return the provenance of its index, its manifests, its files and ``archives`` of it: sha256 by name."""
        layout = self.layout
        digests = {layout.reference: layout.index.digest}
        digests |= {
            f"{layout.reference}@{manifest.platform}": manifest.digest
            for manifest in layout.manifests()
        }
        subjects = {name: digest.partition(":")[2] for name, digest in digests.items()}
        sboms = {name: sha256(data).hexdigest() for name, (*_, data) in self.sboms().items()}
        subjects |= archives or {}
        return statement_of_image(layout.name, layout.tag, subjects, self.all_files, builder, sboms)


def attachments(
    image: PublishedImage, *, builder: BuildPlatform, key: SecretKey | None
) -> tuple[Attachment, ...]:
    """Return both SBOMs for each platform's manifest; for the index the provenance and, with a key, its signature.

    The same image and key give the same bytes. Raises PublishError when something in the image is not proven, or not
    accounted for.
    """
    require_proven(image.all_files)
    layout = image.layout
    statement = envelope(image.statement(builder), key)
    rows = [(manifest, kind, name, data) for name, (manifest, kind, data) in image.sboms().items()]
    rows.append((layout.index, ENVELOPE, f"{layout.slug}.intoto.jsonl", statement))
    if key is not None:
        epoch = max(file.epoch for file in image.all_files)
        index = layout.blob(layout.index.digest).read_bytes()
        comment = write_comment("image", layout.reference, index, epoch=epoch, version=layout.tag)
        signature = key.sign(index, comment=comment)
        rows.append((layout.index, SIGNATURE, f"{layout.slug}.minisig", signature))
    return tuple(
        Attachment(subject=subject, artifact_type=kind, media_type=kind, filename=name, data=data)
        for subject, kind, name, data in rows
    )
