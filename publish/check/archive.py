"""Is the archive of an image what its provenance says? Its blobs, its manifest, the files in its layers."""

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import PublishError
from publish.check.claims import Claim
from publish.oci.compression import TAR, Compression
from publish.oci.layout import MANIFEST, Descriptor

LARGEST = 1 << 30
"""Bytes of an archive, and of all that is in it."""

BROKEN = (tarfile.TarError, ValueError, KeyError, TypeError, EOFError, OverflowError, struct.error)


@dataclass(frozen=True, kw_only=True)
class FileInLayer:
    """A regular file of an image."""

    path: str
    data: bytes
    executable: bool

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return hashlib.sha256(self.data).hexdigest()


def check_archive(archive: Path, claim: Claim) -> Iterator[str]:
    """Yield what is wrong with an archive that ``publish.oci.archive`` may have written."""
    try:
        members = _members(archive)
        yield from _blobs(members)
        (entry,) = _json(members, "index.json")["manifests"]
        manifest = Descriptor.read(entry)
        (saved,) = _json(members, "manifest.json")
        layout = _json(members, "oci-layout")
        if layout != {"imageLayoutVersion": "1.0.0"} or manifest.media_type != MANIFEST:
            yield "is not an OCI layout of one image"
        if f"sha256:{claim.subjects.get(f'{claim.image}@{manifest.platform}')}" != manifest.digest:
            yield f"holds the manifest {manifest.digest}, which the provenance does not name"
        content = _json(members, manifest.path)
        config = Descriptor.read(content["config"])
        layers = [Descriptor.read(layer) for layer in content["layers"]]
        paths = {descriptor.path for descriptor in (manifest, config, *layers)}
        for path in sorted(paths ^ {name for name in members if name.startswith("blobs/")}):
            yield f"{path} is missing, or belongs to nothing"
        wanted = {"Config": config.path, "Layers": [layer.path for layer in layers]}
        if {key: saved[key] for key in wanted} != wanted:
            yield "is one image for an OCI tool, and another one for docker load"
        tars = [Compression.of(it.media_type).unpack(members[it.path]) for it in layers]
        yield from check_diff_ids(_json(members, config.path), tars)
        for tar in tars:
            for file in layer_files(tar):
                if file.sha256 not in claim.subjects.values():
                    yield f"{file.path} in it is not in the provenance"
    except (*BROKEN, PublishError, OSError, RecursionError) as error:
        what = error.what if isinstance(error, PublishError) else repr(error)
        yield f"is not an image archive: {what:.200}"


def check_diff_ids(config: Any, tars: Sequence[bytes]) -> Iterator[str]:
    """Yield what is wrong with the list of unpacked layers in an image's config: an engine would refuse it."""
    rootfs = config.get("rootfs") if isinstance(config, Mapping) else None
    named = rootfs.get("diff_ids") if isinstance(rootfs, Mapping) else None
    if named != [Descriptor.of(tar, TAR).digest for tar in tars]:
        yield f"its config names other layers: {named!r:.160}"


def layer_files(data: bytes) -> Iterator[FileInLayer]:
    """Yield the regular files of a layer's tar. Raises PublishError for what no layer of ours has."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                if member.isreg() and not member.issparse() and 0 <= member.size <= len(data):
                    file = tar.extractfile(member)
                    assert file, "it is a regular file"
                    content = file.read()
                    if len(content) != member.size:
                        msg = f"{member.name} ends too early"
                        raise PublishError(msg)
                    yield FileInLayer(
                        path=f"/{member.name}", data=content, executable=bool(member.mode & 0o111)
                    )
                elif not (member.isdir() or member.issym()):
                    msg = f"{member.name[:80]!r} is not a regular file"
                    raise PublishError(msg)
    except BROKEN as error:
        msg = f"a layer is damaged: {error!r:.100}"
        raise PublishError(msg) from error


def _members(path: Path) -> dict[str, bytes]:
    if path.stat().st_size > LARGEST:
        msg = f"it has more than {LARGEST:,} bytes"
        raise PublishError(msg)
    found: dict[str, bytes] = {}
    with tarfile.open(path, mode="r:") as tar:
        for member in tar:
            if not member.isreg() or member.issparse() or member.name in found:
                msg = f"{member.name[:80]!r} is not a regular file, or is there twice"
                raise PublishError(msg)
            file = tar.extractfile(member)
            assert file, "it is a regular file"
            found[member.name] = file.read()
    return found


def _blobs(members: Mapping[str, bytes]) -> Iterator[str]:
    for name, data in members.items():
        if name.startswith("blobs/"):
            if name != f"blobs/sha256/{hashlib.sha256(data).hexdigest()}":
                yield f"{name[:100]} is not what it is called"
        elif name not in {"oci-layout", "index.json", "manifest.json"}:
            yield f"{name[:100]} does not belong in it"


def _json(members: Mapping[str, bytes], name: str) -> Any:
    return json.loads(members[name])
