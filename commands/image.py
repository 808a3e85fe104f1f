"""`inv image`: from what is built to multi-arch images."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from builders.engines.docker import connect
from builders.plan import plan_step
from builders.pool import LocalPool
from builders.schedule import run_plan
from commands.load import load
from commands.release_inputs import ReleaseInputs
from console.table import table
from core.errors import UsageError
from core.kinds import EntryKind
from core.suggest import suggestion
from core.target import Target
from flow.build import parse_targets
from flow.context import Context
from flow.fetch import fetch_sources
from flow.verification import BuildRun
from publish.manifest import Artifact, read_manifest
from publish.oci.archive import archive_name, write_archive
from publish.oci.compression import Compression
from publish.oci.image import Image, choose, write_layout
from publish.oci.layer import LayerFile
from publish.release.image import PublishedImage
from publish.trust.components import Role, component_of, licence_of
from publish.trust.published import PublishedFile, published_file, resolve
from recipes.images import ImageFile, ImageRecipe, find_renamed_image, load_images


@dataclass(frozen=True, kw_only=True)
class ImageSelection:
    """Which images, for which targets, of which form."""

    words: tuple[str, ...] = ()
    """``static-curl``, ``static-curl:http``, ``curl:http``; none: all that can be made of what is built."""
    targets: tuple[Target, ...] = ()
    """None: every target that is built."""
    packed: bool | None = None
    """None: as the image's recipe says."""
    compression: Compression = Compression.GZIP

    @classmethod
    def of(
        cls,
        words: Sequence[str],
        target: str,
        *,
        packed: bool,
        plain: bool,
        compression: str = "",
    ) -> "ImageSelection":
        """Read the flags of a command. Raises UsageError."""
        known = ", ".join(Compression)
        if compression and compression not in list(Compression):
            msg = f"There is no compression '{compression}'.{suggestion(compression, Compression)}"
            raise UsageError(msg, next=f"choose one of: {known}")
        if packed and plain:
            msg = "--packed and --plain are mutually exclusive."
            raise UsageError(msg, next="leave one of the two flags away")
        return cls(
            words=tuple(words),
            targets=parse_targets(target) if target else (),
            packed=packed if packed or plain else None,
            compression=Compression(compression or Compression.GZIP),
        )


def describe_images(made: Iterable[PublishedImage]) -> str:
    """Return a table of images: one line for each platform."""
    rows = [
        (
            image.layout.reference,
            target,
            f"{pulled:,}",
            f"{image.sizes[target]:,}",
            image.layout.index.digest,
        )
        for image in made
        for target, pulled in image.layout.pulled.items()
    ]
    return table(("image", "platform", "to pull", "files", "digest of the index"), rows)


