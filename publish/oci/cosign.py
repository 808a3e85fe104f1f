"""Signatures as cosign reads them: a small text that names the image, signed, kept as an image of its own under a tag.

https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md, and for the text
https://github.com/containers/image/blob/main/docs/containers-signature.5.md#json-data-format. The key is the one that
signs everything else; nothing is put into a public log.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.errors import PublishError
from publish.oci.layout import CONFIG, MANIFEST, Descriptor, canonical

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
SUFFIX = ".sig"

Sign = Callable[[bytes], bytes]
"""Returns the bare signature of some bytes, the same for the same bytes."""


def signature_tag(digest: str) -> str:
    """The tag of the signatures of what has this digest."""
    return f"{digest.replace(':', '-', 1)}{SUFFIX}"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One signature of an index or a manifest."""

    subject: str
    """The digest of what is signed."""
    payload: bytes
    signature: bytes

    @classmethod
    def make(cls, repository: str, subject: str, sign: Sign) -> "Signature":
        """Sign for ``repository``, ``HOST/PATH``: elsewhere it is another text."""
        critical = {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": subject},
            "type": "cosign container image signature",
        }
        payload = canonical({"critical": critical, "optional": None})
        return cls(subject=subject, payload=payload, signature=sign(payload))

    @property
    def layer(self) -> Descriptor:
        """The text, as the manifest of signatures names it."""
        encoded = base64.b64encode(self.signature).decode()
        return replace(
            Descriptor.of(self.payload, SIMPLE_SIGNING), annotations={ANNOTATION: encoded}
        )


@dataclass(frozen=True, kw_only=True)
class SignatureList:
    """All signatures of one image: a manifest with a layer for each."""

    config: bytes
    manifest: bytes

    @classmethod
    def of(cls, old: Mapping[str, Any] | None, ours: Signature) -> "SignatureList | None":
        """Return the list with ``ours`` in it, after everybody else's; None when ``old`` has it already.

        Raises PublishError when ``old`` is no such list.
        """
        layers: Sequence[Any] = () if old is None else old.get("layers", None)
        if not isinstance(layers, list | tuple) or not all(
            isinstance(layer, dict) and isinstance(layer.get("digest"), str) for layer in layers
        ):
            msg = f"The tag {signature_tag(ours.subject)} is no list of signatures."
            raise PublishError(msg, next="remove it, or push to another repository")
        mine = ours.layer.as_dict()
        if any(_same(layer, mine) for layer in layers):
            return None
        listed = [*layers, mine]
        # What cosign's library asks of an image: one that never runs.
        config = canonical(
            {
                "architecture": "",
                "os": "",
                "config": {},
                "created": "0001-01-01T00:00:00Z",
                "history": [{"created": "0001-01-01T00:00:00Z"} for _ in listed],
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in listed]},
            }
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": Descriptor.of(config, CONFIG).as_dict(),
            "layers": listed,
        }
        return cls(config=config, manifest=canonical(manifest))


def _same(layer: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    annotations = layer.get("annotations")
    said = annotations.get(ANNOTATION) if isinstance(annotations, dict) else None
    return bool(layer["digest"] == ours["digest"] and said == ours["annotations"][ANNOTATION])
