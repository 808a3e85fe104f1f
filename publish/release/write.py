"""A release directory: the files, what is in them, where they come from, and a signature over it all.

The same artifacts and the same key give the same bytes; a second run touches nothing.
"""

import base64
import fcntl
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import PublishError
from core.signing import SecretKey
from publish.release.image import PublishedImage
from publish.release.release_dir import ReleaseDir, ReleaseFile
from publish.release.sums import (
    BARE,
    NAME,
    PROVENANCE,
    PUBLIC_KEY,
    PUBLIC_PEM,
    SIGNATURE,
    flat_name,
    write_sums,
)
from publish.trust.comment import version_of, write_comment
from publish.trust.components import Component
from publish.trust.envelope import envelope
from publish.trust.licences import Reader, is_copyleft, licence_texts
from publish.trust.provenance import BuildPlatform, statement_of_file
from publish.trust.published import PublishedFile, require_proven
from publish.trust.sbom import SUFFIX, sbom_of_file
from publish.trust.spdx import SUFFIX as SPDX_SUFFIX
from publish.trust.spdx import spdx_of_file


@dataclass(frozen=True, kw_only=True)
class WrittenRelease:
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


def plan_release(
    files: Sequence[PublishedFile],
    *,
    images: Sequence[PublishedImage] = (),
    reader: Reader,
    archive: Callable[[Component], Path],
    builder: BuildPlatform,
    key: SecretKey | None,
    flat: bool = False,
) -> dict[str, ReleaseFile]:
    """Return all that a release holds, by path, without writing anything; ``flat``: without directories.

    ``reader`` opens the source of a component for its licence texts, ``archive`` says where that source's archive is.
    Raises PublishError when a file is not proven, or not what the manifest says, or when a licence text is missing.
    """
    if not files:
        msg = "There is nothing to publish."
        raise PublishError(msg, next="inv build, then inv publish")
    published = [*files, *(file for image in images for file in image.all_files)]
    require_proven(published)
    contents: dict[str, ReleaseFile] = {}
    lines: list[bytes] = []
    for file in sorted(files, key=lambda file: file.name):
        _add(contents, file.name, ReleaseFile.of_file(file.path, file.sha256, mode=0o755))
        name, sbom = file.name + SUFFIX, ReleaseFile.of_bytes(sbom_of_file(file))
        _add(contents, name, sbom)
        other, spdx = file.name + SPDX_SUFFIX, ReleaseFile.of_bytes(spdx_of_file(file))
        _add(contents, other, spdx)
        sboms = {name: sbom.sha256, other: spdx.sha256}
        statement = statement_of_file(file, builder, sboms)
        lines.append(envelope(statement, key))
    for image in sorted(images, key=lambda image: image.layout.slug):
        _refuse_unlisted(image, files)
        archives = {path.name: ReleaseFile.of_file(path) for path in sorted(image.archives)}
        for name, archived in archives.items():
            _add(contents, name, archived)
        sums = {name: archived.sha256 for name, archived in archives.items()}
        lines.append(envelope(image.statement(builder, sums), key))
    _add(contents, PROVENANCE, ReleaseFile.of_bytes(b"".join(lines)))
    components = [component for file in published for component in file.components]
    for name, text in licence_texts(components, reader).items():
        _add(contents, name, ReleaseFile.of_bytes(text))
    for component in _copyleft(components):
        if not component.sha256:
            msg = f"The licence of {component.name} requires its source, and there is no archive of it."
            raise PublishError(msg)
        source = ReleaseFile.of_file(archive(component), component.sha256)
        _add(contents, f"sources/{component.filename}", source)
    if key is not None:
        _add(contents, PUBLIC_KEY, ReleaseFile.of_bytes(key.public.text.encode()))
        _add(contents, PUBLIC_PEM, ReleaseFile.of_bytes(key.public.pem.encode()))
    if not flat:
        return contents
    flattened: dict[str, ReleaseFile] = {}
    for name, content in contents.items():
        _add(flattened, flat_name(name), content)
    return flattened


def write_release(
    directory: Path,
    files: Sequence[PublishedFile],
    *,
    images: Sequence[PublishedImage] = (),
    reader: Reader,
    archive: Callable[[Component], Path],
    builder: BuildPlatform,
    key: SecretKey | None,
    flat: bool = False,
    dry: bool = False,
) -> WrittenRelease:
    """Make ``directory`` a release of exactly these files; see `plan_release` for the rest.

    Nothing is written before all of it is known to be good. Every file is whole or not there, the list comes after
    what it lists, the signature last. What a former release had left is removed. Raises PublishError for files that
    are nobody's release, which stay as they are, and when the directory cannot be written. ``dry``: write nothing.
    """
    contents = plan_release(
        files, images=images, reader=reader, archive=archive, builder=builder, key=key, flat=flat
    )
    sums = {name: content.sha256 for name, content in contents.items()}
    listed = write_sums(sums)
    last = {NAME: ReleaseFile.of_bytes(listed)}
    if key is not None:
        epoch = max(file.epoch for file in files)
        version = version_of(files)
        comment = write_comment("file", NAME, listed, epoch=epoch, version=version)
        bare = base64.b64encode(key.crypto().sign(listed)) + b"\n"
        last[BARE] = ReleaseFile.of_bytes(bare)
        last[SIGNATURE] = ReleaseFile.of_bytes(key.sign(listed, comment=comment))
    written: list[str] = []
    removed: list[str] = []
    try:
        if not dry:
            written, removed = _deliver(directory, contents, last)
    except OSError as error:
        msg = f"The release cannot be written: {error}"
        raise PublishError(msg, next=f"check free space and permissions of {directory}") from error
    return WrittenRelease(
        directory=directory,
        sums=sums,
        written=tuple(written),
        removed=tuple(removed),
        signer=key.public.name if key else "",
    )


def _deliver(
    directory: Path, contents: Mapping[str, ReleaseFile], last: Mapping[str, ReleaseFile]
) -> tuple[list[str], list[str]]:
    """Return what was written and what was removed. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        release_dir = ReleaseDir.scan(directory, wanted={**contents, **last})
        written = release_dir.write(contents)
        removed = release_dir.remove_stale()
        written += release_dir.write(last)
    finally:
        os.close(handle)  # and the lock with it
    return written, removed


def _add(contents: dict[str, ReleaseFile], name: str, content: ReleaseFile) -> None:
    if contents.setdefault(name, content) != content:
        msg = f"Two files of the release would be called '{name}'."
        raise PublishError(msg)


def _copyleft(components: Iterable[Component]) -> list[Component]:
    """Those whose source goes along, each once."""
    by_slug = {component.slug: component for component in components}
    copyleft = {licence: is_copyleft(licence) for licence in {it.chosen for it in by_slug.values()}}
    return [by_slug[slug] for slug in sorted(by_slug) if copyleft[by_slug[slug].chosen]]


def _refuse_unlisted(image: PublishedImage, files: Sequence[PublishedFile]) -> None:
    """An image is vouched for by its programs: each must be in the release, bytes and all."""
    known = {(file.name, file.sha256) for file in files}
    for file in image.all_files:
        if file.target is not None and (file.name, file.sha256) not in known:
            msg = f"{file.name} is in the image {image.layout.reference}, and not in the release."
            raise PublishError(msg, why="it was built anew since", next="inv image, then again")
