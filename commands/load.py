"""Putting an image into a Docker engine: the one platform that the engine is for, and no other."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from builders.engines.docker import engine_errors
from core.errors import EngineError, UsageError
from core.target import Target
from publish.oci.archive import write_archive
from publish.oci.compression import Compression
from publish.oci.layout import Descriptor, Layout


class Images(Protocol):
    """What we use of the SDK's collection of images."""

    def load(self, data: BinaryIO) -> Any:
        """Take a tar."""


class Engine(Protocol):
    """What we use of the SDK's client."""

    @property
    def images(self) -> Images:
        """Those that the engine has."""

    def version(self) -> Mapping[str, Any]:
        """https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemVersion."""

    def info(self) -> Mapping[str, Any]:
        """…/SystemInfo, where ``Architecture`` is what the kernel calls the machine."""


def load(layout: Layout, engine: Engine) -> str:
    """Put an image into ``engine``; return the name that it has there.

    Raises EngineError when the engine does not take it, UsageError when the image is not for its platform.
    """
    with engine_errors():
        version, info = engine.version(), engine.info()
    wanted = platforms_of(version["Os"], version["Arch"], str(info.get("Architecture", "")))
    manifest = _chosen(layout, wanted)
    if manifest is None:
        native = wanted[0] if wanted else f"{version['Os']}/{version['Arch']}"
        msg = f"{layout.reference} is not for the Docker engine's platform, {native}."
        raise UsageError(msg, next=f"inv build --target {native}, then inv image --load")
    with tempfile.TemporaryDirectory(prefix="fromscratch-") as directory:
        path = Path(directory) / "image.tar"
        write_archive(path, layout, manifest)
        with _explained(layout, manifest, version), engine_errors(), path.open("rb") as file:
            loaded = engine.images.load(file)
    names = {tag for image in loaded for tag in image.tags}
    if not names & {layout.reference, layout.full_name}:
        msg = f"The Docker engine took the image, and has no {layout.reference}."
        raise EngineError(
            msg, why=f"it calls it: {', '.join(sorted(names))}", next="docker images -a"
        )
    return layout.reference


@contextlib.contextmanager
def _explained(layout: Layout, manifest: Descriptor, version: Mapping[str, Any]) -> Iterator[None]:
    """An engine that cannot read zstd takes it for a broken tar, and says no more than that."""
    try:
        yield
    except EngineError as error:
        kinds = {layer.media_type for layer in layout.entries(manifest, "layers")}
        if Compression.ZSTD.media_type not in kinds:
            raise
        raise EngineError(
            error.what,
            why=f"Docker {version.get('Version', '')} may be too old for layers in zstd",
            next="inv image --load without --compression: every engine reads gzip",
        ) from error


def platforms_of(system: str, architecture: str, machine: str) -> tuple[Target, ...]:
    """Return the targets whose images an engine is for, the best first.

    Engines name no variant of ARM: ``machine``, as the kernel has it, tells how new it is. One that is not known gets
    what runs on all of them.
    """
    name = f"{system}/{architecture}"
    variants = [it for it in Target if it.value == name or it.value.startswith(f"{name}/")]
    newest = machine in {"aarch64", "armv8l"}  # an engine of 32 bits there runs every variant
    known = [number for number, it in enumerate(variants) if machine in it.machine.uname]
    first = 0 if newest else known[0] if known else max(len(variants) - 1, 0)
    return tuple(variants[first:])


def _chosen(layout: Layout, wanted: tuple[Target, ...]) -> Descriptor | None:
    made = {manifest.platform: manifest for manifest in layout.manifests()}
    return next((made[target] for target in wanted if target in made), None)
