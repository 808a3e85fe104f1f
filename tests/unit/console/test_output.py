"""What users read: tables and lines."""

import io
import re

import pytest

from console.progress import LiveReport, PlainReport, make_report
from console.table import table
from recipes.model import Source

SOURCE = Source(
    name="curl",
    version="1",
    filename="curl-1.tar.gz",
    urls=("https://curl.invalid/",),
    size=1234,
    sha256="0" * 64,
)


def test_columns_are_aligned_numbers_to_the_right() -> None:
    rows = [("curl:http", "454,688", "ok"), ("probe", "9", "REFUSED"), ("x", "1.5", "")]
    assert table(("product", "bytes", "verdict"), rows).splitlines() == [
        "product      bytes  verdict",
        "---------  -------  -------",
        "curl:http  454,688  ok",
        "probe            9  REFUSED",
        "x              1.5",
    ]


def test_a_table_of_nothing_is_its_head() -> None:
    assert table(("a", "bc"), []).splitlines() == ["a  bc", "-  --"]


def test_lines_have_no_blanks_at_their_ends() -> None:
    assert not re.search(r" $", table(("long head", "b"), [("a", "")]), re.MULTILINE)


def test_every_event_is_one_plain_line() -> None:
    stream = io.StringIO()
    report = PlainReport(stream)
    report.step_started("curl:http 1 linux/amd64")
    report.step_finished("curl:http 1 linux/amd64", 1.234, cached=False)
    report.step_finished("musl 1 linux/amd64", 0, cached=True)
    report.warn("look here")
    report.close()
    assert stream.getvalue().splitlines() == [
        "start   curl:http 1 linux/amd64",
        "done    curl:http 1 linux/amd64 (1.2 s)",
        "done    musl 1 linux/amd64 (cached)",
        "WARNING look here",
    ]


def test_a_download_is_a_line_at_its_beginning_and_at_its_end() -> None:
    stream = io.StringIO()
    download = PlainReport(stream).progress("fetch")
    download.started(SOURCE.filename, SOURCE.size, "https://a.invalid/")
    for _ in range(4):
        download.advanced(300)
    download.started(
        SOURCE.filename, SOURCE.size, "https://b.invalid/"
    )  # the first mirror failed: counted from zero
    download.advanced(1234)
    download.finished()
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [
        "fetch   curl-1.tar.gz from https://a.invalid/",
        "fetch   curl-1.tar.gz from https://b.invalid/",
    ]
    assert re.fullmatch(r"fetched curl-1\.tar\.gz \(1,234 bytes in \d\.\d s\)", lines[2])


@pytest.mark.parametrize("size", [0, 300, 1234])
def test_a_download_that_failed_is_not_called_fetched(size: int) -> None:
    stream = io.StringIO()
    download = PlainReport(stream).progress("fetch")
    download.started(SOURCE.filename, SOURCE.size, "https://a.invalid/")
    download.advanced(size)
    download.note("https://a.invalid/: wrong bytes")
    download.finished()
    assert "fetched" not in stream.getvalue()


def test_a_download_that_never_began_did_not_end_either() -> None:
    stream = io.StringIO()
    download = PlainReport(stream).progress("fetch")
    download.note("no mirror has it")
    download.finished()
    assert "fetched" not in stream.getvalue()


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report()
    assert isinstance(report, PlainReport)
    report.note("hello")
    assert capsys.readouterr().err == "hello\n"


def test_a_terminal_gets_bars_that_leave_only_what_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    report = LiveReport()
    report.close()  # nothing happened, nothing is shown
    assert capsys.readouterr().err == ""
    report.step_started("curl:http 1 linux/amd64")
    download = report.progress("fetch")
    download.advanced(1)  # before anything was started
    for origin in ("https://a.invalid/", "https://b.invalid/"):
        download.started(SOURCE.filename, SOURCE.size, origin)
        download.advanced(300)
    assert len(report.bars.tasks) == 2  # the first mirror's bar is gone
    assert (report.bars.tasks[-1].completed, report.bars.tasks[-1].total) == (300, 1234)
    download.note("[bold] is no markup")
    download.finished()
    download.finished()
    report.step_finished("curl:http 1 linux/amd64", 1.234, cached=False)
    report.step_finished("musl 1 linux/amd64", 0, cached=True)
    report.warn("look here")
    assert report.bars.tasks == []
    report.close()
    assert [line.strip() for line in capsys.readouterr().err.splitlines() if line.strip()] == [
        "[bold] is no markup",
        "✓ curl:http 1 linux/amd64 1.2 s",
        "✓ musl 1 linux/amd64 cached",
        "warning: look here",
    ]