@dataclass(frozen=True, kw_only=True)
class ImageMaker:
    """From `artifacts/manifest.json` to images."""

    context: Context
    proven: Sequence[Artifact] | None = None
    """What is built, as it was proven; None: as the manifest says."""
    mark: str = ""
    """Comes after the version in tags: a build number."""

    @cached_property
    def artifacts(self) -> list[Artifact]:
        """What is built, and passed verification."""
        if self.proven is not None:
            return list(self.proven)
        return [
            artifact for artifact in read_manifest(self.context.artifacts) if artifact.verdict.ok
        ]

    @cached_property
    def images(self) -> tuple[ImageRecipe, ...]:
        return load_images(self.context.recipes, self.context.recipes_directory)

    @cached_property
    def inputs(self) -> ReleaseInputs:
        return ReleaseInputs(context=self.context)

    def make(self, selection: ImageSelection) -> tuple[list[PublishedImage], list[str]]:
        """Write layouts; return them, and a line for each image that lacks something.

        Raises UsageError when a word names no image, or when nothing at all can be made.
        """
        made: list[PublishedImage] = []
        lacking: list[str] = []
        for recipe in self.select(selection.words):
            found = list(self._write(recipe, selection))
            made += found
            if not found:
                products = " ".join(content.product for content in self._programs(recipe))
                lacking.append(
                    f"{recipe.label}: not built for one target in common: inv build {products}"
                )
        if not made:
            msg = "No image can be made:\n" + "\n".join(f"  {line}" for line in lacking)
            raise UsageError(msg, next="inv build, then inv image")
        return made, lacking

    def archives(self, made: PublishedImage) -> list[Path]:
        """Write one tar for each platform of an image; return their paths."""
        paths = []
        for manifest in made.layout.manifests():
            path = made.layout.directory.with_name(archive_name(made.layout, manifest))
            write_archive(path, made.layout, manifest)
            paths.append(path)
        return paths

    def load(self, made: PublishedImage) -> str:
        """Put an image into the Docker engine: the one platform that the engine is for. Return its name.

        Raises EngineError when no engine answers, UsageError when the image is not for its platform.
        """
        with contextlib.closing(connect()) as client:
            return load(made.layout, client)

    def select(self, words: Sequence[str]) -> list[ImageRecipe]:
        """Return the images called ``words``, by their own names or by their product's, also by what those were."""
        if not words:
            return list(self.images)
        chosen: list[ImageRecipe] = []
        for word in words:
            found = self._called(word)
            renamed = find_renamed_image(word, self.images, self.context.recipes)
            if renamed and not found:
                found = self._called(renamed.new)
            if not found:
                names = ", ".join(dict.fromkeys(image.label for image in self.images))
                msg = f"There is no image '{word}'."
                raise UsageError(msg, next=f"choose one of: {names}")
            chosen += [image for image in found if image not in chosen]
        return chosen

    def _called(self, word: str) -> list[ImageRecipe]:
        return [image for image in self.images if word in {image.name, image.label}] or [
            image
            for image in self.images
            if len(image.contents) == 1
            and word in {image.contents[0].product, image.contents[0].recipe}
        ]

    def _write(self, recipe: ImageRecipe, selection: ImageSelection) -> Iterator[PublishedImage]:
        """Write one image for each release built of a single program, or one of a composed one."""
        packed = recipe.packed if selection.packed is None else selection.packed
        for versions in self._versions(recipe):
            chosen = choose(
                recipe,
                self.artifacts,
                versions=versions,
                targets=selection.targets or tuple(Target),
                packed=packed,
            )
            if chosen:
                tag = recipe.tagged(versions, packed=packed, mark=self.mark)
                files = {target: self._files(recipe, chosen[target]) for target in chosen}
                layout = write_layout(
                    self.context.artifacts / "oci" / f"{recipe.name}-{tag}",
                    recipe.name,
                    tag,
                    [
                        self._image(recipe, target, files[target], tag, selection.compression)
                        for target in files
                    ],
                )
                # Moving tags follow no release but the newest that is pinned, or they would move back.
                newest = {name: self.context.recipes[name].releases[0].version for name in versions}
                released = versions == newest and not self.mark.endswith("-dirty")
                moving = recipe.moved(packed=packed) if released else ()
                yield PublishedImage(layout=layout, files=files, moving=moving)

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

    def published(self, artifact: Artifact) -> PublishedFile:
        """Return a file of the manifest with all that is known of it. Raises PublishError."""
        context = self.context
        return published_file(
            artifact,
            context.artifacts,
            context.recipes,
            self.inputs.wheels,
            mark=self.mark,
            rebuilt=self.rebuilt(artifact),
        )

    def rebuilt(self, artifact: Artifact) -> dict[str, str]:
        """Return how somebody who is trusted has built it again with the same bytes; empty: nobody has."""
        known = self.context.cache.get_action(artifact.key, kind=EntryKind.REBUILT) or {}
        how = known.get("how")
        same = known.get("sha256") == artifact.sha256 and isinstance(how, dict)
        return {str(name): str(text) for name, text in how.items()} if same and how else {}

    def _files(
        self, recipe: ImageRecipe, artifacts: Mapping[str, Artifact]
    ) -> tuple[PublishedFile, ...]:
        return tuple(
            self.published(artifacts[content.product])
            if content.product in artifacts
            else self.data[content.product]
            for content in recipe.contents
        )

    def _image(
        self,
        recipe: ImageRecipe,
        target: Target,
        files: Sequence[PublishedFile],
        tag: str,
        compression: Compression,
    ) -> Image:
        epoch = max(file.epoch for file in files)
        return Image(
            recipe=recipe,
            target=target,
            files=tuple(
                LayerFile(
                    path=content.path,
                    source=file.path,
                    sha256=file.sha256,
                    mode=content.mode,
                    links=content.links,
                )
                for content, file in zip(recipe.contents, files, strict=True)
            ),
            epoch=epoch,
            labels=self._labels(recipe, files, tag, epoch),
            compression=compression,
        )

    def _labels(
        self, recipe: ImageRecipe, files: Iterable[PublishedFile], tag: str, epoch: int
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
            "licenses": licence_of(part for file in files for part in file.components),
            "source": source,
            "url": url,
        }
        return {f"org.opencontainers.image.{name}": text for name, text in labels.items() if text}

    @cached_property
    def data(self) -> dict[str, PublishedFile]:
        """What is in images and is no program, such as CA certificates, by name: made once for every target."""
        names = {content.product for image in self.images for content in image.contents}
        return {name: self._data(name) for name in sorted(names) if not self._is_program(name)}

    def _data(self, name: str) -> PublishedFile:
        context, recipe = self.context, self.context.recipes[name]
        sources = fetch_sources(context, [recipe])
        release, _ = sources[name]
        native = Target.native()
        step = plan_step(
            recipe,
            recipe.variants[0],
            native,
            recipes=context.recipes,
            releases={name: release},
            native=native,
        )
        builder = context.builder()
        pool = LocalPool(builder, jobs=1)
        outcomes = run_plan([step], builder, pool=pool, cancel=context.cancel)
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
