"""Pulling from a registry that is not to be trusted."""

import dataclasses
import json
from pathlib import Path

import pytest

from core.errors import PublishError
from publish.oci.layout import INDEX, MANIFEST, Descriptor, Layout, canonical
from publish.registry.pull import Limits, list_tags, pull
from publish.registry.reference import Reference
from publish.registry.referrers import fallback_tag
from tests.registry_server import (
    Asked,
    Client,
    ServerFault,
)

REPOSITORY = "from.scratch/tools/static-curl"


@pytest.fixture
def client(client: Client) -> Client:
    """Whose image is there already."""
    client.push()
    client.server.log.clear()
    return client


def bytes_below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("referrers", [False, True])
def test_what_was_pushed_comes_back_byte_for_byte(
    client: Client, tmp_path: Path, *, referrers: bool
) -> None:
    client.server.referrers = referrers
    layout, attachments = client.pull(tmp_path / "pulled")
    assert bytes_below(layout.directory) == bytes_below(client.layout.directory)
    assert Layout.read(layout.directory) == dataclasses.replace(
        client.layout, directory=layout.directory
    )
    assert attachments == client.attachments
    assert client.server.written == []


def test_an_image_is_pulled_by_its_digest(client: Client, tmp_path: Path) -> None:
    layout, attachments = client.pull(tmp_path / "pulled", client.layout.index.digest)
    assert layout == dataclasses.replace(client.layout, directory=layout.directory)
    assert Layout.read(layout.directory) == layout
    assert attachments == client.attachments


def test_what_a_moving_tag_leads_to_is_called_by_its_version(
    client: Client, tmp_path: Path
) -> None:
    client.push("8.21.0-http", "latest", "http")
    for word in ("latest", "http"):
        layout, _ = client.pull(tmp_path / word, word)
        assert layout == dataclasses.replace(client.layout, directory=layout.directory)


def test_an_older_image_under_a_newer_tag_is_refused(client: Client, tmp_path: Path) -> None:
    client.push("8.22.0-http")
    with pytest.raises(
        PublishError, match=r"should hold the image 8\.22\.0-http, and holds 8\.21\.0-http"
    ):
        client.pull(tmp_path / "pulled", "8.22.0-http")
    assert not (tmp_path / "pulled" / "index.json").exists()


def test_a_registry_that_has_learned_to_list_referrers_still_gives_the_old_ones(
    client: Client, tmp_path: Path
) -> None:
    client.server.referrers = client.server.forgot = True
    _, attachments = client.pull(tmp_path / "pulled")
    assert attachments == client.attachments


def test_pulling_again_fetches_no_blob_of_the_image(client: Client, tmp_path: Path) -> None:
    client.pull(tmp_path / "pulled")
    client.server.log.clear()
    client.pull(tmp_path / "pulled")
    layers = [
        layer
        for manifest in client.layout.manifests()
        for layer in client.layout.entries(manifest, "config", "layers")
    ]
    assert not any(client.server.asked(layer.digest) for layer in layers)


def test_an_image_that_is_not_there_is_said_as_it_is(client: Client, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="There is no"):
        client.pull(tmp_path / "pulled", "8.22.0")


def test_tags_of_images_are_listed_page_by_page(client: Client) -> None:
    client.push("latest", "8", "8.21")
    client.server.page = 2
    assert list_tags(client.repository, options=client.options) == (
        "8",
        "8.21",
        "8.21.0-http",
        "latest",
    )
    nothing = dataclasses.replace(client.repository, path="nothing/here")
    assert list_tags(nothing, options=client.options) == ()


