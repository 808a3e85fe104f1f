"""A step's output directory as one file: a tar whose bytes depend on nothing but names, modes and contents."""

import hashlib
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from builders.engines.engine import not_a_file


def pack_tree(directory: Path, archive: Path) -> None:
    """Write ``directory`` as a tar: sorted, no owner, no time, modes 0644 or 0755.

    Raises StepError for anything that is neither a file nor a directory.
    """
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(directory.rglob("*")):
            member = tarfile.TarInfo(str(PurePosixPath(path.relative_to(directory))))
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise not_a_file(member.name)
            if path.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                state = path.stat()
                member.size = state.st_size
                member.mode = 0o755 if state.st_mode & 0o100 else 0o644
                with path.open("rb") as file:
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
