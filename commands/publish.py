"""The last way of what was made: a release directory or a registry, and the check of either."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from commands.image import Data, ImageSelection, Made, Shipping
from commands.proof import judge_file
from commands.release_inputs import Evidence
from core.errors import PublishError, UsageError
from flow.build import Pipeline
from flow.context import Context
from publish.check.directory import check_release
from publish.check.findings import Checked
from publish.check.image import check_image
from publish.registry.pull import list_tags, pull
from publish.registry.push import plan_push, push
from publish.registry.reference import SCHEME, Reference, Repository
from publish.registry.upload_item import Pushed
from publish.release.attach import attachments
from publish.release.contents import ImageContents
from publish.release.shipped import Shipped, resolved, shipped_files
from publish.release.write import Release, ReleasedImage, write_release
from publish.trust.components import Role, part_of
from publish.trust.provenance import Builder
from publish.trust.signing import PublicKey, SecretKey, new_key
from recipes.images import load_images
from verify.verdict import Policy, Verdict

UNSIGNED = "nothing is signed: nobody can tell that it is yours (./inv key new)"


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """From images and files to those who use them."""

    shipping: Shipping
    key: SecretKey | None

    @classmethod
    def of(cls, pipeline: Pipeline, *, key: SecretKey | None) -> "Publishing":
        """Publish what ``pipeline`` has built."""
        if key is None:
            pipeline.report.warn(UNSIGNED)
        return cls(shipping=Shipping(pipeline=pipeline), key=key)

    @property
    def pipeline(self) -> Pipeline:
        """The rooms, joined."""
        return self.shipping.pipeline

    @cached_property
    def evidence(self) -> Evidence:
        """What is said beyond the files."""
        return Evidence(context=self.pipeline)

    @cached_property
    def builder(self) -> Builder:
        """Who builds here, and with what."""
        settings = self.pipeline.settings
        return self.evidence.builder(
            id=settings["builder"], source=settings["source"], revision=self.shipping.revision
        )

    def to_directory(
        self, directory: Path, shipment: ImageSelection, *, dry: bool = False
    ) -> Release:
        """Make ``directory`` a release of what is built; ``dry``: write nothing, only say what would be in it.

        Raises PublishError when something is not proven, and when the directory cannot be one.
        """
        made, _ = self.shipping.make(shipment)
        images = [
            ReleasedImage(contents=self.contents(one), archives=tuple(self.shipping.archives(one)))
            for one in made
        ]
        return write_release(
            directory,
            self.files(shipment, made),
            images=images,
            reader=self.evidence.reader,
            archive=self.evidence.archive,
            builder=self.builder,
            key=self.key,
            dry=dry,
        )

    def to_registry(
        self,
        repository: Repository,
        shipment: ImageSelection,
        *,
        latest: bool = False,
        dry: bool = False,
    ) -> list[Pushed]:
        """Push every image, what is attached to it, and its tags; ``dry``: only look at what is missing there.

        Everything is made, and known to be proven, before the first byte is sent. Raises PublishError.
        """
        made, _ = self.shipping.make(shipment)
        ready = [
            (one, attachments(self.contents(one), builder=self.builder, key=self.key))
            for one in made
        ]
        send = plan_push if dry else push
        progress = self.pipeline.report.progress("copy")
        return [
            send(
                one.layout,
                repository.joined(one.layout.name),
                (one.layout.tag, *(one.image.moving if latest else ())),
                attached,
                progress=progress,
            )
            for one, attached in ready
        ]

    def files(self, shipment: ImageSelection, made: Sequence[Made]) -> tuple[Shipped, ...]:
        """The files of a release: everything that is built, or what the chosen images have in them."""
        entries = self.shipping.entries
        if shipment.targets:
            entries = [one for one in entries if one["target"] in shipment.targets]
        if shipment.words:
            products = {
                content.product
                for one in made
                for image in one.image.images
                for content in image.recipe.contents
            }
            entries = [one for one in entries if one["product"] in products]
        return self._shipped(entries)

    def contents(self, made: Made) -> ImageContents:
        """An image with all that is known of the files in it."""
        files = {}
        for image in made.image.images:
            data = [
                self._shipped_data(self.shipping.data[content.product])
                for content in image.recipe.contents
                if content.product in self.shipping.data
            ]
            files[image.target] = (*self._shipped(image.artifacts), *data)
        return ImageContents(layout=made.layout, files=files)

    def _shipped(self, entries: Sequence[Any]) -> tuple[Shipped, ...]:
        pipeline = self.pipeline
        return shipped_files(entries, pipeline.artifacts, pipeline.recipes, self.evidence.wheels)

    def _shipped_data(self, data: Data) -> Shipped:
        """A file that is no program, such as the CA certificates."""
        name, release = data.recipe.name, data.release
        source = {
            "name": name,
            "version": release.version,
            "sha256": release.archive.sha256,
            "url": data.url,
        }
        return Shipped(
            name=f"{name}-{release.version}",
            path=data.path,
            sha256=data.sha256,
            product=name,
            version=release.version,
            target=None,
            epoch=release.epoch,
            key=data.outcome.key,
            engine=data.outcome.engine,
            isolated=data.outcome.isolated,
            parts=(part_of(data.recipe, release, Role.DATA),),
            sources=(resolved(source, self.pipeline.recipes),),
        )


def check_shipped(
    context: Context, where: str, *, public_key: PublicKey | None, insecure: bool = False
) -> list[Checked]:
    """Check a release directory, or images of a registry; never raises for what is in them.

    ``oci://HOST/REPO/NAME:TAG`` (or ``@sha256:…``) is one image, ``oci://HOST/REPO/NAME`` all its tags,
    ``oci://HOST/REPO`` every image that the recipes know of. Raises UsageError or PublishError when there is nothing
    to check.
    """

    def verify(path: Path, policy: Policy) -> Verdict:
        return judge_file(context, path, policy)

    if not where.startswith(SCHEME):
        if not Path(where).is_dir():
            msg = f"'{where}' is no directory."
            raise UsageError(msg, next="name a release directory, or oci://HOST/REPO/NAME:TAG")
        return [check_release(Path(where), public_key=public_key, judge=verify)]
    checked = []
    for reference in _references(context, where, insecure=insecure):
        with context.cache.scratch() as scratch:
            progress = context.report.progress("copy")
            layout, attached = pull(reference, scratch / "image", progress=progress)
            checked.append(check_image(layout, attached, public_key=public_key, judge=verify))
    return checked


def _references(context: Context, where: str, *, insecure: bool) -> list[Reference]:
    last = where.rpartition("/")[2]
    if (":" in last.partition("@")[0] and where.count("/") > 2) or "@" in last:
        return [Reference.parse(where, insecure=insecure)]
    repository = Repository.parse(where, insecure=insecure)
    names = dict.fromkeys(
        image.name for image in load_images(context.recipes, context.recipes_directory)
    )
    if repository.path.rpartition("/")[2] in names:
        ones = [repository]
    else:
        ones = [repository.joined(name) for name in names]
    found = [Reference(repository=one, word=tag) for one in ones for tag in list_tags(one)]
    if not found:
        msg = f"There is no image of ours at {where}."
        raise PublishError(msg, next="inv publish --to DEST puts them there")
    return found


def describe_pushed(pushed: Sequence[Pushed], *, dry: bool) -> str:
    """Return one line for each image; of a push that is only planned every digest and tag before it."""
    lines: list[str] = []
    for one in pushed:
        if dry:
            lines += [
                f"{item.digest}  {'there' if item.present else 'to send':7}  {item.size:>9,}  "
                f"{item.kind.value} {_short(item.label)}"
                for item in one.items
            ]
        sent = sum(not item.present for item in one.items)
        word = "would be sent" if dry else "sent"
        state = f"{sent} of {len(one.items)} things {word}, {one.uploaded:,} bytes"
        lines.append(f"{one.reference}@{one.digest}\n  {state if one.changed else 'unchanged'}")
    return "\n".join(lines)


def _short(label: str) -> str:
    """The tag that lists referrers is as long as a digest; who needs the whole one has it in the JSON."""
    return f"{label[:19]}…" if label.startswith("sha256-") else label


def describe_release(release: Release, *, dry: bool) -> str:
    """Return what a run has done to a release directory, or would do."""
    lines = [f"{sha256}  {name}" for name, sha256 in sorted(release.sums.items())]
    lines += [f"removed: {name}" for name in release.removed]
    signed = f"signed by {release.signer}" if release.signer else "not signed"
    written = "none written yet" if dry else f"{len(release.written)} written"
    lines.append(f"{release.directory}: {len(release.sums)} files, {written}, {signed}")
    return "\n".join(lines)


def release_as_dict(release: Release) -> dict[str, Any]:
    """The same as JSON wants it."""
    return {
        "directory": str(release.directory),
        "sha256": dict(release.sums),
        "written": list(release.written),
        "removed": list(release.removed),
        "signer": release.signer,
    }


def pushed_as_dict(pushed: Pushed) -> dict[str, Any]:
    """A push as JSON wants it."""
    items = [
        {"kind": one.kind.value, "name": one.label, "digest": one.digest, "size": one.size}
        | {"present": one.present}
        for one in pushed.items
    ]
    return {
        "reference": pushed.reference,
        "digest": pushed.digest,
        "changed": pushed.changed,
        "items": items,
    }


def key_files(context: Context) -> tuple[Path, Path]:
    """Where the secret and the public key are, or would be: `FROMSCRATCH_KEY`, else the user's configuration."""
    from platformdirs import user_config_path  # noqa: PLC0415

    named = context.settings["key"]
    path = Path(named).expanduser() if named else user_config_path("fromscratch") / "minisign.key"
    return path, path.with_name(f"{path.name}.pub")


