"""Signatures as cosign reads them, checked once more by whoever knows its specification and no line of ours."""

import base64
import dataclasses
import hashlib
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from core.errors import PublishError
from core.signing import SecretKey
from publish.oci.layout import INDEX, MANIFEST, canonical
from publish.registry.pull import list_tags
from publish.registry.push import push
from publish.registry.upload_item import Pushed
from tests.registry_server import (
    Client,
    RegistryServer,
    digest_of,
)

REPOSITORY = "from.scratch/tools/static-curl"


@pytest.fixture
def key() -> SecretKey:
    return SecretKey.generate()


def signed(client: Client, key: SecretKey, *, dry: bool = False) -> Pushed:
    return push(
        client.layout,
        client.repository,
        (),
        client.attachments,
        sign=key.crypto().sign,
        dry=dry,
        options=client.options,
    )


def subjects(client: Client) -> list[str]:
    layout = client.layout
    return [layout.index.digest, *(manifest.digest for manifest in layout.manifests())]


def cosign_verify(server: RegistryServer, pem: str, name: str, digest: str) -> list[dict[str, Any]]:
    """`cosign verify --key` as specs/SIGNATURE_SPEC.md has it: the payloads that hold, or an error.

    The tag is found by the digest, each layer is a payload, its signature stands in an annotation; the payload must
    name the digest. cosign itself does not look at the reference.
    """
    public = load_pem_public_key(pem.encode())
    assert isinstance(public, Ed25519PublicKey)
    tag = digest.replace(":", "-") + ".sig"
    media_type, data = server.store.manifests[name, server.store.tags[name, tag]]
    manifest = json.loads(data)
    assert media_type == manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    config = json.loads(server.store.blobs[name, manifest["config"]["digest"]])
    layers = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in layers]
    held = []
    for layer in layers:
        if layer["mediaType"] != "application/vnd.dev.cosign.simplesigning.v1+json":
            continue
        payload = server.store.blobs[name, layer["digest"]]
        assert f"sha256:{hashlib.sha256(payload).hexdigest()}" == layer["digest"]
        signature = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
        try:
            public.verify(signature, payload)
        except InvalidSignature:
            continue
        said = json.loads(payload)
        if said["critical"]["image"]["docker-manifest-digest"] == digest:
            assert said["critical"]["type"] == "cosign container image signature"
            held.append(said)
    if not held:
        msg = "no matching signatures"
        raise LookupError(msg)
    return held


def test_the_index_and_every_platform_are_signed(client: Client, key: SecretKey) -> None:
    signed(client, key)
    for subject in subjects(client):
        (said,) = cosign_verify(client.server, key.public.pem, REPOSITORY, subject)
        reference = said["critical"]["identity"]["docker-reference"]
        assert reference == f"{client.server.host}/{REPOSITORY}"
        with pytest.raises(LookupError):
            cosign_verify(client.server, SecretKey.generate().public.pem, REPOSITORY, subject)
    assert client.server.store.incomplete() == []


def test_signing_again_writes_nothing(client: Client, key: SecretKey) -> None:
    planned = signed(client, key, dry=True)
    assert client.server.written == []
    first = signed(client, key)
    assert planned.items == first.items
    client.server.log.clear()
    again = signed(client, key)
    assert not again.changed
    assert client.server.written == []


def test_other_peoples_signatures_stay(client: Client, key: SecretKey) -> None:
    other = SecretKey.generate()
    signed(client, other)
    signed(client, key)
    for subject in subjects(client):
        for who in (key, other):
            assert len(cosign_verify(client.server, who.public.pem, REPOSITORY, subject)) == 1
    client.server.log.clear()
    signed(client, other)
    signed(client, key)
    assert client.server.written == []


def test_without_a_key_nothing_is_signed(client: Client) -> None:
    client.push()
    assert not [tag for _, tag in client.server.store.tags if tag.endswith(".sig")]


def test_signatures_are_no_images(client: Client, key: SecretKey) -> None:
    signed(client, key)
    for suffix in (".att", ".sbom"):
        tag = subjects(client)[0].replace(":", "-") + suffix
        client.server.store.tags[REPOSITORY, tag] = subjects(client)[1]
    assert list_tags(client.repository, options=client.options) == ("8.21.0-http",)


def test_the_tag_comes_after_the_signatures(client: Client, key: SecretKey) -> None:
    signed(client, key)
    puts = [line.rpartition("/")[2] for line in client.server.asked("PUT") if "/manifests/" in line]
    assert puts[-1] == "8.21.0-http"
    assert {f"{subject.replace(':', '-')}.sig" for subject in subjects(client)} < set(puts[:-1])


@pytest.mark.parametrize(
    "content",
    [
        {"mediaType": INDEX, "manifests": []},
        {"mediaType": MANIFEST, "layers": 3},
        {"mediaType": MANIFEST, "layers": ["x"]},
        {"mediaType": MANIFEST, "layers": [{"digest": 3}]},
    ],
)
def test_what_is_no_list_is_not_written_over(
    client: Client, key: SecretKey, content: dict[str, Any]
) -> None:
    data = canonical(content)
    digest = digest_of(data)
    tag = client.layout.index.digest.replace(":", "-") + ".sig"
    client.server.store.manifests[REPOSITORY, digest] = (content["mediaType"], data)
    client.server.store.tags[REPOSITORY, tag] = digest
    with pytest.raises(PublishError, match="no list of signatures"):
        signed(client, key)
    assert client.tagged == {}


def test_elsewhere_it_is_signed_as_what_it_is_there(client: Client, key: SecretKey) -> None:
    other = dataclasses.replace(client.repository, path="else/where")
    push(client.layout, other, sign=key.crypto().sign, options=client.options)
    (said,) = cosign_verify(client.server, key.public.pem, "else/where", client.layout.index.digest)
    assert said["critical"]["identity"]["docker-reference"].endswith("/else/where")
