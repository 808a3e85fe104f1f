"""What is published: the manifest's files, with all that is known of each, and whether each is proven."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from core.errors import PublishError
from core.target import Target
from publish.manifest import Artifact, Input
from publish.trust.components import Component, Wheel, linked, source_purl, tools
from recipes.load import find_product
from recipes.model import Recipe


@dataclass(frozen=True, kw_only=True)
class ResolvedDependency:
    """A source that went into a file, the tools' too."""

    name: str
    version: str
    sha256: str
    uri: str
    """What upstream calls it: a URL or a package URL."""
    location: str
    """Where its bytes came from, if that was another public place."""
    tree: bool = False
    """It is a directory of this project: the hash is over names and contents, see `builders.key.source_digest`."""


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file, and what is said about it."""

    name: str
    """``curl-http-8.21.0-linux-amd64.upx``."""
    path: Path
    """Where its bytes are now."""
    sha256: str
    """What they must be."""
    product: str
    version: str
    target: Target | None
    """None: the same for every target."""
    packed: bool = False
    mark: str = ""
    """What its name has after the version: a build number."""
    epoch: int
    """The release's date in seconds since 1970: the only time that anything here says."""
    key: str
    """The action key of the step that made it."""
    engine: str
    isolated: bool
    components: tuple[Component, ...]
    tools: tuple[Component, ...] = ()
    """What ran while it was made, and is not in it."""
    sources: tuple[ResolvedDependency, ...] = ()
    rebuilt: Mapping[str, str] = field(default_factory=dict)
    """How it was built again with the same bytes; empty: nobody has tried."""
    reproduced_by: tuple[str, ...] = ()
    """The ids of trusted builders' keys, other than this one's, that signed for the same bytes."""
    refused: str = ""
    """Why it may not be published; '' when it is proven."""


def published_file(
    artifact: Artifact,
    directory: Path,
    recipes: Mapping[str, Recipe],
    wheels: Sequence[Wheel],
    *,
    mark: str = "",
    rebuilt: Mapping[str, str] | None = None,
) -> PublishedFile:
    """Return one of the manifest's artifacts as a file to be published; ``directory`` is the manifest's.

    ``mark`` comes after the version in its name: a build number. ``rebuilt``: see `PublishedFile.rebuilt`. Raises
    PublishError when the release, or what is linked into it, is not pinned any more.
    """
    product = find_product(artifact.product, recipes)
    release = product.recipe.release(artifact.release)
    if release is None:
        msg = f"{artifact.path}: this release is not pinned any more."
        raise PublishError(msg, why="the recipe changed since the build", next="inv build")
    inputs = sorted(artifact.inputs, key=lambda source: source.name)
    versions = {source.name: source.version for source in inputs}
    refused = _unproven(artifact)
    sources: tuple[ResolvedDependency, ...] = ()
    try:
        sources = tuple(resolve(source, recipes) for source in inputs)
    except PublishError as error:
        refused = refused or error.what
    contents = linked(product, versions, recipes, wheels, packed=artifact.packed)
    return PublishedFile(
        name=product.file_name(
            release.version + mark, artifact.target, packed=artifact.packed
        ).name,
        path=directory / artifact.path,
        sha256=artifact.sha256,
        product=product.name,
        version=release.version,
        target=artifact.target,
        packed=artifact.packed,
        mark=mark,
        epoch=release.epoch,
        key=artifact.key,
        engine=artifact.engine,
        isolated=artifact.isolated,
        components=contents,
        tools=tools(versions, recipes, contents),
        sources=sources,
        rebuilt=rebuilt or {},
        reproduced_by=artifact.reproduced_by,
        refused=refused,
    )


def contents_of(
    files: Iterable[PublishedFile],
) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
    """Return what is in the files, and the tools that are in none of them; each once."""
    files = tuple(files)
    components = {it.slug: it for file in files for it in file.components}
    ran = {it.slug: it for file in files for it in file.tools if it.slug not in components}
    return tuple(components.values()), tuple(ran.values())


def require_proven(files: Iterable[PublishedFile]) -> None:
    """Raise PublishError naming every file whose verdict or smoke run is not ok: not run is not ok."""
    refused = {file.path: file.refused for file in files if file.refused}
    if refused:
        lines = [f"  {path.name}: {reason}" for path, reason in refused.items()]
        raise PublishError(
            "\n".join(["Only what is proven can be published:", *lines]),
            why="a smoke run needs an empty root, and qemu for another machine's programs",
            next="inv build these files again where they can be tried, or publish without them",
        )


def _unproven(artifact: Artifact) -> str:
    if not artifact.verdict.ok:
        return "it was refused by verification"
    if not artifact.smoke.ran:
        return f"its smoke run was not run: {artifact.smoke.how}"
    return "" if artifact.smoke.ok else "its smoke run failed"


def resolve(source: Input, recipes: Mapping[str, Recipe]) -> ResolvedDependency:
    """Return a manifest's input as a source. Raises PublishError when it is not pinned like that any more."""
    recipe = recipes.get(source.name)
    release = recipe.release(source.version) if recipe else None
    if release is None or (release.source and release.source.sha256 != source.sha256):
        msg = f"{source.name} {source.version} went in, and is not pinned like that any more."
        raise PublishError(msg, why="the recipe changed since the build", next="inv build")
    archive = release.source
    uri, location = f"pkg:generic/{source.name}@{source.version}", ""
    if archive:
        uri = archive.urls[0] if archive.urls else source_purl(archive)
        location = _public(source.url)
    return ResolvedDependency(
        name=source.name,
        version=source.version,
        sha256=source.sha256,
        uri=uri,
        location="" if location == uri else location,
        tree=archive is None,
    )


def _public(url: str) -> str:
    """A URL as others may see it: no file of this machine, no password, no token."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return ""
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return ""
