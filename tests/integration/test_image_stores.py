"""Both ways in which Docker keeps images: its own graph driver, and containerd's store, the default since 29.

``FROMSCRATCH_TEST_CONTAINERD`` names the socket of an engine with the latter; `.ci/run` starts one.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from recipes.load import load_recipes
from tests.built import Built
from tests.integration.command import Inv
from tests.integration.test_publish import served, shop  # noqa: F401 - fixtures

pytestmark = [pytest.mark.builds, pytest.mark.docker]

VERSION = load_recipes()["curl"].releases[0].version
IMAGE = f"static-curl:{VERSION}-mini"
COMPRESSIONS = ("gzip", "zstd", "none")
READS_ZSTD = 23
"""The first major version whose graph driver does: https://docs.docker.com/engine/release-notes/23.0/."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """An engine, by how it keeps its images."""

    name: str
    host: str

    def call(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["docker", "-H", self.host, *map(str, words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def docker(self, *words: str | Path) -> str:
        """What a docker command prints; it must be content."""
        done = self.call(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def reads(self, compression: str) -> bool:
        """Whether the engine is new enough."""
        major = int(self.docker("version", "--format", "{{.Server.Version}}").split(".")[0])
        return compression != "zstd" or major >= READS_ZSTD

    def runs(self, image: str) -> None:
        """What is in the image starts, and is what it is called."""
        said = self.docker("run", "--rm", "--network=none", image, "-V")
        assert said.startswith(f"curl {VERSION} "), said


def stores() -> dict[str, str]:
    """The socket of each engine that there is, by how it keeps its images."""
    found = {"graph driver": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")}
    if host := os.environ.get("FROMSCRATCH_TEST_CONTAINERD"):
        found["containerd"] = host
    return found


@pytest.fixture(params=["graph driver", "containerd"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    name = str(request.param)
    host = stores().get(name)
    if host is None:
        pytest.skip("FROMSCRATCH_TEST_CONTAINERD names no engine with containerd's image store")
    store = Store(name=name, host=host)
    kept = store.docker("info", "--format", "{{.DriverStatus}}")
    assert ("io.containerd.snapshotter" in kept) == (name == "containerd"), kept
    yield store
    store.call("rmi", "--force", IMAGE)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_load_and_run(shop: Inv, store: Store, compression: str) -> None:  # noqa: F811
    inv = shop.environ(DOCKER_HOST=store.host)
    done = inv("image", "static-curl:mini", "--compression", compression, "--load")
    if not store.reads(compression):
        assert done.code == 6
        assert "may be too old for layers in zstd" in done.stderr
        assert "every engine reads gzip" in done.stderr
        return
    assert done.code == 0, done.stderr
    assert f"loaded: {IMAGE}" in done.stdout
    store.runs(IMAGE)
    (seen,) = json.loads(store.docker("image", "inspect", IMAGE))
    assert seen["RepoTags"] == [IMAGE]
    assert seen["Config"]["User"] == "65532:65532"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_tar_is_loaded_under_its_name_and_run(
    shop: Inv,  # noqa: F811
    store: Store,
    tmp_path: Path,
    compression: str,
) -> None:
    done = shop("image", "static-curl:mini", "--compression", compression, "--tar")
    assert done.code == 0, done.stderr
    tar = tmp_path / "artifacts" / "oci" / f"static-curl-{VERSION}-mini-linux-amd64.tar"
    if not store.reads(compression):
        assert "invalid tar header" in store.call("load", "--input", tar).stderr
        return
    assert f"Loaded image: {IMAGE}" in store.docker("load", "--input", tar)
    store.runs(IMAGE)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_pull_and_run(shop: Inv, store: Store, served: str, compression: str) -> None:  # noqa: F811
    words = ("publish", "static-curl:mini", "--compression", compression, "--to", served)
    done = shop(*words, "--json")
    assert done.code == 0, done.stderr
    (pushed,) = json.loads(done.stdout)
    try:
        if not store.reads(compression):
            assert "invalid tar header" in store.call("pull", pushed["reference"]).stderr
            return
        assert pushed["digest"] in store.docker("pull", pushed["reference"])
        store.runs(pushed["reference"])
    finally:
        store.call("rmi", "--force", pushed["reference"])
    checked = shop("verify", "--release", served, "--key", f"{shop.settings['key']}.pub")
    assert checked.code == 0, checked.stdout


def test_what_is_pulled_is_as_large_as_was_said(
    shop: Inv,  # noqa: F811
    built: Built,
    served: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    (image,) = json.loads(shop("image", "static-curl:mini", "--json").stdout)
    assert shop("publish", "static-curl:mini", "--to", served).code == 0
    name = f"docker://{served.removeprefix('oci://')}/{IMAGE}"
    copy: Sequence[str | Path] = ("copy", "--src-tls-verify=false", name, f"dir:{tmp_path}/copy")
    subprocess.run([shutil.which("skopeo") or "skopeo", *map(str, copy)], check=True)
    files = [path for path in (tmp_path / "copy").iterdir() if path.name != "version"]
    assert image["pulled"]["linux/amd64"] == sum(path.stat().st_size for path in files)
    assert image["pulled"]["linux/amd64"] < 0.65 * built.file("curl:mini").stat().st_size
