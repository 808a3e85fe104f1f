"""The files of an earlier release, by product, target and form: out of a manifest, or of a release directory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import UsageError
from core.target import Target
from publish.manifest import NAME, Artifact, read_manifest
from recipes.model import PACKED
from report.data import Before

Key = tuple[str, str, bool]
"""``curl:https``, ``linux/amd64``, packed."""

Previous = Mapping[Key, Before]


def read_previous(path: Path, products: Iterable[str]) -> Previous:
    """Return what a manifest, a directory with one, or a release directory has; of a release, files of ``products``.

    Raises UsageError when it is none of them or holds none of our files, RecipeError for a manifest that is damaged.
    """
    directory = path.parent if path.name == NAME and path.is_file() else path
    if not directory.is_dir():
        what = "is no directory and no manifest.json" if path.exists() else "is not there"
        msg = f"'{path}' {what}: there is nothing to compare with."
        raise UsageError(
            msg, next="name a manifest.json, a directory with one, a release, or oci://…"
        )
    found = of_manifest(read_manifest(directory)) or _of_release(directory, products)
    if not found:
        msg = f"'{path}' has no manifest.json with files in it, and no released files of these products."
        raise UsageError(msg, next="name what ./inv build or ./inv publish --to DIR has made")
    return found


def of_manifest(artifacts: Iterable[Artifact]) -> Previous:
    """Return what a manifest lists."""
    return {
        (it.product, it.target.value, it.packed): Before(release=it.release, size=it.size)
        for it in artifacts
    }


def _of_release(directory: Path, products: Iterable[str]) -> Previous:
    """Names say what the files are: ``curl-http-8.22.0-linux-amd64.upx``."""
    ends = {
        f"-{it.slug}{PACKED if packed else ''}": (it, packed)
        for it in Target
        for packed in (True, False)
    }
    names = sorted(products, key=len, reverse=True)
    found: dict[Key, Before] = {}
    for file in sorted(it for it in directory.iterdir() if it.is_file()):
        for end, (target, packed) in ends.items():
            stem = file.name.removesuffix(end)
            product = next((it for it in names if stem.startswith(f"{it.replace(':', '-')}-")), "")
            if stem == file.name or not product:
                continue
            release = stem.removeprefix(f"{product.replace(':', '-')}-")
            if release[:1].isdigit():
                size = file.stat().st_size
                found[product, target.value, packed] = Before(release=release, size=size)
    return found