@pytest.mark.parametrize("kind", ["layer", "config", "manifest", "index"])
@pytest.mark.parametrize("how", ["flipped", "short", "long", "gone"])
def test_nothing_is_taken_for_what_it_is_not(
    client: Client, tmp_path: Path, kind: str, how: str
) -> None:
    manifest = client.layout.manifests()[1]
    config, layer = client.layout.entries(manifest, "config", "layers")
    digest = {
        "layer": layer.digest,
        "config": config.digest,
        "manifest": manifest.digest,
        "index": client.layout.index.digest,
    }[kind]
    store = client.server.store

    def spoilt(data: bytes) -> bytes:
        changes = {"flipped": bytes([data[0] ^ 1]) + data[1:], "short": data[:-1]}
        return changes.get(how, data + b" ")

    key = (REPOSITORY, digest)
    if how == "gone":
        store.blobs.pop(key, None)
        store.manifests.pop(key, None)
    elif key in store.blobs:
        store.blobs[key] = spoilt(store.blobs[key])
    else:
        store.manifests[key] = (store.manifests[key][0], spoilt(store.manifests[key][1]))
    directory = tmp_path / "pulled"
    with pytest.raises(PublishError):
        client.pull(directory)
    assert not (directory / "index.json").exists()
    assert not client.recorder.running


def test_a_body_that_breaks_off_is_asked_for_again(client: Client, tmp_path: Path) -> None:
    seen: list[Asked] = []

    def once(asked: Asked) -> ServerFault | None:
        if "/blobs/" in asked.path and not seen:
            seen.append(asked)
            return ServerFault.RESET
        return None

    client.server.fault = once
    layout, _ = client.pull(tmp_path / "pulled")
    assert Layout.read(layout.directory) == layout
    assert client.slept == [0.5]


@pytest.mark.parametrize(
    "caps",
    [
        Limits(manifests=1),
        Limits(blobs=3),
        Limits(blob=20),
        Limits(total=50),
        Limits(referrers=0),
    ],
)
def test_more_than_may_be_is_not_taken(client: Client, tmp_path: Path, caps: Limits) -> None:
    reference = Reference(repository=client.repository, word="8.21.0-http")
    with pytest.raises(PublishError, match="are taken"):
        pull(reference, tmp_path / "pulled", limits=caps, options=client.options)


def test_an_attachment_larger_than_may_be_is_not_even_asked_for(
    client: Client, tmp_path: Path
) -> None:
    reference = Reference(repository=client.repository, word="8.21.0-http")
    small = min(client.attachments, key=lambda it: len(it.data))
    caps = Limits(attachment=len(small.data))
    options = client.options
    _, attachments = pull(
        reference, tmp_path / "x", limits=caps, options=options, progress=client.recorder
    )
    assert attachments == (small,)
    large = [it for it in client.attachments if it is not small]
    assert not any(client.server.asked(it.layer.digest) for it in large)
    assert len([note for note in client.recorder.notes if "are taken" in note]) == len(large)


def listed_for(client: Client, *extra: dict[str, object], api: bool) -> None:
    """Somebody adds entries to the image's list, whoever keeps it."""
    client.server.referrers = api
    if api:
        client.server.foreign = extra
        return
    store, tag = client.server.store, fallback_tag(client.layout.index.digest)
    (media_type, data) = store.manifests[REPOSITORY, store.tags[REPOSITORY, tag]]
    content = json.loads(data)
    content["manifests"] += extra
    store.manifests[REPOSITORY, (new := Descriptor.of(canonical(content), INDEX)).digest] = (
        media_type,
        canonical(content),
    )
    store.tags[REPOSITORY, tag] = new.digest


NOTHING = {"mediaType": MANIFEST, "digest": "sha256:" + "0" * 64, "size": 3}
FOREIGN: list[dict[str, object]] = [
    NOTHING,
    {**NOTHING, "digest": "sha512:" + "0" * 128},
    {**NOTHING, "size": -1},
    {**NOTHING, "platform": {"os": "plan9", "architecture": "mips"}},
    {**NOTHING, "platform": "everything"},
    {**NOTHING, "annotations": 3},
    {"digest": "sha256:../../etc/passwd"},
    {**NOTHING, "mediaType": INDEX, "artifactType": "application/vnd.cyclonedx+json"},
]


