"""Archives and images made byte by byte, good and hostile, for tests of what looks into them."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a tar: a file with ``data``, or a link, or a directory."""

    name: str
    data: bytes | None = None
    mode: int = 0o755
    link: str = ""
    hard: bool = False
    size: int | None = None
    """What the header claims."""
    pax: Mapping[str, str] = field(default_factory=dict)

    def info(self) -> tarfile.TarInfo:
        made = tarfile.TarInfo(self.name)
        made.mode, made.pax_headers = self.mode, dict(self.pax)
        if self.link:
            made.type = tarfile.LNKTYPE if self.hard else tarfile.SYMTYPE
            made.linkname = self.link
        elif self.data is None:
            made.type = tarfile.DIRTYPE
        else:
            made.size = len(self.data)
        return made


def tar(entries: Iterable[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for entry in entries:
            made.addfile(entry.info(), io.BytesIO(entry.data or b""))
    return out.getvalue()


def files(contents: Mapping[str, bytes]) -> list[Entry]:
    return [Entry(name=name, data=data) for name, data in contents.items()]


def blob(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def packed(data: bytes, how: str) -> bytes:
    match how:
        case "gzip":
            return gzip.compress(data, 1, mtime=0)
        case "zstd":
            return zstandard.compress(data)
        case _:
            return data


@dataclass(kw_only=True)
class LayoutMaker:
    """An OCI layout to be."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def put(self, data: bytes | object, media_type: str = "") -> dict[str, Any]:
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.blobs[blob(raw)] = raw
        return {"mediaType": media_type, "digest": blob(raw), "size": len(raw)}

    def image(
        self,
        layers: Sequence[Iterable[Entry] | bytes],
        platform: str = "linux/amd64",
        *,
        how: str = "",
        said: bool = True,
    ) -> dict[str, Any]:
        """Add an image; without ``said`` only its config tells the platform."""
        system, architecture, *variant = platform.split("/")
        about = {"os": system, "architecture": architecture}
        about |= {"variant": variant[0]} if variant else {}
        datas = [packed(it if isinstance(it, bytes) else tar(it), how) for it in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.put({**about, "rootfs": {}}),
            "layers": [self.put(data, f"{LAYER}+{how}" if how else LAYER) for data in datas],
        }
        entry = self.put(manifest, MANIFEST) | ({"platform": about} if said else {})
        self.entries.append(entry)
        return entry

    def files(self) -> dict[str, bytes]:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries}
        made = {f"blobs/{digest.replace(':', '/')}": data for digest, data in self.blobs.items()}
        return {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **made,
        }

    def write(self, directory: Path) -> Path:
        for name, data in self.files().items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return directory


def saved(layers: Sequence[Iterable[Entry]], tag: str = "me/it:1") -> bytes:
    """What an older `docker save` writes."""
    config = b'{"os": "linux", "architecture": "amd64"}'
    made = {f"{number}/layer.tar": tar(layer) for number, layer in enumerate(layers)}
    entry = {"Config": "config.json", "RepoTags": [tag], "Layers": list(made)}
    return tar(
        files({"config.json": config, "manifest.json": json.dumps([entry]).encode(), **made})
    )
