"""Software bills of materials: CycloneDX 1.6, one for each file and one for each platform of an image.

https://cyclonedx.org/docs/1.6/json/. Everything that could differ between two runs is derived from what is described:
the serial number from its sha256, the time from its release.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import cyclonedx.model as cdx
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component as CdxComponent
from cyclonedx.model.component import ComponentScope, ComponentType, Pedigree
from cyclonedx.model.contact import OrganizationalContact, OrganizationalEntity
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.impact_analysis import ImpactAnalysisJustification, ImpactAnalysisState
from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.model.vulnerability import BomTarget, Vulnerability, VulnerabilityAnalysis
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from packageurl import PackageURL

from core.errors import PublishError
from publish.trust.components import Component, Role, licence_of
from publish.trust.names import AUTHOR, file_purl, image_purl, tops
from publish.trust.published import PublishedFile, contents_of

MEDIA_TYPE = "application/vnd.cyclonedx+json"
SUFFIX = ".cdx.json"
NAMESPACE = UUID("5b1d3d0c-5a55-5c1b-9f5e-0f1b8f2c6a11")
"""Ours: serial numbers are UUIDs of version 5 below it."""

TYPES = {
    Role.PROGRAM: ComponentType.APPLICATION,
    Role.LIBRARY: ComponentType.LIBRARY,
    Role.DATA: ComponentType.DATA,
    Role.STUB: ComponentType.LIBRARY,
    Role.TOOL: ComponentType.APPLICATION,
}


def sbom_of_file(file: PublishedFile) -> bytes:
    """Return the SBOM of one file, as JSON. Raises PublishError when it would not be a valid one."""
    root = _described(
        ComponentType.APPLICATION,
        file.name,
        file.version,
        file.sha256,
        file.components,
        purl=file_purl(file),
    )
    edges = {root: tops(file)}
    return _write(root, file.sha256, file.epoch, edges, (*file.components, *file.tools))


def sbom_of_image(name: str, tag: str, digest: str, files: Sequence[PublishedFile]) -> bytes:
    """Return the SBOM of an image for one platform, as JSON: its files, and what is in those.

    ``digest`` is its manifest's. Raises PublishError when it would not be a valid one.
    """
    sha256 = digest.partition(":")[2]
    components, tools = contents_of(files)
    root = _described(
        ComponentType.CONTAINER,
        name,
        tag,
        sha256,
        components,
        purl=image_purl(name, tag, digest),
    )
    edges = {
        _described(
            ComponentType.FILE,
            file.name,
            file.version,
            file.sha256,
            file.components,
            purl=file_purl(file),
        ): tops(file)
        for file in files
    }
    epoch = max(file.epoch for file in files)
    names = [_ref(file) for file in edges]
    return _write(root, sha256, epoch, {**edges, root: names}, (*components, *tools))


def read_sbom(data: bytes) -> dict[str, Any]:
    """Return an SBOM that the strict schema of CycloneDX 1.6 accepts. Raises PublishError."""
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - a second to load

    try:
        text = data.decode("utf-8")
        wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"This is not JSON: {type(error).__name__}"
        raise PublishError(msg) from error
    if wrong is not None or not isinstance(value, dict):
        reason = str(wrong.data).splitlines()[0] if wrong is not None else "it is not an object"
        msg = f"This is not an SBOM by CycloneDX 1.6: {reason[:200]}"
        raise PublishError(msg)
    return value


def described(sbom: dict[str, Any]) -> str:
    """Return the sha256 of what a valid SBOM is about; '' when it does not say."""
    hashes = sbom.get("metadata", {}).get("component", {}).get("hashes", [])
    return next((str(item["content"]) for item in hashes if item["alg"] == "SHA-256"), "")


def inside(sbom: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the name and version of what a valid SBOM says is inside, without the tools that it names."""
    return [
        (str(component["name"]), str(component.get("version", "")))
        for component in sbom.get("components", [])
        if component.get("scope") != ComponentScope.EXCLUDED.value
    ]


def _described(
    kind: ComponentType,
    name: str,
    version: str,
    sha256: str,
    contents: Iterable[Component],
    *,
    purl: PackageURL,
) -> CdxComponent:
    """A file or an image, which what is in it follows."""
    licence = licence_of(contents)
    return CdxComponent(
        name=name,
        version=version,
        type=kind,
        bom_ref=f"sha256:{sha256}",
        supplier=_entity(AUTHOR),
        purl=purl,
        hashes=_hashes(sha256),
        licenses=[LicenseExpression(licence)] if licence else [],
    )


