"""What is in an image, for every platform, and the statement about it: the same in a release and in a registry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.errors import PublishError
from core.target import Target
from publish.oci.layout import Descriptor, Layout
from publish.release.shipped import Shipped
from publish.trust.provenance import Builder, Subject, statement_of_image
from publish.trust.sbom import SUFFIX, ImageSubject, sbom_of_image


@dataclass(frozen=True, kw_only=True)
class ImageContents:
    """A layout, and the files that its layers hold."""

    layout: Layout
    files: Mapping[Target, tuple[Shipped, ...]]
    """For each platform. A file that is no program has no target."""

    @property
    def all_files(self) -> tuple[Shipped, ...]:
        """Every file once."""
        found = {one.name: one for target in sorted(self.files) for one in self.files[target]}
        return tuple(found[name] for name in sorted(found))

    @property
    def programs(self) -> tuple[Shipped, ...]:
        """Those that are in a release by themselves as well."""
        return tuple(one for one in self.all_files if one.target is not None)

    def sboms(self) -> dict[str, tuple[Descriptor, bytes]]:
        """The bill of each platform's image by file name, with the manifest that it is about. Raises PublishError."""
        made: dict[str, tuple[Descriptor, bytes]] = {}
        for manifest in self.layout.manifests():
            files = self.files.get(manifest.platform) if manifest.platform else None
            if not manifest.platform or not files:
                msg = f"Nobody knows what is in {self.layout.reference} for {manifest.platform}."
                raise PublishError(msg, next="inv image makes it anew")
            subject = ImageSubject(
                name=self.layout.name, tag=self.layout.tag, digest=manifest.digest, files=files
            )
            name = f"{self.layout.slug}-{manifest.platform.slug}{SUFFIX}"
            made[name] = (manifest, sbom_of_image(subject))
        return made


def image_statement(
    contents: ImageContents, builder: Builder, archives: Iterable[Subject] = ()
) -> bytes:
    """Return the provenance of an image: of its index, its manifests, its files and ``archives`` of it."""
    layout = contents.layout
    subjects = [Subject(name=layout.reference, sha256=_hex(layout.index.digest))]
    subjects += [
        Subject(name=f"{layout.reference}@{one.platform}", sha256=_hex(one.digest))
        for one in layout.manifests()
    ]
    subjects += archives
    sboms = [Subject.of(name, data) for name, (_, data) in contents.sboms().items()]
    return statement_of_image(layout.name, layout.tag, subjects, contents.all_files, builder, sboms)


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
