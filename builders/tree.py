"""A step's output directory as one file: a tar whose bytes depend on nothing but names, modes and contents."""

import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from builders.engines.output import walk
from core.errors import StepError


def pack_tree(directory: Path, archive: Path) -> list[PurePosixPath]:
    """Write ``directory`` as a tar: sorted, no owner, no time, modes 0644 or 0755. Return its files.

    Raises StepError for anything that is neither a file nor a directory, and for more than a step may make.
    """
    files = []
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for found in walk(directory):
            member = tarfile.TarInfo(str(found.path))
            member.mode = found.mode
            if found.file is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = found.size
                files.append(found.path)
            tar.addfile(member, found.file)
    return files


def pack_files(files: Mapping[PurePosixPath, Path], archive: Path) -> None:
    """Write a tar as `pack_tree` does, of files that lie anywhere; ``files`` says where in it each is to be."""
    above = {parent for path in files for parent in path.parents} - {PurePosixPath()}
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted({*files, *above}):
            member = tarfile.TarInfo(str(path))
            member.mode = 0o755
            if path not in files:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
                continue
            with files[path].open("rb") as file:
                state = os.fstat(file.fileno())
                member.size = state.st_size
                member.mode = 0o755 if state.st_mode & stat.S_IXUSR else 0o644
                tar.addfile(member, file)


def tree_files(archive: Path) -> dict[str, str] | None:
    """Return the sha256 of each file in a tar made by `pack_tree`; None when it is no such tar."""
    found: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts
                inside = parts and parts[0] != "/" and ".." not in parts
                if not inside or not (member.isdir() or member.isreg()) or member.name in found:
                    return None
                if content := tar.extractfile(member):
                    found[member.name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except (tarfile.TarError, ValueError, EOFError):
        return None
    return found


def unpack_tree(archive: Path, directory: Path) -> None:
    """Write a tar made by `pack_tree` to ``directory``, which need not be there.

    Raises StepError, for what is no such tar, and may leave a part of it there: never a link, and nothing outside.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts
                inside = parts and parts[0] != "/" and ".." not in parts
                path = directory / member.name
                content = tar.extractfile(member) if member.isreg() else None
                if inside and member.isdir():
                    path.mkdir(exist_ok=True)
                elif inside and content:
                    with path.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    path.chmod(member.mode & 0o777)
                else:
                    msg = f"'{member.name}' is not a file or a directory inside"
                    raise tarfile.TarError(msg)
    except (tarfile.TarError, ValueError, EOFError) as error:
        msg = f"'{archive.name}' is no output of a step: {error}."
        raise StepError(msg, why="somebody else made it") from error
