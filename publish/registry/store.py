"""A registry as the store of shared results: its digest checks, its garbage collection and its rights are the store's.

A blob has a tag of its own, ``blob-<sha256>``: a manifest whose only layer is the blob as a zstd frame. A result's tag
follows from its kind and key; its layers are the signed entry, which also stands in the manifest itself, so that one
request brings it, and the blobs that it names. What no tag leads to any more is the registry's to remove.
"""

import base64
import binascii
import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from core.errors import PublishError, StoreError
from core.files import SHA256, hash_file, temporary_directory
from core.kinds import EntryKind
from core.zstd import DamagedError, pack, unpack
from publish.oci.attachment import NOTHING
from publish.oci.layout import EMPTY, LARGEST_JSON, MANIFEST, Descriptor, canonical
from publish.registry.auth import Purpose
from publish.registry.client import DEFAULTS, BrokenAnswerError, RegistryOptions
from publish.registry.reference import Repository
from publish.registry.registry import Manifest, MissingPartsError, OtherBytesError, Registry

ENTRY = "application/vnd.fromscratch.result.v1+json"
BLOB = "application/vnd.fromscratch.blob.v1+zstd"
CONTENT = "fromscratch.sha256"
"""The annotation of a layer that says what is in the frame: the digest is the frame's."""

MOST_BROKEN = 16
"""Times that a registry may say that something inside it is wrong: what says more often is broken itself."""

WAITS = (0.1, 0.3, 1.0)
"""Seconds before a manifest is put again whose parts, just put, the registry does not know."""

LONGEST_KEY = 100
"""Characters of a key that fit into a tag together with the kind."""

DAMAGED = b""
"""What is returned of a result that is there and cannot be read: nobody believes it, and it is said."""


