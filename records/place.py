"""Where the record of what fills a file is: all that a build needs which changes nothing."""

from pathlib import Path
from typing import Final

VERSION: Final = 1
DIRECTORY: Final = "fill"


def fill_path(artifacts: Path, file_name: str) -> Path:
    """Where the record of a file of `artifacts/files/` is."""
    return artifacts / DIRECTORY / f"{file_name}.json"


def has_fill(artifacts: Path, file_name: str, sha256: str) -> bool:
    """True when a record begins as one of this very file does: it is not read for it."""
    head = f'{{"version": {VERSION}, "file": "{file_name}", "sha256": "{sha256}", '.encode()
    try:
        with fill_path(artifacts, file_name).open("rb") as file:
            return file.read(len(head)) == head
    except OSError:
        return False
