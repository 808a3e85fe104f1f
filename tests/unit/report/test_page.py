"""The page as text: whole, inert, and truthful about what is not known. How it looks is for a browser to say."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.context import ROOT
from report.chapters import chapters
from report.data import Part, Report
from report.draw import vega
from report.page import DATA, inert, page
from tests import reports

SCHEMA = json.loads(Path(ROOT, "docs/schema/report.json").read_text("utf-8"))
MAKERS = [reports.whole, reports.refused, reports.empty, reports.nine, reports.hostile]
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Elements as a browser would see them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(html: bytes) -> Reader:
    reader = Reader()
    reader.feed(html.decode("utf-8"))
    reader.close()
    assert not reader.open
    return reader


def data_of(html: bytes) -> object:
    found = re.search(rf'<script type="application/json" id="{DATA}">(.*?)</script>', html.decode())
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("make", MAKERS)
def test_the_data_in_the_page_are_what_the_schema_says(make: Callable[[], Report]) -> None:
    report = make()
    data = data_of(page(report, None))
    assert data == json.loads(json.dumps(report.as_dict()))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(data)


def test_the_schema_refuses_what_it_does_not_describe() -> None:
    data = reports.whole().as_dict()
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for wrong in ({**data, "more": 1}, {**data, "version": 2}, {**data, "files": [{}]}):
        assert not validator.is_valid(json.loads(json.dumps(wrong)))


def test_every_word_of_the_schema_is_explained() -> None:
    for table in (SCHEMA, *SCHEMA["$defs"].values()):
        assert all(len(it["description"]) > 5 for it in table["properties"].values())


@pytest.mark.parametrize("make", MAKERS)
def test_a_page_loads_and_runs_nothing(make: Callable[[], Report]) -> None:
    html = page(make(), None)
    reader = read(html)
    names = [name for name, _ in reader.elements]
    assert names.count("script") == names.count("style") == names.count("title") == 1
    assert not {"link", "img", "iframe", "object", "embed", "form", "base"} & set(names)
    for name, attributes in reader.elements:
        assert not any(key.startswith("on") or key == "style" for key in attributes), name
        for key in {"href", "src"} & attributes.keys():
            assert (attributes[key] or "").startswith("#")
    policy = next(it["content"] for _, it in reader.elements if "http-equiv" in it)
    assert policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_a_hostile_name_is_shown_and_nothing_else() -> None:
    text = "".join(read(page(reports.hostile(), None)).texts)
    for name in reports.HOSTILE[:4]:
        assert name in text
    assert "\x1b" not in text
    assert "\u202e" not in text


@settings(max_examples=25, deadline=None)
@given(name=st.text(max_size=60))
def test_any_name_is_text(name: str) -> None:
    part = Part(
        name=name, version=name, licence=name, sha256="", url=name, date="", signature=name, files=1
    )
    html = page(Report(made=reports.MADE, files=(), parts=(part,)), None)
    plain = page(Report(made=reports.MADE, files=(), parts=(replace(part, name="x"),)), None)
    assert [name for name, _ in read(html).elements] == [name for name, _ in read(plain).elements]


@settings(deadline=None)
@given(value=st.text())
def test_json_in_a_page_ends_no_element(value: str) -> None:
    text = inert({value: value})
    assert not set(text) & set("<>&")
    assert json.loads(text) == {value: value}


@pytest.mark.parametrize("make", MAKERS)
def test_each_chapter_has_a_drawing_or_says_what_is_missing(make: Callable[[], Report]) -> None:
    found = chapters(make())
    assert [it.id for it in found] == ["sizes", "fill", "steps", "matrix", "cost", "parts"]
    for chapter in found:
        assert chapter.drawings or chapter.missing
        assert chapter.tables or not chapter.drawings
        for table in chapter.tables:
            assert all(len(row) == len(table.head) for row in table.rows)


def test_nothing_recorded_is_said_and_what_would_record_it() -> None:
    bare = replace(
        reports.whole(),
        against="",
        files=tuple(
            replace(it, gzip=None, budget=None, again=None, before=None, reproduced_by=())
            for it in reports.whole().files
        ),
        fill=(),
        runs=(),
        costs=(),
        audit=None,
    )
    text = "".join(read(page(bare, None)).texts)
    for said in ("--against", "--timings", "inv bench", "inv audit", "--rebuild-and-compare"):
        assert said in text
    assert "not recorded" in text


def test_without_charts_tables_are_open_and_with_them_closed() -> None:
    assert b"<details open" in page(reports.whole(), None)
    assert b"<details open" not in page(reports.whole(), vega())


def test_what_was_refused_is_said_first() -> None:
    text = "".join(read(page(reports.refused(), None)).texts)
    assert text.index("curl-full-1.2.3-linux-amd64") < text.index("Bytes of each program")
    for said in ("refused: ", "smoke run failed: ", "step failed: "):
        assert said in text


def test_a_page_of_nine_targets_is_small() -> None:
    assert len(page(reports.nine(), vega())) < 1_500_000
