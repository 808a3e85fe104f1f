"""What a reviewer asks of a file and no rule needs: where its bytes go, and what is in them."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from verify.elf_file import ElfFile, Segment
from verify.notes import build_id, read_notes
from verify.printable import printable
from verify.sections import Section
from verify.versions import Version, find_versions

_SAMPLE: Final = 4096
_SAMPLES: Final = 64
_ALL_SAMPLES: Final = 1024  # however many segments there are
_LONGEST_COMMENT: Final = 4096
MAX_COMMENTS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Part:
    """One mapped segment. Sizes in bytes, entropy in bits a byte."""

    access: str
    """As in ``ls -l``: ``r-x`` is code, ``r--`` constants, ``rw-`` data."""
    file_size: int
    mem_size: int
    entropy: float


@dataclass(frozen=True, kw_only=True)
class About:
    """What is in a file, read only when somebody asks."""

    build_id: str | None
    comment: tuple[str, ...]
    """What compilers and linkers wrote into ``.comment``; stripped files have none."""
    versions: tuple[Version, ...]
    parts: tuple[Part, ...]
    entropy: float
    """Bits a byte, of samples from all of the file: 8 is noise, 5 to 6.5 is usual for code."""


def read_about(elf: ElfFile, segments: Sequence[Segment], sections: Iterable[Section]) -> About:
    """Read what is in a file; raises nothing of its own."""
    loads = [s for s in segments if s.type == "PT_LOAD" and s.mem_size > 0]
    samples = max(1, min(_SAMPLES, _ALL_SAMPLES // max(1, len(loads))))
    return About(
        build_id=build_id(read_notes(elf, segments)),
        comment=_comment(elf, sections),
        versions=find_versions(elf),
        parts=tuple(
            Part(
                access=s.permissions,
                file_size=s.file_size,
                mem_size=s.mem_size,
                entropy=find_entropy(elf, s.offset, s.file_size, samples=samples),
            )
            for s in loads
        ),
        entropy=find_entropy(elf, 0, elf.size),
    )


def find_entropy(elf: ElfFile, offset: int, size: int, *, samples: int = _SAMPLES) -> float:
    """Return Shannon's entropy of a range in bits a byte, to two digits.

    It is of all of a short range, else of pages at equal distances, so that the time does not grow with the size.
    """
    size = max(0, min(size, elf.size - offset))
    step = max(_SAMPLE, size // samples)
    counts: Counter[int] = Counter()
    for start in range(offset, offset + size, step):
        counts.update(elf.at(start, min(_SAMPLE, offset + size - start)))
    total = counts.total()
    bits = -sum(n / total * math.log2(n / total) for n in counts.values())
    return round(max(0.0, bits), 2)


def _comment(elf: ElfFile, sections: Iterable[Section]) -> tuple[str, ...]:
    texts: dict[str, None] = {}
    for section in sections:
        if section.name == ".comment":
            raw = elf.at(section.offset, min(section.size, _LONGEST_COMMENT))
            texts |= dict.fromkeys(printable(text) for text in raw.split(b"\0") if text)
    return tuple(texts)[:MAX_COMMENTS]
