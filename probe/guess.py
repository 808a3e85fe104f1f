"""A guess at what was meant by a word that nobody knows."""

from __future__ import annotations


def perhaps(word: str, known: list[str], dashes: str) -> str:
    """Return a guess at what was meant, or nothing."""
    distance, name = min([(_distance(word[:24], name), name) for name in known])
    return f", perhaps {dashes}{name}" if distance <= min(3, (len(word) + 1) // 2) else ""


def _distance(left: str, right: str) -> int:
    """Return the Levenshtein distance of two words."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        before = row
        row = [i]
        for j, other in enumerate(right, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    return row[-1]
