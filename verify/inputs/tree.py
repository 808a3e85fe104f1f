"""The files of an image, in memory: names, links and modes; links are followed inside it and never out of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from verify.inputs.limits import LIMITS, InputError, InputLimits

WHITEOUT: Final = ".wh."
"""What the name of a file begins with that takes another away, as layers have it:
https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts"""
OPAQUE: Final = ".wh..wh..opq"


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeFile:
    """A regular file."""

    mode: int = 0o644
    capability: bytes = b""
    """Its attribute ``security.capability``."""
    elf: Path | None = None
    """Where its bytes are on this machine, when they begin as an ELF file does."""
    text: bytes = b""
    """What a loader reads as text: its lists of directories."""
    problem: str = ""
    """Why its bytes were not taken."""


@dataclass(kw_only=True, slots=True)
class _Node:
    layer: int
    """The last one that put it, or something below it."""
    parent: "_Node | None" = None
    hidden_in: int = -1
    """The last layer that took away what lower ones have in it."""
    file: TreeFile | None = None
    link: str = ""
    children: "dict[str, _Node] | None" = None
    """Not None: a directory."""


@dataclass(kw_only=True)
class Tree:
    """A file system that grows layer by layer; what comes later hides what was there."""

    limits: InputLimits = LIMITS
    layer: int = 0
    entries: int = 0
    _root: _Node = field(default_factory=lambda: _Node(layer=0, children={}))

    def next_layer(self) -> None:
        """Begin a layer: whiteouts of it take away what those before it have."""
        self.layer += 1

    def add_file(self, name: str, file: TreeFile) -> None:
        """Put a regular file. Raises InputError, as all of these do, for what leads out of the tree or is too much."""
        self._put(name, _Node(layer=self.layer, file=file))

    def add_link(self, name: str, target: str) -> None:
        """Put a symbolic link."""
        self._put(name, _Node(layer=self.layer, link=target[: self.limits.name]))

    def add_hard_link(self, name: str, target: str) -> None:
        """Put another name of a file that is there; of what is no regular file, nothing."""
        node = self._walk(self._parts(target), follow=False)
        if node is not None and node.file is not None:
            self._put(name, _Node(layer=self.layer, file=node.file))

    def add_directory(self, name: str) -> None:
        """Put a directory; one that is there keeps what is in it."""
        self._put(name, _Node(layer=self.layer, children={}))

    def whiteout(self, name: str) -> bool:
        """Take away what a whiteout names; False when ``name`` is none."""
        parts = self._parts(name)
        if not parts or not parts[-1].startswith(WHITEOUT):
            return False
        parent = self._walk(parts[:-1])
        if parent is None or parent.children is None:
            return True
        if parts[-1] == OPAQUE:
            self._keep_own(parent)
        elif hidden := parent.children.get(parts[-1].removeprefix(WHITEOUT)):
            if hidden.layer < self.layer:
                del parent.children[parts[-1].removeprefix(WHITEOUT)]
            else:
                self._keep_own(hidden)
        return True

    def find(self, name: str) -> TreeFile | None:
        """Return the file that a program would open by an absolute path; None when there is none."""
        try:
            node = self._walk(self._parts(name, up=True))
        except InputError:
            return None
        return node.file if node else None

    def names(self, directory: str) -> tuple[str, ...]:
        """Return what is in a directory, sorted; nothing when it is none."""
        try:
            node = self._walk(self._parts(directory, up=True))
        except InputError:
            return ()
        return tuple(sorted(node.children)) if node and node.children is not None else ()

    def files(self) -> Iterator[tuple[str, TreeFile]]:
        """Yield every regular file under its absolute path, in alphabetical order."""
        stack: list[tuple[str, _Node]] = [("", self._root)]
        while stack:
            path, node = stack.pop()
            if node.file is not None:
                yield path, node.file
            for name in sorted(node.children or (), reverse=True):
                stack.append((f"{path}/{name}", (node.children or {})[name]))

    def _put(self, name: str, node: _Node) -> None:
        parts = self._parts(name)
        if not parts:
            return  # the root itself
        parent = self._make(parts[:-1])
        assert parent.children is not None, "made or found as a directory"
        there = parent.children.get(parts[-1])
        if node.children is not None and there is not None and there.children is not None:
            there.layer = self.layer
        else:
            if there is None:
                self._count()
            parent.children[parts[-1]] = node
            node.parent = parent
            above: _Node | None = parent
            while above is not None and above.layer < self.layer:
                above.layer = self.layer
                above = above.parent

    def _make(self, parts: list[str]) -> _Node:
        """Return a directory, made with those above it where they are missing; links on the way are followed."""
        node = self._root
        for number, part in enumerate(parts):
            assert node.children is not None, "only directories get here"
            child = node.children.get(part)
            if child is not None and child.link:
                child = self._walk(parts[: number + 1])
            if child is None or child.children is None:
                child = _Node(layer=self.layer, parent=node, children={})
                self._count()
                node.children[part] = child
            node = child
        return node

    def _walk(self, parts: list[str], *, follow: bool = True) -> _Node | None:
        """Return what is at a path, links followed inside the tree; the last one only with ``follow``."""
        above = [self._root]
        left = list(reversed(parts))
        for _ in range(self.limits.steps):
            if not left:
                return above[-1]
            part = left.pop()
            if part == "..":
                above = above[:-1] or above
                continue
            children = above[-1].children
            child = children.get(part) if children is not None else None
            if child is None:
                return None
            if child.link and (left or follow):
                if child.link.startswith("/"):
                    above = [self._root]
                left += reversed(self._parts(child.link, up=True))
            else:
                above.append(child)
        return None

    def _parts(self, name: str, *, up: bool = False) -> list[str]:
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if len(name) > self.limits.name or len(parts) >= self.limits.steps:
            msg = (
                f"a name of {len(name)} characters and {len(parts)} parts is longer than any file's"
            )
            raise InputError(msg)
        if not up and ".." in parts:
            msg = f"the name {name!r:.200} leads out of the image"
            raise InputError(msg)
        return parts

    def _keep_own(self, node: _Node) -> None:
        """Take away what lower layers put into a directory, at any depth: what its own layer has stays.

        Once a layer is enough, and keeps a thousand whiteouts of one directory from taking long.
        """
        stack = [node]
        while stack:
            directory = stack.pop()
            if directory.hidden_in == self.layer:
                continue
            directory.hidden_in = self.layer
            children = directory.children or {}
            for name, child in list(children.items()):
                if child.layer < self.layer:
                    del children[name]
                elif child.children is not None:
                    stack.append(child)

    def _count(self) -> None:
        self.entries += 1
        if self.entries > self.limits.entries:
            msg = f"there are more than {self.limits.entries:,} files in it"
            raise InputError(msg)
