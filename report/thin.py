"""Leaves out of the maps what nobody could see: a page of many targets is to stay a page."""

from collections.abc import Sequence
from dataclasses import replace

from report.data import Fill, Piece

SEEN = 1 / 1500
"""A part of a program: what is smaller is not kept by name."""


def thinned(fills: Sequence[Fill], targets: Sequence[str]) -> tuple[Fill, ...]:
    """Return the records with all libraries; what is in them only for each product's first target, by size.

    What is left out is still in the size of what it is in.
    """
    first: dict[str, Fill] = {}
    for it in sorted(fills, key=lambda it: targets.index(it.target)):
        first.setdefault(it.product, it)
    return tuple(_thin(it) if first[it.product] is it else _bare(it) for it in fills)


def _bare(fill: Fill) -> Fill:
    return replace(fill, libraries=tuple(replace(it, pieces=()) for it in fill.libraries))


def _thin(fill: Fill) -> Fill:
    least = fill.size * SEEN
    return replace(fill, libraries=tuple(_seen(it, least) for it in fill.libraries))


def _seen(piece: Piece, least: float) -> Piece:
    kept = tuple(_seen(it, least) for it in piece.pieces if it.size >= least)
    return replace(piece, pieces=kept)
