"""Bytes of what is built, and what is left of packing once a registry has compressed the layer."""

import argparse
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.report import Figure
from core.progress import Report
from core.settings import Settings
from core.target import Target
from flow.context import ROOT, Context
from publish.manifest import read_manifest

INV = str(ROOT / "inv")
CURLS = ("curl:mini", "curl:http", "curl:https")
PROBES = ("probe:micro", "probe:nuitka")

BARS: Mapping[tuple[str, bool], tuple[int | None, int | None, str]] = {
    ("curl:mini", False): (350_000, 310_000, "gcc LTO 325,384; zig cc 343,872"),
    ("curl:mini", True): (None, None, ""),
    ("curl:http", False): (520_000, 480_000, "gcc LTO 496,544; zig cc 514,864"),
    ("curl:http", True): (None, None, ""),
    ("curl:https", False): (690_000, 640_000, "gcc LTO, trimmed mbedTLS 659,968"),
    ("curl:https", True): (None, None, ""),
    ("probe:micro", False): (1_900_000, 1_300_000, ""),
    ("probe:micro", True): (720_000, 500_000, ""),
    ("probe:nuitka", False): (3_800_000, 2_600_000, ""),
    ("probe:nuitka", True): (1_400_000, 1_000_000, ""),
}
"""What a file must and should not exceed, packed or not, and what was measured before; without the CA bundle."""

ANCHORS = b"ANCHORS\1"
"""What trust anchors begin with."""

WITH_BUNDLE = ("curl:https", "probe:nuitka")


def sizes(_: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of every file, and what is left of packing once a registry has compressed the layer."""
    files = built((*CURLS, *PROBES))
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
            bundle = bundle_in(
                output(file, "--dump-ca-embed") if "curl" in product else file.read_bytes()
            )
            yield Figure(f"{product}: the CA bundle", "bytes", bundle)
        yield Figure(label, "bytes", size - bundle, must=must, aim=aim, reference=before)
        if product in CURLS:
            yield Figure(f"{name}, gzipped", "bytes", gzipped(file))


def bundle_in(data: bytes) -> int:
    """How many bytes lie from the first certificate to the end of the last, or are trust anchors."""
    # What looks for anchors has the word, too, and none behind it.
    if anchors := max(map(_size_of_anchors, data.split(ANCHORS)[1:]), default=0):
        return anchors
    end = b"-----END CERTIFICATE-----\n"
    first = data.find(b"-----BEGIN CERTIFICATE-----\n")
    return data.rfind(end) + len(end) - first if first >= 0 else 0


def _size_of_anchors(data: bytes) -> int:
    """How many bytes they are, with ``data`` behind `ANCHORS`: recipes/cacert/format.h. 0 for something else."""
    head, entry = 2, 4
    records = head + entry * int.from_bytes(data[:head], "big")
    index = [data[at : at + entry] for at in range(head, records, entry)]
    size = records + sum(int.from_bytes(lengths[2:], "big") for lengths in index)
    return len(ANCHORS) + size if index == sorted(index) and head < size <= len(data) else 0


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
