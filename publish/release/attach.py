"""What goes along with an image into a registry: bills, provenance, a signature."""

from publish.oci.attachment import Attachment
from publish.release.contents import ImageContents, image_statement
from publish.trust.envelope import MEDIA_TYPE as ENVELOPE
from publish.trust.envelope import envelope
from publish.trust.provenance import Builder
from publish.trust.sbom import MEDIA_TYPE as SBOM
from publish.trust.signing import SecretKey

SIGNATURE = "application/vnd.fromscratch.minisig.v1"


def attachments(
    contents: ImageContents, *, builder: Builder, key: SecretKey | None
) -> tuple[Attachment, ...]:
    """Return a bill for each platform's manifest; for the index the provenance and, with a key, its signature.

    The same image and key give the same bytes. Raises PublishError when something in the image is not accounted for.
    """
    layout = contents.layout
    made = [
        Attachment(subject=manifest, artifact_type=SBOM, media_type=SBOM, filename=name, data=data)
        for name, (manifest, data) in contents.sboms().items()
    ]
    made.append(
        Attachment(
            subject=layout.index,
            artifact_type=ENVELOPE,
            media_type=ENVELOPE,
            filename=f"{layout.slug}.intoto.jsonl",
            data=envelope(image_statement(contents, builder), key),
        )
    )
    if key is not None:
        epoch = max(one.epoch for one in contents.all_files)
        index = layout.blob(layout.index.digest).read_bytes()
        comment = f"timestamp:{epoch}\timage:{layout.reference}\thashed"
        made.append(
            Attachment(
                subject=layout.index,
                artifact_type=SIGNATURE,
                media_type=SIGNATURE,
                filename=f"{layout.slug}.minisig",
                data=key.sign(index, comment=comment),
            )
        )
    return tuple(made)
