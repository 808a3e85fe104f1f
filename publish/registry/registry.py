"""A repository of a registry: what is in it, and putting more into it.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md. What arrives is hashed, what was sent is asked
for again; a registry's word alone counts for nothing.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from core.errors import PublishError
from core.http import Response
from core.progress import Progress
from publish.oci.layout import INDEX, LARGEST_JSON, MANIFEST, Descriptor
from publish.registry.auth import Purpose
from publish.registry.client import DEFAULTS, RegistryClient, RegistryOptions
from publish.registry.errors import codes, description, status_error
from publish.registry.reference import Repository
from publish.registry.upload import upload

ACCEPT = {"Accept": f"{INDEX}, {MANIFEST}"}
CONTENT_DIGEST = "Docker-Content-Digest"
PAGES = 1000
MISSING_PARTS = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})


class MissingPartsError(PublishError):
    """A manifest was refused because the registry lacks something that it names."""


class OtherBytesError(PublishError):
    """The registry has other bytes than their digest says."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest as the registry has it: its own bytes, and what they are."""

    data: bytes
    descriptor: Descriptor

    def json(self) -> dict[str, Any]:
        """Its content. Raises PublishError when it is no JSON object."""
        return read_object(self.data, self.descriptor.digest)


def read_object(data: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object in ``data``. Raises PublishError when it is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        msg = f"{name} is no JSON object."
        raise PublishError(msg)
    return value


class Registry:
    """Asks and tells one repository. Everything raises PublishError when the registry does not do its part."""

    def __init__(
        self,
        repository: Repository,
        purpose: Purpose,
        *,
        options: RegistryOptions = DEFAULTS,
        progress: Progress | None = None,
    ) -> None:
        self._client = RegistryClient(repository, purpose, options, progress)
        self.repository = repository
        self.progress = self._client.progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    # --- blobs

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there, with the size that it must have."""
        response = self._client.request("HEAD", self._client.url(f"blobs/{descriptor.digest}"))
        if response.status == 404:
            return False
        self._expect(response, 200, f"look for {descriptor.digest}")
        return response.headers.get("Content-Length", str(descriptor.size)) == str(descriptor.size)

    def put_blob(self, descriptor: Descriptor, source: bytes | Path, label: str) -> None:
        """Upload a blob, then ask for it again."""
        response = upload(self._client, descriptor, source, label)
        doing = f"upload {label}"
        self._expect(response, 201, doing)
        self._compare_digest(response, descriptor.digest, doing)
        if not self.has_blob(descriptor):
            msg = f"{self.repository} took {label}, and has it not, or not whole."
            raise PublishError(msg, why="the registry loses or changes what it is given")

    def get_blob(self, descriptor: Descriptor, file: BinaryIO, label: str) -> None:
        """Download a blob into ``file``, hashing it on the way; its size is the most that is taken.

        Raises OtherBytesError when it is not what its digest says.
        """
        if not self.try_blob(descriptor, file, label):
            msg = f"{self.repository} has no {label}."
            raise PublishError(msg, why="a push was broken off, or something was removed")

    def try_blob(self, descriptor: Descriptor, file: BinaryIO, label: str) -> bool:
        """As `get_blob`; False when there is none."""
        url = self._client.url(f"blobs/{descriptor.digest}")

        def attempt(_: int) -> bool:
            state = hashlib.sha256()
            file.seek(0)
            file.truncate()
            self.progress.started(label, descriptor.size)
            with self._client.open("GET", url) as response:
                if response.status == 404:
                    return False
                if response.status != 200:
                    self._expect(response.read(), 200, f"fetch {label}")
                self._compare(response.length or descriptor.size, descriptor.size, label)
                for chunk in response.chunks(limit=descriptor.size):
                    file.write(chunk)
                    state.update(chunk)
                    self.progress.advanced(len(chunk))
            found = f"sha256:{state.hexdigest()}"
            self._compare((found, file.tell()), (descriptor.digest, descriptor.size), label)
            return True

        try:
            return self._client.with_retries(attempt)
        finally:
            self.progress.finished()

    # --- manifests

    def digest_of(self, name: str) -> str:
        """What a tag or digest resolves to; '' when there is nothing."""
        response = self._client.request("HEAD", self._manifest_url(name), headers=ACCEPT)
        if response.status == 404:
            return ""
        self._expect(response, 200, f"look for {name}")
        if digest := response.headers.get(CONTENT_DIGEST):
            return digest
        found = self.get_manifest(name)
        return found.descriptor.digest if found else ""

    def get_manifest(self, name: str, *, accept: Mapping[str, str] = ACCEPT) -> Manifest | None:
        """Fetch what a tag or digest resolves to; None when there is nothing."""
        response = self._client.request("GET", self._manifest_url(name), headers=accept)
        if response.status == 404:
            return None
        self._expect(response, 200, f"fetch {name}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        descriptor = Descriptor.of(response.content, media_type)
        self._compare_digest(response, descriptor.digest, f"fetch {name}")
        if ":" in name:
            self._compare(descriptor.digest, name, f"manifest {name}")
        return Manifest(data=response.content, descriptor=descriptor)

    def put_manifest(
        self, name: str, data: bytes, descriptor: Descriptor, *, look: bool = True
    ) -> bool:
        """Put a manifest under a tag or its digest, then fetch it again and compare, unless told not to ``look``.

        Returns whether the registry keeps a list of referrers by itself (`OCI-Subject`). Raises MissingPartsError
        when it lacks what the manifest names.
        """
        response = self._client.request(
            "PUT",
            self._manifest_url(name),
            headers={"Content-Type": descriptor.media_type},
            body=data,
        )
        doing = f"put the manifest {name}"
        if response.status in {400, 404} and codes(response) & MISSING_PARTS:
            msg = f"{self.repository} lacks parts of {name}: {description(response, self._client)}"
            raise MissingPartsError(msg, next="run it again, or ask who runs the registry")
        self._expect(response, 201, doing)
        self._compare_digest(response, descriptor.digest, doing)
        if look:
            found = self.get_manifest(name)
            if not found:
                msg = f"{self.repository} took the manifest {name}, and has it not."
                raise PublishError(msg, why="the registry loses what it is given")
            self._compare(found.descriptor.digest, descriptor.digest, name)
        return bool(response.headers.get("OCI-Subject"))

    def _manifest_url(self, name: str) -> str:
        return self._client.url(f"manifests/{name}")

    # --- lists

    def tags(self) -> tuple[str, ...]:
        """Every tag, sorted."""
        first = self._client.request("GET", self._client.url("tags/list"))
        if first.status == 404:
            return ()
        found: set[str] = set()
        for response in self._pages(first, "list the tags"):
            listed = read_object(response.content, "the list of tags").get("tags") or []
            found |= {str(tag) for tag in listed}
        return tuple(sorted(found))

    def referrers(self, digest: str) -> list[Descriptor] | None:
        """What refers to ``digest``, as the registry lists it; None when it keeps no such lists.

        Others may have entries there that we cannot read: they are noted and left out.
        """
        url = self._client.url(f"referrers/{digest}")
        first = self._client.request("GET", url, headers={"Accept": INDEX})
        # What knows nothing of referrers answers in many ways: 400, 404, 405, a page for people.
        if first.status != 200 or not first.headers.get("Content-Type", "").startswith(INDEX):
            return None
        found: dict[str, Descriptor] = {}
        for response in self._pages(first, "list referrers"):
            name = f"the list of what refers to {digest}"
            for entry in self.readable(read_listed(response.content, name), name):
                found[entry.digest] = entry
        return [found[digest] for digest in sorted(found)]

    def readable(self, entries: Iterable[Mapping[str, Any]], name: str) -> Iterator[Descriptor]:
        """Yield the entries that we understand; the others may be anything, and anybody's."""
        for entry in entries:
            try:
                yield Descriptor.read(entry)
            except PublishError as error:
                self.progress.note(f"an entry of {name} left out: {error.what:.200}")

    def _pages(self, response: Response, doing: str) -> Iterator[Response]:
        size = 0
        for _ in range(PAGES):
            self._expect(response, 200, doing)
            yield response
            size += len(response.content)
            link = response.headers.get("Link", "")
            if "<" not in link or "next" not in link:
                return
            if size > LARGEST_JSON:
                break
            response = self._client.request("GET", self._client.linked(response, link))
        msg = f"{self.repository} never comes to an end when it is asked to {doing}."
        raise PublishError(msg)

    # --- judging answers

    def _compare_digest(self, response: Response, digest: str, doing: str) -> None:
        self._compare(response.headers.get(CONTENT_DIGEST, digest), digest, doing)

    def _compare(self, found: object, expected: object, what: str) -> None:
        if found != expected:
            msg = f"{self.repository} has other bytes ({what}): {found}, not {expected}."
            raise OtherBytesError(
                self._client.redacted(msg),
                why="the registry, or something before it, changes what it is given",
                next="do not use it; ask who runs the registry",
            )

    def _expect(self, response: Response, status: int, doing: str) -> None:
        if response.status != status:
            raise status_error(response, self._client, doing)


def read_entries(data: bytes, name: str) -> list[Descriptor]:
    """Return what an image index lists. Raises PublishError when it is none."""
    return [Descriptor.read(entry) for entry in read_listed(data, name)]


def read_listed(data: bytes, name: str) -> list[dict[str, Any]]:
    """Return the entries of an image index as they stand there. Raises PublishError when it is none."""
    listed = read_object(data, name).get("manifests")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        msg = f"{name} is no image index."
        raise PublishError(msg)
    return listed
