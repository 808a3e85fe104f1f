"""Images as their users' tools see them: skopeo, umoci, the Docker engine."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from recipes.load import load_recipes
from tests.built import Built
from tests.integration.command import Inv
from tests.integration.seeded_cache import SeededCache, all_but

pytestmark = pytest.mark.builds

VERSION = load_recipes()["curl"].releases[0].version
HTTP = f"static-curl-{VERSION}-http"


def output_of(*words: str | Path) -> str:
    """What another tool prints; it must be installed, and content."""
    name = str(words[0])
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install -y {name}")
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def shop(built: Built, tmp_path: Path) -> Inv:
    """The command with a copy of what is built."""
    shutil.copytree(built.artifacts, tmp_path / "artifacts")
    return built.inv.set(artifacts=tmp_path / "artifacts")


def layouts(inv: Inv, *words: str) -> dict[str, dict[str, object]]:
    done = inv("image", *words, "--json")
    assert done.code == 0, done.stderr
    return {f"{image['name']}:{image['tag']}": image for image in json.loads(done.stdout)}


def test_a_clone_and_a_tarball_give_the_same_images(shop: Inv, tmp_path: Path) -> None:
    here = layouts(shop)
    there = layouts(shop.unpacked(tmp_path / "project"))
    assert {name: image["digest"] for name, image in here.items()} == {
        name: image["digest"] for name, image in there.items()
    }


def test_what_is_built_elsewhere_by_another_engine_gives_the_same_images(
    shop: Inv, built: Built, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    here = layouts(shop)
    assert {f"static-curl:{VERSION}-mini", f"static-curl:{VERSION}-http"} <= set(here)
    # One curl made anew, without isolation, in another directory, at another time.
    other = tmp_path / "other"
    seeded_cache.copy(other / "cache", all_but("curl:mini"))
    inv = Inv(directory=tmp_path, settings=built.settings).set(
        cache=other / "cache", artifacts=other / "artifacts"
    )
    done = inv("build", "curl:mini", "curl:http", "curl:https", "--engine", "host")
    assert done.code == 0, done.stderr
    there = layouts(inv)
    assert {name: image["digest"] for name, image in there.items()} == {
        name: image["digest"] for name, image in here.items()
    }


def test_making_images_again_touches_nothing(shop: Inv, tmp_path: Path) -> None:
    layouts(shop, "--tar")
    directory = tmp_path / "artifacts" / "oci"
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    layouts(shop, "--tar")
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


def test_skopeo_takes_the_layout_and_finds_the_same_digest(shop: Inv, tmp_path: Path) -> None:
    image = layouts(shop)[f"static-curl:{VERSION}-http"]
    layout = tmp_path / "artifacts" / "oci" / HTTP
    output_of(
        "skopeo", "copy", "--all", f"oci:{layout}:{VERSION}-http", f"dir:{tmp_path / 'copied'}"
    )
    copied = (tmp_path / "copied" / "manifest.json").read_bytes()
    assert copied == (layout / "blobs" / str(image["digest"]).replace(":", "/")).read_bytes()


def test_umoci_accepts_the_layout(shop: Inv, tmp_path: Path, built: Built) -> None:
    layouts(shop, "static-curl:http")
    layout = tmp_path / "artifacts" / "oci" / HTTP
    assert output_of("umoci", "ls", "--layout", layout).split() == [f"{VERSION}-http"]
    output_of(
        "umoci", "unpack", "--rootless", "--image", f"{layout}:{VERSION}-http", tmp_path / "bundle"
    )
    root = tmp_path / "bundle" / "rootfs"
    assert [path.name for path in root.iterdir()] == ["curl"]
    assert (root / "curl").read_bytes() == built.file("curl:http").read_bytes()


@pytest.mark.docker
def test_one_tar_is_taken_by_skopeo_and_by_the_engine(shop: Inv, tmp_path: Path) -> None:
    layouts(shop, "static-curl:mini", "--tar")
    tar = tmp_path / "artifacts" / "oci" / f"static-curl-{VERSION}-mini-linux-amd64.tar"
    seen = json.loads(output_of("skopeo", "inspect", f"oci-archive:{tar}"))
    assert (seen["Os"], seen["Architecture"]) == ("linux", "amd64")
    assert "Loaded image" in output_of("docker", "load", "--input", tar)
    try:
        version = output_of(
            "docker", "run", "--rm", "--network=none", f"static-curl:{VERSION}-mini", "-V"
        )
        assert version.startswith(f"curl {VERSION} ")
    finally:
        output_of("docker", "rmi", f"static-curl:{VERSION}-mini")


@pytest.mark.docker
def test_load_puts_the_image_into_the_engine_as_small_as_promised(shop: Inv) -> None:
    done = shop("image", "static-curl:http", "--load")
    assert done.code == 0, done.stderr
    assert f"loaded: static-curl:{VERSION}-http" in done.stdout
    try:
        (image,) = json.loads(output_of("docker", "inspect", f"static-curl:{VERSION}-http"))
        assert image["Size"] <= 530_000
        assert image["Config"]["User"] == "65532:65532"
        assert image["Config"]["Labels"]["org.opencontainers.image.licenses"]
    finally:
        output_of("docker", "rmi", f"static-curl:{VERSION}-http")


def test_an_image_that_does_not_exist_is_not_guessed_at(shop: Inv) -> None:
    done = shop("image", "static-crul")
    assert done.code == 2
    assert "There is no image 'static-crul'" in done.stderr


def test_without_anything_built_the_next_step_is_named(tmp_path: Path) -> None:
    done = Inv(directory=tmp_path).set(artifacts=tmp_path / "artifacts")("image")
    assert done.code == 2
    assert "inv build" in done.stderr


def test_a_file_that_was_changed_since_is_refused(shop: Inv, tmp_path: Path) -> None:
    path = tmp_path / "artifacts" / "files" / f"curl-http-{VERSION}-linux-amd64"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    done = shop("image", "static-curl:http")
    assert done.code == 7
    assert "is not what was proven" in done.stderr
