"""Where the bytes of a source may be had, in the order in which to ask.

The user's own mirrors (``FROMSCRATCH_MIRRORS``) come first: who names one wants it used. Then
upstream and its other homes, then Debian's pool, then Python's package index. No base URL of
Debian or of the index stands in this project: both are what the machine is configured to use.
"""

import functools
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from core.errors import EngineError, RecipeError
from core.process import run_program
from core.suggest import suggestion
from recipes.model import Source

PRIVATE = "FROMSCRATCH_MIRRORS"
DEBIAN = "FROMSCRATCH_DEBIAN_MIRROR"
PLACEHOLDERS = ("sha256", "name", "version", "filename")
SCHEMES = frozenset({"http", "https", "file"})
APT_SECONDS = 10.0


class Home(StrEnum):
    """Whose mirror it is."""

    PRIVATE = "private"
    UPSTREAM = "upstream"
    DEBIAN = "debian"
    INDEX = "index"


class Transport(StrEnum):
    """How the bytes come."""

    HTTP = "http"
    FILE = "file"
    PIP = "pip"


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One place to ask: ``https://…``, ``http://…``, ``file:///…`` or ``pip:name==version``."""

    home: Home
    url: str

    @property
    def transport(self) -> Transport:
        """How to fetch from it."""
        if self.home is Home.INDEX:
            return Transport.PIP
        return Transport.FILE if self.url.startswith("file:") else Transport.HTTP

    @property
    def shown(self) -> str:
        """The URL as messages and manifests may show it: no password, no private token."""
        parts = urlsplit(self.url)
        netloc = parts.netloc.rpartition("@")[2]
        query = "" if self.home is Home.PRIVATE else parts.query
        return urlunsplit(parts._replace(netloc=netloc, query=query))


@dataclass(frozen=True, kw_only=True)
class Mirrors:
    """The mirrors of this machine. ``debian`` is only called when a source gets as far as that."""

    private: tuple[str, ...] = ()
    debian: Callable[[], tuple[str, ...]] = tuple

    def __post_init__(self) -> None:
        """Refuse templates that could never be filled in; raises RecipeError."""
        for template in self.private:
            _check_template(template)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read both settings; without a Debian mirror, apt is asked when it comes to that."""
        named = tuple(_split(environment.get(DEBIAN, "")))
        for base in named:
            _check_scheme(base, DEBIAN)
        return cls(
            private=tuple(_split(environment.get(PRIVATE, ""))),
            debian=(lambda: named) if named else functools.cache(apt_bases),
        )

    def of(self, source: Source) -> Iterator[Mirror]:
        """Yield the places to ask for ``source``, each once."""
        told: set[str] = set()
        for mirror in self._all(source):
            if mirror.url not in told:
                told.add(mirror.url)
                yield mirror

    def _all(self, source: Source) -> Iterator[Mirror]:
        for template in self.private:
            yield Mirror(home=Home.PRIVATE, url=_fill(template, source))
        for url in source.urls:
            yield Mirror(home=Home.UPSTREAM, url=url)
        if source.debian is not None:
            for base in self.debian():
                yield Mirror(home=Home.DEBIAN, url=_join(base, source.debian))
        if source.pypi is not None:
            yield Mirror(home=Home.INDEX, url=f"pip:{source.pypi}")


def apt_bases(apt_get: str = "apt-get") -> tuple[str, ...]:
    """Return the base URLs of the Debian archives in this machine's apt configuration.

    Several, because security updates have a pool of their own. Empty without apt, and where its
    package lists were removed: apt knows the origin of a list only from the list.
    """
    command = [apt_get, "indextargets", "--format", "$(CREATED_BY) $(ORIGIN) $(REPO_URI)"]
    try:
        answer = run_program(
            command, seconds=APT_SECONDS, package="apt", purpose="find a Debian mirror"
        ).stdout
    except EngineError:
        return ()
    bases = []
    for line in answer.splitlines():
        match line.split():
            case ["Packages", "Debian", uri] if urlsplit(uri).scheme in SCHEMES:
                bases.append(uri)
            case _:
                pass
    return tuple(dict.fromkeys(bases))


def _split(setting: str) -> list[str]:
    return setting.replace(",", " ").split()


def _join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{quote(path, safe='/~+')}"


def _fill(template: str, source: Source) -> str:
    if "{" not in template:
        return _join(template, source.filename)
    values = {
        "sha256": source.sha256,
        "name": source.name,
        "version": source.version,
        "filename": source.filename,
    }
    return template.format_map({key: quote(value, safe="~+") for key, value in values.items()})


def _check_scheme(url: str, setting: str) -> None:
    if urlsplit(url).scheme in SCHEMES:
        return
    msg = f"{setting}: '{url}' begins with none of http://, https:// and file://."
    guess = f"write file://{url}" if url.startswith("/") else "write the whole URL"
    raise RecipeError(msg, next=guess)


def _check_template(template: str) -> None:
    _check_scheme(template, PRIVATE)
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError as error:
        msg = f"{PRIVATE}: '{template}' is no template: {error}."
        raise RecipeError(msg, next=f"use {known}, or no braces at all") from error
    for _, name, layout, conversion in fields:
        if name is None or (name in PLACEHOLDERS and not layout and not conversion):
            continue
        guess = suggestion(f"{{{name}}}", known.split(", "))
        msg = f"{PRIVATE}: unknown placeholder '{{{name}}}' in '{template}'.{guess}"
        raise RecipeError(msg, next=f"use {known}")