@pytest.mark.parametrize("api", [False, True])
@pytest.mark.parametrize("entry", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_entry_hides_none_of_ours(
    client: Client, tmp_path: Path, entry: dict[str, object], *, api: bool
) -> None:
    listed_for(client, entry, api=api)
    _, attachments = client.pull(tmp_path / "pulled")
    assert attachments == client.attachments
    assert any("left out" in note for note in client.recorder.notes)


def test_what_the_tag_knows_is_found_beside_what_the_registry_lists(
    client: Client, tmp_path: Path
) -> None:
    """A registry has learned to list, somebody else has attached something since: the list is not empty."""
    about = {"digest": client.layout.index.digest, "mediaType": INDEX, "size": 1}
    data = canonical({"mediaType": MANIFEST, "artifactType": "a/b", "layers": [], "subject": about})
    theirs = Descriptor.of(data, MANIFEST)
    client.server.store.manifests[REPOSITORY, theirs.digest] = (MANIFEST, data)
    client.server.forgot = True
    listed_for(client, {**theirs.as_dict(), "artifactType": "a/b"}, api=True)
    _, attachments = client.pull(tmp_path / "pulled")
    assert attachments == client.attachments


def test_a_tag_that_is_no_list_does_not_hide_what_the_registry_lists(
    client: Client, tmp_path: Path
) -> None:
    client.server.referrers = True
    tag = fallback_tag(client.layout.index.digest)
    data = canonical({"mediaType": MANIFEST})
    client.server.store.manifests[REPOSITORY, (odd := Descriptor.of(data, MANIFEST)).digest] = (
        MANIFEST,
        data,
    )
    client.server.store.tags[REPOSITORY, tag] = odd.digest
    _, attachments = client.pull(tmp_path / "pulled")
    assert attachments == client.attachments


@pytest.mark.parametrize("status", [400, 403, 404, 405, 406, 410, 501])
def test_a_proxy_that_knows_nothing_of_referrers_is_none(
    client: Client, tmp_path: Path, status: int
) -> None:
    client.server.referrers_status = status
    _, attachments = client.pull(tmp_path / "pulled")
    assert attachments == client.attachments
    client.push("8.21.0-http", "latest")
    assert client.slept == []


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        (MANIFEST, b'{"mediaType":"x"}'),
        (INDEX, b"no JSON"),
        (INDEX, b"[" * 100_000),
        (INDEX, b"[]"),
        (INDEX, canonical({"mediaType": INDEX})),
        (INDEX, canonical({"mediaType": INDEX, "manifests": 3})),
        (INDEX, canonical({"mediaType": INDEX, "manifests": [{"digest": "x"}]})),
        (
            INDEX,
            canonical(
                {
                    "mediaType": INDEX,
                    "manifests": [
                        {"mediaType": MANIFEST, "size": -1, "digest": "sha256:" + "0" * 64}
                    ],
                }
            ),
        ),
        (
            INDEX,
            canonical(
                {
                    "mediaType": INDEX,
                    "manifests": [
                        {"mediaType": MANIFEST, "size": 1, "digest": "sha256:../../../../etc/x"}
                    ],
                }
            ),
        ),
    ],
)
def test_what_is_no_image_of_ours_is_refused(
    client: Client, tmp_path: Path, media_type: str, content: bytes
) -> None:
    digest = Descriptor.of(content, media_type).digest
    client.server.store.manifests[REPOSITORY, digest] = (media_type, content)
    client.server.store.tags[REPOSITORY, "bad"] = digest
    with pytest.raises(PublishError):
        client.pull(tmp_path / "pulled", "bad")


def test_other_peoples_attachments_do_no_harm(client: Client, tmp_path: Path) -> None:
    store, index = client.server.store, client.layout.index
    about = {"digest": index.digest, "size": index.size, "mediaType": INDEX}
    odd = [
        canonical({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "subject": about}),
        canonical(
            {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [{}, {}], "subject": about}
        ),
        canonical({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "subject": {}}),
    ]
    tag = fallback_tag(index.digest)
    entries = json.loads(store.manifests[REPOSITORY, store.tags[REPOSITORY, tag]][1])["manifests"]
    for data in odd:
        descriptor = Descriptor.of(data, MANIFEST)
        store.manifests[REPOSITORY, descriptor.digest] = (MANIFEST, data)
        entries.append(descriptor.as_dict())
    listed = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    digest = Descriptor.of(listed, INDEX).digest
    store.manifests[REPOSITORY, digest] = (INDEX, listed)
    store.tags[REPOSITORY, tag] = digest
    _, attachments = client.pull(tmp_path / "pulled")
    assert attachments == client.attachments
    assert len(client.recorder.notes) == 3
