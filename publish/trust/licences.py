"""Licence texts of everything linked in, out of the very archives it was built from; and whose source must go along."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from typing import Protocol

from boolean import ParseError  # type: ignore[import-untyped]
from license_expression import ExpressionError, Licensing  # type: ignore[import-untyped]

from core.errors import PublishError
from publish.trust.components import Component

DIRECTORY = "LICENSES"
USUAL = ("COPYING*", "LICENSE*", "LICENCE*", "COPYRIGHT*", "NOTICE*")
"""What authors call it, at the top of their archives."""

LARGEST = 1 << 20
"""Bytes: a licence's text has 60 kB at most."""

COPYLEFT = ("GPL-", "LGPL-", "AGPL-", "MPL-", "EPL-", "CDDL-", "EUPL-", "OSL-", "CPL-")
"""Beginnings of the licences that ask for the source to be had where the program is."""

FREED = (
    "LicenseRef-UPX-exception",
    "LicenseRef-Nuitka-Runtime-Library-Exception",
    "GCC-exception-3.1",
    "LLVM-exception",
    "Linux-syscall-note",
    "Classpath-exception-2.0",
)
"""Exceptions that let what is linked in go along under any terms, as long as it is unchanged."""


class SourceFile(Protocol):
    """A file in an archive."""

    @property
    def name(self) -> str:
        """The path below the archive's top directory."""

    @property
    def size(self) -> int: ...

    def read(self) -> bytes:
        """Return the contents; only before the next member is asked for."""


Reader = Callable[[Component], AbstractContextManager[Iterator[SourceFile]]]
"""Opens a component's source. For a component out of a wheel: the wheel's installed directory."""


def licence_texts(components: Iterable[Component], reader: Reader) -> dict[str, bytes]:
    """Return ``LICENSES/<component>-<version>/<file>`` and the text, for every component.

    Raises PublishError for a component without any text, or with one that its recipe names and its archive lacks.
    """
    texts: dict[str, bytes] = {}
    for component in sorted({it.slug: it for it in components}.values(), key=lambda it: it.slug):
        found = _texts(component, reader)
        if not found or not all(text.strip() for text in found.values()):
            msg = f"The source of {component.name} {component.version} has no licence text where it is looked for."
            raise PublishError(msg, next='name it in its recipe: [bill] licence_files = ["…"]')
        texts |= {f"{DIRECTORY}/{component.slug}/{name}": text for name, text in found.items()}
    return texts


def is_copyleft(expression: str) -> bool:
    """Return whether a licence wants the source to go along.

    Of alternatives the freest counts, of licences that hold together any. Raises PublishError for no SPDX expression.
    """
    try:
        tree = Licensing().parse(expression)
    except (ExpressionError, ParseError) as error:
        msg = f"'{expression}' is not an SPDX expression: {error}"
        raise PublishError(msg) from error
    if tree is None or any(
        " " in str(symbol) for symbol in tree.symbols if not hasattr(symbol, "exception_symbol")
    ):
        msg = f"'{expression}' is not an SPDX expression."
        raise PublishError(msg)
    return _asks(tree)


def _asks(tree: object) -> bool:
    operator, arguments = getattr(tree, "operator", ""), getattr(tree, "args", ())
    if arguments:
        results = [_asks(argument) for argument in arguments]
        return all(results) if operator.strip() == "OR" else any(results)
    exception = getattr(tree, "exception_symbol", None)
    if exception is not None:
        licence = getattr(tree, "license_symbol", None)
        return str(exception) not in FREED and _asks(licence)
    return str(tree).startswith(COPYLEFT)


def _texts(component: Component, reader: Reader) -> dict[str, bytes]:
    patterns = component.licence_files
    missing = set(patterns)
    found: dict[str, bytes] = {}
    with reader(component) as members:
        for member in members:
            hits = [it for it in patterns or USUAL if _matches(member.name, it)]
            if not hits or member.size == 0:
                continue
            if member.size > LARGEST:
                msg = (
                    f"The licence text of {component.name}, {member.name}, has {member.size} bytes."
                )
                raise PublishError(msg)
            missing -= set(hits)
            name = _safe_path(member.name, component)
            found[name.replace("/", "-") if _last(name) in found else _last(name)] = member.read()
            if patterns and not missing and "*" not in "".join(patterns):
                break  # nothing more is asked for: an archive takes long to read to its end
    if missing:
        names = ", ".join(sorted(missing))
        msg = f"The source of {component.name} {component.version} lacks the licence text {names}."
        raise PublishError(msg, next="see 'licence_files' in its recipe")
    return found


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _matches(name: str, pattern: str) -> bool:
    """Directory by directory: `*` stays in one."""
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def _safe_path(name: str, component: Component) -> str:
    """The member's path. Raises PublishError for one that no file of ours may have."""
    words = [word for word in name.split("/") if word not in {"", ".", ".."}]
    if not words or any(ord(letter) < 32 or ord(letter) == 127 for letter in name) or "\\" in name:
        msg = f"The source of {component.name} has a licence text with an odd name: {name!r}."
        raise PublishError(msg)
    return "/".join(words)
