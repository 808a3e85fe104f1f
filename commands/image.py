"""`inv image`: from what is built to multi-arch images."""

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from builders.engines.docker import connect, engine_errors
from builders.schedule import run_plan
from commands.release_inputs import ReleaseInputs
from console.table import table
from core.errors import EngineError, UsageError
from core.process import run_program
from core.target import Target
from flow.build import lone_step, parse_targets
from flow.context import ROOT, Context
from flow.fetch import fetch_sources
from flow.verification import BuildRun
from publish.manifest import Artifact, read_manifest
from publish.oci.archive import archive_name, write_archive
from publish.oci.image import Image, MultiArch, choose, write_layout
from publish.oci.layer import LayerFile
from publish.oci.layout import Layout
from publish.trust.components import Component, Role, component_of, licence_of, linked
from publish.trust.published import PublishedFile, resolve
from recipes.images import ImageFile, ImageRecipe, load_images
from recipes.load import find_product

SOURCES = ("recipes", "builders", "publish", "probe", "requirements.txt", "commands/image.py")
"""What can change an image: its revision is the last commit that touched any of it."""


@dataclass(frozen=True, kw_only=True)
class ImageSelection:
    """Which images, for which targets, of which form."""

    words: tuple[str, ...] = ()
    """``static-curl``, ``static-curl:http``, ``curl:http``; none: all that can be made of what is built."""
    targets: tuple[Target, ...] = ()
    """None: every target that is built."""
    packed: bool | None = None
    """None: as the image's recipe says."""

    @classmethod
    def of(
        cls, words: Sequence[str], target: str, *, packed: bool, plain: bool
    ) -> "ImageSelection":
        """Read the flags of a command. Raises UsageError."""
        if packed and plain:
            msg = "--packed and --plain are mutually exclusive."
            raise UsageError(msg, next="leave one of the two flags away")
        return cls(
            words=tuple(words),
            targets=parse_targets(target) if target else (),
            packed=packed if packed or plain else None,
        )


