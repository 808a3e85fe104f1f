"""Where a file stands: what its root has of the things that it asks for, and the rights that it has there."""

from dataclasses import dataclass
from enum import StrEnum

from verify.rights import NO_RIGHTS, Rights


class Role(StrEnum):
    """What a file is for, as far as its headers say."""

    PROGRAM = "program"
    LIBRARY = "library"
    """Nothing starts it; programs load it."""
    OBJECT = "object"
    """For a linker, or for the kernel to load as a module."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a root gives a file. Without a root, nothing: that is an empty image."""

    rooted: bool = False
    """Whether a root was looked into."""
    loader_problem: str = ""
    """Why the loader that it asks for will not start it."""
    missing: tuple[str, ...] = ()
    """Libraries that neither it nor what it loads finds."""
    rights: Rights = NO_RIGHTS


NOWHERE = Place()
"""An empty image, without special rights."""
