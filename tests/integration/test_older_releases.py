"""Every release that is pinned takes our patches: an older one is built where the newest cannot be had."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from builders.engines.engine import Engine
from console.progress import PlainReport
from core.settings import Settings
from flow.context import Context
from flow.fetch import fetch_sources
from recipes.load import HERE
from tests.built import USERS

pytestmark = pytest.mark.builds

PATCH = HERE / "toolchain" / "patch.awk"
RECIPES = ("curl", "libssh2", "mbedtls", "musl", "openssl")
ALONE = frozenset({"libssh2"})
"""Of these one release is pinned."""


def no_engine(_: Context) -> Engine:
    raise AssertionError


def patches(directory: Path, version: str) -> list[Path]:
    """Those of a release: an older one has its own in place of the one of the same name, where it differs."""
    found = sorted(directory.glob("**/*.patch"))
    names = {path.stem for path in found}
    own = [path for path in found if path.stem.endswith(f"-{version}")]
    replaced = {path.stem.removesuffix(f"-{version}") for path in own}
    common = [
        path
        for path in found
        if path.stem not in replaced
        and not any(path.stem.startswith(f"{name}-") for name in names - {path.stem})
    ]
    return own + common


def test_every_recipe_with_patches_is_here() -> None:
    assert {path.relative_to(HERE).parts[0] for path in HERE.glob("**/*.patch")} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_the_patches_fit(name: str, tmp_path: Path) -> None:
    names = {name: f"FROMSCRATCH_{name.upper()}" for name in USERS}
    given = {name: os.environ[name_] for name, name_ in names.items() if name_ in os.environ}
    context = Context(settings=Settings.read(given), report=PlainReport(), find_engine=no_engine)
    recipe = context.recipes[name]
    assert (len(recipe.releases) > 1) == (name not in ALONE)
    for release in recipe.releases:
        sources = fetch_sources(context, [recipe], {name: release.version}, exact=True)
        source = tmp_path / release.version
        with tarfile.open(sources[name][1].path) as archive:
            top = archive.getnames()[0].partition("/")[0]
            archive.extractall(source, filter="data")
        files = patches(recipe.directory, release.version)
        assert files
        done = subprocess.run(
            ["awk", "-v", f"source={source / top}", "-f", PATCH, *files],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), release.version
