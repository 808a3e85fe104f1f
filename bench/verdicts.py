"""`inv verify` beside readelf, on the same thousands of files of this machine."""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.report import Figure
from flow.context import ROOT

FILES: Final = 5000
ROUNDS: Final = 3
PROCESSES: Final = "2"
BAR: Final = 2.0
"""Half of readelf's speed, for reading what it reads: headers, segments, the dynamic segment."""
PLACES: Final = (Path("/usr"),)
_LARGEST: Final = 512 << 20


def verdicts(_: argparse.Namespace) -> Iterator[Figure]:
    """Wall time and CPU time for a folder of files: readelf's headers, segments, dynamic section and notes."""
    readelf = shutil.which("readelf")
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        folder = Path(directory) / "files"
        count = link_files(folder, FILES)
        paths = sorted(str(path) for path in folder.iterdir())
        words = {
            name: [str(ROOT / "inv"), "verify", "--recursive", str(folder), "--policy", name]
            for name in ("minimal", "static")
        }
        timed = {name: best(line, codes=(0, 1)) for name, line in words.items()}
        theirs = best([readelf, "-hldn", *paths], codes=(0, 1)) if readelf else None
        loop = 'for file; do readelf -hldn "$file"; done'
        each = best(["sh", "-c", loop, "sh", *paths], codes=(0, 1), rounds=1) if readelf else None
    where = f"{count:,} files of /usr, {PROCESSES} processes"
    why = "" if theirs else "not installed: apt-get install -y binutils"
    if theirs and each:
        yield Figure(f"readelf -hldn, {count:,} files, a process for each: wall", "s", each[0])
        yield Figure(f"readelf -hldn, {count:,} files: wall", "s", theirs[0])
        yield Figure(f"readelf -hldn, {count:,} files: CPU", "s", theirs[1])
    for name, (wall, spent) in timed.items():
        yield Figure(f"inv verify --policy {name}, {where}: wall", "s", wall)
        yield Figure(f"inv verify --policy {name}, {where}: CPU", "s", spent)
    yield Figure(
        f"inv verify --policy minimal, {where}: wall, as part of readelf's",
        "ratio",
        timed["minimal"][0] / theirs[0] if theirs else None,
        must=BAR,
        why=why,
    )


def link_files(folder: Path, most: int) -> int:
    """Make links to, or copies of, up to ``most`` ELF files of this machine in a folder; return how many."""
    folder.mkdir()
    count = 0
    for place in PLACES:
        for above, directories, names in os.walk(place):
            directories.sort()
            for name in sorted(names):
                path = Path(above, name)
                if count == most:
                    return count
                if path.is_symlink() or not is_elf(path):
                    continue
                to = folder / f"{count:05}-{name}"
                try:
                    os.link(path, to)
                except OSError:  # another file system
                    shutil.copyfile(path, to)
                count += 1
    return count


def is_elf(path: Path) -> bool:
    """Whether it is a file that begins as ELF does, and none of gigabytes."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def best(
    words: Sequence[str], *, codes: Sequence[int], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Run some times, output thrown away; return the medians of wall and of CPU time in seconds, children's too."""
    walls, spent = [], []
    environment = {**os.environ, "FROMSCRATCH_JOBS": PROCESSES}
    for _ in range(rounds):
        before, began = os.times(), time.monotonic()
        done = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        walls.append(time.monotonic() - began)
        after = os.times()
        spent.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        if done.returncode not in codes:
            msg = f"{words[0]} ended with {done.returncode}"
            raise RuntimeError(msg)
    return statistics.median(walls), statistics.median(spent)
