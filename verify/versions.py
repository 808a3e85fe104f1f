"""Which versions of known programs and libraries a file says that it holds.

Text in a file proves nothing: it is where to begin a search for advisories. Most name component and version together.
Some put the two together only as they run: then a word of theirs tells the component, and a text that is nothing but a
version like theirs, the only such, its version.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from verify.elf_file import ElfFile

_WINDOW: Final = 4 * 1024 * 1024
_AROUND: Final = 128
MAX_BYTES: Final = 256 * 1024 * 1024
"""Bytes of a file that are looked through."""
MAX_PLACES: Final = 1000
"""Places of one word that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A component and the version that the file names."""

    name: str
    version: str
    """Empty where the component is there, and does not say."""


@dataclass(frozen=True)
class Sign:
    """How one component names its version."""

    name: str
    word: bytes
    pattern: re.Pattern[bytes]
    """Matches from the word on; its group is the version."""


def _sign(name: str, word: str, rest: str) -> Sign:
    start = word.encode("latin-1")
    return Sign(name, start, re.compile(re.escape(start) + rest.encode(), re.DOTALL))


_NUMBER: Final = r"(\d{1,4}(?:\.\d{1,5}){1,3}(?:-(?:DEV|dev|rc\d|preview[.\d]*))?)"
SIGNS: Final = (
    _sign("curl", "libcurl/", _NUMBER),
    _sign("curl", "curl ", _NUMBER + r"(?= \(|\0)"),
    _sign("mbedTLS", "mbedTLS/", _NUMBER),
    _sign("mbedTLS", "mbed TLS ", _NUMBER),
    _sign("mbedTLS", "Mbed TLS ", _NUMBER),
    _sign("OpenSSL", "OpenSSL ", r"(\d\.\d\.\d{1,2}[a-z]?) \d\d? [A-Z][a-z]{2} \d{4}"),
    _sign("wolfSSL", "wolfSSL/", _NUMBER),
    _sign("GnuTLS", "GnuTLS/", _NUMBER),
    _sign("libssh2", "SSH-2.0-libssh2_", _NUMBER),
    _sign("nghttp2", "nghttp2/", _NUMBER),
    _sign("nghttp3", "nghttp3/", _NUMBER),
    _sign("ngtcp2", "ngtcp2/", _NUMBER),
    _sign("zlib", "deflate ", _NUMBER + r" Copyright"),
    _sign("zlib", "inflate ", _NUMBER + r" Copyright"),
    _sign("musl", "musl libc (", r"[a-z0-9_-]{1,30}\)\nVersion " + _NUMBER),
    _sign(
        "glibc",
        "GNU C Library (",
        r"[^)\0]{1,80}\) (?:stable|development) release version " + _NUMBER,
    ),
    _sign("Go", "\xff Go buildinf:", r".{2,64}?go(\d\.\d{1,3}(?:\.\d{1,3})?)"),
    _sign("Go", "go1.", r"(\d{1,3}(?:\.\d{1,3})?)(?=[\0\n\r\t ])"),
    _sign("rustc", "rustc version ", r"(\d\.\d{1,3}\.\d{1,3}(?:-[a-z]+(?:\.\d+)?)?)"),
    _sign("CPython", "Python ", r"(3\.\d{1,2}\.\d{1,2}(?:[abc]\d|rc\d)?)\0"),
    _sign("CPython", "%.80s (%.80s) ", r"(3\.\d{1,2}\.\d{1,2})"),
    _sign("MicroPython", "MicroPython v", _NUMBER),
    _sign("BusyBox", "BusyBox v", _NUMBER),
    _sign("SQLite", "SQLite version ", _NUMBER),
    _sign("zstd", "zstd v", _NUMBER),
    _sign("UPX", "$Id: UPX ", r"(\d\.\d{2})"),
)
"""In no order; a component may have several."""
_APART: Final = (
    ("mbedTLS", b"mbedtls_", re.compile(rb"(?:2\.(?:1[6-9]|2\d)|3\.\d|4\.\d)\.\d{1,2}")),
    ("nghttp2", b"nghttp2_", re.compile(rb"1\.[3-9]\d\.\d{1,2}")),
    # Close to each other and made for each other, so one of them may be the other's: ngtcp2's number is the higher one.
    ("nghttp3", b"nghttp3_", re.compile(rb"1\.1\d\.\d{1,2}")),
    ("ngtcp2", b"ngtcp2_", re.compile(rb"1\.2\d\.\d{1,2}")),
    ("OpenSSL", b"OpenSSL Default Provider", re.compile(rb"[34]\.\d\.\d{1,2}")),
    ("libidn2", b"libidn2/", re.compile(rb"2\.[0-4]\.\d{1,2}")),
    ("CPython", b"PYTHONHOME", re.compile(rb"3\.(?:[6-9]|1\d)\.\d{1,2}")),
    ("MicroPython", b"micropython\0", re.compile(rb"v?1\.\d{2}\.\d")),
)
"""Component, its word, and what its versions look like."""
_ALONE: Final = re.compile(rb"\0(v?\d\.\d{1,2}\.\d{1,2})(?=\0)")


def find_versions(elf: ElfFile) -> tuple[Version, ...]:
    """Return every version that is named, by component; time grows with the file's size alone."""
    found: dict[Version, None] = {}
    present: set[str] = set()
    alone: set[bytes] = set()
    for start in range(0, min(elf.size, MAX_BYTES), _WINDOW):
        data = elf.at(start, _WINDOW + _AROUND)
        for sign in SIGNS:
            for match in _matches(sign, data):
                text = match[1].decode("ascii")
                found[
                    Version(name=sign.name, version=f"1.{text}" if sign.word == b"go1." else text)
                ] = None
        present |= {name for name, word, _ in _APART if word in data}
        alone |= set(islice(_ALONE.findall(data), MAX_PLACES))
    for name, _, pattern in _APART:
        if name in present - {version.name for version in found}:
            like = [text.decode("ascii") for text in alone if pattern.fullmatch(text)]
            found[
                Version(name=name, version=like[0].removeprefix("v") if len(like) == 1 else "")
            ] = None
    return tuple(sorted(found, key=lambda version: (version.name, version.version)))


def _matches(sign: Sign, data: bytes) -> Iterator[re.Match[bytes]]:
    position = -1
    for _ in range(MAX_PLACES):
        position = data.find(sign.word, position + 1)
        if not 0 <= position < _WINDOW:
            return
        if match := sign.pattern.match(data, position, position + _AROUND):
            yield match
