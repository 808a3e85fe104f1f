"""The images in an OCI layout or in what `docker save` wrote, a directory or a tar: anybody's, and nothing is believed.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md and
https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from verify.inputs.archive import Scratch, members, read_tar
from verify.inputs.limits import LIMITS, InputError, InputLimits
from verify.inputs.tree import Tree
from verify.inputs.unpack import Budget, Stream, unpacked

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ATTESTATION: Final = "vnd.docker.reference.type"
"""BuildKit's mark on manifests that are no images: https://docs.docker.com/build/metadata/attestations/"""
_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_HASHED: Final = 1 << 20
_LINKS: Final = 8


class Blobs(Protocol):
    """Files of a layout by name, wherever they are."""

    def open(self, name: str) -> BinaryIO:
        """Open a file, which the caller closes; it can be sought in. Raises InputError when it is not there."""

    def __contains__(self, name: str) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Directory:
    """The files below a directory; links are not followed."""

    path: Path

    def open(self, name: str) -> BinaryIO:
        try:
            number = os.open(self._below(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            msg = f"{name:.200} is missing, or is no regular file"
            raise InputError(msg, why="the image is not whole") from error
        file = os.fdopen(number, "rb")
        if not stat.S_ISREG(os.fstat(number).st_mode):
            file.close()
            msg = f"{name:.200} is no regular file"
            raise InputError(msg)
        return file

    def __contains__(self, name: str) -> bool:
        path = self._below(name)
        return path.is_file() and not path.is_symlink()

    def _below(self, name: str) -> Path:
        path = self.path
        parts = name.split("/")
        if ".." in parts or name.startswith("/"):
            msg = f"the name {name:.200} leads out of the layout"
            raise InputError(msg)
        for part in parts[:-1]:
            path /= part
            if path.is_symlink():
                msg = f"{name:.200} lies behind a link"
                raise InputError(msg)
        return path / parts[-1]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The files of a tar that is not packed; links in it lead to others of its files."""

    file: BinaryIO
    places: Mapping[str, tuple[int, int]]
    """Offset and size, by name."""
    links: Mapping[str, str]

    @classmethod
    def read(cls, file: BinaryIO, limits: InputLimits) -> "Archive":
        """Read where everything is. Raises InputError."""
        file.seek(0, os.SEEK_END)
        budget = Budget(left=2 * file.tell())
        file.seek(0)
        places: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        for member in members(Stream(file, budget, most=limits.header), limits):
            name = _plain(member.name)
            if member.isreg() and not member.issparse():
                places[name] = (member.offset_data, max(0, member.size))
            elif member.issym():
                links[name] = _plain(f"{name.rpartition('/')[0]}/{member.linkname}")
            elif member.islnk():
                links[name] = _plain(member.linkname)
        return cls(file=file, places=places, links=links)

    def open(self, name: str) -> BinaryIO:
        place = self._place(name)
        if place is None:
            msg = f"{name:.200} is not in it"
            raise InputError(msg, why="the image is not whole")
        return _Window(self.file, *place)

    def __contains__(self, name: str) -> bool:
        return self._place(name) is not None

    def _place(self, name: str) -> tuple[int, int] | None:
        name = _plain(name)
        for _ in range(_LINKS):
            if name in self.places:
                return self.places[name]
            name = self.links.get(name, "")
        return None


class _Window(BytesIO):
    """A part of a file as a file; it reads what is asked for, and keeps nothing."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        self._file.seek(self._offset + self._at)
        data = self._file.read(left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (self._at if whence == 1 else self._size if whence == 2 else 0)
        return self._at

    def tell(self) -> int:
        return self._at


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer, by its name among the blobs; with a digest its bytes are hashed."""

    name: str
    digest: str = ""
    media_type: str = ""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image for one platform."""

    name: str
    """What the layout calls it; may be empty."""
    platform: str
    """``linux/arm64/v8``; empty where nothing says it."""
    layers: tuple[Layer, ...]


@dataclass(kw_only=True)
class LayoutReader:
    """Finds the images of a layout. ``notes`` says what was left out, and why."""

    blobs: Blobs
    limits: InputLimits = LIMITS
    notes: list[str] = field(default_factory=list)

    def images(self) -> tuple[Image, ...]:
        """Return every image, of both ways of naming them when there are both. Raises InputError."""
        found: dict[tuple[Layer, ...] | str, Image] = {}
        if "index.json" in self.blobs:
            index = self._json("index.json", "")
            for image in self._index(index, name="", depth=0):
                found.setdefault(self._key(image), image)
        if "manifest.json" in self.blobs:
            for image in self._saved():
                found.setdefault(self._key(image), image)
        if not found:
            msg = "there is no image in it"
            raise InputError(msg, why="; ".join(self.notes[:3]))
        return tuple(found.values())

    @staticmethod
    def _key(image: Image) -> str:
        return json.dumps([image.platform, [layer.name for layer in image.layers]])

    def _index(self, index: Mapping[str, Any], *, name: str, depth: int) -> Iterator[Image]:
        if depth > self.limits.depth:
            msg = f"it has indexes inside indexes, more than {self.limits.depth}"
            raise InputError(msg)
        entries = index.get("manifests")
        if not isinstance(entries, list) or len(entries) > self.limits.images:
            msg = f"an index of it lists no images, or more than {self.limits.images}"
            raise InputError(msg)
        for entry in entries:
            descriptor = _object(entry, "a descriptor")
            marks = _strings(descriptor.get("annotations"))
            called = next((marks[key] for key in _NAMES if key in marks), name)
            digest = _digest(descriptor)
            if _ATTESTATION in marks:
                self.notes.append(f"{digest} is about an image, and none itself")
                continue
            if _blob(digest) not in self.blobs:
                self.notes.append(f"{digest} is listed, and not in it")
                continue
            content = self._json(_blob(digest), digest)
            media_type = str(descriptor.get("mediaType", ""))
            if media_type in _INDEXES or "manifests" in content:
                yield from self._index(content, name=called, depth=depth + 1)
            elif "subject" in content or "layers" not in content:
                self.notes.append(f"{digest} is no image: {media_type:.80}")
            else:
                yield self._image(content, called, _platform(descriptor.get("platform")))

    def _image(self, manifest: Mapping[str, Any], name: str, platform: str) -> Image:
        config = _object(manifest.get("config"), "a config")
        layers = manifest["layers"]
        if not isinstance(layers, list) or len(layers) > self.limits.layers:
            msg = f"an image of it has no layers, or more than {self.limits.layers}"
            raise InputError(msg)
        if not platform:
            digest = _digest(config)
            platform = _platform(self._json(_blob(digest), digest))
        found = []
        for entry in layers:
            layer = _object(entry, "a layer")
            digest = _digest(layer)
            found.append(
                Layer(name=_blob(digest), digest=digest, media_type=str(layer.get("mediaType", "")))
            )
        return Image(name=name, platform=platform, layers=tuple(found))

    def _saved(self) -> Iterator[Image]:
        value = self._value("manifest.json", "")
        if not isinstance(value, list) or len(value) > self.limits.images:
            msg = f"manifest.json lists no images, or more than {self.limits.images}"
            raise InputError(msg)
        for entry in value:
            saved = _object(entry, "an image of manifest.json")
            config, layers, tags = (saved.get(key) for key in ("Config", "Layers", "RepoTags"))
            if not isinstance(config, str) or not isinstance(layers, list):
                msg = "an image of manifest.json lacks its config or its layers"
                raise InputError(msg)
            if len(layers) > self.limits.layers:
                msg = f"an image of it has more than {self.limits.layers} layers"
                raise InputError(msg)
            name = str(tags[0]) if isinstance(tags, list) and tags else ""
            yield Image(
                name=name,
                platform=_platform(self._json(config, "")),
                layers=tuple(Layer(name=str(layer)) for layer in layers),
            )

    def _json(self, name: str, digest: str) -> Mapping[str, Any]:
        return _object(self._value(name, digest), name)

    def _value(self, name: str, digest: str) -> Any:
        with self.blobs.open(name) as file:
            data = file.read(self.limits.json + 1)
        if len(data) > self.limits.json:
            msg = f"{name:.200} has more than {self.limits.json:,} bytes"
            raise InputError(msg)
        if digest and f"{digest.partition(':')[0]}:{_hash(digest, data)}" != digest:
            msg = f"{name:.200} is not what it is called"
            raise InputError(msg, why="it was changed or damaged")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            msg = f"{name:.200} is no JSON"
            raise InputError(msg) from error


def read_image(image: Image, blobs: Blobs, scratch: Scratch, limits: InputLimits = LIMITS) -> Tree:
    """Return the files of an image, all its layers one upon the other. Raises InputError."""
    tree = Tree(limits=limits)
    budget = Budget(left=limits.unpacked)
    for layer in image.layers:
        if "encrypted" in layer.media_type:
            msg = f"the layer {layer.name:.100} is encrypted"
            raise InputError(msg, why="nobody can look into it without its key")
        with blobs.open(layer.name) as file:
            _check(file, layer)
            with unpacked(file, budget, most=limits.header) as stream:
                read_tar(stream, tree, scratch)
    return tree


def _check(file: BinaryIO, layer: Layer) -> None:
    if not layer.digest:
        return
    state = hashlib.new(layer.digest.partition(":")[0])
    while data := file.read(_HASHED):
        state.update(data)
    if state.hexdigest() != layer.digest.partition(":")[2]:
        msg = f"the layer {layer.digest} is not what it is called"
        raise InputError(msg, why="it was changed or damaged")


def _hash(digest: str, data: bytes) -> str:
    return hashlib.new(digest.partition(":")[0], data).hexdigest()


def _digest(descriptor: Mapping[str, Any]) -> str:
    digest = str(descriptor.get("digest", ""))
    if not _DIGEST.fullmatch(digest):
        msg = f"'{digest:.100}' is no digest"
        raise InputError(msg)
    return digest


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"


def _platform(value: object) -> str:
    """Return a platform as Docker names it; empty when it is not said, or is none that there is."""
    words = _strings(value)
    found = [words.get(key, "") for key in ("os", "architecture", "variant")]
    if not all(found[:2]) or "unknown" in found:
        return ""
    name = "/".join(word for word in found if word)
    return name.removesuffix("/v8") if name.startswith("linux/arm64") else name


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        msg = f"{what:.200} is no JSON object"
        raise InputError(msg)
    return value


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text[:256] for key, text in value.items() if isinstance(text, str)}


def _plain(name: str) -> str:
    """Return a name of an archive without what says nothing: ``./a``, ``/a`` and ``b/../a`` are ``a``."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def is_layout(names: Sequence[str] | Blobs) -> bool:
    """Whether files of these names are those of an image."""
    return "index.json" in names or "manifest.json" in names


@contextmanager
def open_archive(path: Path, limits: InputLimits = LIMITS) -> Iterator[Archive]:
    """Open a tar that is not packed. Raises InputError, and OSError."""
    with path.open("rb") as file:
        yield Archive.read(file, limits)
