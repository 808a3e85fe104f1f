"""Reads who brought a symbol into code that was optimised at link time: the map knows one object for all of it.

It is the linker's own word, from its symbol tables of all archives and objects: those lines of
``--save-temps=resolution`` whose flags have a ``p``, for the definition that prevailed:
https://github.com/llvm/llvm-project/blob/main/llvm/lib/LTO/LTO.cpp
"""

import re
from typing import Final

from records.link_map import LARGEST, LinkMapError

_LINE = re.compile(r"-r=(.+),([^,]*),p[lx]*")
_OFFSET = re.compile(r" at \d+\)$")

LONGEST: Final = 4096
"""Characters of a module's path."""


def read_owners(data: bytes) -> dict[str, str]:
    """Return the module of each symbol: ``lib/libcurl.a(url.c.o)``. Raises LinkMapError, with the line."""
    if len(data) > LARGEST:
        msg = f"the list of owners has {len(data):,} bytes, more than {LARGEST:,}"
        raise LinkMapError(msg)
    if data and not data.endswith(b"\n"):
        msg = "the list of owners is cut off: its last line has no end"
        raise LinkMapError(msg)
    owners: dict[str, str] = {}
    lines = data.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n") if data else []
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if not found or len(found[1]) > LONGEST:
            msg = f"line {number} of the list of owners is none: {line!r:.80}"
            raise LinkMapError(msg)
        module, symbol = _OFFSET.sub(")", found[1]), found[2]
        if owners.setdefault(symbol, module) != module:
            msg = f"line {number} of the list of owners names a second owner of '{symbol:.80}'"
            raise LinkMapError(msg)
    return owners