@dataclass(frozen=True, kw_only=True)
class WrittenImage:
    """An image that was written, and what is in it."""

    layout: Layout
    image: MultiArch

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the files in the image, by platform: what an engine counts."""
        return {
            image.target.value: sum(file.source.stat().st_size for file in image.files)
            for image in self.image.images
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.layout.name,
            "tag": self.layout.tag,
            "digest": self.layout.index.digest,
            "layout": str(self.layout.directory),
            "bytes": self.sizes,
        }


def describe_images(made: Iterable[WrittenImage]) -> str:
    """Return a table of images: one line for each platform."""
    rows = [
        (image.layout.reference, target, f"{size:,}", image.layout.index.digest)
        for image in made
        for target, size in image.sizes.items()
    ]
    return table(("image", "platform", "bytes", "digest of the index"), rows)


@dataclass(frozen=True, kw_only=True)
class ImageMaker:
    """From `artifacts/manifest.json` to images."""

    context: Context

    @cached_property
    def artifacts(self) -> list[Artifact]:
        """What is built, and passed verification."""
        return [
            artifact for artifact in read_manifest(self.context.artifacts) if artifact.verdict.ok
        ]

    @cached_property
    def images(self) -> tuple[ImageRecipe, ...]:
        return load_images(self.context.recipes, self.context.recipes_directory)

    @cached_property
    def inputs(self) -> ReleaseInputs:
        return ReleaseInputs(context=self.context)

    def make(self, selection: ImageSelection) -> tuple[list[WrittenImage], list[str]]:
        """Write layouts; return them, and a line for each image that lacks something.

        Raises UsageError when a word names no image, or when nothing at all can be made.
        """
        made: list[WrittenImage] = []
        lacking: list[str] = []
        for recipe in self.select(selection.words):
            found = self.plan(recipe, selection)
            if not found:
                products = " ".join(content.product for content in self._programs(recipe))
                lacking.append(
                    f"{recipe.label}: not built for one target in common: inv build {products}"
                )
            for image in found:
                directory = self.context.artifacts / "oci" / f"{image.name}-{image.tag}"
                made.append(WrittenImage(layout=write_layout(directory, image), image=image))
        if not made:
            msg = "No image can be made:\n" + "\n".join(f"  {line}" for line in lacking)
            raise UsageError(msg, next="inv build, then inv image")
        return made, lacking

    def archives(self, made: WrittenImage) -> list[Path]:
        """Write one tar for each platform of an image; return their paths."""
        paths = []
        for manifest in made.layout.manifests():
            path = made.layout.directory.with_name(archive_name(made.layout, manifest))
            write_archive(path, made.layout, manifest)
            paths.append(path)
        return paths

    def load(self, made: WrittenImage) -> str:
        """Put an image into the Docker engine: the one platform that the engine is for. Return its name.

        Raises EngineError when no engine answers, UsageError when the image is not for its platform.
        """
        client = connect()
        with engine_errors():
            version = client.version()
        native = f"{version['Os']}/{version['Arch']}"
        for manifest in made.layout.manifests():
            assert manifest.platform, "an index names the platform of each manifest"
            if manifest.platform.value.startswith(native):
                with tempfile.TemporaryDirectory(prefix="fromscratch-") as directory:
                    path = Path(directory) / "image.tar"
                    write_archive(path, made.layout, manifest)
                    with engine_errors(), path.open("rb") as file:
                        client.images.load(file)
                return made.layout.reference
        msg = f"{made.layout.reference} is not for the Docker engine's platform, {native}."
        raise UsageError(msg, next=f"inv build --target {native}, then inv image --load")

    def select(self, words: Sequence[str]) -> list[ImageRecipe]:
        """Return the images called ``words``, by their own names or by their product's."""
        if not words:
            return list(self.images)
        chosen: list[ImageRecipe] = []
        for word in words:
            found = [image for image in self.images if word in {image.name, image.label}] or [
                image
                for image in self.images
                if len(image.contents) == 1
                and word in {image.contents[0].product, image.contents[0].recipe}
            ]
            if not found:
                names = ", ".join(dict.fromkeys(image.label for image in self.images))
                msg = f"There is no image '{word}'."
                raise UsageError(msg, next=f"choose one of: {names}")
            chosen += [image for image in found if image not in chosen]
        return chosen

    def plan(self, recipe: ImageRecipe, selection: ImageSelection) -> list[MultiArch]:
        """Return the images of a recipe: one for each release built of a single program, one of a composed one."""
        packed = recipe.packed if selection.packed is None else selection.packed
        planned: list[MultiArch] = []
        for versions in self._versions(recipe):
            chosen = choose(
                recipe,
                self.artifacts,
                versions=versions,
                targets=selection.targets or tuple(Target),
                packed=packed,
            )
            if chosen:
                tag = recipe.tagged(versions, packed=packed)
                images = tuple(self._image(recipe, tag, *each) for each in chosen.items())
                # Moving tags follow no release but the newest that is pinned, or they would move back.
                newest = {name: self.context.recipes[name].releases[0].version for name in versions}
                moving = recipe.moved(packed=packed) if versions == newest else ()
                planned.append(MultiArch(name=recipe.name, tag=tag, moving=moving, images=images))
        return planned

    def _versions(self, recipe: ImageRecipe) -> list[dict[str, str]]:
        """Releases by recipe: of a single program every one that is built, else the newest that is."""
        built: dict[str, list[str]] = {}
        for content in self._programs(recipe):
            name = content.product
            have = {artifact.release for artifact in self.artifacts if artifact.product == name}
            pinned = [release.version for release in self.context.recipes[content.recipe].releases]
            built[content.recipe] = [version for version in pinned if version in have]
        if not all(built.values()):
            return []
        if len(recipe.contents) == 1:
            ((name, versions),) = built.items()
            return [{name: version} for version in versions]
        return [{name: versions[0] for name, versions in built.items()}]

    def _programs(self, recipe: ImageRecipe) -> list[ImageFile]:
        return [content for content in recipe.contents if self._is_program(content.product)]

    def _is_program(self, product: str) -> bool:
        return bool(self.context.recipes[product.partition(":")[0]].variants[0].expect)

    def _image(
        self, recipe: ImageRecipe, tag: str, target: Target, artifacts: Mapping[str, Artifact]
    ) -> Image:
        files: list[LayerFile] = []
        epochs: list[int] = []
        for content in recipe.contents:
            if artifact := artifacts.get(content.product):
                source, sha256 = self.context.artifacts / artifact.path, artifact.sha256
                release = self.context.recipes[content.recipe].release(artifact.release)
                assert release, "only pinned releases are chosen"
                epochs.append(release.epoch)
            else:
                data = self.data[content.product]
                source, sha256 = data.path, data.sha256
                epochs.append(data.epoch)
            files.append(
                LayerFile(
                    path=content.path,
                    source=source,
                    sha256=sha256,
                    mode=content.mode,
                    links=content.links,
                )
            )
        epoch = max(epochs)
        return Image(
            recipe=recipe,
            target=target,
            files=tuple(files),
            epoch=epoch,
            labels=self._labels(recipe, artifacts.values(), tag, epoch),
            artifacts=tuple(artifacts.values()),
        )

    def _labels(
        self, recipe: ImageRecipe, artifacts: Iterable[Artifact], tag: str, epoch: int
    ) -> dict[str, str]:
        """https://github.com/opencontainers/image-spec/blob/main/annotations.md."""
        first = self.context.recipes[recipe.contents[0].recipe]
        url = first.homepage if first.homepage.startswith("https:") else ""
        archive = first.releases[0].source
        source = self.context.settings["source"] or (
            archive.urls[0] if archive and archive.urls else ""
        )
        labels = {
            "title": recipe.name,
            "description": recipe.summary,
            "version": tag,
            "created": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "licenses": self._licence(recipe, artifacts),
            "revision": self.revision,
            "source": source,
            "url": url,
        }
        return {f"org.opencontainers.image.{name}": text for name, text in labels.items() if text}

    def _licence(self, recipe: ImageRecipe, artifacts: Iterable[Artifact]) -> str:
        """The licence of everything in an image at once, as an SPDX expression."""
        recipes = self.context.recipes
        wheels = {wheel.name: wheel for wheel in self.inputs.wheels}
        components: list[Component] = []
        for artifact in artifacts:
            versions = {source.name: source.version for source in artifact.inputs}
            product = find_product(artifact.product, recipes)
            components += linked(product, versions, recipes, wheels, packed=artifact.packed)
        for content in recipe.contents:
            if data := self.data.get(content.product):
                components += data.components
        return licence_of(components)

    @cached_property
    def revision(self) -> str:
        """The commit of what makes images; '' outside a checkout. `FROMSCRATCH_REVISION` wins."""
        if named := self.context.settings["revision"]:
            return named
        words = ["git", "-C", str(ROOT), "log", "-1", "--format=%H", "--", *SOURCES]
        try:
            done = run_program(words, seconds=30, package="git", purpose="name the revision")
        except EngineError:
            return ""
        return done.stdout.strip() if re.fullmatch(r"[0-9a-f]{40,64}\s*", done.stdout) else ""

    @cached_property
    def data(self) -> dict[str, PublishedFile]:
        """What is in images and is no program, such as CA certificates, by name: made once for every target."""
        names = {content.product for image in self.images for content in image.contents}
        return {name: self._make(name) for name in sorted(names) if not self._is_program(name)}

    def _make(self, name: str) -> PublishedFile:
        context, recipe = self.context, self.context.recipes[name]
        sources = fetch_sources(context, [recipe])
        release, _ = sources[name]
        step = lone_step(recipe, release)
        outcomes = run_plan([step], context.builder(), jobs=1, cancel=context.cancel)
        inputs = BuildRun(goals=(), outcomes=outcomes, sources=sources).inputs(step)
        outcome = outcomes[step]
        sha256 = outcome.product(step)
        return PublishedFile(
            name=f"{name}-{release.version}",
            path=context.blob(sha256),
            sha256=sha256,
            product=name,
            version=release.version,
            target=None,
            epoch=release.epoch,
            key=outcome.key,
            engine=outcome.engine,
            isolated=outcome.isolated,
            components=(component_of(recipe, release, Role.DATA),),
            sources=tuple(resolve(source, context.recipes) for source in inputs),
        )
