"""An image out of a registry, whole and checked, with everything that is said about it.

A registry is not trusted: every byte is hashed on its way in, and nothing is taken that is larger than it may be.
"""

import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import PublishError
from core.files import atomic, hash_file, write_file
from core.progress import Progress
from publish.oci.attachment import Attachment, layer_of
from publish.oci.layout import INDEX, MANIFEST, Descriptor, Layout, write_index
from publish.registry.auth import Purpose
from publish.registry.client import DEFAULTS, RegistryOptions
from publish.registry.reference import Reference, Repository
from publish.registry.referrers import is_fallback, list_referrers
from publish.registry.registry import Manifest, Registry, read_entries
from recipes.images import TAG

VERSION = "org.opencontainers.image.version"


class OtherVersionError(PublishError):
    """A tag that is a version holds an image of another one."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that is taken from a registry. Bytes and counts."""

    manifests: int = 64
    blobs: int = 256
    blob: int = 256 << 20
    total: int = 1 << 30
    referrers: int = 256
    """Of one image or one platform."""
    attachment: int = 32 << 20


def pull(
    reference: Reference,
    directory: Path,
    *,
    limits: Limits = Limits(),
    options: RegistryOptions = DEFAULTS,
    progress: Progress | None = None,
) -> tuple[Layout, tuple[Attachment, ...]]:
    """Fetch an image into ``directory``, as a layout, and what is attached to it or to one of its platforms.

    The layout is called by the version that all its manifests name, if they do: so are what a moving tag such as
    `latest` and what a digest lead to. A tag that is a version itself must be that version: an older image under a
    newer tag is refused.
    Attachments are sorted by subject (the index first), type, file name and digest; what is made otherwise than
    ours, one file under one manifest, is gone or is too large is noted and left out: others may attach what they like.
    Raises PublishError when something is missing, is not
    what it is called, or is too large.
    """
    with Registry(
        reference.repository, Purpose.READ, options=options, progress=progress
    ) as registry:
        found = registry.get_manifest(reference.word)
        if not found:
            msg = f"There is no {reference}."
            raise PublishError(msg, next="look at its name and tag")
        return _Pull(
            registry=registry, directory=directory, limits=limits, reference=reference
        ).image(found)


def list_tags(
    repository: Repository, *, options: RegistryOptions = DEFAULTS, progress: Progress | None = None
) -> tuple[str, ...]:
    """Return the tags of images in ``repository``, sorted; none when there is no such repository."""
    with Registry(repository, Purpose.READ, options=options, progress=progress) as registry:
        return tuple(tag for tag in registry.tags() if not is_fallback(tag))


