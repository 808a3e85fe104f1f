"""An image to a registry, so that nobody ever sees half of it.

First blobs, then what is made of them: a platform's manifest, the index over all, what is said about them, and last
the tag. Attachments come after the index, because they refer to it, and before the tag, so that whoever
finds the image by its tag finds its proof as well. What is there already is not sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.errors import PublishError
from core.progress import Progress
from publish.oci.attachment import Attachment
from publish.oci.cosign import SIMPLE_SIGNING, Sign, Signature, SignatureList, signature_tag
from publish.oci.layout import CONFIG, INDEX, MANIFEST, Descriptor, Layout
from publish.registry.auth import Purpose
from publish.registry.client import DEFAULTS, RegistryOptions
from publish.registry.promise import KEEPS_NOTHING, TagPromise
from publish.registry.reference import Reference, Repository
from publish.registry.referrers import fallback_tag, put_list, wanted_list
from publish.registry.registry import MissingPartsError, Registry
from publish.registry.upload_item import (
    Item,
    ItemKind,
    Pushed,
    UploadItem,
    pack_attachment,
    pack_image,
)


def push(
    layout: Layout,
    repository: Repository,
    tags: Sequence[str] = (),
    attachments: Sequence[Attachment] = (),
    *,
    sign: Sign | None = None,
    dry: bool = False,
    promise: TagPromise = KEEPS_NOTHING,
    options: RegistryOptions = DEFAULTS,
    progress: Progress | None = None,
) -> Pushed:
    """Push ``layout`` and what is attached to it to ``repository``; no tags: the layout's own.

    With ``sign`` the index and every manifest of it get a signature that cosign reads.
    What ``promise`` says of the tags is kept: it is looked at first, and once more before each is written.
    Whatever goes wrong, no tag points at something that is not whole; the next push goes on where this one ended,
    and one with nothing to do changes nothing. ``dry`` writes nothing, and returns the same. Raises PublishError.
    """
    named = [
        Reference(repository=repository, word=tag) for tag in dict.fromkeys(tags or (layout.tag,))
    ]
    if any(reference.by_digest for reference in named):
        msg = f"{named[0]} is named by a digest: that follows from the image."
        raise PublishError(msg, next="name it by a tag")
    known = {layout.index.digest, *(manifest.digest for manifest in layout.manifests())}
    for attachment in attachments:
        subject = attachment.subject.digest
        if subject not in known:
            msg = f"{attachment.filename} is about {subject}, which is no part of the image."
            raise PublishError(msg)
    purpose = Purpose.READ if dry else Purpose.WRITE
    with Registry(repository, purpose, options=options, progress=progress) as registry:
        run = _Push(registry=registry, layout=layout, dry=dry)
        words = [reference.word for reference in named]
        promise.check(registry, layout, words)
        run.send(pack_image(layout))
        run.attach(attachments)
        if sign:
            for signed in (layout.index, *layout.manifests()):
                run.sign(Signature.make(str(repository), signed.digest, sign))
        for word in words:
            promise.check(registry, layout, [word])
            run.tag(word)
        if not run.dry:
            run.confirm(words)
    return Pushed(
        reference=str(named[0]), digest=layout.index.digest, items=tuple(run.items.values())
    )


@dataclass(frozen=True, kw_only=True)
class _Push:
    registry: Registry
    layout: Layout
    dry: bool
    items: dict[tuple[ItemKind, str], Item] = field(default_factory=dict)
    """What has been seen to, by kind and digest or tag."""

    def send(self, item: UploadItem, *, again: bool = False) -> bool:
        """See to it that an item is there, its parts first; return whether the registry lists it as a referrer.

        ``again``: whatever the registry says that it has, it lacks.
        """
        for part in item.parts:
            self.send(part, again=again)
        key = (item.kind, item.descriptor.digest)
        if key in self.items and not again:
            return False
        present = not again and self._is_there(item)
        lists = False
        if not present and not self.dry:
            lists = self._put(item)
        self.items[key] = Item(
            kind=item.kind,
            label=item.label,
            digest=item.descriptor.digest,
            size=item.descriptor.size,
            present=present,
        )
        return lists

    def _is_there(self, item: UploadItem) -> bool:
        if item.kind is ItemKind.BLOB:
            return self.registry.has_blob(item.descriptor)
        digest = item.descriptor.digest
        return self.registry.digest_of(digest) == digest

    def _put(self, item: UploadItem) -> bool:
        descriptor = item.descriptor
        if item.kind is ItemKind.BLOB:
            self.registry.put_blob(descriptor, item.source, item.label)
            return False
        data = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
        try:
            return self.registry.put_manifest(descriptor.digest, data, descriptor)
        except MissingPartsError as error:
            # It said that it had them: its memory, or a cache before it, is not to be trusted.
            self.registry.progress.note(f"{error.what}; sending them again")
            for part in item.parts:
                self.send(part, again=True)
            return self.registry.put_manifest(descriptor.digest, data, descriptor)

    def attach(self, attachments: Sequence[Attachment]) -> None:
        """Push what is said about the image, and have it listed."""
        subjects = dict.fromkeys(attachment.subject.digest for attachment in attachments)
        for subject in subjects:
            ours = [item for item in attachments if item.subject.digest == subject]
            lists = [self.send(item) for item in map(pack_attachment, ours)]
            descriptors = [attachment.descriptor for attachment in ours]
            if not any(lists) and not self._lists(subject, descriptors):
                self._list(subject, descriptors)

    def _lists(self, subject: str, ours: Sequence[Descriptor]) -> bool:
        """Whether the registry itself keeps a list, and knows of all that has been pushed."""
        listed = self.registry.referrers(subject)
        if listed is None:
            return False
        return self.dry or {own.digest for own in ours} <= {entry.digest for entry in listed}

    def _list(self, subject: str, ours: Sequence[Descriptor]) -> None:
        data, present = wanted_list(self.registry, subject, ours)
        if not present and not self.dry:
            put_list(self.registry, subject, ours)
        tag = fallback_tag(subject)
        digest = Descriptor.of(data, INDEX).digest
        self.items[ItemKind.REFERRERS, tag] = Item(
            kind=ItemKind.REFERRERS, label=tag, digest=digest, size=len(data), present=present
        )

    def sign(self, signature: Signature) -> None:
        """Add a signature to those that the image has."""
        tag = signature_tag(signature.subject)
        found = self.registry.get_manifest(tag)
        wanted = SignatureList.of(found.json() if found else None, signature)
        label = f"cosign signature of {signature.subject[:19]}…"
        if wanted is None:
            assert found, "what is not there has no signature"
            self._add(label, found.descriptor, present=True)
            return
        manifest = Descriptor.of(wanted.manifest, MANIFEST)
        if not self.dry:
            parts = ((wanted.config, CONFIG), (signature.payload, SIMPLE_SIGNING))
            for data, media_type in parts:
                descriptor = Descriptor.of(data, media_type)
                if not self.registry.has_blob(descriptor):
                    self.registry.put_blob(descriptor, data, label)
            self.registry.put_manifest(tag, wanted.manifest, manifest)
        self._add(label, manifest, present=False)

    def _add(self, label: str, descriptor: Descriptor, *, present: bool) -> None:
        self.items[ItemKind.ATTACHMENT, descriptor.digest] = Item(
            kind=ItemKind.ATTACHMENT,
            label=label,
            digest=descriptor.digest,
            size=descriptor.size,
            present=present,
        )

    def tag(self, tag: str) -> None:
        """Point a tag at the image, unless it does already."""
        index = self.layout.index
        before = self.registry.digest_of(tag)
        if before != index.digest and not self.dry:
            data = self.layout.blob(index.digest).read_bytes()
            self.registry.put_manifest(tag, data, index)
        self.items[ItemKind.TAG, tag] = Item(
            kind=ItemKind.TAG,
            label=tag,
            digest=index.digest,
            size=0,
            present=before == index.digest,
            before="" if before == index.digest else before,
        )

    def confirm(self, tags: Sequence[str]) -> None:
        """Ask for every tag anew, and compare. Raises PublishError."""
        for tag in tags:
            found = self.registry.get_manifest(tag)
            digest = found.descriptor.digest if found else "nothing"
            if digest != self.layout.index.digest:
                msg = (
                    f"{self.registry.repository}:{tag} is {digest}, not {self.layout.index.digest}."
                )
                raise PublishError(
                    msg,
                    why="somebody else has pushed to it at the same time, or a cache answers",
                    next="run it again",
                )
