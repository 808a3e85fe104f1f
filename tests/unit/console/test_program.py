"""The command line: words become flags, errors become exit codes, and both are explained."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from invoke import Collection, Context, Exit, Program, Task, task
from invoke.parser import ParserContext
from invoke.parser.context import to_flag

import tasks
from console.program import SHORT_FLAGS, Inv, contexts_of, spread
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
from recipes.load import load_recipes

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
NEWEST, OLDER = (release.version for release in load_recipes()["curl"].releases)
CORE = ParserContext(args=Inv().core_args())
OFFERED = {to_flag(name) for argument in CORE.args.values() for name in argument.names}
REFUSED = sorted(
    {
        to_flag(name)
        for argument in Program().core_args() + Program().task_args()
        for name in argument.names
    }
    - OFFERED
)
"""Every flag of invoke that we do not offer: most of them it would take and ignore."""


def doing(name: str, handler: object) -> Task[Callable[..., None]]:
    """A task that raises ``handler``, or else prints what it was given."""

    def body(_: Context, word: list[str], target: str = "", flag: bool = False) -> None:
        if isinstance(handler, BaseException):
            raise handler
        print(word, target)

    made: Task[Callable[..., None]] = task(
        name=name, iterable=["word"], help={"word": "w", "target": "t", "flag": "f"}
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
    message = capsys.readouterr().err
    assert message.startswith("error: It broke.\n  likely cause: wear\n  next step:    mend it\n")
    assert message.endswith(f"exit code:    {code} ({error.code.name.lower()})\n")
    assert "Traceback" not in message


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
    message = capsys.readouterr().err
    assert "There is no command 'biuld'. Perhaps you meant 'build'." in message
    assert "choose one of: build, clean" in message


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
        ("-j3 -tall a", "-j3 -tall --product a"),
        ("--target -x a", "--target -x --product a"),
        ("-", "--product -"),
        ("clean --json", "--product clean --json"),
        ("", ""),
    ],
)
def test_each_bare_word_gets_the_flag_of_the_list(words: str, expected: str) -> None:
    given = spread(["build", *words.split()], CONTEXTS, core=CORE)
    assert given == ["build", *expected.split()]


def test_behind_a_command_without_a_list_comes_the_next_command() -> None:
    words = ["doctor", "--json", "clean", "--cache", "build", "a", "--json"]
    expected = ["doctor", "--json", "clean", "--cache", "build", "--product", "a", "--json"]
    assert spread(words, CONTEXTS, core=CORE) == expected
    with pytest.raises(UsageError, match="There is no command 'a'"):
        spread(["doctor", "a", "--json"], CONTEXTS, core=CORE)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("--target", "'--target' needs a value"),
        ("-t --json", "'-t' needs a value"),
        ("--target a -t b", "'-t' is given twice"),
        ("--json=1", "'--json' takes no value"),
        ("--json=clean", "'--json' takes no value"),
        ("--taget a", "'build' has no flag '--taget'. Perhaps you meant '--target'."),
        ("--rebuid=1", "'build' has no flag '--rebuid'. Perhaps you meant '--rebuild'."),
        ("-e docker", "'build' has no flag '-e'. Perhaps you meant '--engine'."),
        ("-s", "'build' has no flag '-s'."),
        ("-b", "'build' has no flag '-b'."),
    ],
)
def test_what_is_wrong_with_a_flag_is_said(words: str, wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        spread(["build", *words.split()], CONTEXTS, core=CORE)
    assert caught.value.what.startswith(wrong)
    assert "--help" in caught.value.next


def test_a_flag_before_its_command_is_told_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert inv("--target", "x", "go", go=None) == 2
    message = capsys.readouterr().err
    assert "'--target' is a command's flag: it comes after the command's name." in message
    assert "next step:    inv COMMAND --target" in message


class TestFlagsOfInvoke:
    def test_what_is_refused_is_what_invoke_has_and_we_do_not_obey(self) -> None:
        assert {
            "--complete", "--debug", "--help", "-h", "--list", "-l", "--print-completion-script",
            "--version", "-V",
        } == OFFERED  # fmt: skip
        assert {"--dry", "-R", "--echo", "-e", "--warn-only", "--pty", "--no-dedupe"} < {*REFUSED}
        assert len(REFUSED) > 20

    @pytest.mark.parametrize("flag", REFUSED)
    def test_it_is_refused_wherever_it_stands(
        self, capsys: pytest.CaptureFixture[str], flag: str
    ) -> None:
        lines = [
            [flag, "go"], [flag, "x", "go"], [f"{flag}=1", "go"], [flag], ["--help", flag, "go"],
            ["go", flag], ["go", "a", flag], ["go", flag, "a"], ["go", f"{flag}=1"],
            ["go", f"{flag}=stay"], ["go", "--flag", flag, "a"], ["go", "--", flag],
            ["go", "--list", flag], ["go", flag, "--help"], ["--list", flag], ["go", f"{flag}h"],
        ]  # fmt: skip
        for line in lines:
            assert inv(*line, go=None, stay=None) == 2, line
            out, err = capsys.readouterr()
            assert out == "", line
            assert "next step:" in err, line

    @pytest.mark.parametrize("name", CONTEXTS)
    def test_no_command_takes_it(self, name: str) -> None:
        own = {to_flag(name) for arg in CONTEXTS[name].args.values() for name in arg.names}
        for flag in {*REFUSED} - own:
            with pytest.raises(UsageError, match=f"'{name}' has no flag '{flag}'"):
                spread([name, flag], CONTEXTS, core=CORE)

    @pytest.mark.parametrize("words", ["--dry clean", "clean --dry", "clean -R", "clean -- --dry"])
    def test_clean_removes_nothing(self, tmp_path: Path, words: str) -> None:
        built = tmp_path / "files" / "curl"
        built.parent.mkdir()
        built.touch()
        done = process(*words.split(), FROMSCRATCH_ARTIFACTS=str(tmp_path))
        assert (done.returncode, done.stdout) == (2, "")
        assert built.exists()

    def test_publish_signs_nothing(self, tmp_path: Path) -> None:
        done = process("publish", "--to", str(tmp_path / "release"), "--dry")
        assert (done.returncode, done.stdout) == (2, "")
        assert "'publish' has no flag '--dry'. Perhaps you meant '--dry-run'." in done.stderr
        assert not list(tmp_path.iterdir())


class TestFlagsBesideACommand:
    """What asks for an answer is answered wherever it stands, and no command is run."""

    @pytest.mark.parametrize(
        ("flag", "answer"),
        [
            ("--help", "Usage: inv "),
            ("-h", "Usage: inv "),
            ("--list", "Subcommands:"),
            ("-l", "Subcommands:"),
            ("--version", "inv 1\n"),
            ("-V", "inv 1\n"),
            ("--complete", "go\nstay\n"),
            ("--print-completion-script=bash", "# Invoke tab-completion script"),
        ],
    )
    def test_it_is_answered(
        self, capsys: pytest.CaptureFixture[str], flag: str, answer: str
    ) -> None:
        for line in ([flag, "go"], ["go", flag], ["go", "a", flag], ["go", flag, "a"], [flag]):
            assert inv(*line, go=None, stay=None) == 0, line
            message = capsys.readouterr().out
            assert message.startswith(answer), line
            assert "['a']" not in message

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--print-completion-script", "needed value"),
            ("--print-completion-script= go", "not supported"),
            ("--print-completion-script=perl go", "not supported"),
            ("--help= go", "There is no command ''"),
            ("--help og", "There is no command 'og'. Perhaps you meant 'go'."),
            ("-lR go", "There is no flag '-R'"),
        ],
    )
    def test_it_is_refused(
        self, capsys: pytest.CaptureFixture[str], words: str, message: str
    ) -> None:
        assert inv(*words.split(" "), go=None) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err

    def test_bash_completes_commands_and_flags(self, tmp_path: Path) -> None:
        program = tmp_path / "inv"
        program.write_text(
            f"#!/bin/sh\nexec '{sys.executable}' '{ROOT}/tasks.py' \"$@\"\n", "utf-8"
        )
        program.chmod(0o755)
        script = """
            eval "$(inv --print-completion-script bash)"
            complete -p inv ./inv
            COMP_WORDS=(inv doc); _complete_inv inv doc; echo "${COMPREPLY[@]}"
            COMP_WORDS=(./inv clean --ca); _complete_inv ./inv --ca; echo "${COMPREPLY[@]}"
        """
        done = subprocess.run(
            ["bash", "-ec", script],
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.splitlines() == [
            "complete -o default -F _complete_inv inv",
            "complete -o default -F _complete_inv ./inv",
            "docs doctor",
            "--cache",
        ]


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_short_flag_means_the_same_in_every_command(name: str) -> None:
    names = [argument.names for argument in CONTEXTS[name].args.values()]
    for long, *short in names:
        assert len(long) > 1
        assert short == [SHORT_FLAGS[long]] if long in SHORT_FLAGS else not short
    assert set(SHORT_FLAGS.values()) <= set("jqrtv")


def test_short_flags_reach_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-t", "x"], ["-tx"], ["-t=x"], ["--target", "x"], ["--target=x"]):
        assert inv("go", *words, "a", go=None) == 0
        assert capsys.readouterr().out == "['a'] x\n"
    assert inv("go", "-f", go=None) == 2  # invoke gives every flag its first free letter
    assert "has no flag '-f'. Perhaps you meant '--flag'." in capsys.readouterr().err


def test_looking_at_commands_leaves_their_help_alone() -> None:
    collection = Collection(doing("go", None))
    for _ in range(2):
        (context,) = contexts_of(collection).values()
        assert [argument.help for argument in context.args.values()] == ["w", "t", "f"]


@pytest.mark.parametrize("help", ["--help", "-h"])
@pytest.mark.parametrize("name", CONTEXTS)
def test_every_command_explains_itself(
    capsys: pytest.CaptureFixture[str], name: str, help: str
) -> None:
    program = Inv(name="inv", binary="inv", namespace=tasks.namespace, version="1")
    assert program.outcome(["inv", name, help]) == 0
    message = capsys.readouterr().out
    assert f"inv [--core-opts] {name}" in message
    for argument in CONTEXTS[name].args.values():
        assert argument.help, f"--{argument.name} has no help text"
        assert argument.help.split()[0] in message, f"--{argument.name} is not explained"
    assert "Docstring:\n  none" not in message


@pytest.mark.parametrize("flag", ["--help", "--list"])
def test_help_and_list_name_every_command(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    program = Inv(name="inv", binary="inv", namespace=tasks.namespace, version="1")
    assert program.outcome(["inv", flag]) == 0
    message = capsys.readouterr().out
    assert [name for name in CONTEXTS if name not in message] == []


def test_a_traceback_is_shown_with_debug_alone() -> None:
    plain, debug = process("build", "nosuch"), process("--debug", "build", "nosuch")
    late = process("build", "nosuch", "--debug")
    off = [process("build", "nosuch", FROMSCRATCH_DEBUG=value) for value in ("0", "", "no")]
    assert {done.returncode for done in (plain, debug, late, *off)} == {2}
    assert "Traceback" in debug.stderr
    assert "Traceback" in late.stderr
    assert "Traceback" not in plain.stderr + "".join(done.stderr for done in off)
    assert "Unknown product 'nosuch'" in plain.stderr


def test_tracebacks_are_a_setting_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FROMSCRATCH_DEBUG", raising=False)
    (tmp_path / "fromscratch.toml").write_text("debug = true\n", "utf-8")
    assert inv("go", go=UsageError("no")) == 2
    assert "Traceback" in capsys.readouterr().err
    (tmp_path / "fromscratch.toml").write_text("engnie = 'docker'\n", "utf-8")
    assert inv("go", go=UsageError("no")) == 2  # and not the settings' own error
    assert capsys.readouterr().err.startswith("error: no\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build", "--engine", "dcoker"], 2, "Unknown engine 'dcoker'. Perhaps you meant 'docker'"),
        (["build", "--target", "linux/amd46"], 2, "Perhaps you meant 'linux/amd64'"),
        (["build", "--jobs", "many"], 2, "'jobs' must be a whole number from 1, not 'many'"),
        (["build", "curl@1.0"], 2, "curl 1.0 is not pinned"),
        (["build", f"curl:http@{NEWEST}", f"curl:mini@{OLDER}"], 2, "in two versions at once"),
        (["verify"], 2, "Nothing to verify"),
        (["verify", "x", "--release", "y"], 2, "mutually exclusive"),
        (
            ["verify", "--release", "y", "--policy", "static"],
            2,
            "--junit judge files, not a --release",
        ),
        (["verify", "x", "--json", "--sarif"], 2, "takes one of --json, --sarif and --junit"),
        (["verify", "x", "--policy", "hardend"], 2, "Perhaps you meant 'hardened'"),
        (["verify", "x", "--root", "/no/such"], 2, "is no directory"),
        (["cache", "nonsense"], 2, "'cache nonsense' is no command"),
        (["cache", "prune", "--older", "ever"], 2, "--older takes a number of days"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_exist_is_refused_before_anything_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setenv("FROMSCRATCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FROMSCRATCH_OFFLINE", "1")
    program = Inv(name="inv", binary="inv", namespace=tasks.namespace, version="1")
    assert program.outcome(["inv", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
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
        _, message = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in message
    assert "Interrupted" in message
