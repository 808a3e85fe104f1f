"""Software bills of materials in the other usual form: SPDX 2.3, as JSON, with what `publish.trust.sbom` says.

https://spdx.github.io/spdx-spec/v2.3/. Nothing in it differs between two runs.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid5

from packageurl import PackageURL

from core.errors import PublishError
from publish.trust.components import Component, Role, licence_of
from publish.trust.names import AUTHOR, file_purl, image_purl, tops
from publish.trust.published import PublishedFile, contents_of
from publish.trust.sbom import NAMESPACE

MEDIA_TYPE = "application/spdx+json"
SUFFIX = ".spdx.json"
VERSION = "SPDX-2.3"
DOCUMENT = "SPDXRef-DOCUMENT"
LICENCES = "3.25"
"""Of SPDX's list of licences: every name here is in it."""

PURPOSES = {
    Role.PROGRAM: "APPLICATION",
    Role.LIBRARY: "LIBRARY",
    Role.DATA: "FILE",
    Role.STUB: "LIBRARY",
    Role.TOOL: "APPLICATION",
}
_OWN_EXCEPTION = re.compile(r"([A-Za-z0-9.+-]+) WITH LicenseRef-([A-Za-z0-9.-]+)")
_OWN_LICENCE = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")


def spdx_of_file(file: PublishedFile) -> bytes:
    """Return the SBOM of one file."""
    root = _described(
        file.name, file.version, file.sha256, file.components, file_purl(file), "APPLICATION"
    )
    edges = {root["SPDXID"]: tops(file)}
    return _write(root, [], file.sha256, file.epoch, edges, file.components, file.tools)


def spdx_of_image(name: str, tag: str, digest: str, files: Sequence[PublishedFile]) -> bytes:
    """Return the SBOM of an image for one platform: its files, and what is in those. ``digest`` is its manifest's."""
    sha256 = digest.partition(":")[2]
    components, tools = contents_of(files)
    root = _described(name, tag, sha256, components, image_purl(name, tag, digest), "CONTAINER")
    inner = [
        _described(file.name, file.version, file.sha256, file.components, file_purl(file), "FILE")
        for file in files
    ]
    edges = {it["SPDXID"]: tops(file) for it, file in zip(inner, files, strict=True)}
    epoch = max(file.epoch for file in files)
    return _write(root, inner, sha256, epoch, edges, components, tools)


def read_spdx(data: bytes) -> dict[str, Any]:
    """Return a document that says it is one of SPDX 2.3. Raises PublishError."""
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"This is not JSON: {type(error).__name__}"
        raise PublishError(msg) from error
    if not isinstance(value, dict) or value.get("spdxVersion") != VERSION:
        msg = f"This is not an SBOM by {VERSION}."
        raise PublishError(msg)
    return value


def spdx_described(document: dict[str, Any]) -> str:
    """Return the sha256 of what a document is about; '' when it does not say."""
    try:
        (root,) = document["documentDescribes"]
        (package,) = (it for it in document["packages"] if it["SPDXID"] == root)
        (checksum,) = (it for it in package["checksums"] if it["algorithm"] == "SHA256")
        return str(checksum["checksumValue"])
    except (KeyError, TypeError, ValueError):
        return ""


def licence_name(expression: str) -> str:
    """Return a licence as SPDX 2.3 can say it: there, an exception of one's own makes a licence of one's own."""
    return _OWN_EXCEPTION.sub(r"LicenseRef-\1-with-\2", expression)


def _write(
    root: dict[str, Any],
    inner: Sequence[dict[str, Any]],
    sha256: str,
    epoch: int,
    edges: dict[str, list[str]],
    contents: Sequence[Component],
    tools: Sequence[Component],
) -> bytes:
    packages = [root, *inner, *map(_package, contents)]
    ran = [_package(tool) for tool in tools]
    ids = {component.slug: _id(component.slug) for component in contents}
    names = {component.name: component.slug for component in contents}
    related = [(DOCUMENT, "DESCRIBES", root["SPDXID"])]
    related += [(root["SPDXID"], "CONTAINS", it["SPDXID"]) for it in packages[1:]]
    related += [(ref, "DEPENDS_ON", ids[slug]) for ref, slugs in edges.items() for slug in slugs]
    related += [
        (ids[component.slug], "DEPENDS_ON", ids[names[name]])
        for component in contents
        for name in component.needs
    ]
    related += [(it["SPDXID"], "BUILD_TOOL_OF", root["SPDXID"]) for it in ran]
    document = {
        "spdxVersion": VERSION,
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": root["name"],
        "documentNamespace": f"https://spdx.org/spdxdocs/{root['name']}-{uuid5(NAMESPACE, sha256)}",
        "creationInfo": {
            "created": f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "creators": [f"Organization: {AUTHOR}", f"Tool: {AUTHOR}"],
            "licenseListVersion": LICENCES,
        },
        "documentDescribes": [root["SPDXID"]],
        "packages": [*packages, *ran],
        "hasExtractedLicensingInfos": _own_licences([*packages, *ran]),
        "relationships": [
            {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
            for one, how, other in related
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _described(
    name: str,
    version: str,
    sha256: str,
    contents: Iterable[Component],
    purl: PackageURL,
    purpose: str,
) -> dict[str, Any]:
    """A file or an image of ours."""
    licence = licence_name(licence_of(contents)) or "NOASSERTION"
    return {
        "SPDXID": _id(name),
        "name": name,
        "versionInfo": version,
        "supplier": f"Organization: {AUTHOR}",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": _checksums(sha256),
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": purpose,
        "externalRefs": [_reference("PACKAGE-MANAGER", "purl", purl.to_string())],
    }


def _package(component: Component) -> dict[str, Any]:
    references = [_reference("SECURITY", "cpe23Type", cpe) for cpe in component.cpes]
    references.append(_reference("PACKAGE-MANAGER", "purl", component.purl))
    package = {
        "SPDXID": _id(component.slug),
        "name": component.name,
        "versionInfo": component.version,
        "supplier": f"Organization: {component.supplier}" if component.supplier else "NOASSERTION",
        "downloadLocation": component.urls[0] if component.urls else "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence_name(component.chosen),
        "licenseDeclared": licence_name(component.licence),
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": PURPOSES[component.role],
        "externalRefs": references,
    }
    if component.sha256:
        package["checksums"] = _checksums(component.sha256)
    if component.origin:
        package["sourceInfo"] = f"The source archive, the same bytes: {component.origin}"
    return package


def _own_licences(packages: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    expressions = (
        package[key] for package in packages for key in ("licenseConcluded", "licenseDeclared")
    )
    found = sorted({name for text in expressions for name in _OWN_LICENCE.findall(text)})
    return [
        {
            "licenseId": name,
            "name": name.removeprefix("LicenseRef-"),
            "extractedText": f"{name.removeprefix('LicenseRef-')}: the text goes along with the release.",
        }
        for name in found
    ]


def _reference(category: str, kind: str, locator: str) -> dict[str, str]:
    return {
        "referenceCategory": category,
        "referenceType": kind,
        "referenceLocator": locator,
    }


def _checksums(sha256: str) -> list[dict[str, str]]:
    return [{"algorithm": "SHA256", "checksumValue": sha256}]


def _id(name: str) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)
