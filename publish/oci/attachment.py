"""What is said about an image, kept beside it in a registry: SBOM, provenance, signature.

An artifact manifest whose ``subject`` is the image:
https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from core.errors import PublishError
from publish.oci.layout import EMPTY, MANIFEST, Descriptor, canonical

TITLE = "org.opencontainers.image.title"
NOTHING = b"{}"
"""The config of what is not an image."""


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """One file that says something about an image."""

    subject: Descriptor
    """The image index, or one platform's manifest."""
    artifact_type: str
    """``application/vnd.cyclonedx+json``, ``application/vnd.dsse.envelope.v1+json`` ..."""
    media_type: str
    filename: str
    data: bytes

    @property
    def config(self) -> Descriptor:
        return Descriptor.of(NOTHING, EMPTY)

    @property
    def layer(self) -> Descriptor:
        """The file, as its manifest names it."""
        titled = {TITLE: self.filename}
        return dataclasses.replace(Descriptor.of(self.data, self.media_type), annotations=titled)

    @property
    def manifest(self) -> bytes:
        """The same attachment gives the same bytes."""
        subject = dataclasses.replace(self.subject, platform=None, artifact_type="", annotations={})
        return canonical(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": self.artifact_type,
                "config": self.config.as_dict(),
                "layers": [self.layer.as_dict()],
                "subject": subject.as_dict(),
                "annotations": {TITLE: self.filename},
            }
        )

    @property
    def descriptor(self) -> Descriptor:
        """The manifest, as a list of an image's referrers has it."""
        return dataclasses.replace(
            Descriptor.of(self.manifest, MANIFEST),
            artifact_type=self.artifact_type,
            annotations={TITLE: self.filename},
        )

    @classmethod
    def read(cls, manifest: Mapping[str, Any], subject: Descriptor, data: bytes) -> Self:
        """Put together what `layer_of` found in ``manifest`` and its bytes. Raises PublishError."""
        layer = layer_of(manifest)
        config = manifest["config"] if isinstance(manifest.get("config"), Mapping) else {}
        kind = manifest.get("artifactType") or config.get("mediaType", "")
        return cls(
            subject=subject,
            artifact_type=str(kind),
            media_type=layer.media_type,
            filename=layer.annotations.get(TITLE, ""),
            data=data,
        )


def layer_of(manifest: Mapping[str, Any]) -> Descriptor:
    """Return the only layer of an artifact's manifest. Raises PublishError when it is made otherwise."""
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], Mapping):
        msg = "An attachment must have one layer."
        raise PublishError(msg)
    return Descriptor.read(layers[0])
