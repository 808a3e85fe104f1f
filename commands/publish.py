"""`inv publish`: puts images and files into a release directory or a registry, once each of them is proven."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from commands.image import ImageMaker, ImageSelection
from commands.rebuild import TAKEN_OVER, Comparison, rebuild_and_compare
from commands.registry_options import registry_options
from commands.release_inputs import ReleaseInputs, find_revision
from core.errors import PublishError, UsageError
from core.signing import SecretKey
from core.target import Target
from flow.build import Request
from flow.context import Context
from flow.proof import prove
from publish.manifest import Artifact, read_manifest
from publish.registry.promise import TagPromise, check_promise
from publish.registry.push import push
from publish.registry.reference import SCHEME, Repository
from publish.registry.upload_item import Pushed
from publish.release.image import PublishedImage, attachments
from publish.release.write import WrittenRelease, write_release
from publish.trust.published import PublishedFile
from publish.trust.revision import Revision

UNSIGNED = "nothing is signed: users cannot check who published it (./inv key new makes a key)"


def rebuild_all(context: Context, request: Request) -> Comparison:
    """Build again elsewhere, the tools as well."""
    return rebuild_and_compare(context, request, tools=False)


def hash_toolchain(context: Context) -> int:
    """Hash every file of the toolchain, however it looks. Raises EngineError."""
    return context.check_toolchain(deep=True)


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Publishes what is built, signed with ``key``; a warning says so when there is none."""

    context: Context
    key: SecretKey | None
    selection: ImageSelection = field(default_factory=ImageSelection)
    allow_dirty: bool = False
    """Also from a tree that is not the commit; what is published says so."""
    rebuild: bool = False
    """Only what was built again elsewhere with the same bytes: what was not is built again now."""
    number: int = 0
    """The build number of versions that were published before; 0: none."""
    again: Callable[[Context, Request], Comparison] = rebuild_all
    find_revision: Callable[[Context], Revision] = find_revision
    look_at_toolchain: Callable[[Context], object] = hash_toolchain
    """Raises EngineError when it is not what was installed."""

    def __post_init__(self) -> None:
        if self.key is None:
            self.context.report.warn(UNSIGNED)

    @cached_property
    def inputs(self) -> ReleaseInputs:
        return ReleaseInputs(context=self.context, find_revision=self.find_revision)

    @cached_property
    def mark(self) -> str:
        """What comes after the version in every name. Raises PublishError for a tree that is not its commit."""
        if not self.allow_dirty:
            self.inputs.revision.require_clean()
        number = f"-r{self.number}" if self.number else ""
        return f"{number}-dirty" if self.inputs.revision.dirty else number

    @cached_property
    def maker(self) -> ImageMaker:
        """What makes images of the proven files alone. Raises PublishError naming every file that is not."""
        mark = self.mark
        proven = self.proven()
        # What is signed names the toolchain that made it.
        self.look_at_toolchain(self.context)
        maker = ImageMaker(context=self.context, proven=proven, mark=mark)
        if self.rebuild:
            self.build_again(maker, proven)
        self.inputs.require_unchanged()
        return maker

    def listed(self) -> list[Artifact]:
        """The manifest's files that the selection is about. Raises RecipeError and UsageError."""
        chosen, targets = self.selection, self.selection.targets
        found = [
            artifact
            for artifact in read_manifest(self.context.artifacts)
            if not targets or artifact.target in targets
        ]
        if chosen.words:
            images = ImageMaker(context=self.context).select(chosen.words)
            products = {content.product for image in images for content in image.contents}
            found = [artifact for artifact in found if artifact.product in products]
        return found

    def proven(self) -> list[Artifact]:
        """Prove what is to be published. Raises PublishError naming every file that is not proven."""
        proofs = prove(self.context, self.listed())
        refused = [f"  {proof.listed.path}: {proof.refused}" for proof in proofs if proof.refused]
        if refused:
            raise PublishError(
                "\n".join(["Only what is proven can be published:", *refused]),
                why="it was not made here by this tree's recipes, was changed since, or could not be tried out: "
                "a smoke run needs an empty root, and qemu for another machine's programs",
                next="inv build these files again where they can be tried, or publish without them",
            )
        # A file is one file, however often the manifest lists it.
        proven = {proof.proven.path: proof.proven for proof in proofs if proof.proven}
        return list(proven.values())

    def build_again(self, maker: ImageMaker, proven: Sequence[Artifact]) -> None:
        """Build again what nobody has yet, its tools too. Raises PublishError for what comes out with other bytes."""

        def once() -> list[Artifact]:
            notes = [(artifact, maker.rebuilt(artifact)) for artifact in proven]
            return [it for it, how in notes if not how or how.get("tools") == TAKEN_OVER]

        for request in requests(once()):
            compared = self.again(self.context, request)
            if not compared:
                msg = f"Built again, and not the same:\n{compared.text()}"
                raise PublishError(
                    msg, next="find out why before anybody is told that it is reproducible"
                )
        if missing := [artifact.path for artifact in once()]:
            msg = f"Built again, but not with what went into these files: {', '.join(missing)}"
            raise PublishError(
                msg, why="a newer release can be had by now", next="inv build, then again"
            )

    def publish(
        self,
        to: str,
        *,
        latest: bool = False,
        insecure: bool = False,
        flat: bool = False,
        dry: bool,
    ) -> tuple[object, str]:
        """Publish to a directory or to ``oci://HOST/REPO``; return what to print, as JSON and as text."""
        if not to.startswith(SCHEME):
            release = self.to_directory(Path(to), flat=flat, dry=dry)
            value = {
                "directory": str(release.directory),
                "sha256": release.sums,
                "written": release.written,
                "removed": release.removed,
                "signer": release.signer,
            }
            return value, describe_release(release, dry=dry)
        if flat:
            msg = "--flat is about a directory: a registry has no files."
            raise UsageError(msg, next="leave --flat away, or name a directory")
        repository = Repository.parse(to, insecure=insecure)
        pushed = self.to_registry(repository, latest=latest, dry=dry)
        return [pushed_as_dict(image) for image in pushed], describe_pushed(pushed, dry=dry)

    def to_directory(
        self, directory: Path, *, flat: bool = False, dry: bool = False
    ) -> WrittenRelease:
        """Make ``directory`` a release of what is built; ``dry``: write nothing, only say what would be in it.

        Raises PublishError when a file is not proven, and when the directory cannot be one.
        """
        made, _ = self.maker.make(self.selection)
        images = [replace(image, archives=tuple(self.maker.archives(image))) for image in made]
        return write_release(
            directory,
            self.files(made),
            images=images,
            reader=self.inputs.reader,
            archive=self.inputs.archive,
            builder=self.inputs.builder,
            key=self.key,
            flat=flat,
            dry=dry,
        )

    def to_registry(
        self, repository: Repository, *, latest: bool = False, dry: bool = False
    ) -> list[Pushed]:
        """Push every image, what is attached to it, and its tags; ``dry``: only look at what is missing there.

        Everything is made, known to be proven, and no tag promises anything else, before the first byte is sent. Raises
        PublishError.
        """
        made, _ = self.maker.make(self.selection)
        builder = self.inputs.builder
        ready = [(image, attachments(image, builder=builder, key=self.key)) for image in made]
        options = registry_options(self.context)
        for image in made:
            check_promise(
                image.layout,
                repository.joined(image.layout.name),
                self.tags(image, latest=latest),
                self.promise(image),
                dry=dry,
                options=options,
            )
        progress = self.context.report.progress("copy")
        return [
            push(
                image.layout,
                repository.joined(image.layout.name),
                self.tags(image, latest=latest),
                attached,
                sign=self.key.crypto().sign if self.key else None,
                dry=dry,
                promise=self.promise(image),
                options=options,
                progress=progress,
            )
            for image, attached in ready
        ]

    def tags(self, image: PublishedImage, *, latest: bool) -> tuple[str, ...]:
        """The tags that an image gets: its version, and the short ones when they are asked for."""
        return (image.layout.tag, *(image.moving if latest else ()))

    def promise(self, image: PublishedImage) -> TagPromise:
        """What those tags promise. A dirty tree promises nothing: its tag says so."""
        firm = () if self.inputs.revision.dirty else (image.layout.tag,)
        return TagPromise(firm=firm, forward=image.moving)

    def files(self, made: Sequence[PublishedImage]) -> tuple[PublishedFile, ...]:
        """The files of a release: everything that is built, or what the chosen images have in them."""
        artifacts = self.maker.artifacts
        if self.selection.words:
            products = {file.product for image in made for file in image.all_files}
            artifacts = [artifact for artifact in artifacts if artifact.product in products]
        return tuple(map(self.maker.published, artifacts))


