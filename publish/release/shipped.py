"""The files that may be published: those of the manifest that are proven, with all that is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from core.errors import PublishError
from core.target import Target
from publish.trust.components import Component, Wheel, linked, source_purl
from recipes.load import find_product
from recipes.model import Recipe


@dataclass(frozen=True, kw_only=True)
class Resolved:
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
class Shipped:
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
    epoch: int
    """The release's date in seconds since 1970: the only time that anything here says."""
    key: str
    """The action key of the step that made it."""
    engine: str
    isolated: bool
    components: tuple[Component, ...]
    sources: tuple[Resolved, ...] = ()


def shipped_files(
    entries: Sequence[Mapping[str, Any]],
    artifacts: Path,
    recipes: Mapping[str, Recipe],
    wheels: Sequence[Wheel],
) -> tuple[Shipped, ...]:
    """Return the manifest's ``entries`` as files to be published; ``artifacts`` is its directory.

    Raises PublishError naming every file whose verdict or smoke run is not ok: not run is not ok.
    """
    refused = [line for entry in entries if (line := _trouble(entry))]
    if refused:
        msg = "Only what is proven can be published:\n" + "\n".join(refused)
        raise PublishError(
            msg,
            why="a smoke run needs an empty root, and qemu for another machine's programs",
            next="inv build these files again where they can be tried, or publish without them",
        )
    by_name = {wheel.name: wheel for wheel in wheels}
    return tuple(_shipped(entry, artifacts, recipes, by_name) for entry in entries)


def _trouble(entry: Mapping[str, Any]) -> str:
    verdict, smoke = entry["verdict"], entry["smoke"]
    if verdict["ok"] is not True:
        return f"  {entry['path']}: it was refused by verification"
    if smoke["ran"] is not True:
        return f"  {entry['path']}: its smoke run was not run: {smoke['how']}"
    return "" if smoke["ok"] is True else f"  {entry['path']}: its smoke run failed"


def _shipped(
    entry: Mapping[str, Any],
    artifacts: Path,
    recipes: Mapping[str, Recipe],
    wheels: Mapping[str, Wheel],
) -> Shipped:
    product = find_product(str(entry["product"]), recipes)
    release = product.recipe.release(str(entry["release"]))
    if release is None:
        msg = f"{entry['path']}: this release is not pinned any more."
        raise PublishError(msg, why="the recipe changed since the build", next="inv build")
    inputs = {one["name"]: one for one in entry["inputs"]}
    versions = {name: str(one["version"]) for name, one in inputs.items()}
    packed = bool(entry["packed"])
    target = Target.parse(str(entry["target"]))
    return Shipped(
        name=product.file_name(release.version, target, packed=packed).name,
        path=artifacts / str(entry["path"]),
        sha256=str(entry["sha256"]),
        product=product.name,
        version=release.version,
        target=target,
        packed=packed,
        epoch=release.epoch,
        key=str(entry["key"]),
        engine=str(entry["engine"]),
        isolated=bool(entry["isolated"]),
        components=linked(product, versions, recipes, wheels, packed=packed),
        sources=tuple(resolved(inputs[name], recipes) for name in sorted(inputs)),
    )


def resolved(one: Mapping[str, Any], recipes: Mapping[str, Recipe]) -> Resolved:
    """Return a manifest's input as a source. Raises PublishError when it is not pinned like that any more."""
    name, version, sha256 = str(one["name"]), str(one["version"]), str(one["sha256"])
    recipe = recipes.get(name)
    release = recipe.release(version) if recipe else None
    if release is None or (release.source and release.source.sha256 != sha256):
        msg = f"{name} {version} went in, and is not pinned like that any more."
        raise PublishError(msg, why="the recipe changed since the build", next="inv build")
    source = release.source
    if source is None:
        return Resolved(
            name=name,
            version=version,
            sha256=sha256,
            uri=f"pkg:generic/{name}@{version}",
            location="",
            tree=True,
        )
    uri = source.urls[0] if source.urls else source_purl(source)
    location = _public(str(one["url"]))
    return Resolved(
        name=name,
        version=version,
        sha256=sha256,
        uri=uri,
        location="" if location == uri else location,
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
