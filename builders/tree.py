"""A step's output directory as one file: a tar whose bytes depend on nothing but names, modes and contents."""

import hashlib
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from builders.engines.output import walk


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
    """Write a tar made by `pack_tree` to ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            path = directory / member.name
            if member.isdir():
                path.mkdir(exist_ok=True)
            elif content := tar.extractfile(member):
                with path.open("wb") as file:
                    shutil.copyfileobj(content, file)
                path.chmod(member.mode)
