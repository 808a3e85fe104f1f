"""`inv report` in a real browser: what a real build, a hostile recipe's and a broken one look like, and to whom."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import SourceError
from core.progress import Report as Silence
from core.settings import Settings
from flow.context import Context
from flow.fetch import fetch_source
from recipes.model import Source
from report.data import Report
from report.draw import Render, vega
from report.page import page
from tests import reports
from tests.built import Built
from tests.integration.browser import Browser
from tests.integration.command import Inv

AXE = Source(
    name="axe-core",
    version="4.12.1",
    filename="axe_playwright_python-0.1.8-py3-none-any.whl",
    urls=(),
    pypi="axe-playwright-python==0.1.8",
    size=160681,
    sha256="fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8",
)
"""The wheel that has axe.min.js in it: nothing else of it is used, and it is not installed."""

WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
MARKS = """
Object.fromEntries([...document.querySelectorAll("main > section")].map(section =>
    [section.id, section.querySelectorAll("svg .marks title").length]))
"""
VIEWS = [(1200, False), (1200, True), (400, False), (400, True)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser.start() as browser:
        yield browser


@pytest.fixture(scope="module")
def render() -> Render:
    return vega()


@pytest.fixture(scope="module")
def axe(built: Built) -> str:
    """The source of axe-core, fetched as any pinned source."""
    context = Context(settings=Settings.read(built.settings, environment={}), report=Silence())
    try:
        fetched = fetch_source(context, AXE)
    except SourceError as error:
        pytest.skip(f"axe-core cannot be had: {error.what}")
    with zipfile.ZipFile(fetched.path) as wheel:
        return wheel.read("axe_playwright_python/axe.min.js").decode()


def faults(browser: Browser, axe: str) -> list[str]:
    """What axe-core finds wrong, of whatever weight."""
    browser.run(axe + "; true")
    found: list[dict[str, Any]] = browser.run("axe.run().then(found => found.violations)")
    return [f"{it['impact']}: {it['id']}: {it['nodes'][0]['html'][:200]}" for it in found]


def written(directory: Path, report: Report, render: Render | None) -> Path:
    path = directory / "report.html"
    path.write_bytes(page(report, render))
    return path


@pytest.fixture(scope="module")
def real(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three curls."""
    path = tmp_path_factory.mktemp("real") / "report.html"
    done = built.inv("report", "--output", path)
    assert done.code == 0, done.stderr
    return path


@pytest.mark.builds
@pytest.mark.parametrize(("width", "dark"), VIEWS)
def test_the_page_of_a_real_build(
    real: Path, built: Built, browser: Browser, axe: str, *, width: int, dark: bool
) -> None:
    browser.open(real, width=width, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [real.as_uri()]
    assert not browser.run(WIDE)
    marks = browser.run(MARKS)
    plain = [entry for entry in built.manifest if not entry["packed"]]
    assert marks["sizes"] >= 2 * len(plain)
    assert marks["matrix"] == len(plain)
    assert marks["parts"] > 3
    assert faults(browser, axe) == []


@pytest.mark.parametrize(("width", "dark"), VIEWS)
@pytest.mark.parametrize("make", [reports.whole, reports.refused, reports.nine, reports.empty])
def test_every_chart_of_a_page_is_drawn(
    tmp_path: Path, browser: Browser, axe: str, render: Render, make: Any, *, width: int, dark: bool
) -> None:
    report = make()
    browser.open(written(tmp_path, report, render), width=width, dark=dark)
    assert browser.complaints == []
    assert not browser.run(WIDE)
    marks = browser.run(MARKS)
    if report.files:
        assert all(marks[it] for it in ("sizes", "fill", "steps", "matrix", "cost", "parts")), marks
        assert marks["matrix"] == len(report.products) * len(report.targets)
        assert marks["cost"] == sum(it.cpu is not None for it in report.costs)
    else:
        assert not any(marks.values())
    assert faults(browser, axe) == []


def test_dark_is_dark_and_light_is_light(tmp_path: Path, browser: Browser, render: Render) -> None:
    path = written(tmp_path, reports.whole(), render)
    shade = "getComputedStyle(document.querySelector('{}')).{}"
    grounds, inks = [], []
    for dark in (False, True):
        browser.open(path, dark=dark)
        grounds.append(browser.run(shade.format("body", "backgroundColor")))
        inks.append(browser.run(shade.format("#sizes svg text", "fill")))
    assert len(set(grounds)) == len(set(inks)) == 2


@pytest.mark.parametrize("charts", [True, False])
def test_nothing_that_a_recipe_says_is_obeyed(
    tmp_path: Path, browser: Browser, axe: str, render: Render, *, charts: bool
) -> None:
    report = reports.hostile()
    path = written(tmp_path, report, render if charts else None)
    browser.open(path)
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()]
    assert browser.run("document.title") == "What was built"
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert (
        browser.run("document.querySelectorAll('img, iframe, object, a:not([href^=\"#\"])').length")
        == 0
    )
    data = browser.run("JSON.parse(document.getElementById('report-data').textContent)")
    assert data == json.loads(json.dumps(report.as_dict()))
    shown = browser.run("document.querySelector('main').textContent")
    assert reports.HOSTILE[0] in shown
    if charts:
        assert min(browser.run(MARKS)[it] for it in ("sizes", "fill", "steps", "cost")) > 0
    assert faults(browser, axe) == []


def test_the_policy_forbids_what_the_page_does_not_do(
    tmp_path: Path, browser: Browser, render: Render
) -> None:
    browser.open(written(tmp_path, reports.whole(), render))
    browser.run(
        "const it = document.createElement('script'); it.textContent = 'document.title = 1';"
        "document.body.append(it); document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x'}));"
        "document.body.style; true"
    )
    assert browser.run("document.title") == "What was built"
    assert browser.complaints


def test_charts_scroll_by_the_keyboard(tmp_path: Path, browser: Browser, render: Render) -> None:
    browser.open(written(tmp_path, reports.nine(), render), width=400)
    wide = browser.run(
        "[...document.querySelectorAll('.scroll')].filter(it => it.scrollWidth > it.clientWidth)"
        ".map(it => [it.tabIndex, it.getAttribute('role'), !!it.getAttribute('aria-label')])"
    )
    assert wide
    assert all(it == [0, "group", True] for it in wide)


@pytest.mark.builds
def test_a_build_that_was_broken_off_gives_a_true_page(built: Built, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    inv = Inv(directory=tmp_path, settings=built.settings).set(artifacts=artifacts)
    done = inv("report")
    assert done.code == 2
    assert "Nothing is built yet" in done.stderr
    assert "inv build" in done.stderr
    failed = inv("build", "curl:mini", "--timings", "--exact", "--engine", "nowhere")
    assert failed.code != 0
    done = inv("report", "--no-charts")
    assert done.code == 0, done.stderr
    text = (artifacts / "report.html").read_text("utf-8")
    assert "Nothing was delivered" in text
