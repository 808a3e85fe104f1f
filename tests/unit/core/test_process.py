"""A program of this machine, run to its end: what it printed, or an error that names it."""

import sys
from pathlib import Path

import pytest

from core.errors import EngineError, ExitCode, MissingToolError, ProgramError
from core.process import LINE, Completed, failed, run_program


def run(script: str, *, seconds: float = 20, check: bool = True) -> Completed:
    words = ["sh", "-c", script]
    return run_program(words, seconds=seconds, package="dash", purpose="test", check=check)


def test_what_it_printed_is_returned() -> None:
    done = run("echo out; echo err >&2; cat")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_a_failure_quotes_the_end_of_what_it_said() -> None:
    with pytest.raises(ProgramError) as caught:
        run("for i in 1 2 3 4 5; do echo line $i >&2; done; exit 9")
    assert caught.value.what == "sh ended with exit code 9: line 3\nline 4\nline 5"
    assert caught.value.code is ExitCode.ENGINE


def test_a_failure_that_said_nothing() -> None:
    with pytest.raises(ProgramError, match=r"sh ended with exit code 1$"):
        run("exit 1")


def test_a_failure_may_be_looked_at_first() -> None:
    done = run("printf 'W: odd\\nE: first\\nE: second\\n' >&2; exit 3", check=False)
    assert done.returncode == 3
    assert failed(done, since="E:").what == "sh ended with exit code 3: E: first\nE: second"
    assert failed(done, since="X:", lines=1).what == "sh ended with exit code 3: E: second"


def test_long_lines_are_cut_and_odd_bytes_do_no_harm() -> None:
    with pytest.raises(ProgramError) as caught:
        run("printf '\\377' >&2; printf '%0999d' 0 >&2; exit 1")
    assert caught.value.what == f"sh ended with exit code 1: \ufffd{'0' * (LINE - 1)}"


def test_a_program_that_is_not_there_comes_with_what_brings_it() -> None:
    with pytest.raises(MissingToolError) as caught:
        run_program(["no-such-tool"], seconds=1, package="such-tools", purpose="pack")
    assert "'no-such-tool' was not found; it is needed to pack." in str(caught.value)
    assert "apt-get install -y such-tools" in caught.value.next


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("no program")
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(ProgramError, match="tool cannot be started: Exec format error"):
        run_program([str(tmp_path / "tool")], seconds=1, package="x", purpose="y")


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(EngineError, match="sh took more than 0 s"):
        run("exec sleep 20", seconds=0.2)


def test_a_module_is_called_by_its_name() -> None:
    words = [sys.executable, "-m", "no_such_module"]
    with pytest.raises(
        ProgramError, match=r"^no_such_module ended with exit code 1: .*No module named"
    ):
        run_program(words, seconds=20, package="x", purpose="y")