@dataclass(frozen=True, kw_only=True)
class _Pull:
    registry: Registry
    directory: Path
    limits: Limits
    reference: Reference

    def image(self, found: Manifest) -> tuple[Layout, tuple[Attachment, ...]]:
        if found.descriptor.media_type != INDEX or found.json().get("mediaType") != INDEX:
            msg = (
                f"{self.reference} is no image for several platforms: {found.descriptor.media_type}"
            )
            raise PublishError(msg, next="name an image that inv publish has pushed")
        manifests = read_entries(found.data, str(self.reference))
        self._check_limit(len(manifests), self.limits.manifests, "manifests")
        blobs: dict[str, Descriptor] = {}
        try:
            for manifest in manifests:
                for blob in self._manifest(manifest):
                    blobs[blob.digest] = blob
            self._check_limit(len(blobs), self.limits.blobs, "blobs")
            self._check_limit(sum(blob.size for blob in blobs.values()), self.limits.total, "bytes")
            for blob in blobs.values():
                self._blob(blob)
            self._write(found.descriptor, found.data)
            layout = Layout(
                directory=self.directory,
                name=self.reference.repository.name,
                tag=self.reference.word.replace(":", "-"),
                index=found.descriptor,
            )
            layout = self._named_by_version(layout)
            write_index(layout)
        except OSError as error:
            msg = f"{self.reference} cannot be written: {error}"
            raise PublishError(
                msg, next=f"check free space and permissions of {self.directory}"
            ) from error
        attached = [
            attachment
            for subject in (layout.index, *manifests)
            for attachment in self._attachments(subject)
        ]
        return layout, tuple(attached)

    def _named_by_version(self, layout: Layout) -> Layout:
        versions = {
            str(annotations.get(VERSION, ""))
            for manifest in layout.manifests()
            if isinstance(annotations := layout.json(manifest).get("annotations", {}), dict)
        }
        version = versions.pop() if len(versions) == 1 else ""
        if not TAG.fullmatch(version) or version == layout.tag:
            return layout
        if self.reference.word[0].isdigit():
            word = self.reference.word
            msg = f"{self.reference} should hold the image {word}, and holds {version}."
            raise OtherVersionError(
                msg,
                why="somebody has moved the tag to another release",
                next=f"name it as {self.reference.repository}:{version}, if that is what you want",
            )
        return dataclasses.replace(layout, tag=version)

    def _manifest(self, manifest: Descriptor) -> Iterator[Descriptor]:
        """Take one platform's manifest; yield its blobs."""
        if manifest.media_type != MANIFEST:
            msg = f"{manifest.digest} of {self.reference} is no manifest: {manifest.media_type}"
            raise PublishError(msg)
        found = self._get(manifest)
        self._write(manifest, found.data)
        content = found.json()
        layers = content.get("layers")
        listed = [content.get("config"), *(layers if isinstance(layers, list) else [None])]
        for entry in listed:
            if not isinstance(entry, dict):
                msg = f"{manifest.digest} of {self.reference} lacks its config or its layers."
                raise PublishError(msg)
            yield Descriptor.read(entry)

    def _get(self, descriptor: Descriptor) -> Manifest:
        found = self.registry.get_manifest(descriptor.digest)
        if not found or found.descriptor.size != descriptor.size:
            msg = f"{descriptor.digest} of {self.reference} is missing, or has another size."
            raise PublishError(msg, why="a push was broken off, or something was removed")
        return found

    def _blob(self, descriptor: Descriptor) -> None:
        self._check_limit(descriptor.size, self.limits.blob, "bytes in one blob")
        path = self._path(descriptor)
        sized = path.is_file() and path.stat().st_size == descriptor.size
        if not sized or f"sha256:{hash_file(path)}" != descriptor.digest:
            with atomic(path, sync=False) as file:
                self.registry.get_blob(descriptor, file, descriptor.digest)

    def _write(self, descriptor: Descriptor, data: bytes) -> None:
        write_file(self._path(descriptor), data)

    def _path(self, descriptor: Descriptor) -> Path:
        return self.directory / "blobs" / descriptor.digest.replace(":", "/", 1)

    def _attachments(self, subject: Descriptor) -> list[Attachment]:
        listed = list_referrers(self.registry, subject.digest)
        self._check_limit(len(listed), self.limits.referrers, f"attachments of {subject.digest}")
        found: list[tuple[tuple[str, str, str], Attachment]] = []
        for descriptor in listed:
            fetched = self.registry.get_manifest(descriptor.digest)
            try:
                manifest, layer = self._said_of(subject, fetched)
            except PublishError as error:
                self.registry.progress.note(f"{descriptor.digest} left out: {error.what}")
                continue
            data = io.BytesIO()
            self.registry.get_blob(layer, data, layer.digest)
            attachment = Attachment.read(manifest, subject, data.getvalue())
            found.append(
                ((attachment.artifact_type, attachment.filename, descriptor.digest), attachment)
            )
        return [attachment for _, attachment in sorted(found, key=lambda pair: pair[0])]

    def _said_of(
        self, subject: Descriptor, fetched: Manifest | None
    ) -> tuple[dict[str, Any], Descriptor]:
        """Return the manifest of one attachment, and its only layer.

        Raises PublishError when it is none that we could take: it may be anybody's, so it must not be in ours' way.
        """
        manifest = fetched.json() if fetched else {}
        about = manifest.get("subject")
        if not isinstance(about, dict) or about.get("digest") != subject.digest:
            msg = f"it is listed, but {'not about' if fetched else 'gone:'} {subject.digest}"
            raise PublishError(msg)
        layer = layer_of(manifest)
        if layer.size > self.limits.attachment:
            msg = f"it has {layer.size} bytes; no more than {self.limits.attachment} are taken."
            raise PublishError(msg)
        return manifest, layer

    def _check_limit(self, size: int, most: int, what: str) -> None:
        if size > most:
            msg = f"{self.reference} has {size} {what}; no more than {most} are taken."
            raise PublishError(msg, why="it is none of ours, or the registry is hostile")
