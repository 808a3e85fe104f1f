"""A guess at what a word that nobody knows was meant to be."""

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `` Perhaps you meant 'x'.`` for the nearest known word, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Perhaps you meant '{near[0]}'." if near else ""
