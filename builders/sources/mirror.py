"""Write a directory that another machine can use as its mirror: ``FROMSCRATCH_MIRRORS=file://DIR``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from builders.sources.cache import WrongBytesError
from core.errors import RecipeError
from core.files import atomic, copy_hashed, disk_errors, hash_file
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
        path = into / filename
        with disk_errors(into):
            sized = path.is_file() and path.stat().st_size == source.size
            if sized and hash_file(path) == source.sha256:
                continue
        file = get(source)
        with disk_errors(into), atomic(path) as copy:
            actual = copy_hashed(file, copy)
            if actual != source.sha256:
                raise WrongBytesError(str(file), expected=source.sha256, actual=actual)
        written += 1
    return Mirrored(
        files=len(wanted), written=written, size=sum(source.size for source in wanted.values())
    )
