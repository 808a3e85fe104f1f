"""Bytes of what is built, and what is left of packing once a registry has compressed the layer."""

import argparse
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.report import Figure
from core.progress import NullReport
from core.settings import Settings
from core.target import Target
from flow.context import ROOT, Context
from publish.manifest import read_manifest

INV = str(ROOT / "inv")
CURLS = ("curl:mini", "curl:http", "curl:https")
PROBES = ("probe:micro", "probe:nuitka")

SIZE_BARS = {
    "curl:mini": (350_000, 310_000),
    "curl:http": (520_000, 480_000),
    "curl:https": (690_000, 640_000),
}
SIZES_BEFORE = {
    "curl:mini": "gcc LTO 325,384; zig cc 343,872",
    "curl:http": "gcc LTO 496,544; zig cc 514,864",
    "curl:https": "gcc LTO, trimmed mbedTLS 659,968",
}


def sizes(_: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of every curl, and what is left of packing once a registry has compressed the layer."""
    files = built()
    for product in CURLS:
        must, aim = SIZE_BARS[product] if Target.native() is Target.AMD64 else (None, None)
        plain, packed = files.get((product, False)), files.get((product, True))
        if plain is None:
            yield Figure(name=f"{product} plain", unit="bytes", value=None, why="it is not built")
            continue
        size, extra, name = plain.stat().st_size, 0, f"{product} plain"
        if product == "curl:https":
            yield Figure(name=f"{product} plain, all of it", unit="bytes", value=size)
            extra = len(output(plain, "--dump-ca-embed").rstrip(b"\n")) + 1
            name = f"{product} plain, without the CA bundle"
            yield Figure(name=f"{product}: the CA bundle", unit="bytes", value=extra)
        before = SIZES_BEFORE[product]
        yield Figure(
            name=name, unit="bytes", value=size - extra, must=must, aim=aim, reference=before
        )
        yield Figure(name=f"{product} plain, gzipped", unit="bytes", value=gzipped(plain))
        if packed is not None:
            yield Figure(name=f"{product} packed", unit="bytes", value=packed.stat().st_size)
            yield Figure(name=f"{product} packed, gzipped", unit="bytes", value=gzipped(packed))


PROBE_BARS = {
    ("probe:micro", False): (1_900_000, 1_300_000),
    ("probe:micro", True): (720_000, 500_000),
    ("probe:nuitka", False): (3_800_000, 2_600_000),
    ("probe:nuitka", True): (1_400_000, 1_000_000),
}


def probe_sizes(_: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of every probe."""
    files = built(PROBES)
    for (product, packed), bars in PROBE_BARS.items():
        must, aim = bars if Target.native() is Target.AMD64 else (None, None)
        file, name = files.get((product, packed)), f"{product} {'packed' if packed else 'plain'}"
        if file is None:
            yield Figure(name=name, unit="bytes", value=None, why="it is not built")
            continue
        size, extra = file.stat().st_size, 0
        if product == "probe:nuitka" and packed:
            name += ", with the CA bundle"  # nobody can tell which of its bytes are the bundle's
        elif product == "probe:nuitka":
            yield Figure(name=f"{name}, all of it", unit="bytes", value=size)
            name, extra = f"{name}, without the CA bundle", bundle_in(file.read_bytes())
            yield Figure(name=f"{product}: the CA bundle", unit="bytes", value=extra)
        yield Figure(name=name, unit="bytes", value=size - extra, must=must, aim=aim)


def bundle_in(data: bytes) -> int:
    """How many bytes lie from the first certificate to the end of the last."""
    end = b"-----END CERTIFICATE-----\n"
    first = data.find(b"-----BEGIN CERTIFICATE-----\n")
    return data.rfind(end) + len(end) - first if first >= 0 else 0


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
    return Context(settings=Settings.read(flags), report=NullReport())
