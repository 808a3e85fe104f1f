"""Which user a step is when root runs the build: one that nobody is, so that it owns nothing of this machine."""

import os
import secrets
from pathlib import Path

from core.errors import EngineError

UNUSED = (range(0x70000000, 0x70000000 + (1 << 20)), range(61184, 65520))
"""Ids that no package and no container gets, the larger range first; the second is for who runs in a container itself.

See the table of https://systemd.io/UIDS-GIDS/: nothing is given out from 0x70000000 on; 61184 to 65519 are users that
live as long as a process.
"""
CAP_SYS_ADMIN = 21


def step_user() -> int | None:
    """Return a uid, which is a gid too, for one step; None for an ordinary user, who has no other to give.

    Raises EngineError when root has none either.
    """
    if os.geteuid() != 0:
        return None
    maps = [Path("/proc/self") / name for name in ("uid_map", "gid_map")]
    mapped = [[ids for ids, _ in _mapped(path)] for path in maps]
    for ids in UNUSED:
        if all(any(ids[0] in part and ids[-1] in part for part in parts) for parts in mapped):
            return secrets.choice(ids)
    if all(outside for ids, outside in _mapped(maps[0]) if 0 in ids):
        return None  # root of a user namespace only: an ordinary user of the machine
    msg = "Root has no other user here that a step could be."
    raise EngineError(msg, why="this container maps too few users", next="run as an ordinary user")


def has_capability(number: int) -> bool:
    """Whether this process may use a capability: https://man7.org/linux/man-pages/man7/capabilities.7.html."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> number & 1)
    return False


def give(directory: Path, user: int) -> None:
    """Make ``user`` the owner of a directory and all in it. Follows no link."""
    for _, directories, files, descriptor in os.fwalk(directory):
        for name in (*directories, *files):
            os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)
    os.chown(directory, user, user)


def _mapped(path: Path) -> list[tuple[range, int]]:
    """The ids that this process may become, and the first one's name outside of its user namespace.

    See https://man7.org/linux/man-pages/man7/user_namespaces.7.html.
    """
    lines = [map(int, line.split()) for line in path.read_text("ascii").splitlines()]
    return [(range(first, first + count), outside) for first, outside, count in lines]
