"""Where the bytes of a source may be had, in the order in which to ask.

The user's own mirrors (``FROMSCRATCH_MIRRORS``) come first: who names one wants it used. Then
upstream and its other homes, then Debian's pool, then Python's package index. No base URL of
Debian or of the index stands in this project: both are what the machine is configured to use.
"""

import functools
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from builders.sources.transports import Transport, from_file, over_http, over_pip
from core.cancel import CancelToken
from core.errors import EngineError, RecipeError
from core.process import run_program
from core.suggest import suggestion
from recipes.model import Source

PRIVATE = "FROMSCRATCH_MIRRORS"
DEBIAN = "FROMSCRATCH_DEBIAN_MIRROR"
PLACEHOLDERS = ("sha256", "name", "version", "filename")
TRANSPORTS = {"http": over_http, "https": over_http, "file": from_file, "pip": over_pip}
"""How to fetch, by a URL's scheme. A new scheme is a row here and a function in `transports`."""
SCHEMES = frozenset(TRANSPORTS) - {"pip"}
"""What a setting may name."""
APT_SECONDS = 10.0


class MirrorOrigin(StrEnum):
    """Whose mirror it is, in the order in which to ask."""

    PRIVATE = "private"
    UPSTREAM = "upstream"
    DEBIAN = "debian"
    PYPI = "pypi"


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One URL to ask: ``https://…``, ``http://…``, ``file:///…`` or ``pip:name==version``."""

    origin: MirrorOrigin
    url: str

    @property
    def transport(self) -> Transport:
        return TRANSPORTS.get(self.url.partition(":")[0].lower(), over_http)

    @property
    def redacted(self) -> str:
        """The URL as messages and manifests may show it: no password, no private token."""
        parts = urlsplit(self.url)
        netloc = parts.netloc.rpartition("@")[2]
        query = "" if self.origin is MirrorOrigin.PRIVATE else parts.query
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
    def from_environment(
        cls, environment: Mapping[str, str], cancel: CancelToken | None = None
    ) -> Self:
        """Read both settings; without a Debian mirror, apt is asked when it comes to that."""
        private, named = (
            tuple(environment.get(name, "").replace(",", " ").split()) for name in (PRIVATE, DEBIAN)
        )
        for base in named:
            _check_scheme(base, DEBIAN)
        ask_apt = functools.cache(functools.partial(apt_bases, cancel=cancel))
        return cls(private=private, debian=(lambda: named) if named else ask_apt)

    def of(self, source: Source) -> Iterator[Mirror]:
        """Yield the mirrors to ask for ``source``, each URL once."""
        seen: set[str] = set()
        for origin, urls_of in KINDS.items():
            for url in urls_of(self, source):
                if url not in seen:
                    seen.add(url)
                    yield Mirror(origin=origin, url=url)


def _debian_urls(mirrors: Mirrors, source: Source) -> list[str]:
    return [_join(base, source.debian) for base in mirrors.debian()] if source.debian else []


KINDS: dict[MirrorOrigin, Callable[[Mirrors, Source], Iterable[str]]] = {
    MirrorOrigin.PRIVATE: lambda mirrors, source: (_fill(base, source) for base in mirrors.private),
    MirrorOrigin.UPSTREAM: lambda _, source: source.urls,
    MirrorOrigin.DEBIAN: _debian_urls,
    MirrorOrigin.PYPI: lambda _, source: (f"pip:{source.pypi}",) if source.pypi else (),
}
"""Every kind of mirror, with the URLs that it has for a source. A new kind is a row here."""


def apt_bases(apt_get: str = "apt-get", *, cancel: CancelToken | None = None) -> tuple[str, ...]:
    """Return the base URLs of the Debian archives in this machine's apt configuration.

    Several, because security updates have a pool of their own. Empty without apt, and where its
    package lists were removed: apt knows the origin of a list only from the list.
    """
    command = [apt_get, "indextargets", "--format", "$(CREATED_BY) $(ORIGIN) $(REPO_URI)"]
    try:
        answer = run_program(
            command,
            seconds=APT_SECONDS,
            package="apt",
            purpose="find a Debian mirror",
            cancel=cancel,
        ).stdout
    except EngineError:
        return ()
    found = (line.rpartition(" ") for line in answer.splitlines())
    bases = [uri for what, _, uri in found if what == "Packages Debian"]
    return tuple(dict.fromkeys(uri for uri in bases if urlsplit(uri).scheme in SCHEMES))


def _join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{quote(path, safe='/~+')}"


def _fill(template: str, source: Source) -> str:
    if "{" not in template:
        return _join(template, source.filename)
    values = {name: quote(getattr(source, name), safe="~+") for name in PLACEHOLDERS}
    return template.format_map(values)


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