@dataclass(frozen=True, kw_only=True)
class RegistryStore:
    """Implements `builders.store.Store`."""

    repository: Repository
    scratch: Path
    """Where frames lie while they travel; see `core.files.sweep`."""
    purpose: Purpose = Purpose.WRITE
    options: RegistryOptions = DEFAULTS
    _lock: Lock = field(default_factory=Lock, repr=False)
    _idle: list[Registry] = field(default_factory=list, repr=False)
    _uploading: dict[str, Lock] = field(default_factory=dict, repr=False)
    _broken: list[None] = field(default_factory=list, repr=False)
    _known: dict[str, Descriptor] = field(default_factory=dict, repr=False)
    """Blobs by their sha256, as manifests that are there have named them."""

    def __str__(self) -> str:
        return f"oci://{self.repository}"

    def has(self, sha256: str) -> bool:
        if sha256 in self._known:
            return True
        with self._asking() as registry, self._enduring():
            return bool(registry.digest_of(_blob_tag(sha256)))
        return False

    def pull(self, sha256: str, into: Path) -> bool:
        with self._asking() as registry:
            # A result may lead to a frame that somebody found damaged since: the tag leads to the newest.
            known = self._known.get(sha256)
            if known and self._take(registry, known, into):
                return True
            newest = self._tagged(registry, sha256)
            if newest and (not known or newest.digest != known.digest):
                return self._take(registry, newest, into) or into.exists()
            return into.exists()

    def _take(self, registry: Registry, layer: Descriptor, into: Path) -> bool:
        """Unpack a frame; False when it is not there or not whole. Whoever hashes what is left sees what it is."""
        damaged = contextlib.suppress(OtherBytesError, DamagedError)
        with self._frame() as path, path.open("w+b") as frame, damaged, self._enduring():
            if registry.try_blob(layer, frame, "a blob"):
                frame.seek(0)
                with into.open("wb") as file:
                    unpack(frame, file)
                return True
            return False
        into.touch()
        return False

    def push(self, path: Path, sha256: str, *, over: bool) -> None:
        with self._alone(sha256), self._asking() as registry, self._frame() as packed:
            if not over and self._find(registry, sha256):
                return
            with packed.open("wb") as file:
                # A registry that has a frame's digest looks at no other bytes for it: damaged ones would stay.
                pack(path, file, unlike=over)
            layer = Descriptor(
                media_type=BLOB,
                digest=f"sha256:{hash_file(packed)}",
                size=packed.stat().st_size,
                annotations={CONTENT: sha256},
            )
            if over or not self._is_there(registry, layer):
                registry.put_blob(layer, packed, f"blob {sha256[:16]}")
            self._put(registry, _blob_tag(sha256), [layer.as_dict()])
        with self._lock:
            self._known[sha256] = layer

    def result(self, kind: EntryKind, key: str) -> bytes | None:
        damaged = contextlib.suppress(OtherBytesError)
        with self._asking() as registry, damaged, self._enduring():
            found = registry.get_manifest(result_tag(kind, key))
            return self._entry(registry, found) if found else None
        return DAMAGED

    def put_result(self, kind: EntryKind, key: str, data: bytes, blobs: Sequence[str]) -> None:
        with self._asking() as registry:
            layers = [self._find(registry, sha256) for sha256 in blobs]
            if not all(layers):
                msg = f"{self} lost what {kind.value} {key} is made of."
                raise StoreError(msg, why="the registry collected its garbage", next="run again")
            entry = Descriptor.of(data, ENTRY)
            if not self._is_there(registry, entry):
                registry.put_blob(entry, data, f"{kind.value} {key[:16]}")
            inline = {**entry.as_dict(), "data": base64.b64encode(data).decode()}
            self._put(
                registry, result_tag(kind, key), [inline, *(it.as_dict() for it in layers if it)]
            )

    def _put(self, registry: Registry, tag: str, layers: list[dict[str, Any]]) -> None:
        config = Descriptor.of(NOTHING, EMPTY)
        with self._alone(EMPTY):
            if not self._is_there(registry, config):
                registry.put_blob(config, NOTHING, "empty config")
        data = canonical(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": str(layers[0]["mediaType"]),
                "config": config.as_dict(),
                "layers": layers,
            }
        )
        for wait in (*WAITS, None):
            try:
                registry.put_manifest(tag, data, Descriptor.of(data, MANIFEST), look=False)
            except MissingPartsError:
                # While somebody else uploads the same blob, Debian's registry does not know it for a moment.
                if wait is None:
                    raise
                self.options.sleep(wait)
            else:
                return

    def _find(self, registry: Registry, sha256: str) -> Descriptor | None:
        """Return the layer that holds a blob."""
        return self._known.get(sha256) or self._tagged(registry, sha256)

    def _tagged(self, registry: Registry, sha256: str) -> Descriptor | None:
        """Return the layer that a blob's own tag leads to."""
        found: Manifest | None = None
        with contextlib.suppress(OtherBytesError), self._enduring():
            found = registry.get_manifest(_blob_tag(sha256))
        layers = self._blobs(found) if found else {}
        if layer := layers.get(sha256):
            with self._lock:
                self._known[sha256] = layer
        return layers.get(sha256)

    @staticmethod
    def _layers(found: Manifest) -> list[Any]:
        try:
            layers = found.json().get("layers")
        except PublishError:
            layers = None
        return layers if isinstance(layers, list) else []

    def _blobs(self, found: Manifest) -> dict[str, Descriptor]:
        """Return the blobs that a manifest leads to, by their sha256."""
        blobs: dict[str, Descriptor] = {}
        for layer in self._layers(found):
            with contextlib.suppress(PublishError, TypeError):
                read = Descriptor.read(layer)
                sha256 = read.annotations.get(CONTENT, "")
                if read.media_type == BLOB and SHA256.fullmatch(sha256):
                    blobs[sha256] = dataclasses.replace(read, platform=None)
        return blobs

    def _entry(self, registry: Registry, found: Manifest) -> bytes:
        """Return the signed entry that a manifest is about, whatever else is in it; DAMAGED when there is none."""
        with self._lock:
            # What is known is newer: this run has pushed it, or its own tag led to it.
            self._known.update(self._blobs(found) | self._known)
        layers = self._layers(found)
        try:
            entry = Descriptor.read(layers[0])
            data = base64.b64decode(str(layers[0].get("data", "")), validate=True)
        except (IndexError, AttributeError, TypeError, binascii.Error, ValueError, PublishError):
            return DAMAGED
        if f"sha256:{hashlib.sha256(data).hexdigest()}" == entry.digest:
            return data
        if entry.size > LARGEST_JSON:
            return DAMAGED
        with self._frame() as path, path.open("w+b") as file:
            if not registry.try_blob(entry, file, "a result"):
                return DAMAGED
            file.seek(0)
            return file.read()

    def _is_there(self, registry: Registry, descriptor: Descriptor) -> bool:
        with self._enduring():
            return registry.has_blob(descriptor)
        return False

    @contextlib.contextmanager
    def _enduring(self) -> Iterator[None]:
        """Pass over what a registry cannot read any more: one that was killed may have half-written files.

        What is put there again is whole again. Raises PublishError when there is too much of that.
        """
        try:
            yield
        except BrokenAnswerError:
            with self._lock:
                self._broken.append(None)
                if len(self._broken) > MOST_BROKEN:
                    raise

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Keep two threads from uploading the same at the same time."""
        with self._lock:
            lock = self._uploading.setdefault(what, Lock())
        with lock:
            yield

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Registry]:
        """Lend a connection to one thread. What is wrong with the registry is the store's."""
        with self._lock:
            registry = self._idle.pop() if self._idle else None
        try:
            if registry is None:
                registry = Registry(self.repository, self.purpose, options=self.options)
            yield registry
        except PublishError as error:
            msg = f"The store {self} cannot be used: {error.what}"
            raise StoreError(msg, why=error.why, next=error.next) from error
        finally:
            if registry is not None:
                with self._lock:
                    self._idle.append(registry)

    @contextlib.contextmanager
    def _frame(self) -> Iterator[Path]:
        with temporary_directory(self.scratch, prefix=f"{os.getpid()}-") as directory:
            yield directory / "frame"


def _blob_tag(sha256: str) -> str:
    return f"{EntryKind.BLOB.value}-{sha256}"


def result_tag(kind: EntryKind, key: str) -> str:
    """Where a result is."""
    if len(key) > LONGEST_KEY or not re.fullmatch(r"[\w.-]+", key, re.ASCII):
        key = hashlib.sha256(key.encode()).hexdigest()
    return f"{kind.value}-{key}"
