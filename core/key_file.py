"""Files that hold keys: read with suspicion, written once."""

import contextlib
import os
import stat
from pathlib import Path

from core.errors import PublishError

LARGEST = 4096
"""Bytes: key and signature files have 400 at most."""


def read_key(path: Path, *, what: str, secret: bool = False) -> str:
    """Read a key, or a signature. What is checked is what was opened, whatever the name leads to by then.

    Raises PublishError, which never quotes it; for a ``secret`` also when others may read it, or it is another user's.
    """
    try:
        # A pipe must not keep us waiting.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        msg = f"The {what} {path} cannot be read: {error}"
        raise PublishError(msg, next="./inv key new makes a pair of keys") from error
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            msg = f"The {what} {path} is not a regular file."
            raise PublishError(msg)
        if secret:
            _refuse_shared(path, status)
        data = os.read(number, LARGEST + 1)
        if len(data) > LARGEST:
            msg = f"The {what} {path} is too large to be one."
            raise PublishError(msg)
        return data.decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        msg = f"The {what} {path} cannot be read: {reason}"
        raise PublishError(msg) from None  # a decoding error would quote it
    finally:
        os.close(number)


def _refuse_shared(path: Path, status: os.stat_result) -> None:
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        msg = f"The secret key {path} has mode {mode:04o}: others may use it."
        raise PublishError(
            msg,
            why="it was copied or made without care",
            next=f"chmod 600 {path}; if others were on this machine, make a new key",
        )
    if status.st_uid not in {os.geteuid(), 0}:
        msg = f"The secret key {path} belongs to another user (uid {status.st_uid})."
        raise PublishError(msg, next="use a copy of your own, with mode 0600")


def write_new_key(path: Path, text: str, *, mode: int) -> None:
    """Write a key whole to a file that must not be there yet. Raises PublishError."""
    created = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        created = True
        with os.fdopen(number, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        if created:
            with contextlib.suppress(OSError):
                path.unlink()
        if isinstance(error, FileExistsError):
            msg = f"{path} exists already; a key is never overwritten."
            next_step = "choose another file, or move that one away"
            raise PublishError(msg, next=next_step) from error
        if isinstance(error, OSError):
            msg = f"{path} cannot be written: {error}"
            next_step = "check free space and permissions of its directory"
            raise PublishError(msg, next=next_step) from error
        raise
