"""Bytes of what is built, and what is left of packing once a registry has compressed the layer."""

import argparse
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.report import Figure
from core.progress import Report
from core.settings import Settings
from core.target import Target
from flow.context import ROOT, Context
from publish.manifest import read_manifest

INV = str(ROOT / "inv")
CURLS = ("curl:mini", "curl:http", "curl:https")

BARS: Mapping[tuple[str, bool], tuple[int | None, int | None, str]] = {
    ("curl:mini", False): (350_000, 310_000, "gcc LTO 325,384; zig cc 343,872"),
    ("curl:mini", True): (None, None, ""),
    ("curl:http", False): (520_000, 480_000, "gcc LTO 496,544; zig cc 514,864"),
    ("curl:http", True): (None, None, ""),
    ("curl:https", False): (690_000, 640_000, "gcc LTO, trimmed mbedTLS 659,968"),
    ("curl:https", True): (None, None, ""),
}
"""What a file must and should not exceed, packed or not, and what was measured before; without the CA bundle."""

ANCHORS = b"ANCHORS\1"

WITH_BUNDLE = ("curl:https",)


def sizes(_: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of every file, and what is left of packing once a registry has compressed the layer."""
    files = built(CURLS)
    for (product, packed), (most, best, before) in BARS.items():
        must, aim = (most, best) if Target.native() is Target.AMD64 else (None, None)
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
            bundle = authorities_in(output(file, "--dump-ca-embed"))
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


def built(products: Sequence[str] = CURLS) -> dict[tuple[str, bool], Path]:
    """Every product for this machine in artifacts/, by name and whether it is packed; built when missing."""
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


def output(program: Path, *args: str) -> bytes:
    """What a program prints."""
    return subprocess.run([program, *args], capture_output=True, check=True).stdout


def open_context(**flags: str) -> Context:
    """The context as `./inv` would set it up."""
    return Context(settings=Settings.read(flags), report=Report())
