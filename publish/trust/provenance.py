"""Where files come from: SLSA provenance v1, as in-toto statements.

https://slsa.dev/spec/v1.0/provenance and https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
There is no clock in them: the same artifacts give the same bytes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from publish.oci.layout import canonical
from publish.trust.components import Wheel
from publish.trust.published import PublishedFile, ResolvedDependency
from publish.trust.revision import Revision
from publish.trust.sbom import MEDIA_TYPE as SBOM
from publish.trust.spdx import MEDIA_TYPE as SPDX
from publish.trust.spdx import SUFFIX

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
FILE_BUILD = "urn:fromscratch:build:file:v1"
IMAGE_BUILD = "urn:fromscratch:build:image:v1"
BUILDER = "urn:fromscratch:builder:local"
"""A machine that nobody vouches for."""


class Hosting(StrEnum):
    """Whose machine put the release together."""

    LOCAL = "local"
    """Anybody's: it can do what its owner likes."""
    HOSTED = "hosted"
    """A build service's own, made anew for each job."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Hosting":
        """Say it by what a service sets for its jobs.

        https://docs.github.com/en/actions/reference/workflows-and-actions/variables: a runner of one's own says
        ``self-hosted``.
        """
        wanted = {"GITHUB_ACTIONS": "true", "RUNNER_ENVIRONMENT": "github-hosted"}
        hosted = all(environment.get(name) == value for name, value in wanted.items())
        return cls.HOSTED if hosted else cls.LOCAL


@dataclass(frozen=True, kw_only=True)
class BuildPlatform:
    """Who built, and with what."""

    id: str = BUILDER
    """A URI; `BUILDER` unless a build service has one of its own."""
    hosting: Hosting = Hosting.LOCAL
    toolchain: str
    """The toolchain's digest, as in every action key."""
    wheels: tuple[Wheel, ...]
    installed: Mapping[str, str] = field(default_factory=dict)
    """Of each wheel, by name: sha256 over what its RECORD says of its files, see `builders.toolchain`."""
    source: str = ""
    """Where this project is; '' when unknown."""
    revision: Revision


def statement_of_file(
    file: PublishedFile, builder: BuildPlatform, sboms: Mapping[str, str]
) -> bytes:
    """Return the statement about one file; ``sboms`` are sha256 by name of the SBOMs made along with it."""
    external = {
        "product": file.product,
        "version": file.version,
        "target": file.target.value if file.target else "",
        "packed": file.packed,
    }
    return _statement(FILE_BUILD, {file.name: file.sha256}, external, [file], builder, sboms)


def statement_of_image(
    name: str,
    tag: str,
    subjects: Mapping[str, str],
    files: Sequence[PublishedFile],
    builder: BuildPlatform,
    sboms: Mapping[str, str],
) -> bytes:
    """Return the statement about an image: its index and manifests, archives of it, and ``files`` in it.

    ``subjects`` and ``sboms`` are sha256 by name. A file that is no program is named ``IMAGE#FILE``: in a release
    there is none of that name.
    """
    files = sorted(files, key=lambda file: file.name)
    contents = {
        file.name if file.target else f"{name}:{tag}#{file.name}": file.sha256 for file in files
    }
    external = {
        "image": name,
        "tag": tag,
        "products": sorted({file.product for file in files}),
        "targets": sorted({file.target.value for file in files if file.target}),
    }
    return _statement(IMAGE_BUILD, {**subjects, **contents}, external, files, builder, sboms)


def _statement(
    build_type: str,
    subjects: Mapping[str, str],
    external: Mapping[str, Any],
    files: Sequence[PublishedFile],
    builder: BuildPlatform,
    sboms: Mapping[str, str],
) -> bytes:
    sources = {(source.name, source.version): source for file in files for source in file.sources}
    resolved = [_resolved(sources[key]) for key in sorted(sources)]
    resolved += [
        _wheel(wheel, builder.installed.get(wheel.name, ""))
        for wheel in sorted(builder.wheels, key=lambda wheel: wheel.name)
    ]
    resolved += _project(builder)
    revision = builder.revision
    if revision.claimed:
        # What somebody says, and nobody has resolved: no dependency.
        external = {**external, "claimedRevision": revision.claimed}
    steps: list[dict[str, object]] = [
        {"name": it.name, "engine": it.engine, "isolated": it.isolated, "actionKey": it.key}
        | ({"rebuilt": dict(it.rebuilt)} if it.rebuilt else {})
        | ({"reproducedBy": list(it.reproduced_by)} if it.reproduced_by else {})
        for it in files
    ]
    internal: dict[str, object] = {"files": steps, "hosting": builder.hosting.value}
    if revision.dirty:
        internal["changedSinceCommit"] = list(revision.changed)
    internal["toolchain"] = {"sha256": builder.toolchain}
    keys = sorted(f"{file.name} {file.key}" for file in files)
    run = hashlib.sha256("\n".join([build_type, builder.toolchain, *keys]).encode()).hexdigest()
    return canonical(
        {
            "_type": STATEMENT,
            "subject": _descriptors(subjects),
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": build_type,
                    "externalParameters": external,
                    "internalParameters": internal,
                    "resolvedDependencies": resolved,
                },
                "runDetails": {
                    "builder": {"id": builder.id},
                    "metadata": {"invocationId": f"urn:fromscratch:invocation:{run}"},
                    "byproducts": [
                        {**sbom, "mediaType": SPDX if sbom["name"].endswith(SUFFIX) else SBOM}
                        for sbom in _descriptors(sboms)
                    ],
                },
            },
        }
    )


def _descriptors(sums: Mapping[str, str]) -> list[dict[str, Any]]:
    """https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md."""
    return [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sums.items()]


def _resolved(source: ResolvedDependency) -> dict[str, Any]:
    made = {
        "name": source.name,
        "uri": source.uri,
        "digest": {"fromscratchTree" if source.tree else "sha256": source.sha256},
        "annotations": {"version": source.version},
    }
    return {**made, "downloadLocation": source.location} if source.location else made


def _wheel(wheel: Wheel, installed: str) -> dict[str, Any]:
    made: dict[str, Any] = {"name": wheel.name, "uri": wheel.purl}
    annotations: dict[str, Any] = {"version": wheel.version}
    digest = {"fromscratchRecord": installed} if installed else {}
    if len(wheel.sha256) == 1:
        digest["sha256"] = wheel.sha256[0]
    else:
        annotations["oneOfSha256"] = list(wheel.sha256)
    return {**made, **({"digest": digest} if digest else {}), "annotations": annotations}


def _project(builder: BuildPlatform) -> list[dict[str, Any]]:
    """This project, and recipes from elsewhere. A commit is named only when it is what made the release."""
    revision = builder.revision
    digest = {"fromscratchTree": revision.tree}
    if revision.commit and not revision.dirty:
        digest["gitCommit"] = revision.commit
    uri = builder.source or "pkg:generic/fromscratch"
    return [{"name": "fromscratch", "uri": uri, "digest": digest}] + [
        {
            "name": f"recipes/{name}",
            "uri": f"pkg:generic/{name}",
            "digest": {"fromscratchTree": sha256},
        }
        for name, sha256 in sorted(revision.elsewhere.items())
    ]
