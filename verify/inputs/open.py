"""What a path names: an ELF file, a folder, a tar, an image. Told by what is in it, never by its name."""

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from verify.inputs.archive import ELF, Scratch, read_tar
from verify.inputs.layout import (
    Blobs,
    Directory,
    Image,
    LayoutReader,
    is_layout,
    open_archive,
    read_image,
)
from verify.inputs.limits import InputError
from verify.inputs.subject import Batch, Subject, tree_batch, unreadable
from verify.inputs.tree import Tree
from verify.inputs.unpack import Budget, unpacked

_PACKED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_BLOCK: Final = 512
_CHUNK: Final = 1 << 20


def open_path(
    path: Path, scratch: Scratch, *, name: str = "", platform: str = ""
) -> Iterator[Batch]:
    """Yield what is in a file: itself, or what is in the archive or image that it is.

    ``name`` is what it is called (default: its path); of an image, only ``platform`` counts, if that is given. Raises
    nothing for what is in it: what cannot be looked into is a problem of the batch.
    """
    called = name or str(path)
    try:
        start = _start(path)
        if start is None:
            yield Batch(subjects=(Subject(path=path, label=name),))
            return
        if start.startswith(_PACKED):
            path = _unpack(path, scratch)
        with open_archive(path, scratch.limits) as archive:
            if is_layout(archive):
                yield from open_images(archive, scratch, name=called, platform=platform)
                return
        tree = Tree(limits=scratch.limits)
        with (
            path.open("rb") as file,
            unpacked(
                file, Budget(left=scratch.limits.unpacked), most=scratch.limits.header
            ) as stream,
        ):
            read_tar(stream, tree, scratch, layer=False)
        yield tree_batch(tree, scratch, name=called, image=called)
    except (InputError, OSError) as error:
        yield _failed(called, error)


def open_layout(
    directory: Path, scratch: Scratch, *, name: str = "", platform: str = ""
) -> Iterator[Batch]:
    """Yield the images of an OCI layout in a directory."""
    called = name or str(directory)
    try:
        yield from open_images(Directory(path=directory), scratch, name=called, platform=platform)
    except (InputError, OSError) as error:
        yield _failed(called, error)


def is_layout_directory(directory: Path) -> bool:
    """Whether a directory is an OCI layout: it says so."""
    return (directory / "oci-layout").is_file() and (directory / "index.json").is_file()


def open_images(blobs: Blobs, scratch: Scratch, *, name: str, platform: str) -> Iterator[Batch]:
    """Yield a batch for each image, or only for those of ``platform``. Raises InputError when there is none."""
    reader = LayoutReader(blobs=blobs, limits=scratch.limits)
    images = [image for image in reader.images() if not platform or image.platform == platform]
    if not images:
        msg = f"there is no image for {platform} in it"
        raise InputError(msg)
    several = len({image.platform for image in images}) < len(images)
    for number, image in enumerate(images):
        called = f"{name}#{image.name}" if several and image.name else name
        try:
            tree = read_image(image, blobs, scratch, scratch.limits)
        except (InputError, OSError) as error:
            batch = _failed(called, error)
        else:
            batch = tree_batch(tree, scratch, name=called, image=called, platform=image.platform)
            scratch.problems.clear()
        yield replace(
            _described(batch, called, image), notes=tuple(reader.notes) if not number else ()
        )


def _described(batch: Batch, called: str, image: Image) -> Batch:
    return replace(batch, image=called, platform=image.platform)


def _start(path: Path) -> bytes | None:
    """Return how an archive begins; None for all that is none, or is no regular file."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            start = file.read(_BLOCK)
    except OSError:
        return None
    if start.startswith(ELF):
        return None
    if start.startswith(_PACKED):
        return start if _is_tar(_first_block(path)) else None
    return start if _is_tar(start) else None


def _first_block(path: Path) -> bytes:
    try:
        with path.open("rb") as file, unpacked(file, Budget(left=_CHUNK << 4)) as stream:
            return stream.read(_BLOCK)
    except (InputError, OSError):
        return b""


def _is_tar(block: bytes) -> bool:
    """Whether a block is the header of an entry: its checksum holds."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _unpack(path: Path, scratch: Scratch) -> Path:
    """Unpack an archive on the disk, where it can be sought in. Raises InputError, and OSError."""
    copy = scratch.directory / f"unpacked-{len(list(scratch.directory.iterdir()))}"
    budget = Budget(left=scratch.limits.extracted)
    with path.open("rb") as file, copy.open("xb") as out, unpacked(file, budget) as stream:
        while data := stream.read(_CHUNK):
            out.write(data)
    return copy


def spool(source: BinaryIO, scratch: Scratch) -> Path:
    """Write all of a stream to a file of the scratch directory. Raises InputError when it is too long."""
    copy = scratch.directory / "standard-input"
    left = scratch.limits.extracted
    with copy.open("xb") as out:
        while data := source.read(_CHUNK):
            left -= len(data)
            if left < 0:
                msg = f"it has more than {scratch.limits.extracted:,} bytes"
                raise InputError(msg)
            out.write(data)
    return copy


def _failed(name: str, error: InputError | OSError) -> Batch:
    if isinstance(error, InputError):
        return unreadable(name, (error.what, error.why))
    return unreadable(name, (f"could not be read: {error.strerror}",))
