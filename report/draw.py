"""Draws specifications as SVG: nothing in it runs, loads or links, whatever the data say."""

from collections.abc import Callable
from typing import Any, Final
from xml.etree import ElementTree as ET

from core.errors import EngineError
from core.visible import visible_line
from report.chart import VEGA, Drawing, Spec

Render = Callable[[Spec], str]
"""Makes SVG of a specification."""

KEPT: Final = {
    "svg": {"width", "height", "viewBox"},
    "g": {"class", "transform", "fill", "stroke-miterlimit"},
    "path": {
        "d",
        "transform",
        "fill",
        "fill-opacity",
        "stroke",
        "stroke-width",
        "stroke-dasharray",
    },
    "line": {"transform", "x2", "y2", "stroke", "stroke-width", "stroke-dasharray"},
    "text": {"text-anchor", "transform", "font-size", "font-weight", "fill"},
    "tspan": {"x", "y"},
}
"""What is taken of a drawing, and its attributes; Vega writes no more that matters here."""

SHARED: Final = frozenset(
    {"fill", "fill-opacity", "font-size", "font-weight", "stroke", "stroke-width", "text-anchor"}
)
"""What children of a group inherit."""

MARKS = "role-mark"
"""The class of what shows data; the rest is axes and the like."""

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_SHORTER = {"mark-group role-frame root": "", "background": "", "foreground": ""}


def vega() -> Render:
    """Return Vega's own renderer, which asks nothing of the network. Raises EngineError when it is not installed."""
    try:
        import vl_convert  # noqa: PLC0415 - only who makes a page has it
    except ImportError as error:
        msg = f"What draws charts cannot be loaded: {error}."
        raise EngineError(
            msg, next="remove .venv/installed-report.txt, and run this again"
        ) from error

    def render(spec: Spec) -> str:
        draw = vl_convert.vega_to_svg if spec["$schema"] == VEGA else vl_convert.vegalite_to_svg
        return str(draw(dict(spec), allowed_base_urls=[]))

    return render


def draw(drawing: Drawing, render: Render) -> ET.Element:
    """Return a drawing as an ``svg`` element. Raises EngineError when it cannot be drawn."""
    try:
        made = ET.fromstring(render(_visible(drawing.spec)))
    except (ValueError, ET.ParseError) as error:
        msg = f"The chart '{drawing.title or drawing.label}' cannot be drawn: {str(error)[:300]}"
        raise EngineError(
            msg, next="inv report --no-charts writes the page with its tables alone"
        ) from error
    svg = _taken(made, marks=False)
    if svg is None:
        msg = "What draws charts made no drawing."
        raise EngineError(msg, next="inv report --no-charts writes the page with its tables alone")
    svg.set("role", "img")
    svg.set("aria-label", drawing.label)
    return svg


def _visible(value: Any) -> Any:
    """Return a specification without control characters: SVG cannot have them, and whoever draws ends over them."""
    match value:
        case str():
            return visible_line(value)
        case dict():
            return {key: _visible(item) for key, item in value.items()}
        case list() | tuple():
            return [_visible(item) for item in value]
        case _:
            return value


def _taken(element: ET.Element, *, marks: bool) -> ET.Element | None:
    """Copy what is known of an element; None for what shows nothing."""
    name = element.tag.removeprefix(_NAMESPACE)
    if name not in KEPT or element.get("display") == "none":
        return None
    classes = element.get("class", "")
    if name == "path" and classes in {"background", "foreground"} and not _seen(element):
        return None
    copy = ET.Element(
        name, {key: element.attrib[key] for key in KEPT[name] & element.attrib.keys()}
    )
    if classes:
        copy.attrib.pop("class", None)
        if MARKS in classes.split():
            copy.set("class", "marks")
    inside = marks or "class" in copy.attrib
    said = element.get("aria-label", "")
    if inside and said and name in {"path", "line"}:
        ET.SubElement(copy, "title").text = said
    copy.text = element.text
    for child in element:
        taken = _taken(child, marks=inside)
        if taken is not None:
            copy.append(taken)
    if name == "g" and not len(copy):
        return None
    _share(copy)
    return copy if name != "g" or copy.attrib or len(copy) != 1 else copy[0]


def _share(group: ET.Element) -> None:
    """Say once, of the group, what all in it say of themselves: a map has hundreds of areas."""
    if group.tag != "g" or len({child.tag for child in group}) != 1:
        return
    first = group[0]
    for key in sorted(SHARED & first.attrib.keys()):
        value = first.attrib[key]
        if key not in group.attrib and all(child.get(key) == value for child in group):
            group.set(key, value)
            for child in group:
                del child.attrib[key]


def _seen(element: ET.Element) -> bool:
    """Whether a group's ground is more than a place."""
    return "fill" in element.attrib or element.get("stroke", "none") not in {"none", "transparent"}
