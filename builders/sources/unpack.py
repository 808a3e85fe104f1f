"""Unpack an archive as if it were hostile: inside one directory or not at all."""

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import assert_never

from builders.sources.archive import ArchiveMember, MemberKind, Unreadable, members
from core.cancel import CancelToken
from core.errors import SourceError
from core.files import disk_errors
from core.remove import remove_tree

MAX_BYTES = 2 << 30
MAX_FILES = 100_000
MAX_NAME = 255
MAX_PATH = 1024
MAX_DEPTH = 100
"""Folders one in another; what goes through a tree need not fear its depth."""
MAX_IMPLIED = 10_000
"""Directories that no member names: one name can imply as many as it has parts, and each takes time to make."""
LONGEST_REASON = 2000
"""Characters of a reason that are shown: it may quote a name of a megabyte."""
LATEST = (1 << 32) - 1
"""Not every file system can store a time after 2106."""
OVERHEAD = 4096
"""Bytes of headers and padding that a tar may spend on each file."""


def unpack(
    archive: Path,
    into: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    epoch: int | None = None,
    unused: Collection[str] = (),
    label: str = "",
    cancel: CancelToken | None = None,
) -> Path:
    """Unpack a .tar.gz, .tar.bz2, .tar.xz or .zip into the new directory ``into``; return its top.

    The top is the one directory that the archive consists of, or ``into`` when it is not so. Modes
    become 0755 and 0644; times are the archive's, or ``epoch`` (seconds since 1970) for all.
    ``into`` must not exist, or be empty; its parent must exist. ``label`` names the archive in
    messages. Directories of the top that ``unused`` names are left out; the archive must then have one top.

    Raises Cancelled soon after ``cancel`` is set, and leaves nothing behind.

    Raises SourceError, and leaves nothing behind, for: paths or links that lead outside, anything
    but files, directories and links, names that are too long or come twice, more than ``max_bytes``
    or ``max_files`` (counted while unpacking, whatever the headers say), damage.
    """
    with disk_errors(into):
        scratch = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
    try:
        tree = _Tree(scratch, max_bytes=max_bytes, max_files=max_files, epoch=epoch, unused=unused)
        max_read = max_bytes + OVERHEAD * (max_files + 1)
        try:
            with disk_errors(scratch), members(archive, max_read=max_read) as found:
                tree.take(_until(cancel, found, f"unpack {label or archive.name}"))
        except Unreadable as error:
            reason = str(error)[:LONGEST_REASON]
            msg = f"'{label or archive.name}' was not unpacked: {reason}."
            raise SourceError(
                msg,
                why="the archive is damaged or hostile: a pin of the wrong file",
                next="compare the recipe's pin with what upstream signed",
            ) from error
        with disk_errors(into):
            scratch.replace(into)
    except BaseException:
        with suppress(OSError):
            remove_tree(scratch)
        raise
    top = list(into.iterdir())
    return top[0] if len(top) == 1 and top[0].is_dir() and not top[0].is_symlink() else into


def _until(
    cancel: CancelToken | None, found: Iterable[ArchiveMember], doing: str
) -> Iterator[ArchiveMember]:
    for member in found:
        if cancel is not None:
            cancel.check(doing)
        yield member


