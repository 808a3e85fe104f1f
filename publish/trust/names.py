"""What our own files and images are called in bills of materials, and who says so."""

from packageurl import PackageURL

from publish.trust.published import PublishedFile

AUTHOR = "fromscratch"
"""Who writes the bills, and supplies the files."""


def file_purl(file: PublishedFile) -> PackageURL:
    """Return the name of one of our files: it says what its bytes are.

    https://github.com/package-url/purl-spec/blob/main/types-doc/generic-definition.md
    """
    return PackageURL(
        type="generic",
        namespace=AUTHOR,
        name=file.product.replace(":", "-"),
        version=file.version,
        qualifiers={"checksum": f"sha256:{file.sha256}", "file_name": file.name},
    )


def image_purl(name: str, tag: str, digest: str) -> PackageURL:
    """Return the name of an image.

    https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md
    """
    return PackageURL(type="oci", name=name, version=digest, qualifiers={"tag": tag})


def tops(file: PublishedFile) -> list[str]:
    """Return the components that nothing else in the file needs: its own program, and a packer's stub."""
    inner = {name for component in file.components for name in component.needs}
    return [component.slug for component in file.components if component.name not in inner]
