"""What a program's step makes beside its one file: data about its link, for reports. It is not delivered.

A build script puts it into ``$OUT/side``:
    link.map      lld's map, as ``-Wl,-Map=$OUT/side/link.map`` writes it
    link.owners   the lines of lld's ``--save-temps=resolution`` that say which module a symbol of code, optimised
                  at link time, was taken from: the map knows only the one object that all of it became
Other files may lie there, too. They travel as a step's other output does: in the cache, in a store, in a cluster.
"""

from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from builders.toolchain import BOX, INSIDE
from core.errors import StepError

SIDE: Final = "side"
"""The directory below $OUT."""

MAP: Final = f"{SIDE}/link.map"
OWNERS: Final = f"{SIDE}/link.owners"

LARGEST: Final = 64 << 20
"""Bytes of one such file: a program of 4 MB has a map of 3."""


def is_side(path: str | PurePath) -> bool:
    """True for the path, below $OUT, of what lies beside a program."""
    return PurePosixPath(path).parts[:1] == (SIDE,)


def settle(made: Path, *, root: PurePosixPath, toolchain: PurePosixPath) -> None:
    """Put the paths of isolated engines into side outputs in the place of those of where the step ran.

    So they are the same from every engine, as programs are. Raises StepError for one that is too large.
    """
    if not (made / SIDE).is_dir():
        return
    for path in sorted((made / SIDE).rglob("*")):
        if not path.is_file():
            continue
        if (size := path.stat().st_size) > LARGEST:
            msg = f"'{path.relative_to(made)}' in the output of the step has {size:,} bytes."
            raise StepError(msg, next=f"let the step write at most {LARGEST:,} bytes into it")
        if (root, toolchain) != (BOX, INSIDE):
            data = path.read_bytes()
            for here, there in ((root, BOX), (toolchain, INSIDE)):
                data = data.replace(f"{here}/".encode(), f"{there}/".encode())
            path.write_bytes(data)
