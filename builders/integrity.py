"""Is the toolchain that runs the one that was installed? Its digest is made from what pip noted, not from the files."""

import base64
import csv
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builders.toolchain import Toolchain
from core.errors import EngineError
from core.files import NotPlainError, atomic, disk_errors, hash_file, read_small
from core.remove import remove

STAMP = 64
"""Bytes: a sha256 in hex."""

NAMED = 3
"""How many wrong files an error names."""


def check_toolchain(toolchain: Toolchain, stamp: Path, *, deep: bool = False) -> int:
    """Compare every file of the wheels that a step can see with the sha256 in its RECORD; return how many there are.

    ``stamp`` remembers how the files looked (size, mtime, ctime) when they were last hashed: as long as they still do,
    they are not hashed again, unless ``deep``. Raises EngineError for files that changed, vanished or came on top.
    """
    found = dict(_files(toolchain))
    look = hashlib.sha256(toolchain.digest.encode())
    for path, state in sorted(found.items()):
        look.update(f"\0{path}\0{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}".encode())
    with disk_errors(stamp):
        if _known(stamp) == look.hexdigest().encode() and not deep:
            return len(found)
        wrong = _wrong(found, dict(_recorded(toolchain)))
        if wrong:
            names = ", ".join(wrong[:NAMED])
            more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
            msg = f"The toolchain is not what was installed: {names}{more}."
            why = "a file was changed, removed or added after the installation"
            raise EngineError(msg, why=why, next="rm -r .venv, then run again")
        if stamp.is_dir() and not stamp.is_symlink():
            remove(stamp)
        with atomic(stamp) as file:
            file.write(look.hexdigest().encode())
    return len(found)


def _known(stamp: Path) -> bytes:
    """What the stamp says; nothing when it is none: anything can lie in a cache."""
    try:
        return read_small(stamp, STAMP)
    except (FileNotFoundError, PermissionError, NotPlainError):
        return b""


def _files(toolchain: Toolchain) -> Iterator[tuple[str, os.stat_result]]:
    """What a step can see of the wheels, but for bytecode, which no step runs."""
    for _, part in toolchain.parts():
        if part.is_relative_to(toolchain.scripts):
            continue  # our own: their contents are in the digest
        if not part.is_dir():
            yield str(part), part.lstat()
        for directory, names, files in os.walk(part):
            names[:] = [name for name in names if name != "__pycache__"]
            for name in files:
                path = os.path.join(directory, name)  # noqa: PTH118 - thousands of them
                yield path, os.lstat(path)


def _recorded(toolchain: Toolchain) -> Iterator[tuple[str, str]]:
    """(file, hex sha256) as pip noted them.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file
    """
    parts = {str(part) for _, part in toolchain.parts()}
    below = tuple(part + os.sep for part in parts)
    packages = f"{toolchain.packages}{os.sep}"
    for record in toolchain.records():
        for name, digest, _ in csv.reader(record.read_text("utf-8").splitlines()):
            path = os.path.normpath(packages + name)
            kind, _, value = digest.partition("=")
            if kind == "sha256" and (path in parts or path.startswith(below)):
                yield path, base64.urlsafe_b64decode(value + "==").hex()


def _wrong(found: dict[str, os.stat_result], recorded: dict[str, str]) -> list[str]:
    def differs(path: str) -> bool:
        return stat.S_ISLNK(found[path].st_mode) or hash_file(Path(path)) != recorded[path]

    both = sorted(found.keys() & recorded.keys())
    # sha256 leaves the other cores to other threads.
    with ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="hash") as pool:
        changed = [path for path, wrong in zip(both, pool.map(differs, both), strict=True) if wrong]
    return sorted([*changed, *(found.keys() ^ recorded.keys())])
