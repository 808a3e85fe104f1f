"""A repository of a registry: what is in it, and putting more into it.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md. What arrives is hashed, what was sent is asked
for again; a registry's word alone counts for nothing.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

from core.body import Body
from core.errors import PublishError
from core.progress import Progress
from publish.oci.layout import INDEX, LARGEST_JSON, MANIFEST, Descriptor
from publish.registry.answer import Response
from publish.registry.auth import Purpose
from publish.registry.conversation import HttpClient
from publish.registry.errors import codes, refusal, said
from publish.registry.outside import OUTSIDE, SILENT, ClientOptions
from publish.registry.reference import Repository
from publish.registry.upload import upload

ACCEPT = f"{INDEX}, {MANIFEST}"
CONTENT_DIGEST = "docker-content-digest"
MISSING_PARTS = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})


class MissingPartsError(PublishError):
    """A manifest was refused because the registry lacks something that it names."""


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

    def __init__(self, conversation: HttpClient) -> None:
        import oras.container  # noqa: PLC0415 - slow

        self._talk = conversation
        self.repository = conversation.repository
        self._place = oras.container.Container("placeholder", registry=self.repository.server)
        # Set, not parsed: oras takes `my.org/tools` for a host, and `localhost` for none.
        self._place.namespace, _, self._place.repository = self.repository.path.rpartition("/")

    @classmethod
    def open(
        cls,
        repository: Repository,
        purpose: Purpose,
        *,
        outside: ClientOptions = OUTSIDE,
        progress: Progress = SILENT,
    ) -> Self:
        """Begin to talk. To be used in a `with` block."""
        return cls(HttpClient(repository, purpose, outside, progress))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._talk.__exit__()

    @property
    def progress(self) -> Progress:
        """Who is told how it comes along."""
        return self._talk.progress

    # --- blobs

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there, with the size that it must have."""
        answer = self._talk.ask("HEAD", self._url(self._place.get_blob_url(descriptor.digest)))
        if answer.status == 404:
            return False
        self._expect(answer, {200}, f"look for {descriptor.digest}")
        return answer.headers.get("content-length", str(descriptor.size)) == str(descriptor.size)

    def put_blob(self, descriptor: Descriptor, source: bytes | Path, label: str) -> None:
        """Upload a blob, then ask for it again."""
        url = self._url(self._place.upload_blob_url())
        answer = upload(self._talk, url, descriptor, source, label)
        doing = f"upload {label}"
        self._expect(answer, {201}, doing)
        self._compare(answer, descriptor.digest, doing)
        if not self.has_blob(descriptor):
            msg = f"{self.repository} took {label}, and has it not, or not whole."
            raise PublishError(msg, why="the registry loses or changes what it is given")

    def get_blob(self, descriptor: Descriptor, file: Path, label: str) -> None:
        """Download a blob to ``file``, hashing it on the way; its size is the most that is taken."""
        url = self._url(self._place.get_blob_url(descriptor.digest))

        def attempt(_: int) -> Response:
            hashed = hashlib.sha256()
            self.progress.started(label, descriptor.size)
            with file.open("wb") as out:

                def sink(chunk: bytes) -> None:
                    out.write(chunk)
                    hashed.update(chunk)
                    self.progress.advanced(len(chunk))

                answer = self._talk.once("GET", url, sink=sink, limit=descriptor.size)
                size = out.tell()
            if answer.status == 200:
                found = f"sha256:{hashed.hexdigest()}"
                self._same((found, size), (descriptor.digest, descriptor.size), label)
            return answer

        try:
            self._expect(self._talk.patiently(attempt), {200}, f"fetch {label}")
        finally:
            self.progress.finished()

    # --- manifests

    def digest_of(self, word: str) -> str:
        """What a tag or digest resolves to; '' when there is nothing."""
        url, headers = self._url(self._place.manifest_url(word)), {"Accept": ACCEPT}
        answer = self._talk.ask("HEAD", url, headers=headers)
        if answer.status == 404:
            return ""
        self._expect(answer, {200}, f"look for {word}")
        if digest := answer.headers.get(CONTENT_DIGEST):
            return digest
        found = self.get_manifest(word)
        return found.descriptor.digest if found else ""

    def get_manifest(self, word: str) -> Manifest | None:
        """Fetch what a tag or digest resolves to; None when there is nothing."""
        url, headers = self._url(self._place.manifest_url(word)), {"Accept": ACCEPT}
        answer = self._talk.ask("GET", url, headers=headers)
        if answer.status == 404:
            return None
        self._expect(answer, {200}, f"fetch {word}")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        descriptor = Descriptor.of(answer.content, media_type)
        self._compare(answer, descriptor.digest, f"fetch {word}")
        if ":" in word:
            self._same(descriptor.digest, word, f"manifest {word}")
        return Manifest(data=answer.content, descriptor=descriptor)

    def put_manifest(
        self, word: str, data: bytes, descriptor: Descriptor, *, look: bool = True
    ) -> bool:
        """Put a manifest under a tag or its digest, then fetch it again and compare, unless told not to ``look``.

        Returns whether the registry keeps a list of referrers by itself (`OCI-Subject`). Raises MissingPartsError
        when it lacks what the manifest names.
        """
        # The bytes as they are: written anew by `oras`, they would have another digest.
        answer = self._talk.ask(
            "PUT",
            self._url(self._place.manifest_url(word)),
            headers={"Content-Type": descriptor.media_type},
            body=Body.of(data),
        )
        doing = f"put the manifest {word}"
        if answer.status in {400, 404} and codes(answer) & MISSING_PARTS:
            msg = f"{self.repository} lacks parts of {word}: {said(answer, self._talk.hidden)}"
            raise MissingPartsError(msg, next="run it again, or ask who runs the registry")
        self._expect(answer, {201}, doing)
        self._compare(answer, descriptor.digest, doing)
        if look:
            found = self.get_manifest(word)
            if not found:
                msg = f"{self.repository} took the manifest {word}, and has it not."
                raise PublishError(msg, why="the registry loses what it is given")
            self._same(found.descriptor.digest, descriptor.digest, word)
        return bool(answer.headers.get("oci-subject"))

    # --- lists

    def tags(self) -> tuple[str, ...]:
        """Every tag, sorted."""
        url, found = self._url(self._place.tags_url()), set[str]()
        for answer in self._pages(url, "list the tags"):
            listed = read_object(answer.content, "the list of tags").get("tags") or []
            found |= {str(tag) for tag in listed}
        return tuple(sorted(found))

    def referrers(self, digest: str) -> list[Descriptor] | None:
        """What refers to ``digest``, as the registry lists it; None when it keeps no such lists."""
        url = f"{self._talk.root}/v2/{self._place.api_prefix}/referrers/{digest}"
        first = self._talk.ask("GET", url, headers={"Accept": INDEX})
        # What knows nothing of referrers answers in many ways: 404, 405, a page for people.
        if first.status != 200 or not first.headers.get("content-type", "").startswith(INDEX):
            return None
        found: dict[str, Descriptor] = {}
        for answer in self._pages(url, "list referrers", first):
            for one in read_entries(answer.content, f"the list of what refers to {digest}"):
                found[one.digest] = one
        return [found[digest] for digest in sorted(found)]

    def _pages(self, url: str, doing: str, first: Response | None = None) -> list[Response]:
        answer = first or self._talk.ask("GET", url)
        if answer.status == 404:
            return []
        pages, size = [answer], 0
        while True:
            self._expect(answer, {200}, doing)
            size += len(answer.content)
            link = answer.headers.get("link", "")
            if "<" not in link or "next" not in link:
                return pages
            if size > LARGEST_JSON or len(pages) > 1000:
                msg = f"{self.repository} never comes to an end when it is asked to {doing}."
                raise PublishError(msg)
            answer = self._talk.ask("GET", urljoin(url, link.partition("<")[2].partition(">")[0]))
            pages.append(answer)

    # --- judging answers

    def _url(self, place: str) -> str:
        return f"{self._talk.oras.prefix}://{place}"

    def _compare(self, answer: Response, digest: str, doing: str) -> None:
        self._same(answer.headers.get(CONTENT_DIGEST, digest), digest, doing)

    def _same(self, found: object, due: object, what: str) -> None:
        if found != due:
            msg = f"{self.repository} has other bytes ({what}): {found}, not {due}."
            raise PublishError(
                self._talk.hidden(msg),
                why="the registry, or something before it, changes what it is given",
                next="do not use it; ask who runs the registry",
            )

    def _expect(self, answer: Response, wanted: set[int], doing: str) -> None:
        if answer.status not in wanted:
            raise refusal(answer, self.repository, doing, self._talk.hidden)


def read_entries(data: bytes, name: str) -> list[Descriptor]:
    """Return what an image index lists. Raises PublishError when it is none."""
    listed = read_object(data, name).get("manifests")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        msg = f"{name} is no image index."
        raise PublishError(msg)
    return [Descriptor.read(one) for one in listed]
