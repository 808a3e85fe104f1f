"""OCI image layouts on disk: the same contents give the same bytes, on every machine.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from core.errors import PublishError
from core.files import hash_file, write_file
from core.target import Target
from recipes.images import NAME, TAG

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"

REF_NAME = "org.opencontainers.image.ref.name"
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
FULL_NAME = "io.containerd.image.name"
"""Where containerd, and every engine that keeps its images there, looks for the name that a loaded image gets."""
LOCAL = "docker.io/library/"
"""What stands before a name without a registry: containerd takes no shorter one, and docker shows it without
(https://github.com/distribution/reference/blob/main/normalize.go)."""

CHUNK = 1 << 20
LARGEST_JSON = 4 << 20
"""Bytes: registries take no larger manifests
(https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)."""


def canonical(value: object) -> bytes:
    """Return JSON with nothing left to chance: compact, keys sorted, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """What points at a blob: https://github.com/opencontainers/image-spec/blob/main/descriptor.md."""

    media_type: str
    digest: str
    """``sha256:`` and 64 hex digits."""
    size: int
    platform: Target | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Self:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return cls(media_type=media_type, digest=digest, size=len(data))

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """Read one out of an index or manifest. Raises PublishError when it is none."""
        try:
            digest, size = str(value["digest"]), value["size"]
            if not _DIGEST.fullmatch(digest) or type(size) is not int or size < 0:
                msg = f"'{digest}' of {size!r} bytes is not a descriptor of ours."
                raise PublishError(msg)
            return cls(
                media_type=str(value["mediaType"]),
                digest=digest,
                size=size,
                platform=_read_platform(value.get("platform")),
                artifact_type=str(value.get("artifactType", "")),
                annotations={str(k): str(v) for k, v in dict(value.get("annotations", {})).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"A descriptor lacks what it needs: {error!r}"
            raise PublishError(msg) from error

    @property
    def path(self) -> str:
        """Where a layout has the blob."""
        return f"blobs/{self.digest.replace(':', '/', 1)}"

    def as_dict(self) -> dict[str, Any]:
        optional = {
            "platform": platform(self.platform) if self.platform else None,
            "artifactType": self.artifact_type,
            "annotations": dict(self.annotations),
        }
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size} | {
            key: value for key, value in optional.items() if value
        }


def platform(target: Target) -> dict[str, str]:
    """The target as an index names it: https://github.com/opencontainers/image-spec/blob/main/image-index.md."""
    system, architecture, *variant = target.value.split("/")
    made = {"os": system, "architecture": architecture}
    return {**made, "variant": variant[0]} if variant else made


def _read_platform(value: Mapping[str, str] | None) -> Target | None:
    if value is None:
        return None
    words = (value["os"], value["architecture"], value.get("variant", ""))
    name = "/".join(filter(None, words))
    return Target(name.removesuffix("/v8") if "arm64" in name else name)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One multi-arch image in a directory: an index over one manifest for each target."""

    directory: Path
    name: str
    """``static-curl``: what the repository ends with."""
    tag: str
    """``8.21.0-http``."""
    index: Descriptor
    """Of the image index, which is a blob like the others."""

    @property
    def slug(self) -> str:
        return f"{self.name}-{self.tag}"

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.tag}"

    @property
    def full_name(self) -> str:
        """What an engine calls the image, with nothing left out."""
        return f"{LOCAL}{self.reference}"

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a layout. Raises PublishError unless it is whole: every blob is hashed again."""
        try:
            version = json.loads((directory / "oci-layout").read_bytes())["imageLayoutVersion"]
            (entry,) = json.loads((directory / "index.json").read_bytes())["manifests"]
            index = Descriptor.read(entry)
            full_name = index.annotations[FULL_NAME]
            name, _, tag = full_name.removeprefix(LOCAL).rpartition(":")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            msg = f"{directory} is not an image layout of ours: {error!r}"
            raise PublishError(msg, next="inv image makes it anew") from error
        local = full_name.startswith(LOCAL)
        sound = version == "1.0.0" and local and NAME.fullmatch(name) and TAG.fullmatch(tag)
        if not sound or tag != index.annotations.get(REF_NAME):
            msg = f"{directory} is not an image layout of ours: '{name}:{tag}', version {version}."
            raise PublishError(msg, next="inv image makes it anew")
        bare = dataclasses.replace(
            index, annotations={}
        )  # those are of this directory, not of the image
        layout = cls(directory=directory, name=name, tag=tag, index=bare)
        for descriptor in layout.reachable():
            layout.check(descriptor)
        return layout

    def manifests(self) -> tuple[Descriptor, ...]:
        """The image index's entries, each with its platform."""
        return self.entries(self.index, "manifests")

    def reachable(self) -> Iterator[Descriptor]:
        """Yield every blob: what a registry must hold before what points at it comes last."""
        for manifest in self.manifests():
            yield from self.entries(manifest, "layers", "config")
            yield manifest
        yield self.index

    @property
    def pulled(self) -> dict[str, int]:
        """Bytes that a client downloads, by platform: manifest, config and layers. Raises PublishError."""
        found: dict[str, int] = {}
        for manifest in self.manifests():
            parts = self.entries(manifest, "config", "layers")
            name = manifest.platform.value if manifest.platform else manifest.digest
            found[name] = manifest.size + sum(part.size for part in parts)
        return found

    def blob(self, digest: str) -> Path:
        return self.directory / "blobs" / digest.replace(":", "/", 1)

    def json(self, descriptor: Descriptor) -> dict[str, Any]:
        """Read a blob that is an index, a manifest or a config. Raises PublishError when it is damaged."""
        self.check(descriptor)
        if descriptor.size > LARGEST_JSON:
            msg = f"{descriptor.digest} has {descriptor.size} bytes: too much for a manifest."
            raise PublishError(msg)
        try:
            value = json.loads(self.blob(descriptor.digest).read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            msg = f"{descriptor.digest} is not JSON: {error}"
            raise PublishError(msg) from error
        if not isinstance(value, dict):
            msg = f"{descriptor.digest} is not a JSON object."
            raise PublishError(msg)
        return value

    def entries(self, descriptor: Descriptor, *keys: str) -> tuple[Descriptor, ...]:
        """Return what a blob points at under ``keys``. Raises PublishError when it does not."""
        content = self.json(descriptor)
        try:
            values = [content[key] for key in keys]
            found = [
                Descriptor.read(item)
                for value in values
                for item in (value if isinstance(value, list) else [value])
            ]
        except (KeyError, TypeError) as error:
            msg = f"{descriptor.digest} lacks {error}: it is not a {descriptor.media_type}."
            raise PublishError(msg) from error
        return tuple(found)

    def check(self, descriptor: Descriptor) -> None:
        """Raise PublishError unless the blob has the size and the digest that it is called by."""
        path = self.blob(descriptor.digest)
        try:
            found = hash_file(path)
            size = path.stat().st_size
        except OSError as error:
            msg = f"A blob of {self.reference} is missing: {error}"
            raise PublishError(msg, next="inv image makes it anew") from error
        if (size, f"sha256:{found}") != (descriptor.size, descriptor.digest):
            msg = f"{path} is not what it is called: {size} bytes, sha256 {found}."
            raise PublishError(msg, why="it was changed or damaged", next="inv image makes it anew")


def write_index(layout: Layout) -> None:
    """Write what makes a directory of blobs a layout, last of all."""
    annotations = {REF_NAME: layout.tag, FULL_NAME: layout.full_name}
    entry = {**layout.index.as_dict(), "annotations": annotations}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
        write_file(layout.directory / name, canonical(value))
