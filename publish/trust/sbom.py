"""Bills of materials: CycloneDX 1.6, one for each file and one for each platform of an image.

https://cyclonedx.org/docs/1.6/json/. Everything that could differ between two runs is derived from what is described:
the serial number from its sha256, the time from its release.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from core.errors import PublishError
from publish.release.shipped import Shipped
from publish.trust.components import Part, Role, licence_of

if TYPE_CHECKING:
    from cyclonedx.model.component import Component, ComponentType

MEDIA_TYPE = "application/vnd.cyclonedx+json"
SUFFIX = ".cdx.json"
NAMESPACE = UUID("5b1d3d0c-5a55-5c1b-9f5e-0f1b8f2c6a11")
"""Ours: serial numbers are UUIDs of version 5 below it."""


@dataclass(frozen=True, kw_only=True)
class ImageSubject:
    """One platform's image that a bill is about."""

    name: str
    """``static-curl``."""
    tag: str
    digest: str
    """``sha256:`` and 64 hex digits, of its manifest."""
    files: tuple[Shipped, ...]
    """All that is in it."""

    @property
    def epoch(self) -> int:
        """The time of its newest file."""
        return max(file.epoch for file in self.files)


def sbom_of_file(file: Shipped) -> bytes:
    """Return the bill of one file, as JSON. Raises PublishError when it would not be a valid one."""
    from cyclonedx.model.component import ComponentType  # noqa: PLC0415

    root = _root(file.name, file.version, ComponentType.APPLICATION, file.sha256, file.parts)
    return _write(root, file.sha256, file.epoch, [], file.parts, _tops(file))


def sbom_of_image(image: ImageSubject) -> bytes:
    """Return the bill of an image for one platform, as JSON: its files, and what is in those."""
    from cyclonedx.model.component import ComponentType  # noqa: PLC0415

    sha256 = image.digest.partition(":")[2]
    parts = {part.slug: part for file in image.files for part in file.parts}
    root = _root(image.name, image.tag, ComponentType.CONTAINER, sha256, parts.values())
    files = [
        (_root(one.name, one.version, ComponentType.FILE, one.sha256, one.parts), _tops(one))
        for one in image.files
    ]
    names = [one.bom_ref.value or "" for one, _ in files]
    return _write(root, sha256, image.epoch, files, tuple(parts.values()), names)


def read_sbom(data: bytes) -> dict[str, Any]:
    """Return a bill that the strict schema of CycloneDX 1.6 accepts. Raises PublishError."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    try:
        text = data.decode("utf-8")
        wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"This is no JSON: {type(error).__name__}"
        raise PublishError(msg) from error
    if wrong is not None or not isinstance(value, dict):
        said = str(wrong.data).splitlines()[0] if wrong is not None else "it is no object"
        msg = f"This is no bill of materials by CycloneDX 1.6: {said[:200]}"
        raise PublishError(msg)
    return value


def described(bill: dict[str, Any]) -> str:
    """Return the sha256 of what a valid bill is about; '' when it does not say."""
    hashes = bill.get("metadata", {}).get("component", {}).get("hashes", [])
    return next((str(one["content"]) for one in hashes if one["alg"] == "SHA-256"), "")


def _tops(file: Shipped) -> list[str]:
    """The components that nothing else in the file needs: its own program, and a packer's stub."""
    inner = {name for part in file.parts for name in part.needs}
    return [part.slug for part in file.parts if part.name not in inner]


def _root(
    name: str, version: str, kind: "ComponentType", sha256: str, parts: Iterable[Part]
) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType  # noqa: PLC0415
    from cyclonedx.model.component import Component  # noqa: PLC0415
    from cyclonedx.model.license import LicenseExpression  # noqa: PLC0415

    licence = licence_of(parts)
    return Component(
        name=name,
        version=version,
        type=kind,
        bom_ref=f"sha256:{sha256}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        licenses=[LicenseExpression(licence)] if licence else [],
    )


def _component(part: Part) -> "Component":
    from cyclonedx.model import (  # noqa: PLC0415
        ExternalReference,
        ExternalReferenceType,
        HashAlgorithm,
        HashType,
        Property,
        XsUri,
    )
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression  # noqa: PLC0415
    from packageurl import PackageURL  # noqa: PLC0415

    kinds = {
        Role.PROGRAM: ComponentType.APPLICATION,
        Role.LIBRARY: ComponentType.LIBRARY,
        Role.DATA: ComponentType.DATA,
        Role.STUB: ComponentType.LIBRARY,
    }
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else []
    references = [
        ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION, url=XsUri(url), hashes=list(hashes)
        )
        for url in part.urls[:1] or ((part.purl,) if part.sha256 else ())
    ]
    facts = [("fromscratch:role", part.role.value)]
    if part.chosen != part.licence:
        facts.append(("fromscratch:licence:chosen", part.chosen))
    if part.wheel:
        facts += [("fromscratch:wheel:sha256", one) for one in part.wheel.sha256]
    return Component(
        name=part.name,
        version=part.version,
        type=kinds[part.role],
        bom_ref=part.slug,
        licenses=[LicenseExpression(part.licence, acknowledgement=LicenseAcknowledgement.DECLARED)],
        purl=PackageURL.from_string(part.purl),
        cpe=part.cpe or None,
        external_references=references,
        properties=[Property(name=name, value=value) for name, value in facts],
    )


def _write(
    root: "Component",
    sha256: str,
    epoch: int,
    files: Sequence[tuple["Component", list[str]]],
    parts: Sequence[Part],
    tops: Sequence[str],
) -> bytes:
    from cyclonedx.model.bom import Bom, BomMetaData  # noqa: PLC0415
    from cyclonedx.model.bom_ref import BomRef  # noqa: PLC0415
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.dependency import Dependency  # noqa: PLC0415
    from cyclonedx.model.tool import ToolRepository  # noqa: PLC0415
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415

    def needs(ref: str, names: Iterable[str]) -> Dependency:
        return Dependency(BomRef(ref), [Dependency(BomRef(name)) for name in names])

    slugs = {part.name: part.slug for part in parts}
    edges = {part.slug: [slugs[name] for name in part.needs] for part in parts}
    edges |= {one.bom_ref.value or "": names for one, names in files}
    edges[root.bom_ref.value or ""] = list(tops)
    bom = Bom(
        serial_number=uuid5(NAMESPACE, sha256),
        components=[*(one for one, _ in files), *map(_component, parts)],
        metadata=BomMetaData(
            component=root,
            timestamp=datetime.fromtimestamp(epoch, UTC),
            tools=ToolRepository(
                components=[Component(name="fromscratch", type=ComponentType.APPLICATION)]
            ),
        ),
        dependencies=[needs(ref, names) for ref, names in edges.items()],
    )
    data = JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"
    read_sbom(data)
    return data
