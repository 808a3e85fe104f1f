"""What tags promise: one that is a version never moves, a short one moves forward only."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from core.errors import PublishError
from publish.oci.layout import Layout
from publish.registry.auth import Purpose
from publish.registry.client import DEFAULTS, RegistryOptions
from publish.registry.pull import VERSION
from publish.registry.reference import Repository
from publish.registry.registry import Registry, read_entries

_NUMBER = re.compile(r"-r([0-9]+)(?=-|$)")


@dataclass(frozen=True, kw_only=True)
class TagPromise:
    """Which tags of an image keep to what."""

    firm: Collection[str] = ()
    """They name one image for ever."""
    forward: Collection[str] = ()
    """They never go back to an older version."""

    def check(self, registry: Registry, layout: Layout, tags: Collection[str]) -> None:
        """Raise PublishError, naming both digests, when ``layout`` may not have one of ``tags``."""
        for tag in tags:
            if tag in self.firm or tag in self.forward:
                before = registry.digest_of(tag)
                if before and before != layout.index.digest:
                    self._move(registry, layout, tag, before)

    def _move(self, registry: Registry, layout: Layout, tag: str, before: str) -> None:
        digests = f"\n  it holds    {before}\n  this one is {layout.index.digest}"
        if tag in self.firm:
            msg = f"{registry.repository}:{tag} is another image already.{digests}"
            raise PublishError(
                msg,
                why="a tag that is a version never moves, and the same version came out with other bytes or labels",
                next=f"inv publish --build-number {number_of(tag) + 1}: the same version, once more",
            )
        held = _version(registry, tag)
        if not held:
            msg = f"{registry.repository}:{tag} is an image that names no version.{digests}"
            why = "it is none of ours, and whether this one is newer cannot be known"
            raise PublishError(msg, why=why, next="remove the tag by hand, if it may go")
        if order(held) > order(layout.tag):
            msg = f"{registry.repository}:{tag} is {held} already, and would go back to {layout.tag}.{digests}"
            next = "publish without --latest; or remove the tag by hand, if it must go back"
            raise PublishError(msg, why="short tags move forward only", next=next)


KEEPS_NOTHING = TagPromise()


def check_promise(
    layout: Layout,
    repository: Repository,
    tags: Collection[str],
    promise: TagPromise,
    *,
    dry: bool = False,
    options: RegistryOptions = DEFAULTS,
) -> None:
    """Look whether an image may have its tags, before anything is sent. Raises PublishError."""
    # A registry may tell only those who can write that there is nothing yet.
    purpose = Purpose.READ if dry else Purpose.WRITE
    with Registry(repository, purpose, options=options) as registry:
        promise.check(registry, layout, tags)


def number_of(tag: str) -> int:
    """The build number in a tag, 0 without one."""
    found = _NUMBER.search(tag)
    return int(found[1]) if found else 0


def order(tag: str) -> tuple[tuple[int, ...], int]:
    """What tags of one image are ordered by: the numbers of its versions, then the build number.

    >>> order("8.9.0-mini") < order("8.21.0-mini") < order("8.21.0-r1-mini") < order("8.21.0-r10-mini")
    True
    """
    return tuple(map(int, re.findall("[0-9]+", _NUMBER.sub("", tag)))), number_of(tag)


def _version(registry: Registry, tag: str) -> str:
    """The version that the image under a tag says it is; '' when it does not."""
    found = registry.get_manifest(tag)
    if found is None:
        return ""
    versions = set()
    for entry in _entries(found.data, tag):
        manifest = registry.get_manifest(entry)
        annotations: Any = manifest.json().get("annotations") if manifest else None
        versions.add(str(annotations.get(VERSION, "")) if isinstance(annotations, dict) else "")
    return versions.pop() if len(versions) == 1 else ""


def _entries(data: bytes, tag: str) -> list[str]:
    try:
        return [entry.digest for entry in read_entries(data, tag)][:64]
    except PublishError:
        return []
