"""Write a directory that another machine can use as its mirror: ``FROMSCRATCH_MIRRORS=file://DIR``."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from builders.sources.cache import WrongBytesError
from core.errors import RecipeError
from core.files import CHUNK, disk_errors
from recipes.model import Source


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """What a mirror's directory holds now. ``size`` in bytes; ``written`` files are new in it."""

    files: int
    written: int
    size: int


def mirror(sources: Iterable[Source], into: Path, *, get: Callable[[Source], Path]) -> Mirrored:
    """Write every source into the directory ``into`` under its own file name, each at once or not.

    ``get`` returns a source's verified file, fetching it if need be. What is there already is
    hashed and kept. Raises RecipeError, before anything is written, when two sources claim one
    file name; StorageError when the directory cannot be written to.
    """
    wanted: dict[str, Source] = {}
    for source in sources:
        other = wanted.setdefault(source.filename, source)
        if other.sha256 != source.sha256:
            msg = (
                f"{other.name} {other.version} and {source.name} {source.version} "
                f"both claim the file name '{source.filename}'."
            )
            raise RecipeError(msg, next="give one of them a file name with its own name in it")
    with disk_errors(into):
        into.mkdir(parents=True, exist_ok=True)
    written = 0
    for filename, source in sorted(wanted.items()):
        with disk_errors(into):
            present = _has(into / filename, source)
        if not present:
            file = get(source)
            with disk_errors(into):
                _copy(file, into / filename, source)
            written += 1
    return Mirrored(
        files=len(wanted), written=written, size=sum(source.size for source in wanted.values())
    )


def _has(path: Path, source: Source) -> bool:
    if not path.is_file() or path.stat().st_size != source.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == source.sha256


def _copy(file: Path, target: Path, source: Source) -> None:
    state = hashlib.sha256()
    with (
        tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as copy,
        file.open("rb") as original,
    ):
        temporary = Path(copy.name)
        try:
            while chunk := original.read(CHUNK):
                state.update(chunk)
                copy.write(chunk)
            if state.hexdigest() != source.sha256:
                subject = f"'{file}'"
                raise WrongBytesError(subject, expected=source.sha256, actual=state.hexdigest())
            copy.flush()
            os.fsync(copy.fileno())
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
