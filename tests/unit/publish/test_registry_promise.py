"""Names that never move do not move, and short ones go forward only; whatever is refused, nothing was sent."""

import dataclasses
import json
from pathlib import Path

import pytest

from core.errors import PublishError
from publish.oci.layout import INDEX, Descriptor, Layout, canonical
from publish.registry.promise import TagPromise, check_promise, number_of, order
from publish.registry.push import push
from tests.registry_server import Client, tiny_layout

VERSION, SHORT = "8.21.0-http", "http"
PROMISE = TagPromise(firm=(VERSION,), forward=(SHORT, "latest"))


def send(client: Client, layout: Layout, *tags: str, dry: bool = False) -> None:
    push(
        layout,
        client.repository,
        tags,
        (),
        dry=dry,
        promise=dataclasses.replace(PROMISE, firm=(layout.tag,)),
        options=client.options,
    )


def versioned(directory: Path, version: str) -> Layout:
    """The small image as another version of itself."""
    layout = tiny_layout(directory, word=version)
    entries = []
    for manifest in layout.manifests():
        content = json.loads(layout.blob(manifest.digest).read_bytes())
        content["annotations"] = {"org.opencontainers.image.version": version} if version else {}
        data = canonical(content)
        made = Descriptor.of(data, manifest.media_type)
        (directory / made.path).write_bytes(data)
        entries.append(dataclasses.replace(made, platform=manifest.platform).as_dict())
    data = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    index = Descriptor.of(data, INDEX)
    (directory / index.path).write_bytes(data)
    return dataclasses.replace(layout, tag=version or "none", index=index)


@pytest.mark.parametrize("dry", [False, True])
def test_a_version_s_tag_is_not_moved(client: Client, tmp_path: Path, dry: bool) -> None:
    send(client, client.layout, VERSION)
    other = tiny_layout(tmp_path / "other", word="!")
    before = len(client.server.written)
    with pytest.raises(PublishError, match="is another image already") as refused:
        send(client, other, VERSION, dry=dry)
    assert client.layout.index.digest in refused.value.what
    assert other.index.digest in refused.value.what
    assert refused.value.next.startswith("inv publish --build-number 1")
    assert refused.value.code == 7
    assert len(client.server.written) == before
    assert client.tagged == {VERSION: client.layout.index.digest}
    with pytest.raises(PublishError, match="is another image already"):
        check_promise(other, client.repository, [VERSION], PROMISE, options=client.options)


def test_the_same_image_again_is_no_move(client: Client) -> None:
    for _ in range(2):
        send(client, client.layout, VERSION, SHORT)
    assert set(client.tagged) == {VERSION, SHORT}


def test_a_build_number_makes_another_name(client: Client, tmp_path: Path) -> None:
    send(client, client.layout, VERSION, SHORT)
    again = versioned(tmp_path / "again", "8.21.0-r1-http")
    send(client, again, "8.21.0-r1-http", SHORT)
    assert client.tagged == {
        VERSION: client.layout.index.digest,
        "8.21.0-r1-http": again.index.digest,
        SHORT: again.index.digest,
    }


@pytest.mark.parametrize("older", ["8.20.0-http", "8.9.1-http", "8.21.0-http"])
def test_a_short_tag_does_not_go_back(client: Client, tmp_path: Path, older: str) -> None:
    new = versioned(tmp_path / "new", "8.21.0-r2-http")
    send(client, new, new.tag, SHORT)
    old = versioned(tmp_path / "old", older)
    with pytest.raises(PublishError, match=r"is 8\.21\.0-r2-http already, and would go back"):
        send(client, old, older, SHORT)
    assert client.tagged == {new.tag: new.index.digest, SHORT: new.index.digest}
    send(client, old, older)  # by its own name it may come
    newer = versioned(tmp_path / "newer", "8.22.0-http")
    send(client, newer, newer.tag, SHORT)
    assert client.tagged[SHORT] == newer.index.digest


def test_what_nobody_knows_the_version_of_is_not_replaced(client: Client, tmp_path: Path) -> None:
    stranger = versioned(tmp_path / "stranger", "")
    push(stranger, client.repository, (SHORT,), (), options=client.options)
    with pytest.raises(PublishError, match="names no version"):
        send(client, client.layout, VERSION, SHORT)
    assert set(client.tagged) == {SHORT}


def test_numbers() -> None:
    assert [number_of(tag) for tag in ("8.21.0-mini", "8.21.0-r12-mini", "1-r3")] == [0, 12, 3]
    assert number_of("1-rare") == 0
    tags = ["8.9.0-mini", "8.21.0-mini", "8.21.0-r2-mini", "8.21.0-r10-mini", "8.21.1-mini"]
    assert sorted(tags, key=order) == tags
