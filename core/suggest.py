"""A guess at the word that was meant."""

import difflib
from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Return " Perhaps you meant '…'." to follow a sentence, or nothing when no known word is near."""
    near = nearest(word, known, cutoff=cutoff)
    return f" Perhaps you meant '{near}'." if near else ""


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Return the known word most like ``word``, or nothing when none is near."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")
