"""Pushing to a registry that does its part: the order of things, and that nothing is done twice."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import PublishError, UsageError
from publish.oci.attachment import Attachment
from publish.oci.layout import INDEX, MANIFEST, Descriptor, canonical
from publish.registry.referrers import fallback_tag, merged
from publish.registry.upload_item import ItemKind
from tests.registry_server import (
    Asked,
    Client,
    LocationForm,
    RegistryServer,
    tiny_layout,
)

REPOSITORY = "from.scratch/tools/static-curl"


def bare(client: Client) -> Client:
    client.attachments = ()
    return client


def put_paths(server: RegistryServer) -> list[str]:
    return [line.rpartition("/")[2] for line in server.asked("PUT") if "/manifests/" in line]


def put(client: Client, media_type: str, data: bytes) -> Descriptor:
    """Somebody else's manifest."""
    descriptor = Descriptor.of(data, media_type)
    client.server.store.manifests[REPOSITORY, descriptor.digest] = (media_type, data)
    return descriptor


def put_list(client: Client, *entries: dict[str, Any]) -> str:
    """Somebody else's list of what refers to the image."""
    index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)})
    tag = fallback_tag(client.layout.index.digest)
    client.server.store.tags[REPOSITORY, tag] = put(client, INDEX, index).digest
    return tag


def listed_digests(client: Client, tag: str) -> set[str]:
    store = client.server.store
    listed = json.loads(store.manifests[REPOSITORY, store.tags[REPOSITORY, tag]][1])["manifests"]
    return {entry["digest"] for entry in listed}


def test_blobs_then_manifests_then_the_index_then_what_is_said_then_the_tags(
    client: Client,
) -> None:
    done = client.push("8.21.0-http", "latest")
    index = client.layout.index.digest
    manifests = [manifest.digest for manifest in client.layout.manifests()]
    puts = put_paths(client.server)
    assert puts[:3] == [*manifests, index]
    assert puts[-2:] == ["8.21.0-http", "latest"]
    digests = puts[3:-2]
    assert {attachment.descriptor.digest for attachment in client.attachments} <= set(digests)
    for subject in (index, *manifests):  # each list after what is on it
        about = [
            attachment for attachment in client.attachments if attachment.subject.digest == subject
        ]
        assert max(
            digests.index(attachment.descriptor.digest) for attachment in about
        ) < digests.index(fallback_tag(subject))
    assert done.reference == f"{client.server.host}/{REPOSITORY}:8.21.0-http"
    assert done.digest == index
    assert client.tagged == {"8.21.0-http": index, "latest": index}
    assert client.server.store.incomplete() == []


def test_a_platforms_blobs_are_there_before_its_manifest(client: Client) -> None:
    seen: list[bool] = []

    def watch(kind: str, data: bytes) -> bytes:
        if kind == "manifest":
            content = json.loads(data)
            parts = [*content.get("layers", []), *filter(None, [content.get("config")])]
            seen.extend((REPOSITORY, part["digest"]) in client.server.store.blobs for part in parts)
        return data

    client.server.change = watch
    client.push()
    assert seen
    assert all(seen)


def test_the_bytes_in_the_registry_are_those_of_the_layout(client: Client) -> None:
    client.push()
    for descriptor in client.layout.reachable():
        data = client.layout.blob(descriptor.digest).read_bytes()
        store = client.server.store
        if descriptor.media_type in {INDEX, MANIFEST}:
            assert store.manifests[REPOSITORY, descriptor.digest] == (descriptor.media_type, data)
        else:
            assert store.blobs[REPOSITORY, descriptor.digest] == data


def test_pushing_again_sends_nothing_and_moves_nothing(client: Client) -> None:
    first = client.push()
    assert first.uploaded > 0
    assert first.changed
    client.server.log.clear()
    second = client.push()
    assert client.server.written == []
    assert (second.uploaded, second.present) == (0, first.uploaded)
    assert not second.changed
    assert second.digest == first.digest


def test_a_missing_blob_alone_is_sent_again(client: Client) -> None:
    first = client.push()
    item = next(item for item in first.items if item.label == "linux/arm/v7 layer")
    del client.server.store.blobs[REPOSITORY, item.digest]
    second = client.push()
    assert second.uploaded == item.size
    assert client.server.store.incomplete() == []


def test_a_tag_is_moved_to_another_image_and_says_from_where(
    client: Client, tmp_path: Path
) -> None:
    first = bare(client).push("latest")
    other = dataclasses.replace(client, layout=tiny_layout(tmp_path / "other", word="!"))
    planned = other.push("latest", dry=True)
    (tag,) = [item for item in planned.items if item.kind is ItemKind.TAG]
    assert tag.before == first.digest
    assert client.tagged == {"latest": first.digest}
    other.push("latest")
    assert client.tagged == {"latest": other.layout.index.digest}


def test_what_would_be_pushed_is_told_without_writing(client: Client) -> None:
    planned = client.push("8.21.0-http", "latest", dry=True)
    assert client.server.written == []
    done = client.push("8.21.0-http", "latest")
    assert [dataclasses.replace(item, size=0) for item in planned.items] == [
        dataclasses.replace(item, size=0) for item in done.items
    ]
    assert planned.uploaded == done.uploaded
    again = client.push("8.21.0-http", "latest", dry=True)
    assert all(item.present for item in again.items)
    assert {item.kind for item in again.items} == set(ItemKind)


def test_progress_counts_every_byte_of_every_blob(client: Client) -> None:
    done = client.push()
    blobs = [item for item in done.items if item.kind is ItemKind.BLOB]
    assert client.recorder.bytes == sum(item.size for item in blobs)
    assert client.recorder.labels == [item.label for item in blobs]
    assert not client.recorder.running