class _Tree:
    """What has been unpacked so far, and what that forbids from now on."""

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int,
        max_files: int,
        epoch: int | None,
        unused: Collection[str] = (),
    ) -> None:
        self._root = root
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._epoch = epoch
        self._unused = frozenset(unused)
        self._top = ""
        # By paths as text: as objects, deep ones take far longer to make, to hash and to go up from.
        self._kinds: dict[str, MemberKind] = {}
        self._times: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._implied: set[str] = set()

    def take(self, found: Iterable[ArchiveMember]) -> None:
        for number, member in enumerate(found):
            path = _path(member.name)
            if number > self._max_files:
                raise _refused(path, f"is one too many: more than {self._max_files} came before")
            if self._leaves_out(path) and member.kind is not MemberKind.OTHER:
                continue
            self._times[path] = member.mtime
            self._directory(_parent(path))
            match member.kind:
                case MemberKind.DIRECTORY:
                    self._directory(path, implied=False)
                    self._implied.discard(path)
                case MemberKind.FILE:
                    self._declare(path, member.kind)
                    self._write(path, member.chunks, member.size, executable=member.executable)
                case MemberKind.HARDLINK:
                    self._copy(path, member.target)
                case MemberKind.SYMLINK:
                    self._declare(path, member.kind)
                    self._links[path] = member.target
                case MemberKind.OTHER:
                    raise _refused(path, f"is a {member.kind}")
                case _:
                    assert_never(member.kind)
        self._link()
        self._set_times()

    def _leaves_out(self, path: str) -> bool:
        """Whether nobody needs a member. What leads there by a hard link is refused as if it had never come."""
        if not self._unused or not path:
            return False
        top, *below = path.split("/", 2)
        self._top = self._top or top
        if top != self._top:
            raise _refused(path, f"lies beside '{self._top}', of which parts are left out")
        return bool(below) and below[0] in self._unused

    def _declare(self, path: str, kind: MemberKind) -> None:
        if not path:
            raise _refused(path, "has no name")
        if path in self._kinds:
            raise _refused(path, "comes twice")
        if len(self._kinds) >= self._max_files:
            raise _refused(path, f"is one too many: no more than {self._max_files} are allowed")
        self._kinds[path] = kind

    def _directory(self, path: str, *, implied: bool = True) -> None:
        # Upwards only as far as is new: all that is above a directory that is here is here.
        new = []
        while path and self._kinds.get(path) is not MemberKind.DIRECTORY:
            new.append(path)
            path = _parent(path)
        for directory in reversed(new):
            if directory in self._kinds:
                raise _refused(new[0], f"goes through '{directory}', a {self._kinds[directory]}")
            self._declare(directory, MemberKind.DIRECTORY)
            if implied:
                self._implied.add(directory)
            if len(self._implied) > MAX_IMPLIED:
                raise _refused(new[0], f"implies too many directories: more than {MAX_IMPLIED}")
            os.mkdir(f"{self._root}/{directory}")  # noqa: PTH102

    def _write(self, path: str, chunks: Iterable[bytes], size: int, *, executable: bool) -> None:
        if size > self._left:
            raise self._too_big(path)
        file_path = self._root / path
        with file_path.open("xb") as file:
            for chunk in chunks:
                self._left -= len(chunk)
                if self._left < 0:
                    raise self._too_big(path)
                file.write(chunk)
        file_path.chmod(0o755 if executable else 0o644)

    def _copy(self, path: str, target: str) -> None:
        """Write a hard link as a file of its own: it can only mean one that is already here."""
        original = _path(target)
        if self._kinds.get(original) is not MemberKind.FILE:
            raise _refused(path, f"is a hard link to '{target}', which is no file before it")
        self._declare(path, MemberKind.FILE)
        with (self._root / original).open("rb") as file:
            state = os.fstat(file.fileno())
            chunks = iter(lambda: file.read(OVERHEAD), b"")
            self._write(path, chunks, state.st_size, executable=bool(state.st_mode & 0o111))

    def _link(self) -> None:
        """Make the symbolic links, last: nothing was ever written through one.

        A target is first judged as text, then as the kernel sees it: ``a/b`` may be a link, and
        ``a/b/..`` not be ``a``.
        """
        for path, target in self._links.items():
            _inside(path, target)
            (self._root / path).symlink_to(target)
        root = os.path.realpath(self._root)
        for path, target in self._links.items():
            real = os.path.realpath(self._root / path)
            if os.path.commonpath([root, real]) != root:
                raise _refused(path, f"is a link to '{target}', which leads outside")

    def _set_times(self) -> None:
        """Set times and directory modes, deepest first: writing into a directory moves its time."""
        for path in sorted(self._kinds, key=lambda path: path.count("/"), reverse=True):
            unpacked = self._root / path
            if self._kinds[path] is MemberKind.DIRECTORY:
                unpacked.chmod(0o755)
            time = self._times.get(path, 0) if self._epoch is None else self._epoch
            time = min(max(time, 0), LATEST)
            os.utime(unpacked, (time, time), follow_symlinks=False)
        self._root.chmod(0o755)

    def _too_big(self, path: str) -> Unreadable:
        return _refused(path, f"is too big: more than {self._max_bytes} bytes in all")


def _refused(path: str, reason: str) -> Unreadable:
    return Unreadable(f"member '{path or '.'}' {reason}")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _path(name: str) -> str:
    """Return a member's path below the root, which is ""; raises Unreadable for one that is not below."""
    path, begin = PurePosixPath(name), f"{name[:40]}..."
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise _refused(str(path), "leads outside")
    if len(os.fsencode(name)) > MAX_PATH or any(len(os.fsencode(p)) > MAX_NAME for p in path.parts):
        raise _refused(begin, "has too long a name")
    if len(path.parts) > MAX_DEPTH:
        raise _refused(begin, f"lies more than {MAX_DEPTH} folders deep")
    return "/".join(path.parts)


def _inside(path: str, target: str) -> None:
    leads_to = os.path.normpath(PurePosixPath(_parent(path), target)) if target else ".."
    if PurePosixPath(target).is_absolute() or leads_to.split("/")[0] == ".." or "\0" in target:
        raise _refused(path, f"is a link to '{target}', which leads outside")
    if len(os.fsencode(target)) > MAX_PATH:
        raise _refused(path, "is a link with too long a target")