def secret_key(context: Context) -> SecretKey | None:
    """Return the key to sign with; None when nobody named one and none was made. Raises PublishError."""
    path, _ = key_files(context)
    if not context.settings["key"] and not path.exists():
        return None
    return SecretKey.read(path, password=context.settings["key_password"] or None)


def public_key(context: Context) -> PublicKey | None:
    """Return the key that somebody named to check with, as a file or as its one line. Raises PublishError."""
    named = context.settings["public_key"]
    if not named:
        return None
    path = Path(named).expanduser()
    return PublicKey.read(path) if path.exists() else PublicKey.parse(named)


def look_after_keys(context: Context, words: Sequence[str]) -> list[str]:
    """Do what ``key WORD`` says; return what to print: never the secret half."""
    path, public = key_files(context)
    match list(words):
        case ["new"] | ["new", _]:
            if len(words) > 1:
                path = Path(words[1])
                public = path.with_name(f"{path.name}.pub")
            key = new_key(path, public)
            return [
                f"secret key: {path} (keep it, and keep it to yourself)",
                f"public key: {public}",
                f"publish this line where your users find it: {key.public.line}",
            ]
        case ["show"]:
            return [PublicKey.read(public).line]
        case _:
            msg = f"'key {' '.join(words)}' is not known."
            raise UsageError(msg, next="inv key new [FILE], inv key show")