def test_one_connection_is_enough(client: Client) -> None:
    client.push()
    assert len(client.server.log) > 30
    assert client.server.connections == 1


@pytest.mark.parametrize("form", LocationForm)
def test_an_upload_goes_on_where_the_registry_says(client: Client, form: LocationForm) -> None:
    client.server.location_form = form
    client.push()
    assert client.server.store.incomplete() == []
    if form is LocationForm.ELSEWHERE:
        assert client.server.asked("PUT /elsewhere/")


def test_an_attachment_refers_to_its_subject_and_is_found_by_the_tag(client: Client) -> None:
    client.push()
    store = client.server.store
    for attachment in client.attachments:
        listed = json.loads(
            store.manifests[
                REPOSITORY, store.tags[REPOSITORY, fallback_tag(attachment.subject.digest)]
            ][1]
        )["manifests"]
        (entry,) = listed
        assert entry["artifactType"] == attachment.artifact_type
        manifest = json.loads(store.manifests[REPOSITORY, entry["digest"]][1])
        assert manifest["subject"]["digest"] == attachment.subject.digest
        (layer,) = manifest["layers"]
        assert store.blobs[REPOSITORY, layer["digest"]] == attachment.data
        assert layer["annotations"] == {"org.opencontainers.image.title": attachment.filename}


def test_a_registry_that_lists_referrers_gets_no_tag_for_them(client: Client) -> None:
    client.server.referrers = True
    client.push()
    assert set(client.server.store.tags) == {(REPOSITORY, "8.21.0-http")}
    client.server.log.clear()
    assert client.push().uploaded == 0
    assert client.server.written == []


def test_what_others_have_said_about_the_image_stays(client: Client, tmp_path: Path) -> None:
    client.push()
    theirs = {**put(client, MANIFEST, b"{}").as_dict(), "data": "something of a later spec"}
    tag = put_list(client, theirs)
    client.push()
    store = client.server.store
    listed = json.loads(store.manifests[REPOSITORY, store.tags[REPOSITORY, tag]][1])["manifests"]
    assert theirs in listed
    digests = [entry["digest"] for entry in listed]
    assert digests == sorted({str(theirs["digest"]), client.attachments[0].descriptor.digest})


def test_what_others_have_listed_and_removed_since_does_not_stand_in_the_way(
    client: Client,
) -> None:
    gone = Descriptor.of(b"gone", MANIFEST).as_dict()
    tag = put_list(client, gone)
    client.push()
    assert listed_digests(client, tag) == {client.attachments[0].descriptor.digest}


def test_a_list_is_the_same_whoever_came_first() -> None:
    one, two, three = (Descriptor.of(bytes([number]), MANIFEST) for number in range(3))
    assert merged(merged(None, [one]), [three, two]) == merged(
        merged(None, [two, two, three]), [one]
    )
    full = merged(None, [one, two])
    assert merged(full, [two]) is full


def test_somebody_elses_list_that_wins_once_is_merged_again(client: Client) -> None:
    theirs = put(client, MANIFEST, b"{}")
    tag = fallback_tag(client.layout.index.digest)
    raced = [0]

    def fault(asked: Asked) -> None:
        # Between our writing and our looking again somebody else writes what they had read before.
        there = (REPOSITORY, tag) in client.server.store.tags
        if there and not raced[0] and str(asked).startswith("GET") and tag in str(asked):
            raced[0] += 1
            put_list(client, theirs.as_dict())

    client.server.fault = fault
    client.push()
    assert raced == [1]
    assert listed_digests(client, tag) == {
        theirs.digest,
        client.attachments[0].descriptor.digest,
    }


def test_somebody_elses_list_that_always_wins_is_given_up(client: Client) -> None:
    theirs = put(client, MANIFEST, b"{}")
    tag = fallback_tag(client.layout.index.digest)

    def fault(asked: Asked) -> None:
        if str(asked).startswith("GET") and tag in str(asked):
            put_list(client, theirs.as_dict())

    client.server.fault = fault
    with pytest.raises(PublishError, match="written by somebody else"):
        client.push()
    assert client.tagged == {}


def test_a_tag_that_is_no_list_is_not_written_over(client: Client) -> None:
    tag = fallback_tag(client.layout.index.digest)
    theirs = put(client, MANIFEST, canonical({"mediaType": MANIFEST}))
    client.server.store.tags[REPOSITORY, tag] = theirs.digest
    with pytest.raises(PublishError, match="no list of referrers"):
        client.push()
    assert client.tagged == {}


def test_an_attachment_about_something_else_is_refused_before_anything_is_sent(
    client: Client,
) -> None:
    stray = Attachment(
        subject=Descriptor.of(b"another image", INDEX),
        artifact_type="a/b",
        media_type="a/b",
        filename="stray",
        data=b"",
    )
    client.attachments = (stray,)
    with pytest.raises(PublishError, match="no part of the image"):
        client.push()
    assert client.server.log == []


def test_a_damaged_layout_is_not_pushed(client: Client) -> None:
    (manifest, _) = client.layout.manifests()
    (layer,) = client.layout.entries(manifest, "layers")
    client.layout.blob(layer.digest).write_bytes(b"x" * layer.size)
    with pytest.raises(PublishError, match="is not what it is called"):
        client.push()
    assert client.server.written == []


@pytest.mark.parametrize("tag", ["", "-latest", "a b", "x" * 129, "sha256:" + "0" * 64])
def test_what_is_no_tag_is_refused(client: Client, tag: str) -> None:
    with pytest.raises((PublishError, UsageError)):
        client.push(tag)
    assert client.server.log == []


def test_an_empty_blob_is_a_blob(client: Client) -> None:
    client.attachments = (dataclasses.replace(client.attachments[0], data=b""),)
    client.push()
    assert client.server.store.incomplete() == []