def build_number_of(text: str) -> int:
    """Read ``--build-number``; 0 when it was not given. Raises UsageError."""
    if text and not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 999):
        msg = f"--build-number must be a whole number from 1 to 999, not '{text}'."
        raise UsageError(msg, next="the first build of a version has none, the next one has 1")
    return int(text or "0")


def requests(artifacts: Iterable[Artifact]) -> list[Request]:
    """Return the builds that make these files: as few as can be, each with one release of every recipe."""
    by_target: dict[Target, dict[str, dict[str, None]]] = {}
    for artifact in artifacts:
        versions = by_target.setdefault(artifact.target, {})
        recipe = artifact.product.partition(":")[0]
        word = f"{artifact.product}@{artifact.release}"
        versions.setdefault(f"{recipe}@{artifact.release}", {})[word] = None
    batches: dict[tuple[str, ...], list[Target]] = {}
    for target, versions in by_target.items():
        left = dict(versions)
        while left:
            # Of each recipe one version at a time.
            taken = {name.partition("@")[0]: name for name in reversed(left)}
            words = tuple(word for name in taken.values() for word in left.pop(name))
            batches.setdefault(tuple(sorted(words)), []).append(target)
    return [
        Request(products=words, targets=tuple(targets), exact=True)
        for words, targets in batches.items()
    ]


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
