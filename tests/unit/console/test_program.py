"""The command line: words become flags, errors become exit codes, and both are explained."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from invoke import Collection, Context, Exit, Task, task

import tasks
from console.program import Inv, contexts_of, spread
from core.errors import (
    EngineError,
    ExitCode,
    FromscratchError,
    MissingToolError,
    PublishError,
    RecipeError,
    SourceError,
    StepError,
    UsageError,
    VerdictError,
)

ROOT = Path(tasks.__file__).parent
ERRORS: Mapping[type[FromscratchError], int] = {
    VerdictError: 1,
    UsageError: 2,
    RecipeError: 3,
    SourceError: 4,
    StepError: 5,
    EngineError: 6,
    PublishError: 7,
}
CONTEXTS = contexts_of(tasks.namespace)


def doing(name: str, handler: object) -> Task[Callable[..., None]]:
    """A task that raises ``handler``, or else prints what it was given."""

    def body(_: Context, word: list[str], target: str = "") -> None:
        if isinstance(handler, BaseException):
            raise handler
        print(word, target)

    made: Task[Callable[..., None]] = task(
        name=name, iterable=["word"], help={"word": "w", "target": "t"}
    )(body)
    return made


def inv(*words: str, **handlers: object) -> int:
    """Run a small program whose tasks do what ``handlers`` say; return the exit code."""
    collection = Collection()
    for name, handler in handlers.items():
        collection.add_task(doing(name, handler))
    return Inv(name="inv", binary="inv", namespace=collection, version="1").outcome(["inv", *words])


def process(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the real command line, as its own process."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FROMSCRATCH")}
    return subprocess.run(
        [sys.executable, ROOT / "tasks.py", *words],
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_error_has_its_own_code_of_the_contract() -> None:
    assert set(FromscratchError.__subclasses__()) >= set(ERRORS)
    assert {error.code: code for error, code in ERRORS.items()} == dict(
        zip(list(ExitCode)[1:8], range(1, 8), strict=True)
    )


@pytest.mark.parametrize(("kind", "code"), ERRORS.items(), ids=str)
def test_an_error_is_explained_and_ends_with_its_code(
    capsys: pytest.CaptureFixture[str], kind: type[FromscratchError], code: int
) -> None:
    error = kind("It broke.", why="wear", next="mend it")
    assert inv("go", go=error) == code
    said = capsys.readouterr().err
    assert said.startswith("error: It broke.\n  likely cause: wear\n  next step:    mend it\n")
    assert said.endswith(f"exit code:    {code} ({error.code.name.lower()})\n")
    assert "Traceback" not in said


def test_a_missing_tool_names_its_package(capsys: pytest.CaptureFixture[str]) -> None:
    error = MissingToolError(program="upx", package="upx-ucl", purpose="pack")
    assert inv("go", go=error) == 6
    assert "next step:    apt-get install -y upx-ucl" in capsys.readouterr().err


def test_what_a_task_asks_to_end_with_is_what_it_ends_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert inv("go", go=Exit("That is all.", code=1)) == 1
    assert capsys.readouterr().err == "That is all.\n"


def test_an_interrupt_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert inv("go", go=KeyboardInterrupt()) == 130
    assert "nothing is left running" in capsys.readouterr().err


def test_a_full_disk_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert inv("go", go=OSError(28, "No space left on device", "/cache/x")) == 3
    said = capsys.readouterr().err
    assert "'/cache/x': No space left on device" in said
    assert "check free space and permissions of /cache/x" in said
    assert "Traceback" not in said


def test_an_unknown_command_is_met_with_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert inv("biuld", build=None, clean=None) == 2
    said = capsys.readouterr().err
    assert "There is no command 'biuld'. Perhaps you meant 'build'." in said
    assert "choose one of: build, clean" in said


@pytest.mark.parametrize(
    "words", [["go", "--nonsense"], ["go", "--target"], ["--nonsense"]], ids=" ".join
)
def test_wrong_flags_are_wrong_usage(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert inv(*words, go=None) == 2
    assert "next step:" in capsys.readouterr().err


def test_bare_words_reach_the_list_and_flags_keep_their_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert inv("go", "a", "--target", "x", "b", go=None) == 0
    assert capsys.readouterr().out == "['a', 'b'] x\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("curl:http probe", "--product curl:http --product probe"),
        ("a --target linux/arm64 b", "--product a --target linux/arm64 --product b"),
        ("--target=all a", "--target=all --product a"),
        ("--json a", "--json --product a"),
        ("a --jobs 3 --exact b", "--product a --jobs 3 --exact --product b"),
        ("--product a b", "--product a --product b"),
        ("-t all a", "-t all --product a"),
        ("--timings a", "--timings --product a"),
        ("--timings=x.json a", "--timings=x.json --product a"),
        ("--target", "--target"),
        ("-", "--product -"),
        ("", ""),
    ],
)
def test_each_bare_word_gets_the_flag_of_the_list(words: str, expected: str) -> None:
    assert spread(CONTEXTS["build"], words.split()) == expected.split()


def test_a_command_without_a_list_leaves_words_alone() -> None:
    assert spread(CONTEXTS["doctor"], ["a", "--json"]) == ["a", "--json"]


@pytest.mark.parametrize("name", CONTEXTS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    program = Inv(name="inv", binary="inv", namespace=tasks.namespace, version="1")
    assert program.outcome(["inv", name, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"inv [--core-opts] {name}" in said
    for argument in CONTEXTS[name].args.values():
        assert argument.help, f"--{argument.name} has no help text"
        assert argument.help.split()[0] in said, f"--{argument.name} is not explained"
    assert "Docstring:\n  none" not in said


@pytest.mark.parametrize("flag", ["--help", "--list"])
def test_help_and_list_name_every_command(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    program = Inv(name="inv", binary="inv", namespace=tasks.namespace, version="1")
    assert program.outcome(["inv", flag]) == 0
    said = capsys.readouterr().out
    assert [name for name in CONTEXTS if name not in said] == []


def test_a_traceback_is_shown_with_debug_alone() -> None:
    plain, debug = process("build", "nosuch"), process("--debug", "build", "nosuch")
    off = process("build", "nosuch", FROMSCRATCH_DEBUG="0")
    assert plain.returncode == debug.returncode == off.returncode == 2
    assert "Traceback" in debug.stderr
    assert "Traceback" not in plain.stderr + off.stderr
    assert "Unknown product 'nosuch'" in plain.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["build", "--engine", "dcoker"], 2, "Unknown engine 'dcoker'. Perhaps you meant 'docker'"),
        (["build", "--target", "linux/amd46"], 2, "Perhaps you meant 'linux/amd64'"),
        (["build", "--jobs", "many"], 2, "'jobs' must be a whole number from 1, not 'many'"),
        (["build", "curl@1.0"], 2, "curl 1.0 is not pinned"),
        (["build", "curl:http@8.21.0", "curl:mini@8.14.1"], 2, "in two versions at once"),
        (["verify"], 2, "Nothing to verify"),
        (["cache", "nonsense"], 2, "'cache nonsense' is no command"),
        (["cache", "prune", "--older", "ever"], 2, "--older takes a number of days"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_what_does_not_exist_is_refused_before_anything_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.setenv("FROMSCRATCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FROMSCRATCH_OFFLINE", "1")
    program = Inv(name="inv", binary="inv", namespace=tasks.namespace, version="1")
    assert program.outcome(["inv", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert not (tmp_path / "cache").exists()


def test_a_setting_nobody_knows_is_refused() -> None:
    done = process("list", FROMSCRATCH_ENGNIE="docker")
    assert done.returncode == 3
    assert "Perhaps you meant 'engine'" in done.stderr


def test_who_stops_reading_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, ROOT / "tasks.py", "list"],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


SLEEPER = """
import sys, time
from invoke import Collection, Context, task
from console.program import Inv

@task
def sleep(_: Context) -> None:
    print("asleep", flush=True)
    time.sleep(60)

Inv(name="inv", binary="inv", namespace=Collection(sleep), version="1").run(["inv", "sleep"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_ask_to_end_are_130(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "asleep\n"
        child.send_signal(number)
        _, said = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in said
    assert "Interrupted" in said
