"""The chapters, in the order of the page."""

from report.chart import Chapter
from report.charts.cost import cost
from report.charts.fill import fill
from report.charts.matrix import matrix
from report.charts.parts import parts
from report.charts.sizes import sizes
from report.charts.steps import steps
from report.data import Report

CHAPTERS = (sizes, fill, steps, matrix, cost, parts)


def chapters(report: Report) -> list[Chapter]:
    """Return every chapter: one of which nothing was recorded says so."""
    return [chapter(report) for chapter in CHAPTERS]
