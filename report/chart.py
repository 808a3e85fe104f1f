"""What a chapter of the page is made of: drawings, the table of the same data, and what is missing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Spec = Mapping[str, Any]
"""Of a drawing, in the words of Vega, or of Vega-Lite: its ``$schema`` says which."""

VEGA = "https://vega.github.io/schema/vega/v6.json"
VEGA_LITE = "https://vega.github.io/schema/vega-lite/v6.json"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One picture."""

    label: str
    """What is seen, in a sentence: for those who do not see it."""
    spec: Spec
    title: str = ""
    """Above it, where a chapter has several."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The same data as text."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Legend:
    """What a sign of the drawings means."""

    sign: str
    """The name of a class of page.css, which draws it."""
    means: str


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One chapter."""

    id: str
    title: str
    says: str
    """What is seen, and in which unit."""
    drawings: Sequence[Drawing] = ()
    legend: Sequence[Legend] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    missing: Sequence[str] = field(default=())
    """What was not recorded, and what would record it."""


def vega_lite(**rest: Any) -> dict[str, Any]:
    """Return the specification of a drawing in Vega-Lite."""
    return {"$schema": VEGA_LITE, "config": CONFIG, "background": None, **rest}


def rows(values: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """Return data of a specification."""
    return {"values": [dict(value) for value in values]}


def room(labels: Iterable[str]) -> float:
    """Return the pixels that labels of the usual size may take, whatever the reader's fonts are."""
    return min(max(map(len, labels), default=0), MOST_LETTERS) * LETTER + 8


def names(field: str, labels: Iterable[str], **axis: object) -> Spec:
    """Return the encoding of names down the left side, in the data's order; ``labels`` are all of them."""
    look = {"domain": False, "ticks": False, "labelColor": INK, "minExtent": room(labels)}
    place = {"field": field, "type": "nominal", "sort": None, "title": None}
    return {**place, "axis": {**look, **axis}}


BYTES = "replace(format(datum.value, '~s'), /([kMG])$/, ' $1') + (datum.value ? 'B' : '')"
"""How an axis writes bytes."""

LETTER = 7.2
"""Pixels of a letter of 12 pixels, where it is wide."""
MOST_LETTERS = 40
"""Of a label; what is longer is cut off."""

INK, SOFT, LINE = "var(--ink)", "var(--soft)", "var(--line)"
"""Colours are names: page.css says what they are, in light and in dark."""

CONFIG: Spec = {
    "font": "sans-serif",
    "view": {"stroke": None},
    "padding": {"left": 4, "top": 4, "bottom": 4, "right": 40},
    "axis": {
        "domainColor": LINE,
        "gridColor": LINE,
        "tickColor": LINE,
        "labelColor": SOFT,
        "titleColor": SOFT,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": MOST_LETTERS * LETTER,
        "tickCount": 6,
    },
    "header": {
        "labelColor": INK,
        "titleColor": SOFT,
        "labelFontSize": 13,
        "labelFontWeight": "bold",
        "labelLimit": 260,
    },
    "text": {"color": INK, "fontSize": 12},
    "legend": {"labelColor": INK, "titleColor": SOFT, "labelFontSize": 12},
}
