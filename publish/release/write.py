"""A release directory: the files, what is in them, where they come from, and a signature over it all.

The same artifacts and the same key give the same bytes; a second run touches nothing.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import PublishError
from core.files import hash_file
from publish.release.contents import ImageContents, image_statement
from publish.release.release_dir import Content, Place
from publish.release.shipped import Shipped
from publish.release.sums import NAME, PROVENANCE, PUBLIC_KEY, SIGNATURE, write_sums
from publish.trust.components import Part
from publish.trust.envelope import envelope
from publish.trust.licences import Reader, is_copyleft, licence_texts
from publish.trust.provenance import Builder, Subject, statement_of_file
from publish.trust.sbom import SUFFIX, sbom_of_file
from publish.trust.signing import SecretKey

UNSIGNED = "the release is not signed: nobody can tell whether it is yours (./inv key new)"


@dataclass(frozen=True, kw_only=True)
class ReleasedImage:
    """An image, and the archives of it that go into the release."""

    contents: ImageContents
    archives: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a release directory holds now."""

    directory: Path
    sums: Mapping[str, str]
    """sha256 by path, without the list itself and its signature."""
    written: tuple[str, ...]
    """What this run changed."""
    removed: tuple[str, ...]
    """What a former run had left that belongs to it no more."""
    signer: str
    """The id of the key; '' when it is not signed."""
    warnings: tuple[str, ...]


def plan_release(
    files: Sequence[Shipped],
    *,
    images: Sequence[ReleasedImage] = (),
    reader: Reader,
    archive: Callable[[Part], Path],
    builder: Builder,
    key: SecretKey | None,
) -> dict[str, Content]:
    """Return all that a release holds, by path, without writing anything.

    ``reader`` opens the source of a part for its licence texts, ``archive`` says where that source's archive is.
    Raises PublishError when a file is not what the manifest says, a licence text is missing, or nothing is left.
    """
    if not files:
        msg = "There is nothing to publish."
        raise PublishError(msg, next="inv build, then inv publish")
    contents: dict[str, Content] = {}
    lines: list[bytes] = []
    for file in sorted(files, key=lambda one: one.name):
        _add(contents, file.name, Content.of_file(file.path, file.sha256, mode=0o755))
        name, bill = file.name + SUFFIX, sbom_of_file(file)
        _add(contents, name, Content.of_bytes(bill))
        said = statement_of_file(file, builder, [Subject.of(name, bill)])
        lines.append(envelope(said, key))
    for image in sorted(images, key=lambda one: one.contents.layout.slug):
        _refuse_strangers(image.contents, files)
        archives = []
        for path in sorted(image.archives):
            sha256 = _hash(path)
            _add(contents, path.name, Content.of_file(path, sha256))
            archives.append(Subject(name=path.name, sha256=sha256))
        lines.append(envelope(image_statement(image.contents, builder, archives), key))
    _add(contents, PROVENANCE, Content.of_bytes(b"".join(lines)))
    parts = [part for file in files for part in file.parts]
    parts += [part for image in images for one in image.contents.all_files for part in one.parts]
    for name, text in licence_texts(parts, reader).items():
        _add(contents, name, Content.of_bytes(text))
    for part in _copyleft(parts):
        if not part.sha256:
            msg = (
                f"The licence of {part.name} wants its source to go along, and there is no archive."
            )
            raise PublishError(msg)
        _add(contents, f"sources/{part.filename}", Content.of_file(archive(part), part.sha256))
    if key is not None:
        _add(contents, PUBLIC_KEY, Content.of_bytes(key.public.text.encode()))
    return contents


def write_release(
    directory: Path,
    files: Sequence[Shipped],
    *,
    images: Sequence[ReleasedImage] = (),
    reader: Reader,
    archive: Callable[[Part], Path],
    builder: Builder,
    key: SecretKey | None,
    dry: bool = False,
) -> Release:
    """Make ``directory`` a release of exactly these files; see `plan_release` for the rest.

    Nothing is written before all of it is known to be good. Every file is whole or not there, the list comes after
    what it lists, the signature last. What a former release had left is removed. Raises PublishError for files that
    are nobody's release, which stay as they are, and when the directory cannot be written. ``dry``: write nothing.
    """
    contents = plan_release(
        files, images=images, reader=reader, archive=archive, builder=builder, key=key
    )
    sums = {name: one.sha256 for name, one in contents.items()}
    listed = write_sums(sums)
    last = {NAME: Content.of_bytes(listed)}
    if key is not None:
        epoch = max(file.epoch for file in files)
        comment = f"timestamp:{epoch}\tfile:{NAME}\thashed"
        last[SIGNATURE] = Content.of_bytes(key.sign(listed, comment=comment))
    written: list[str] = []
    removed: list[str] = []
    try:
        if not dry:
            written, removed = _deliver(directory, contents, last)
    except OSError as error:
        msg = f"The release cannot be written: {error}"
        raise PublishError(msg, next=f"see to the room and the rights of {directory}") from error
    return Release(
        directory=directory,
        sums=sums,
        written=tuple(written),
        removed=tuple(removed),
        signer=key.public.name if key else "",
        warnings=() if key else (UNSIGNED,),
    )


def _deliver(
    directory: Path, contents: Mapping[str, Content], last: Mapping[str, Content]
) -> tuple[list[str], list[str]]:
    """Return what was written and what was removed. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        place = Place.look(directory, wanted={**contents, **last})
        written = place.write(contents)
        removed = place.remove_stale()
        written += place.write(last)
    finally:
        os.close(handle)  # and the lock with it
    return written, removed


def _add(contents: dict[str, Content], name: str, content: Content) -> None:
    if contents.setdefault(name, content) != content:
        msg = f"Two files of the release would be called '{name}'."
        raise PublishError(msg)


def _copyleft(parts: Iterable[Part]) -> list[Part]:
    """Those whose source goes along, each once."""
    ones = {one.slug: one for one in parts}
    asked = {licence for licence in {one.chosen for one in ones.values()} if is_copyleft(licence)}
    return [ones[slug] for slug in sorted(ones) if ones[slug].chosen in asked]


def _hash(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error}"
        raise PublishError(msg, next="inv image makes it anew") from error


def _refuse_strangers(contents: ImageContents, files: Sequence[Shipped]) -> None:
    """An image is vouched for by its files: each must be in the release, bytes and all."""
    known = {(file.name, file.sha256) for file in files}
    for one in contents.programs:
        if (one.name, one.sha256) not in known:
            msg = f"{one.name} is in the image {contents.layout.reference}, and not in the release."
            raise PublishError(msg, why="it was built anew since", next="inv image, then again")
