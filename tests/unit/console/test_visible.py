"""Nothing that a server, a log or a file name says is obeyed by a terminal, on whichever way it comes out."""

import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable

import pytest
from invoke import Exit

from console.progress import LiveReport, PlainReport
from console.table import table
from core.errors import FromscratchError, StepError
from core.process import failed
from core.progress import Report
from core.visible import visible, visible_line
from tasks import _show
from tests.unit.console.test_program import inv

OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control characters, format characters (direction, no width), surrogates, separators of lines and paragraphs."""

HOSTILE = [
    char
    for char in map(chr, (*range(0x20000), *range(0xE0000, 0xE0200)))
    if unicodedata.category(char) in OBEYED and char != "\n"
]
SOME = [*HOSTILE[:90], *HOSTILE[90:240:3], *"\u202e\u2066\u200b\ufeff\U000e0041\ud800\udc80\udfff"]
TEXTS = ["".join(f"<{char}>" for char in SOME[n : n + 12]) for n in range(0, len(SOME), 12)]
MARKUP = "<[red]><[/]><[link=https://evil.invalid]><:skull:><[bold><{task.description}>"


def shown(text: str) -> str:
    """What must be read instead."""
    return "".join(
        char.encode("unicode_escape").decode("ascii") if char in HOSTILE or char == "\n" else char
        for char in text
    )


def check(said: str, text: str) -> None:
    assert shown(text) in said
    for char in set(text) & set(HOSTILE):
        assert f"<{char}>" not in said


def test_all_that_terminals_obey_is_shown_and_all_else_is_left() -> None:
    for char in HOSTILE:
        assert visible(f"a{char}b") == f"a{shown(char)}b"
    for text in ("plain", "two\nlines", "é … ✓ → 漢字 😀 \\x1b [red] �", ""):
        assert visible(text) == text
    assert visible_line("two\nlines") == r"two\nlines"
    for text in TEXTS:
        assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("text", [*TEXTS, MARKUP])
def test_errors(capsys: pytest.CaptureFixture[str], text: str) -> None:
    for kind in FromscratchError.__subclasses__():
        if kind.__init__ is FromscratchError.__init__:
            inv("go", go=kind(text, why=f"why {text}", next=f"next {text}"))
            said = capsys.readouterr().err
            check(said, text)
            check(said, f"why {text}")
            check(said, f"next {text}")
    inv("go", go=Exit(text, code=1))
    check(capsys.readouterr().err, text)
    inv("go", go=OSError(5, text, f"/tmp/{text}"))
    said = capsys.readouterr().err
    check(said, text)
    check(said, f"/tmp/{text}")
    inv(text, go=None)
    check(capsys.readouterr().err, text)


@pytest.mark.parametrize("text", TEXTS)
def test_tracebacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("FROMSCRATCH_DEBUG", "1")
    inv("go", go=StepError(text))
    said = capsys.readouterr().err
    assert "Traceback" in said
    check(said, text)


def test_faults_of_ours_too() -> None:
    program = """
from tests.unit.console.test_program import doing
from console.program import Inv
from invoke import Collection
fault = ValueError("<\\x1b>]0;title<\\x07>")
Inv(name="inv", namespace=Collection(doing("go", fault)), version="1").run(["inv", "go"])
"""
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: <\\x1b>]0;title<\\x07>\n")


@pytest.mark.parametrize("text", [*TEXTS, MARKUP, "<\n>"])
def test_tables_and_what_commands_show(capsys: pytest.CaptureFixture[str], text: str) -> None:
    said = table(("name", "value"), [(text, "1"), ("x", text)])
    assert len(said.splitlines()) == 4
    check(said, text)
    assert len({line.rindex("1") for line in said.splitlines() if line.endswith("1")}) == 1
    _show({}, text.replace("\n", ""), json=False)
    check(capsys.readouterr().out, text.replace("\n", ""))
    _show({"text": text}, "", json=True)
    said = capsys.readouterr().out
    assert json.loads(said) == {"text": text}
    assert said.replace("\n", "").isprintable()


@pytest.mark.parametrize("text", TEXTS)
def test_what_programs_complain(text: str) -> None:
    # What ends a line ends it here too.
    line = "".join(char for char in text if len(f"a{char}b".splitlines()) == 1 and char != "\t")
    done = subprocess.CompletedProcess(["tool"], 1, stdout="", stderr=f"error:\n\t{line}\n")
    said = failed(done).what
    check(said, f"        {line}")
    assert said.replace("\n", "").isprintable()


def tell(report: Report, text: str) -> None:
    """Say a text in each way that a report has."""
    report.step_started(f"step {text}")
    report.note(f"note {text}")
    report.warn(f"warn {text}")
    progress = report.progress("fetch")
    progress.started(f"label {text}", 10, f"origin {text}")
    progress.advanced(10)
    if isinstance(report, LiveReport):
        report.bars.refresh()
    progress.note(f"progress {text}")
    progress.finished()
    report.step_finished(f"step {text}", 1.0, cached=False)
    report.step_finished(f"other {text}", 1.0, cached=True)
    report.close()


@pytest.mark.parametrize("make", [PlainReport, LiveReport])
@pytest.mark.parametrize("text", [*TEXTS, MARKUP])
def test_reports(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], Report],
    text: str,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # the bars of a terminal
    monkeypatch.setenv("COLUMNS", "2000")
    tell(make(), text)
    said = capsys.readouterr().err
    for way in ("step", "note", "warn", "label", "origin", "progress", "other"):
        check(said, f"{way} {text}")
