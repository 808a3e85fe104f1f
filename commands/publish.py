"""`inv publish`: puts images and files into a release directory or a registry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from commands.image import ImageMaker, ImageSelection
from commands.registry_options import registry_options
from core.signing import SecretKey
from flow.context import Context
from publish.registry.push import push
from publish.registry.reference import SCHEME, Repository
from publish.registry.upload_item import Pushed
from publish.release.image import PublishedImage, attachments
from publish.release.write import WrittenRelease, write_release
from publish.trust.provenance import BuildPlatform
from publish.trust.published import PublishedFile

UNSIGNED = "nothing is signed: users cannot check who published it (./inv key new makes a key)"


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Publishes what is built, signed with ``key``; a warning says so when there is none."""

    context: Context
    key: SecretKey | None

    def __post_init__(self) -> None:
        if self.key is None:
            self.context.report.warn(UNSIGNED)

    @cached_property
    def maker(self) -> ImageMaker:
        return ImageMaker(context=self.context)

    @cached_property
    def builder(self) -> BuildPlatform:
        """Who builds here, and with what."""
        settings = self.context.settings
        return self.maker.inputs.builder(
            id=settings["builder"], source=settings["source"], revision=self.maker.revision
        )

    def publish(
        self, to: str, selection: ImageSelection, *, latest: bool, insecure: bool, dry: bool
    ) -> tuple[object, str]:
        """Publish to a directory or to ``oci://HOST/REPO``; return what to print, as JSON and as text."""
        # What is signed names the toolchain that made it.
        self.context.check_toolchain(deep=True)
        if not to.startswith(SCHEME):
            release = self.to_directory(Path(to), selection, dry=dry)
            value = {
                "directory": str(release.directory),
                "sha256": release.sums,
                "written": release.written,
                "removed": release.removed,
                "signer": release.signer,
            }
            return value, describe_release(release, dry=dry)
        repository = Repository.parse(to, insecure=insecure)
        pushed = self.to_registry(repository, selection, latest=latest, dry=dry)
        return [pushed_as_dict(image) for image in pushed], describe_pushed(pushed, dry=dry)

    def to_directory(
        self, directory: Path, selection: ImageSelection, *, dry: bool = False
    ) -> WrittenRelease:
        """Make ``directory`` a release of what is built; ``dry``: write nothing, only say what would be in it.

        Raises PublishError when a file was not verified and tried, and when the directory cannot be one.
        """
        made, _ = self.maker.make(selection)
        images = [replace(image, archives=tuple(self.maker.archives(image))) for image in made]
        return write_release(
            directory,
            self.files(selection, made),
            images=images,
            reader=self.maker.inputs.reader,
            archive=self.maker.inputs.archive,
            builder=self.builder,
            key=self.key,
            dry=dry,
        )

    def to_registry(
        self,
        repository: Repository,
        selection: ImageSelection,
        *,
        latest: bool = False,
        dry: bool = False,
    ) -> list[Pushed]:
        """Push every image, what is attached to it, and its tags; ``dry``: only look at what is missing there.

        Everything is made, and known to be verified, before the first byte is sent. Raises PublishError.
        """
        made, _ = self.maker.make(selection)
        ready = [(image, attachments(image, builder=self.builder, key=self.key)) for image in made]
        progress = self.context.report.progress("copy")
        return [
            push(
                image.layout,
                repository.joined(image.layout.name),
                (image.layout.tag, *(image.moving if latest else ())),
                attached,
                dry=dry,
                options=registry_options(self.context),
                progress=progress,
            )
            for image, attached in ready
        ]

    def files(
        self, selection: ImageSelection, made: Sequence[PublishedImage]
    ) -> tuple[PublishedFile, ...]:
        """The files of a release: everything that is built, or what the chosen images have in them."""
        artifacts = self.maker.artifacts
        if selection.targets:
            artifacts = [artifact for artifact in artifacts if artifact.target in selection.targets]
        if selection.words:
            products = {file.product for image in made for file in image.all_files}
            artifacts = [artifact for artifact in artifacts if artifact.product in products]
        return tuple(map(self.maker.published, artifacts))


def describe_pushed(pushed: Sequence[Pushed], *, dry: bool) -> str:
    """Return one line for each image; of a push that is only planned every digest and tag before it."""
    lines = []
    for image in pushed:
        if dry:
            lines += [
                f"{item.digest}  {'there' if item.present else 'to send':7}  {item.size:>9,}  "
                f"{item.kind.value} {_short(item.label)}"
                for item in image.items
            ]
        sent = sum(not item.present for item in image.items)
        word = "would be sent" if dry else "sent"
        state = f"{sent} of {len(image.items)} things {word}, {image.uploaded:,} bytes"
        lines.append(
            f"{image.reference}@{image.digest}\n  {state if image.changed else 'unchanged'}"
        )
    return "\n".join(lines)


def _short(label: str) -> str:
    """The tag that lists referrers is as long as a digest; who needs the whole one has it in the JSON."""
    return f"{label[:19]}…" if label.startswith("sha256-") else label


def describe_release(release: WrittenRelease, *, dry: bool) -> str:
    """Return what a run has done to a release directory, or would do."""
    lines = [f"{sha256}  {name}" for name, sha256 in sorted(release.sums.items())]
    lines += [f"removed: {name}" for name in release.removed]
    signed = f"signed by {release.signer}" if release.signer else "not signed"
    written = "none written yet" if dry else f"{len(release.written)} written"
    lines.append(f"{release.directory}: {len(release.sums)} files, {written}, {signed}")
    return "\n".join(lines)


def pushed_as_dict(pushed: Pushed) -> dict[str, Any]:
    """A push as JSON wants it."""
    items = [
        {
            "kind": item.kind.value,
            "name": item.label,
            "digest": item.digest,
            "size": item.size,
            "present": item.present,
        }
        for item in pushed.items
    ]
    return {
        "reference": pushed.reference,
        "digest": pushed.digest,
        "changed": pushed.changed,
        "items": items,
    }
