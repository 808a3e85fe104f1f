"""One database's word that one component is vulnerable."""

import re
from dataclasses import dataclass

from audit.severity import Severity
from audit.subject import Subject
from builders.sources.versions import Version


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """What a database says. Texts are its own: they are shown with care."""

    subject: Subject
    id: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    severity: Severity
    fixed: str = ""
    """The first release without it, as far as the database knows."""
    source: str
    """Which database says so."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.id, *self.aliases))


def loose_version(text: str) -> Version | None:
    """Return the release that a tag or another way to write a version means; what follows its numbers is not looked at.

    ``curl-8_21_0``, ``v1.70.0``, ``3.14.0rc1``; None when there are no numbers, as in a commit's hash.
    """
    if re.fullmatch(r"[0-9a-f]{40}", text):
        return None
    found = re.search(r"(?:^|[-_vV /])(\d{1,12}(?:[._]\d{1,12}){0,5})", text.strip())
    return Version.parse(found[1].replace("_", ".")) if found else None
