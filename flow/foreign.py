"""Anybody's image out of a registry, as a layout in a directory: to be looked into, not to be believed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from core.errors import PublishError
from core.files import atomic, write_file
from core.progress import Progress
from publish.oci.layout import INDEX, MANIFEST, REF_NAME, Descriptor, canonical
from publish.registry.auth import Purpose
from publish.registry.client import DEFAULTS, RegistryOptions
from publish.registry.reference import Reference
from publish.registry.registry import Manifest, Registry
from verify.inputs.limits import LIMITS, InputLimits

_DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
ANY: Final = {"Accept": ", ".join((INDEX, MANIFEST, _DOCKER_INDEX, _DOCKER_MANIFEST))}
_ATTESTATION: Final = "vnd.docker.reference.type"


def fetch_image(
    reference: Reference,
    directory: Path,
    *,
    platform: str = "",
    limits: InputLimits = LIMITS,
    options: RegistryOptions = DEFAULTS,
    progress: Progress | None = None,
) -> None:
    """Fetch an image into ``directory``, with all its platforms or only ``platform``, and write its ``index.json``.

    A blob that the registry does not have is left out: whoever reads the layout says so. Raises PublishError when
    there is no such image, when bytes are not what they are called, and when there are too many.
    """
    with Registry(
        reference.repository, Purpose.READ, options=options, progress=progress
    ) as registry:
        found = registry.get_manifest(reference.word, accept=ANY)
        if not found:
            msg = f"There is no {reference}."
            raise PublishError(msg, next="look at its name and tag")
        _Fetch(registry=registry, directory=directory, platform=platform, limits=limits).all(found)
        entry = {**found.descriptor.as_dict(), "annotations": {REF_NAME: str(reference)}}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        write_file(directory / "oci-layout", canonical({"imageLayoutVersion": "1.0.0"}))
        write_file(directory / "index.json", canonical(index))


@dataclass(kw_only=True)
class _Fetch:
    registry: Registry
    directory: Path
    platform: str
    limits: InputLimits
    size: int = 0
    images: int = 0
    done: set[str] = field(default_factory=set)

    def all(self, manifest: Manifest, depth: int = 0) -> None:
        """Fetch a manifest's blobs, or those of all that an index lists."""
        write_file(self.directory / manifest.descriptor.path, manifest.data)
        content = manifest.json()
        if "manifests" not in content:
            self._image(content)
            return
        entries = content["manifests"]
        if not isinstance(entries, list) or depth == self.limits.depth:
            self._refuse("an index that leads nowhere")
        for entry in entries:
            if self._wanted(entry):
                found = self.registry.get_manifest(_descriptor(entry).digest, accept=ANY)
                if found:
                    self.all(found, depth + 1)

    def _wanted(self, entry: Any) -> bool:
        if not isinstance(entry, dict):
            self._refuse("an entry that is none")
        marks, said = entry.get("annotations") or {}, entry.get("platform") or {}
        if not isinstance(marks, dict) or not isinstance(said, dict) or _ATTESTATION in marks:
            return False
        name = "/".join(
            str(said[key]) for key in ("os", "architecture", "variant") if said.get(key)
        )
        name = name.removesuffix("/v8") if name.startswith("linux/arm64") else name
        return not self.platform or not said or name == self.platform

    def _image(self, content: Mapping[str, Any]) -> None:
        self.images += 1
        layers = content.get("layers")
        if self.images > self.limits.images or not isinstance(layers, list):
            self._refuse(f"more than {self.limits.images} images, or one without layers")
        listed: list[Any] = [content.get("config"), *layers]
        for entry in listed:
            descriptor = _descriptor(entry)
            if descriptor.digest in self.done:
                continue
            self.done.add(descriptor.digest)
            self.size += descriptor.size
            if self.size > self.limits.extracted or len(self.done) > self.limits.entries:
                self._refuse(f"more than {self.limits.extracted:,} bytes")
            if self.registry.has_blob(descriptor):
                with atomic(self.directory / descriptor.path, sync=False) as file:
                    self.registry.get_blob(descriptor, file, descriptor.digest)

    def _refuse(self, what: str) -> NoReturn:
        msg = f"{self.registry.repository} has {what}."
        raise PublishError(msg, why="it is damaged, or the registry is hostile")


def _descriptor(entry: Any) -> Descriptor:
    """Read digest, size and type; whatever platform it is for, we need not know it. Raises PublishError."""
    if not isinstance(entry, dict):
        msg = "A manifest lacks a descriptor."
        raise PublishError(msg, why="it is damaged, or made so")
    return Descriptor.read({key: entry.get(key, "") for key in ("mediaType", "digest", "size")})
