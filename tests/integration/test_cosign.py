"""What we sign, as cosign checks it: with the key alone, without a log and without the network."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from recipes.load import load_recipes
from tests.integration.command import Inv
from tests.integration.test_publish import served, shop  # noqa: F401 - fixtures
from tests.integration.test_registry import need

pytestmark = pytest.mark.builds

VERSION = load_recipes()["curl"].releases[0].version
IMAGE = f"static-curl:{VERSION}-mini"
OFFLINE = ("--insecure-ignore-tlog=true",)


def cosign(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run cosign; `.ci/run` brings Debian 13's."""
    if shutil.which("cosign") is None:
        pytest.skip("cosign is not installed")
    return subprocess.run(
        ["cosign", *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


def pem_of(inv: Inv, path: Path) -> Path:
    done = inv("key", "pem")
    assert done.code == 0, done.stderr
    path.write_text(done.stdout)
    return path


@pytest.fixture
def ours(shop: Inv, tmp_path: Path) -> Path:  # noqa: F811
    return pem_of(shop, tmp_path / "ours.pem")


@pytest.fixture
def another(shop: Inv, tmp_path: Path) -> Path:  # noqa: F811
    other = shop.set(key=tmp_path / "other.key")
    assert other("key", "new").code == 0
    return pem_of(other, tmp_path / "another.pem")


@pytest.fixture
def pushed(shop: Inv, served: str) -> str:  # noqa: F811
    """The image's name in a registry."""
    done = shop("publish", "static-curl:mini", "--to", served)
    assert done.code == 0, done.stderr
    return f"{served.removeprefix('oci://')}/{IMAGE}"


def test_an_image_is_verified_by_cosign(pushed: str, ours: Path, another: Path) -> None:
    words = ("verify", *OFFLINE, "--allow-http-registry", "--key")
    done = cosign(*words, ours, pushed)
    assert done.returncode == 0, done.stderr
    (said,) = json.loads(done.stdout)
    assert said["critical"]["identity"]["docker-reference"] == pushed.rpartition(":")[0]
    for platform in manifests(pushed):
        one = cosign(*words, ours, f"{pushed.rpartition(':')[0]}@{platform}")
        assert one.returncode == 0, one.stderr
    refused = cosign(*words, another, pushed)
    assert refused.returncode != 0
    assert "no matching signatures" in refused.stderr


def manifests(name: str) -> list[str]:
    words = [need("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [entry["digest"] for entry in json.loads(done.stdout)["manifests"]]