def _convert(component: Component) -> CdxComponent:
    references = [
        cdx.ExternalReference(
            type=cdx.ExternalReferenceType.DISTRIBUTION,
            url=cdx.XsUri(url),
            hashes=_hashes(component.sha256),
        )
        for url in component.urls[:1] or ((component.purl,) if component.sha256 else ())
    ]
    facts = [("fromscratch:role", component.role.value)]
    # There is room for one CPE; this is how Syft writes down the others, and what Grype reads.
    facts += [("syft:cpe23", cpe) for cpe in component.cpes[1:]]
    if component.chosen != component.licence:
        facts.append(("fromscratch:licence:chosen", component.chosen))
    if component.wheel:
        facts += [("fromscratch:wheel:sha256", sha256) for sha256 in component.wheel.sha256]
    return CdxComponent(
        name=component.name,
        version=component.version,
        type=TYPES[component.role],
        # "For test and other non-runtime purposes": https://cyclonedx.org/docs/1.6/json/#components_items_scope
        scope=ComponentScope.EXCLUDED if component.role is Role.TOOL else None,
        bom_ref=component.slug,
        licenses=[
            LicenseExpression(component.licence, acknowledgement=LicenseAcknowledgement.DECLARED)
        ],
        purl=PackageURL.from_string(component.purl),
        cpe=component.cpes[0] if component.cpes else None,
        supplier=_entity(component.supplier) if component.supplier else None,
        pedigree=_pedigree(component),
        external_references=references,
        properties=[cdx.Property(name=name, value=value) for name, value in facts],
    )


def _pedigree(component: Component) -> Pedigree | None:
    """The source package of Debian that the same archive is in."""
    if not component.origin:
        return None
    purl = PackageURL.from_string(component.origin)
    return Pedigree(
        ancestors=[
            CdxComponent(
                name=purl.name,
                version=purl.version,
                type=TYPES[component.role],
                bom_ref=f"{component.slug}:origin",
                purl=purl,
            )
        ]
    )


def _not_affected(contents: Iterable[Component]) -> list[Vulnerability]:
    """What is known of the components and does not concern the file: VEX inside the bill of materials.

    https://cyclonedx.org/capabilities/vex/
    """
    return [
        Vulnerability(
            bom_ref=f"{component.slug}:{entry.id}",
            id=entry.id,
            analysis=VulnerabilityAnalysis(
                state=ImpactAnalysisState.NOT_AFFECTED,
                justification=ImpactAnalysisJustification(entry.why.value),
                detail=entry.detail,
            ),
            affects=[BomTarget(ref=component.slug)],
        )
        for component in contents
        for entry in component.unaffected
    ]


def _entity(name: str) -> OrganizationalEntity:
    return OrganizationalEntity(name=name)


def _hashes(sha256: str) -> list[cdx.HashType]:
    return [cdx.HashType(alg=cdx.HashAlgorithm.SHA_256, content=sha256)] if sha256 else []


def _ref(component: CdxComponent) -> str:
    return component.bom_ref.value or ""


def _write(
    root: CdxComponent,
    sha256: str,
    epoch: int,
    files: Mapping[CdxComponent, Sequence[str]],
    contents: Sequence[Component],
) -> bytes:
    """Write down ``root``; ``files`` are it and the files in it, with the references of what each needs."""

    def needs(ref: str, names: Iterable[str]) -> Dependency:
        return Dependency(BomRef(ref), [Dependency(BomRef(name)) for name in names])

    slugs = {component.name: component.slug for component in contents}
    edges: dict[str, Sequence[str]] = {
        component.slug: [slugs[name] for name in component.needs] for component in contents
    }
    edges |= {_ref(file): names for file, names in files.items()}
    bom = Bom(
        serial_number=uuid5(NAMESPACE, sha256),
        components=[*(file for file in files if file is not root), *map(_convert, contents)],
        metadata=BomMetaData(
            component=root,
            timestamp=datetime.fromtimestamp(epoch, UTC),
            authors=[OrganizationalContact(name=AUTHOR)],
            manufacturer=_entity(AUTHOR),
            supplier=_entity(AUTHOR),
            tools=ToolRepository(
                components=[CdxComponent(name="fromscratch", type=ComponentType.APPLICATION)]
            ),
        ),
        dependencies=[needs(ref, names) for ref, names in edges.items()],
        vulnerabilities=_not_affected(contents),
    )
    data = JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"
    read_sbom(data)
    return data
