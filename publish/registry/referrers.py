"""Who refers to an image: the registry's own list, or, where it keeps none, one that we keep under a tag.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
"""

import json
from collections.abc import Iterable

from core.errors import PublishError
from publish.oci.layout import INDEX, LARGEST_JSON, Descriptor, canonical
from publish.registry.registry import Manifest, MissingPartsError, Registry, read_listed

TRIES = 4
"""Somebody else may write the list at the same time; whoever comes last looks again."""


def fallback_tag(digest: str) -> str:
    """The tag of the list of what refers to ``digest``."""
    return digest.replace(":", "-", 1)


def is_fallback(tag: str) -> bool:
    """Whether a tag is such a list, or one of cosign's (`.sig`, `.att`, `.sbom`), and no image."""
    name, _, digits = tag.partition(".")[0].partition("-")
    return name == "sha256" and len(digits) == 64 and not set(digits) - set("0123456789abcdef")


def list_referrers(registry: Registry, digest: str) -> list[Descriptor]:
    """Return what refers to ``digest``, by digest, from the registry's list and from the tag's.

    A registry that has learned to keep lists may not know of what was pushed before, however many others it lists: the
    tag still does. Raises PublishError when there is no list but a tag that is none.
    """
    own = registry.referrers(digest)
    entries = {entry.digest: entry for entry in own or ()}
    tag = fallback_tag(digest)
    if found := registry.get_manifest(tag):
        try:
            _check(found, digest)
            listed = read_listed(found.data, tag)
        except PublishError as error:
            if own is None:
                raise
            registry.progress.note(f"the tag {tag} left out: {error.what}")
            listed = []
        for entry in registry.readable(listed, tag):
            entries.setdefault(entry.digest, entry)
    return [entry for _, entry in sorted(entries.items())]


def merged(old: bytes | None, ours: Iterable[Descriptor]) -> bytes:
    """Return the list with ``ours`` in it: everybody else's entries stay as they are, each digest stands once.

    The order is by digest, whoever came first; a list that has all of ours already is not touched.
    """
    entries = (
        {} if old is None else {entry["digest"]: entry for entry in json.loads(old)["manifests"]}
    )
    before = dict(entries)
    entries |= {own.digest: own.as_dict() for own in ours}
    if old is not None and entries == before:
        return old
    listed = [entries[digest] for digest in sorted(entries)]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})


def wanted_list(registry: Registry, digest: str, ours: Iterable[Descriptor]) -> tuple[bytes, bool]:
    """Return the list as it must be, and whether the tag has it already."""
    found = registry.get_manifest(fallback_tag(digest))
    if found:
        _check(found, digest)
    data = merged(found.data if found else None, ours)
    if len(data) > LARGEST_JSON:
        msg = f"{registry.repository}:{fallback_tag(digest)} would be too large a list."
        raise PublishError(msg, next="remove old entries from it")
    return data, found is not None and found.data == data


def put_list(registry: Registry, digest: str, ours: Iterable[Descriptor]) -> int:
    """Put ``ours`` into the tag's list; return the bytes sent: 0 when all were there already.

    Raises PublishError when somebody else's writing wins every time.
    """
    kept = tuple(ours)
    sent = 0
    for _ in range(TRIES):
        data, present = wanted_list(registry, digest, kept)
        if present:
            return sent
        try:
            _put(registry, digest, data)
        except MissingPartsError:
            # Somebody has removed what they once had listed; most registries list nothing that is not there.
            data = _living(registry, data, kept)
            _put(registry, digest, data)
        sent += len(data)
    if wanted_list(registry, digest, kept)[1]:
        return sent
    msg = f"{registry.repository}:{fallback_tag(digest)} is being written by somebody else."
    raise PublishError(msg, next="run it again when they are done")


def _put(registry: Registry, digest: str, data: bytes) -> None:
    # What is there afterwards may rightly be another list: the caller looks, and merges again.
    registry.put_manifest(fallback_tag(digest), data, Descriptor.of(data, INDEX), look=False)


def _living(registry: Registry, data: bytes, ours: Iterable[Descriptor]) -> bytes:
    """Return the list without the entries that are gone."""
    known = {own.digest for own in ours}
    entries = json.loads(data)["manifests"]
    kept = [
        entry
        for entry in entries
        if entry["digest"] in known or registry.digest_of(entry["digest"])
    ]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": kept})


def _check(found: Manifest, digest: str) -> None:
    """Do not write over what is not ours to write."""
    content = found.json()
    if INDEX not in {found.descriptor.media_type, content.get("mediaType")}:
        msg = f"The tag {fallback_tag(digest)} is no list of referrers."
        raise PublishError(msg, next="remove it, or push to another repository")
    name = f"the list {fallback_tag(digest)}"
    if not all(isinstance(entry.get("digest"), str) for entry in read_listed(found.data, name)):
        msg = f"{name} has entries without a digest."
        raise PublishError(msg, next="remove the tag, or push to another repository")
