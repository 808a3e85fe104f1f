"""Paths of the building machine left in a file: in what is loaded into memory, and in notes beside it.

They come from ``__FILE__``, from recorded configure arguments and from caches, name people and
machines, and make bytes depend on the directory of the build. A run-time path is no such thing, so the
patterns ask for more than an absolute path:

* a *source or object file*, anywhere but where every machine has the same: ``/usr``, and the
  prefixes that rustc puts in place of its own build directories;
* something in the *home of a named person*: ``/home/ann/x``. ``/root/.netrc`` is not: a dot file of
  root is configuration looked for at run time;
* a *directory and a name in it* where builds happen, ``/build/curl/lib``, and one level more in
  temporary directories: ``/tmp/.X11-unix/X0`` and ``/tmp/my.sock`` are sockets, ``/src/app.js`` is a
  page of some server, and Python documents zipimport with ``/tmp/myimport.zip/…``.

The directories that a recipe builds in can be named, and for them one name inside is enough.

Some text only looks like such a path, since strings lie side by side: a compiler puts a string of 16 bytes into a
register as it puts a number, and the linker places these without a NUL between them. In musl, ``/tmp/tmpfile_XXX`` is
the beginning of a template, and what follows is another string. So these are no build paths:

* a name in a temporary directory with ``XXX`` in it, which ``mkstemp`` fills in at run time;
* the machine's own ``/dev``, ``/proc`` and ``/sys`` behind a name in a temporary directory;
* a source file behind a name that ends in two dots, ``/run/rpcbind../../svc.c``;
* ``/include/cuda.h``, which a compiler appends to a prefix.

Every pattern begins with a slash, which is found quickly, and each byte is looked at a bounded number of times: names
and their number are bounded, and a search never begins in the middle of a name that another has passed.
"""

import re
from collections.abc import Iterable
from typing import Final

from core.errors import RecipeError
from verify.elf_file import ElfFile

MAX_FOUND: Final = 20
_WINDOW: Final = 1024 * 1024
_LEAD: Final = 6  # what the look-behind looks at
_LONGEST: Final = 4096

_IN_NAME: Final = "A-Za-z0-9._+@~-"
_NAME: Final = f"[{_IN_NAME}]{{1,255}}+"
_VISIBLE: Final = f"[A-Za-z0-9_+@~-][{_IN_NAME}]{{0,254}}+"
# A template ends in six X: with less, it was cut.
_CUT: Final = "(?<=XXX/)(?<!XXXXXX/)"
# Another path begins behind "-I" and a template that was cut, and two strings lie side by side behind "x..": a source's
# path goes through none of them.
_PART: Final = rf"{_NAME}/(?<!-[ILB]/)(?<![^/.]\.\./)(?!{_CUT})"
_TEMPORARY: Final = r"(?:var/)?tmp/"
# Not in the middle of a longer path or URL; only in "-I/x" may a letter stand before it, and behind a template.
_START: Final = rf"/(?:(?<![A-Za-z0-9._~%+/\\-]/)|(?<=-[ILB]/)|{_CUT})"
_RUN_TIME: Final = (
    rf"(?!{_TEMPORARY}(?:[/{_IN_NAME}]{{0,255}}XXX|{_NAME}/(?:dev|proc|sys)(?![{_IN_NAME}])))"
)
_ENDS: Final = r"c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|h\+\+|S|zig|rs|go|o|a"
_SOURCE: Final = (
    # There it may be the rest of a path that goes on through a name that ends so.
    rf"(?!usr/|include/|rustc/|rust/deps/)(?:(?:{_PART}){{1,64}}|(?<=-[ILB]/)|{_CUT})"
    rf"[{_IN_NAME}]{{1,255}}\.(?:{_ENDS})(?![/{_IN_NAME}])"
)
_DIRECTORIES: Final = (
    rf"(?:home|Users)/{_NAME}/{_NAME}",
    rf"root/{_VISIBLE}",
    rf"{_TEMPORARY}{_VISIBLE}/{_NAME}/{_NAME}",
    rf"(?:builds?|buildroot|src|workspace|github|__w)/{_VISIBLE}/{_NAME}",
)


def compile_build_paths(directories: Iterable[str]) -> re.Pattern[bytes]:
    """Return the pattern of build paths, with those under the absolute ``directories`` too.

    Raises RecipeError for a directory too short to be told from chance: four bytes of machine code
    look like any three-letter directory sooner or later.
    """
    named: list[str] = []
    for directory in directories:
        trimmed = directory.rstrip("/")
        if not trimmed.startswith("/") or len(trimmed) < 4:
            msg = f"Build directory '{directory}' cannot be looked for in a binary."
            raise RecipeError(msg, next="name an absolute directory of four characters or more")
        named.append(rf"{re.escape(trimmed[1:])}/{_NAME}")
    more = f"(?:/{_NAME}){{0,64}}+"
    ours = f"(?:{'|'.join(named)}){more}|" if named else ""
    others = f"(?:{'|'.join(_DIRECTORIES)}){more}"
    return re.compile(f"{_START}(?:{ours}{_RUN_TIME}(?:{others}|{_SOURCE}))".encode())


def find_build_paths(
    elf: ElfFile, ranges: Iterable[tuple[int, int]], pattern: re.Pattern[bytes]
) -> tuple[str, ...]:
    """Return the first MAX_FOUND different build paths in ``ranges`` (file offsets), in their order.

    Reads every byte of each range once, in windows.
    """
    found: dict[str, None] = {}
    for start, end in ranges:
        for position in range(start, end, _WINDOW):
            begin = max(start, position - _LEAD)
            stop = min(end, position + _WINDOW)
            window = elf.at(begin, min(end, stop + _LONGEST) - begin)
            for match in pattern.finditer(window, position - begin):
                if begin + match.start() >= stop:
                    break
                found[match.group().decode("ascii")] = None
                if len(found) == MAX_FOUND:
                    return tuple(found)
    return tuple(found)
