"""Version numbers: which are releases, which is newer, and how a new one is put in the place of an old one."""

import re
from dataclasses import dataclass
from typing import Self

_RELEASE = re.compile(r"(\d{1,12}(?:\.\d{1,12}){0,5})(?:\.post(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, order=True)
class Version:
    """A finished release: numbers with dots. 1.2 and 1.2.0 are equal; 1.2.post1 is newer than both."""

    numbers: tuple[int, ...]
    post: int = -1

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return None for all else: release candidates, betas, snapshots, Debian's repacked ``+dfsg``, paths."""
        found = _RELEASE.fullmatch(text)
        if found is None:
            return None
        numbers = [int(number) for number in found[1].split(".")]
        while numbers and not numbers[-1]:
            numbers.pop()
        return cls(tuple(numbers), int(found[2]) if found[2] else -1)


def is_newer(text: str, than: str, *, series: str = "") -> bool:
    """Tell whether ``text`` is a release, newer than the release ``than``, and in ``series`` (``3.13``)."""
    new, old = Version.parse(text), Version.parse(than)
    if new is None or old is None or (series and not f"{text}.".startswith(f"{series}.")):
        return False
    return new > old


def replaced(text: str, old: str, new: str) -> str:
    """Return a file name, path or URL of the release ``old`` as that of ``new``; also where dots are ``_`` or ``-``."""
    for mark in (".", "_", "-") if "." in old else (".",):
        whole = re.escape(old.replace(".", mark))
        text = re.sub(rf"(?<!\d)(?<!\d\.){whole}(?!\d|\.\d)", new.replace(".", mark), text)
    return text


def pattern(text: str, version: str) -> re.Pattern[str] | None:
    """Return what matches ``text`` with any version in place of ``version``, as its one group."""
    for mark in (".", "_", "-"):
        before, found, after = text.partition(version.replace(".", mark))
        if found and not before[-1:].isdecimal() and not after[:1].isdecimal():
            return re.compile(
                rf"{re.escape(before)}(\d[\w.+~-]{{0,60}}){re.escape(after)}", re.ASCII
            )
    return None
