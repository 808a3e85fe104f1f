"""Edits of CPython's source that a frozen program's library wants. Each must apply exactly once, or the build fails.

Usage: lean.py SRC
"""

import re
import sys
from pathlib import Path

EDITS = (
    # The runtime's initial state lies in the file twice, the second time (126 KB) for programs that start Python again,
    # start sub-interpreters or start threads. Ours do none of that.
    (
        "Python/pystate.c",
        "memcpy(runtime, &initial, sizeof(*runtime));",
        'Py_FatalError("started twice");',
    ),
    (
        "Python/pystate.c",
        "memcpy(interp, &initial._main_interpreter, sizeof(*interp));",
        'Py_FatalError("one interpreter only");',
    ),
    (
        "Python/pystate.c",
        """    memcpy(tstate,
           &initial._main_interpreter._initial_thread,
           sizeof(*tstate));""",
        '    Py_FatalError("one thread only");',
    ),
    # Caches for long runs, 92 KB and 64 KB of initialised data: a health check ends after some milliseconds.
    (
        "Include/internal/pycore_typeobject.h",
        "#define MCACHE_SIZE_EXP 12",
        "#define MCACHE_SIZE_EXP 8",
    ),
    (
        "Include/internal/pycore_function.h",
        "#define FUNC_VERSION_CACHE_SIZE (1<<12)",
        "#define FUNC_VERSION_CACHE_SIZE (1<<6)",
    ),
    # Which characters are letters, digits or upper case: known for Latin-1 only, 90 KB less. All others are kept and
    # printed as they are; they only belong to no class.
    ("Objects/unicodectype.c", "if (code >= 0x110000)", "if (code >= 0x100)"),
)


def main(source: Path) -> None:
    """Apply all edits."""
    for name, old, new in EDITS:
        path = source / name
        text = path.read_text("utf-8")
        if text.count(old) != 1:
            sys.exit(f"lean.py: {name} has {text.count(old)} times, not once:\n{old}")
        path.write_text(text.replace(old, new), "utf-8")
    keep_latin1(source / "Objects/unicodetype_db.h")


def keep_latin1(path: Path) -> None:
    """Cut the two-level table of character types to its first 256 entries."""
    text = path.read_text("utf-8")
    found = {
        name: re.search(rf"(static const unsigned \w+ {name}\[\] = \{{)(.*?)\}};", text, re.DOTALL)
        for name in ("index1", "index2")
    }
    first, second = found["index1"], found["index2"]
    if first is None or second is None or "#define SHIFT 7\n" not in text:
        sys.exit(f"lean.py: {path.name} is not laid out as it was")
    blocks = [int(number) for number in re.findall(r"\d+", first[2])]
    types = [int(number) for number in re.findall(r"\d+", second[2])]
    kept = [types[(blocks[code >> 7] << 7) + (code & 127)] for code in range(256)]
    text = text.replace(first[0], f"{first[1]} 0, 1 }};")
    text = text.replace(second[0], f"{second[1]} {', '.join(map(str, kept))} }};")
    path.write_text(text, "utf-8")


main(Path(sys.argv[1]))
