"""From what is built to images: which ones there are, what is in them, and what is said when something lacks."""

import json
from pathlib import Path

import pytest

from commands.image import ImageMaker, ImageSelection, describe_images
from core.errors import UsageError
from core.target import Target
from publish.check.archive import layer_files
from publish.oci.compression import Compression
from publish.oci.layout import Layout
from publish.release.image import PublishedImage
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.flow.conftest import GOOD, PACKED, FakeEnvironment, Harness

TOOLS = """
[tools]
summary = "all of it"
tag = "{hello}-tools"
packed = true
command = ["/bin/hello"]
[[tools.contents]]
product = "hello:plain"
path = "/bin/hello"
[[tools.contents]]
product = "data"
path = "/etc/data"
mode = "0644"
"""

EACH = '[greeter]\nsummary = "says hello"\neach = "hello"\npath = "/hello"\nbare = "plain"\n'


@pytest.fixture
def shop(harness: Harness) -> Harness:
    harness.environment = FakeEnvironment()
    (harness.world.recipes / "images.toml").write_text(EACH + TOOLS)
    harness.build("hello:plain")
    return harness


def make(harness: Harness, *words: str, **options: object) -> dict[str, PublishedImage]:
    made, _ = ImageMaker(context=harness.context()).make(
        ImageSelection(words=words, **options)  # type: ignore[arg-type]
    )
    return {image.layout.reference: image for image in made}


def files(made: PublishedImage) -> dict[str, bytes]:
    (manifest,) = made.layout.manifests()
    (layer,) = made.layout.entries(manifest, "layers")
    data = Compression.of(layer.media_type).unpack(made.layout.blob(layer.digest).read_bytes())
    return {file.path: file.data for file in layer_files(data)}


def test_an_image_of_each_release_and_variant_that_is_built(shop: Harness) -> None:
    assert list(make(shop)) == ["greeter:2.0", "tools:2.0-tools"]
    shop.build("hello:plain@1.0", "hello:secure@1.0")
    assert list(make(shop)) == [
        "greeter:2.0",
        "greeter:1.0",
        "greeter:1.0-secure",
        "tools:2.0-tools",
    ]


def test_moving_tags_follow_the_newest_release_only(shop: Harness) -> None:
    shop.build("hello:plain@1.0")
    made = make(shop, "greeter")
    assert made["greeter:2.0"].moving == ("latest",)
    assert made["greeter:1.0"].moving == ()


def test_plain_and_packed_files_and_data(shop: Harness) -> None:
    made = make(shop)
    assert files(made["greeter:2.0"]) == {"/hello": GOOD}
    assert files(make(shop, "greeter", packed=True)["greeter:2.0-upx"]) == {"/hello": PACKED}
    tools = files(made["tools:2.0-tools"])
    assert tools["/bin/hello"] == PACKED
    assert tools["/etc/data"] == b"data-1.0-linux-amd64"


def test_what_cannot_be_packed_for_a_target_is_plain_in_a_packed_image(shop: Harness) -> None:
    manifest = shop.artifacts / "manifest.json"
    data = json.loads(manifest.read_text())
    data["artifacts"] = [artifact for artifact in data["artifacts"] if not artifact["packed"]]
    manifest.write_text(json.dumps(data))
    assert files(make(shop, "tools")["tools:2.0-tools"])["/bin/hello"] == GOOD


def test_an_image_is_asked_for_by_its_own_name_or_its_products(shop: Harness) -> None:
    for word in ("greeter", "hello", "hello:plain"):
        assert list(make(shop, word)) == ["greeter:2.0"]
    with pytest.raises(UsageError, match="There is no image 'gretter'"):
        make(shop, "gretter")


def test_what_is_not_built_is_named_with_how_to_build_it(shop: Harness) -> None:
    _, lacking = ImageMaker(context=shop.context()).make(ImageSelection())
    assert lacking == ["greeter:secure: not built for one target in common: inv build hello:secure"]
    with pytest.raises(UsageError, match="inv build hello:secure"):
        make(shop, "greeter:secure")
    with pytest.raises(UsageError, match="No image can be made"):
        make(shop, targets=(Target.S390X,))


def test_a_refused_artifact_is_in_no_image(shop: Harness) -> None:
    manifest = shop.artifacts / "manifest.json"
    data = json.loads(manifest.read_text())
    for artifact in data["artifacts"]:
        artifact["verdict"]["ok"] = False
    manifest.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="No image can be made"):
        make(shop)


def test_labels_say_what_it_is_and_where_it_is_from(shop: Harness) -> None:
    maker = ImageMaker(context=shop.context(source="https://example.invalid/repo", revision="f00"))
    (made,), _ = maker.make(ImageSelection(words=("greeter:plain", "greeter")[1:]))
    labels = made.layout.json(made.layout.manifests()[0])["annotations"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == "greeter"
    assert labels[f"{prefix}version"] == "2.0"
    assert labels[f"{prefix}source"] == "https://example.invalid/repo"
    assert (
        f"{prefix}revision" not in labels
    )  # it would follow from the clone, not from the contents
    assert labels[f"{prefix}created"] == "2026-01-02T00:00:00Z"
    assert labels[f"{prefix}licenses"]


def test_the_digest_follows_from_the_contents_alone(shop: Harness) -> None:
    """Not from the commit, nor from what somebody calls it: a shallow clone and a tarball know less of either."""
    digests = set()
    for revision in ("", "f00", "e" * 40):
        made, _ = ImageMaker(context=shop.context(revision=revision)).make(ImageSelection())
        digests.add(tuple(image.layout.index.digest for image in made))
    assert len(digests) == 1


def test_a_layout_is_whole_and_the_table_names_its_digest(shop: Harness, tmp_path: Path) -> None:
    made = make(shop, "greeter")["greeter:2.0"]
    assert Layout.read(shop.artifacts / "oci" / "greeter-2.0") == made.layout
    assert made.layout.index.digest in describe_images([made])
    assert made.as_dict()["bytes"] == {
        "linux/amd64": (DIRECTORY / "good-amd64-static-pie").stat().st_size
    }


@pytest.mark.parametrize("word", ["gz", "zip", "GZIP", " "])
def test_a_compression_that_there_is_not_is_not_guessed_at(word: str) -> None:
    with pytest.raises(UsageError, match=f"There is no compression '{word}'") as caught:
        ImageSelection.of((), "", packed=False, plain=False, compression=word)
    assert caught.value.next == "choose one of: gzip, zstd, none"


@pytest.mark.parametrize("how", Compression)
def test_every_layer_is_compressed_as_was_asked(shop: Harness, how: Compression) -> None:
    for image in make(shop, compression=how).values():
        for manifest in image.layout.manifests():
            (layer,) = image.layout.entries(manifest, "layers")
            assert layer.media_type == how.media_type


def test_an_index_says_what_the_image_is(shop: Harness) -> None:
    made = make(shop, "greeter")["greeter:2.0"]
    said = made.layout.json(made.layout.index)["annotations"]
    prefix = "org.opencontainers.image."
    assert said[f"{prefix}title"] == "greeter"
    assert said[f"{prefix}description"] == "says hello"
    assert {f"{prefix}version", f"{prefix}licenses", f"{prefix}created"} <= set(said)


def test_the_table_tells_what_is_pulled_from_what_is_in_it(shop: Harness) -> None:
    made = make(shop, "greeter")["greeter:2.0"]
    pulled, files = made.as_dict()["pulled"]["linux/amd64"], made.as_dict()["bytes"]["linux/amd64"]
    row = describe_images([made]).splitlines()[-1]
    assert f"{pulled:,}" in row
    assert f"{files:,}" in row
