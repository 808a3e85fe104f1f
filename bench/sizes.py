"""Bytes of what is built, and what is left of packing once a registry has compressed the layer."""

import argparse
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.bars import BARS, CURLS, Measure
from bench.report import Figure
from core.progress import Report
from core.settings import Settings
from core.target import Target
from flow.context import ROOT, Context
from publish.manifest import read_manifest
from recipes.load import list_products

INV = str(ROOT / "inv")

BEFORE: Mapping[str, str] = {
    "curl:mini": "gcc LTO 325,384; zig cc 343,872",
    "curl:http": "gcc LTO 496,544; zig cc 514,864",
    "curl:https": "gcc LTO, trimmed mbedTLS 659,968",
}
"""What was measured before, elsewhere, of plain files that were not hardened; without the CA bundle."""

ANCHORS = b"ANCHORS\1"

WITH_BUNDLE = ("curl:https",)


def sizes(options: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of every curl, built when it is not, unless it has to be quick."""
    yield from sizes_of(built(CURLS, build=not options.quick))


def sizes_of(files: Mapping[tuple[str, bool], Path]) -> Iterator[Figure]:
    """Bytes of every file, and what is left of packing once a registry has compressed the layer."""
    for product, packed in [(product, packed) for product in CURLS for packed in (False, True)]:
        bar = BARS[product, Measure.PLAIN] if Target.native() is Target.AMD64 else None
        must, aim = (bar.must, bar.aim) if bar and not packed else (None, None)
        before = "" if packed else BEFORE[product]
        file, name = files.get((product, packed)), f"{product} {'packed' if packed else 'plain'}"
        if file is None:
            yield Figure(name, "bytes", None, why="it is not built")
            continue
        size, bundle, label = file.stat().st_size, 0, name
        if product in WITH_BUNDLE and packed:
            label += ", with the CA bundle"  # which of its bytes are the bundle's cannot be told
        elif product in WITH_BUNDLE:
            yield Figure(f"{name}, all of it", "bytes", size)
            label += ", without the CA bundle"
            bundle = authorities_in(file.read_bytes())
            yield Figure(f"{product}: the CA bundle", "bytes", bundle)
        yield Figure(label, "bytes", size - bundle, must=must, aim=aim, reference=before)
        yield Figure(f"{name}, gzipped", "bytes", gzipped(file))


def authorities_in(data: bytes) -> int:
    """How many of the bytes say whom to trust: anchors, or else certificates as PEM."""
    return anchors_in(data).size or bundle_in(data)


def bundle_in(data: bytes) -> int:
    """How many bytes lie from the first certificate to the end of the last."""
    end = b"-----END CERTIFICATE-----\n"
    first = data.find(b"-----BEGIN CERTIFICATE-----\n")
    return data.rfind(end) + len(end) - first if first >= 0 else 0


class Anchors(NamedTuple):
    """Trust anchors in a file."""

    number: int
    size: int
    """In bytes."""


def anchors_in(data: bytes) -> Anchors:
    """The trust anchors in a file, in the form of ``recipes/cacert/format.h``; none when there are none.

    Code that looks for the form has its first bytes as well, but not what must follow them.
    """
    found, at = Anchors(0, 0), data.find(ANCHORS)
    while at >= 0:
        number = int.from_bytes(data[at + 8 : at + 10], "big")
        index = data[at + 10 : at + 10 + 4 * number]
        lengths = [
            int.from_bytes(index[row + 2 : row + 4], "big") for row in range(0, 4 * number, 4)
        ]
        size = 10 + len(index) + sum(lengths)
        hashes = [index[row : row + 2] for row in range(0, len(index), 4)]
        whole = len(index) == 4 * number and at + size <= len(data)
        if number and whole and all(lengths) and hashes == sorted(hashes):
            found = max(found, Anchors(number, size))
        at = data.find(ANCHORS, at + 1)
    return found


def offered(products: Iterable[str]) -> tuple[str, ...]:
    """Those of ``products`` that there are, by the names of today."""
    names = {product.name for product in list_products(open_context().recipes)}
    return tuple(product for product in products if product in names)


def built(products: Sequence[str] = CURLS, *, build: bool = True) -> dict[tuple[str, bool], Path]:
    """Every product for this machine in artifacts/, by name and whether it is packed; ``build``: made if missing."""
    if build:
        subprocess.run([INV, "build", *products], stdout=subprocess.DEVNULL, check=True)
    context = open_context()
    newest = {name: recipe.releases[0].version for name, recipe in context.recipes.items()}
    return {
        (artifact.product, artifact.packed): context.artifacts / artifact.path
        for artifact in read_manifest(context.artifacts)
        if artifact.target == Target.native()
        and artifact.release == newest[artifact.product.partition(":")[0]]
    }


def gzipped(file: Path) -> int:
    """What a registry or its client makes of a layer with this file."""
    return len(zlib.compress(file.read_bytes(), 6))


def open_context(**flags: str) -> Context:
    """The context as `./inv` would set it up."""
    return Context(settings=Settings.read(flags), report=Report())
