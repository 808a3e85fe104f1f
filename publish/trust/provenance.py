"""Where files come from: SLSA provenance v1, as in-toto statements.

https://slsa.dev/spec/v1.0/provenance and https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
There is no clock in them: the same artifacts give the same bytes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from publish.oci.layout import canonical
from publish.release.shipped import Resolved, Shipped
from publish.trust.components import Wheel
from publish.trust.sbom import MEDIA_TYPE as SBOM

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
FILE_BUILD = "urn:fromscratch:build:file:v1"
IMAGE_BUILD = "urn:fromscratch:build:image:v1"
BUILDER = "urn:fromscratch:builder:local"
"""A machine that nobody vouches for."""


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Who built, and with what."""

    id: str = BUILDER
    """A URI; `BUILDER` unless a build service has one of its own."""
    toolchain: str
    """The toolchain's digest, as in every action key."""
    wheels: tuple[Wheel, ...]
    source: str = ""
    """Where this project is; '' when nobody said."""
    revision: str = ""
    """The commit of it; '' outside a checkout."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something that a statement is about."""

    name: str
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        """Name some bytes."""
        return cls(name=name, sha256=hashlib.sha256(data).hexdigest())

    def as_dict(self) -> dict[str, Any]:
        """https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md."""
        return {"name": self.name, "digest": {"sha256": self.sha256}}


def statement_of_file(file: Shipped, builder: Builder, sboms: Sequence[Subject]) -> bytes:
    """Return the statement about one file; ``sboms`` are the bills made along with it."""
    return _statement(
        FILE_BUILD,
        [Subject(name=file.name, sha256=file.sha256)],
        {
            "product": file.product,
            "version": file.version,
            "target": file.target.value if file.target else "",
            "packed": file.packed,
        },
        [file],
        builder,
        sboms,
    )


def statement_of_image(
    name: str,
    tag: str,
    subjects: Sequence[Subject],
    files: Sequence[Shipped],
    builder: Builder,
    sboms: Sequence[Subject],
) -> bytes:
    """Return the statement about an image: its index and manifests, archives of it, and ``files`` in it.

    A file that is no program is named ``IMAGE#FILE``: in a release there is none of that name.
    """
    ones = sorted(files, key=lambda file: file.name)
    inside = [
        Subject(name=one.name if one.target else f"{name}:{tag}#{one.name}", sha256=one.sha256)
        for one in ones
    ]
    targets = {file.target.value for file in ones if file.target}
    return _statement(
        IMAGE_BUILD,
        [*subjects, *inside],
        {
            "image": name,
            "tag": tag,
            "products": sorted({file.product for file in ones}),
            "targets": sorted(targets),
        },
        ones,
        builder,
        sboms,
    )


def _statement(
    build_type: str,
    subjects: Iterable[Subject],
    external: Mapping[str, Any],
    files: Sequence[Shipped],
    builder: Builder,
    sboms: Sequence[Subject],
) -> bytes:
    sources = {(one.name, one.version): one for file in files for one in file.sources}
    resolved = [_resolved(sources[key]) for key in sorted(sources)]
    resolved += [_wheel(one) for one in sorted(builder.wheels, key=lambda wheel: wheel.name)]
    if builder.revision:
        resolved.append(_project(builder))
    said = {one.name: one.as_dict() for one in subjects}
    keys = sorted(f"{file.name} {file.key}" for file in files)
    run = hashlib.sha256("\n".join([build_type, builder.toolchain, *keys]).encode()).hexdigest()
    return canonical(
        {
            "_type": STATEMENT,
            "subject": list(said.values()),
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": build_type,
                    "externalParameters": external,
                    "internalParameters": {
                        "files": [_step(file) for file in files],
                        "toolchain": {"sha256": builder.toolchain},
                    },
                    "resolvedDependencies": resolved,
                },
                "runDetails": {
                    "builder": {"id": builder.id},
                    "metadata": {"invocationId": f"urn:fromscratch:invocation:{run}"},
                    "byproducts": [{**one.as_dict(), "mediaType": SBOM} for one in sboms],
                },
            },
        }
    )


def _step(file: Shipped) -> dict[str, Any]:
    """What the step that made a file is known by."""
    return {
        "name": file.name,
        "engine": file.engine,
        "isolated": file.isolated,
        "actionKey": file.key,
    }


def _resolved(one: Resolved) -> dict[str, Any]:
    algorithm = "fromscratchTree" if one.tree else "sha256"
    made = {
        "name": one.name,
        "uri": one.uri,
        "digest": {algorithm: one.sha256},
        "annotations": {"version": one.version},
    }
    return {**made, "downloadLocation": one.location} if one.location else made


def _wheel(wheel: Wheel) -> dict[str, Any]:
    made: dict[str, Any] = {"name": wheel.name, "uri": wheel.purl}
    if len(wheel.sha256) == 1:
        return {
            **made,
            "digest": {"sha256": wheel.sha256[0]},
            "annotations": {"version": wheel.version},
        }
    locked = list(wheel.sha256)
    return {**made, "annotations": {"version": wheel.version, "oneOfSha256": locked}}


def _project(builder: Builder) -> dict[str, Any]:
    digest = {"gitCommit": builder.revision}
    return {
        "name": "fromscratch",
        "uri": builder.source or "pkg:generic/fromscratch",
        "digest": digest,
    }
