"""Of a drawing only what shows something is taken."""

import pytest

from core.errors import EngineError
from report.chart import Drawing, vega_lite
from report.draw import draw, vega

DRAWING = Drawing(label="A label <b>", spec=vega_lite(mark="bar"))


def svg(inner: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" viewBox="0 0 9 9">{inner}</svg>'


@pytest.mark.parametrize(
    "inner",
    [
        "<script>1</script>",
        '<image href="http://127.0.0.1/x"/>',
        '<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>',
        "<style>*{}</style>",
        '<a href="javascript:1"><path d="M0,0h1"/></a>',
        '<use href="#x"/>',
        '<animate attributeName="href"/>',
    ],
)
def test_elements_that_do_more_than_show_are_left_out(inner: str) -> None:
    assert len(draw(DRAWING, lambda _: svg(inner))) == 0


def test_attributes_that_do_more_than_show_are_left_out() -> None:
    made = draw(
        DRAWING,
        lambda _: svg('<path d="M0,0h1" fill="red" onload="1" style="x:y" href="z" id="a"/>'),
    )
    (path,) = made
    assert path.attrib == {"d": "M0,0h1", "fill": "red"}


def test_marks_are_named_and_axes_are_not() -> None:
    inner = (
        '<g class="mark-rect role-mark marks"><path aria-label="curl: 1 byte" d="M0,0h1"/></g>'
        '<g class="mark-rule role-axis-grid"><line aria-label="no" x2="1"/></g>'
    )
    made = draw(DRAWING, lambda _: svg(inner))
    assert [title.text for title in made.iter("title")] == ["curl: 1 byte"]
    assert made.get("role") == "img"
    assert made.get("aria-label") == DRAWING.label


@pytest.mark.parametrize("answer", ["", "<svg", "<p/>", svg("&undefined;")])
def test_what_is_no_drawing_is_an_error_that_says_how_to_go_on(answer: str) -> None:
    with pytest.raises(EngineError) as error:
        draw(DRAWING, lambda _: answer)
    assert "--no-charts" in error.value.next


def test_a_specification_that_means_nothing_is_an_error() -> None:
    with pytest.raises(EngineError):
        draw(Drawing(label="x", spec=vega_lite(mark={"type": "no such mark"})), vega())
