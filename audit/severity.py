"""How bad is it? The words and vectors of several databases, as one scale."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """From harmless to worst, in this order. What nobody has judged yet counts as medium."""

    NEGLIGIBLE = "negligible"
    """It is no danger: Debian's ``unimportant``."""
    LOW = "low"
    UNKNOWN = "unknown"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)

    def reaches(self, threshold: "Severity") -> bool:
        """Tell whether it is as bad as ``threshold``, or worse."""
        unjudged = self is Severity.UNKNOWN
        return (Severity.MEDIUM if unjudged else self).rank >= threshold.rank


WORDS = {
    "none": Severity.NEGLIGIBLE,
    "unimportant": Severity.NEGLIGIBLE,
    "negligible": Severity.NEGLIGIBLE,
    "low": Severity.LOW,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "important": Severity.HIGH,
    "high": Severity.HIGH,
    "critical": Severity.CRITICAL,
}
"""Of curl's list, GitHub's advisories and Debian's tracker."""


def by_word(word: object) -> Severity:
    """Return a database's word for it as one of ours; ``medium**`` and ``low*`` are Debian's marks for a guess."""
    text = word.strip().rstrip("*").lower() if isinstance(word, str) else ""
    return WORDS.get(text, Severity.UNKNOWN)


def of_record(record: Mapping[str, Any], places: Iterable[Mapping[str, Any]] = ()) -> Severity:
    """Return the worst that a record of OSV says of itself, in words or by its CVSS vectors."""
    found = [Severity.UNKNOWN]
    for part in (record, *places):
        for key in ("database_specific", "ecosystem_specific"):
            words = part.get(key)
            if isinstance(words, dict) and isinstance(words.get("severity"), str):
                found.append(by_word(words["severity"]))
        entries = part.get("severity")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                found.append(_by_vector(str(entry.get("score", ""))))
    judged = [it for it in found if it is not Severity.UNKNOWN]
    return max(judged, key=lambda it: it.rank, default=Severity.UNKNOWN)


def _by_vector(vector: str) -> Severity:
    """https://www.first.org/cvss/: a vector of version 3 or 4, as OSV has them."""
    from cvss import CVSS3, CVSS4  # noqa: PLC0415 - only where there is a vector
    from cvss.exceptions import CVSSError  # noqa: PLC0415

    try:
        if vector.startswith("CVSS:4"):
            return by_word(CVSS4(vector).severity)
        if vector.startswith("CVSS:3"):
            return by_word(CVSS3(vector).severities()[0])
    except (CVSSError, ValueError, KeyError, IndexError):
        pass
    return Severity.UNKNOWN
