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
from publish.registry.client import DEFAULTS, RegistryOptions
from publish.registry.reference import Repository
from publish.registry.registry import Manifest, OtherBytesError, Registry

ENTRY = "application/vnd.fromscratch.result.v1+json"
BLOB = "application/vnd.fromscratch.blob.v1+zstd"
CONTENT = "fromscratch.sha256"
"""The annotation of a layer that says what is in the frame: the digest is the frame's."""

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
    _known: dict[str, Descriptor] = field(default_factory=dict, repr=False)
    """Blobs by their sha256, as manifests that are there have named them."""

    def __str__(self) -> str:
        return f"oci://{self.repository}"

    def has(self, sha256: str) -> bool:
        if sha256 in self._known:
            return True
        with self._asking() as registry:
            return bool(registry.digest_of(_blob_tag(sha256)))

    def pull(self, sha256: str, into: Path) -> bool:
        with self._asking() as registry, self._frame() as path:
            layer = self._find(registry, sha256)
            if layer is None:
                return False
            # What is damaged is there: whoever hashes it sees that it is.
            damaged = contextlib.suppress(OtherBytesError, DamagedError)
            with path.open("w+b") as frame, into.open("wb") as file, damaged:
                if not registry.try_blob(layer, frame, f"blob {sha256[:16]}"):
                    return False
                frame.seek(0)
                unpack(frame, file)
            return True

    def push(self, path: Path, sha256: str, *, over: bool) -> None:
        with self._asking() as registry, self._frame() as packed:
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
            if over or not registry.has_blob(layer):
                registry.put_blob(layer, packed, f"blob {sha256[:16]}")
            self._put(registry, _blob_tag(sha256), [layer.as_dict()])
        with self._lock:
            self._known[sha256] = layer

    def result(self, kind: EntryKind, key: str) -> bytes | None:
        with self._asking() as registry:
            try:
                found = registry.get_manifest(result_tag(kind, key))
                return self._entry(registry, found) if found else None
            except OtherBytesError:
                return DAMAGED

    def put_result(self, kind: EntryKind, key: str, data: bytes, blobs: Sequence[str]) -> None:
        with self._asking() as registry:
            layers = [self._find(registry, sha256) for sha256 in blobs]
            if not all(layers):
                msg = f"{self} lost what {kind.value} {key} is made of."
                raise StoreError(msg, why="the registry collected its garbage", next="run again")
            entry = Descriptor.of(data, ENTRY)
            if not registry.has_blob(entry):
                registry.put_blob(entry, data, f"{kind.value} {key[:16]}")
            inline = {**entry.as_dict(), "data": base64.b64encode(data).decode()}
            self._put(
                registry, result_tag(kind, key), [inline, *(it.as_dict() for it in layers if it)]
            )

    def _put(self, registry: Registry, tag: str, layers: list[dict[str, Any]]) -> None:
        config = Descriptor.of(NOTHING, EMPTY)
        if not registry.has_blob(config):
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
        registry.put_manifest(tag, data, Descriptor.of(data, MANIFEST), look=False)

    def _find(self, registry: Registry, sha256: str) -> Descriptor | None:
        """Return the layer that holds a blob."""
        if known := self._known.get(sha256):
            return known
        try:
            found = registry.get_manifest(_blob_tag(sha256))
        except OtherBytesError:
            return None
        if found:
            self._learn(found)
        return self._known.get(sha256)

    def _learn(self, found: Manifest) -> list[Any]:
        """Note which blobs a manifest leads to; return its layers."""
        try:
            layers = found.json().get("layers")
        except PublishError:
            layers = None
        layers = layers if isinstance(layers, list) else []
        for layer in layers:
            with contextlib.suppress(PublishError, TypeError):
                read = Descriptor.read(layer)
                sha256 = read.annotations.get(CONTENT, "")
                if read.media_type == BLOB and SHA256.fullmatch(sha256):
                    with self._lock:
                        self._known[sha256] = dataclasses.replace(read, platform=None)
        return layers

    def _entry(self, registry: Registry, found: Manifest) -> bytes:
        """Return the signed entry that a manifest is about, whatever else is in it; DAMAGED when there is none."""
        layers = self._learn(found)
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
