"""One step: what it is given, what is taken from it, and how its failures are told."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.outcome import FEW, Outcome
from builders.perform import LOG_LINES
from builders.plan import Step, topological_order
from builders.tree import unpack_tree
from core.errors import FromscratchError, StepError, StorageError
from tests.fakes import BuildHarness, Running, below, make_something


def steps(harness: BuildHarness) -> dict[str, Step]:
    return {step.recipe.name: step for step in topological_order(harness.world.plan("hello:plain"))}


def run(harness: BuildHarness, name: str = "musl") -> Outcome:
    """Run one step that needs nothing."""
    return harness.builder().run(steps(harness)[name], {})


def failure(harness: BuildHarness, script: Callable[[Running], int]) -> FromscratchError:
    harness.engine.script = script
    with pytest.raises(FromscratchError) as caught:
        run(harness)
    assert harness.engine.open_sandboxes == 0
    assert isinstance(caught.value, StepError)
    builder = harness.builder()
    assert builder.look_up(steps(harness)["musl"], {}) is None  # nothing is remembered of it
    return caught.value


def test_a_step_finds_its_source_its_recipe_and_empty_directories(harness: BuildHarness) -> None:
    seen: dict[str, bytes] = {}
    directories: set[str] = set()

    def script(running: Running) -> int:
        seen.update(below(running.directory))
        directories.update(path.name for path in running.directory.iterdir())
        return make_something(running)

    harness.engine.script = script
    (harness.world.recipes / "musl" / "upstream.asc").touch()  # no part of the key: not seen
    run(harness)
    assert seen == {
        "recipe/build.sh": b"# makes musl\n",
        "recipe/checks.sh": b"# asks the platform\n",
        "src/source.c": b"the source of musl 1.0\n",
    }
    assert directories == {"recipe", "src", "work", "out"}


def test_a_step_is_told_of_nothing_but_what_is_in_its_key(
    harness: BuildHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "-march=native")
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    run(harness)
    env = harness.engine.commands["musl-1.0-linux-amd64"].env
    assert "hush" not in env.values()
    assert "native" not in env["CFLAGS"]
    assert env["PATH"] == "/toolchain/bin:/usr/bin:/bin"
    assert env["SOURCE_DATE_EPOCH"] == "1767225600"  # 2026-01-01
    assert (env["LC_ALL"], env["TZ"]) == ("C", "UTC")
    assert (env["SRC"], env["OUT"], env["VERSION"]) == ("/box/src", "/box/out", "1.0")
    assert str(harness.cache.root) not in str(env)
    assert str(Path.home()) not in env.values()


def test_a_step_runs_its_own_script(harness: BuildHarness) -> None:
    plan = topological_order(harness.world.plan("hello:plain"))
    harness.run(plan)
    scripts = {
        step: command.argv[-1].rpartition("/")[2].rstrip('"')
        for step, command in harness.engine.commands.items()
    }
    assert scripts["hello-plain-2.0-linux-amd64"] == "build.sh"
    assert scripts["hello-2.0-linux-amd64-checks"] == "checks.sh"
    assert scripts["hello-plain-2.0-linux-amd64-pack"] == "pack.sh"
    switches = {step: command.env["SWITCHES"] for step, command in harness.engine.commands.items()}
    assert switches["hello-plain-2.0-linux-amd64"] == "-DCOMMON=1 -DLOUD=OFF"
    assert switches["hello-2.0-linux-amd64-checks"] == ""


def test_what_a_step_made_comes_out_of_the_cache_as_it_was(
    harness: BuildHarness, tmp_path: Path
) -> None:
    def script(running: Running) -> int:
        running.make("program", b"\x7fELF")
        (running.out / "program").chmod(0o700)
        (running.out / "lib" / "empty").mkdir(parents=True)
        (running.out / "lib" / "a.h").write_text("x")
        return 0

    harness.engine.script = script
    outcome = run(harness)
    blob = harness.cache.blob(outcome.output)
    assert blob is not None
    unpack_tree(blob, tmp_path / "got")
    assert below(tmp_path / "got") == {"program": b"\x7fELF", "lib/a.h": b"x"}
    assert (tmp_path / "got" / "lib" / "empty").is_dir()
    assert os.access(tmp_path / "got" / "program", os.X_OK)
    program = harness.cache.blob(outcome.files["program"])
    assert program is not None
    assert program.read_bytes() == b"\x7fELF"


def test_files_of_one_name_in_two_directories_are_two_files(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        for name in ("a", "b"):
            (running.out / name).mkdir()
            running.make(f"{name}/tool", name.encode())
        return 0

    harness.engine.script = script
    for outcome in (run(harness), run(harness)):
        assert sorted(outcome.files) == ["a/tool", "b/tool"]
        blobs = [harness.cache.blob(sha256) for _, sha256 in sorted(outcome.files.items())]
        assert [blob and blob.read_bytes() for blob in blobs] == [b"a", b"b"]
        with pytest.raises(StepError, match=r"musl 1\.0 .* made a/tool, b/tool where one"):
            outcome.product(steps(harness)["musl"])


def test_one_file_among_many_is_no_product(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        for number in range(FEW + 1):
            running.make(f"file{number}", b"x")
        return 0

    harness.engine.script = script
    outcome = run(harness)
    assert outcome.files == {}
    with pytest.raises(StepError, match=f"made more than {FEW} files where one file is expected"):
        outcome.product(steps(harness)["musl"])


def test_the_one_file_is_the_product(harness: BuildHarness) -> None:
    outcome = run(harness)
    assert outcome.product(steps(harness)["musl"]) == outcome.files["result"]


def test_a_failed_step_shows_the_end_of_its_log_and_where_the_rest_is(
    harness: BuildHarness,
) -> None:
    def script(running: Running) -> int:
        running.say("".join(f"line {number:03}\n" for number in range(100)))
        return 2

    error = failure(harness, script)
    shown = [line.strip() for line in error.what.splitlines() if "line " in line]
    assert shown == [f"line {number:03}" for number in range(100 - LOG_LINES, 100)]
    assert LOG_LINES == 30
    log = Path(error.next.rpartition(": ")[2])
    assert log.read_text("utf-8").startswith("line 000\n")


def test_a_log_that_is_no_text_is_shown_all_the_same(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        running.command.log.write_bytes(b"caf\xe9 \xff\n")
        return 1

    assert "caf" in failure(harness, script).what


def test_nothing_in_a_log_is_obeyed(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        running.say("\tint x;\n\x1b]0;title\x07 \u202e \x9b2J\n")
        return 1

    said = failure(harness, script).what
    assert "            int x;\n    \\x1b]0;title\\x07 \\u202e \\x9b2J" in said
    assert said.replace("\n", "").isprintable()


def test_a_log_tells_of_the_last_run_only(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        running.say("once\n")
        return 1

    failure(harness, script)
    assert failure(harness, script).what.count("once") == 1


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_whatever_lies_in_a_logs_place_is_taken_away(
    harness: BuildHarness, kind: str, tmp_path: Path
) -> None:
    run(harness)
    (log,) = harness.builder().logs.iterdir()
    log.unlink()
    precious = tmp_path / "precious"
    precious.write_text("somebody's")
    match kind:
        case "link":
            log.symlink_to(precious)
        case "pipe":
            os.mkfifo(log)  # who opens it to write waits for a reader
        case _:
            log.mkdir()
    harness.builder(rebuild=["musl"]).run(steps(harness)["musl"], {})
    assert log.is_file()
    assert not log.is_symlink()
    assert precious.read_text() == "somebody's"


def nothing(running: Running) -> int:
    return 0


def only_directories(running: Running) -> int:
    (running.out / "directory").mkdir()
    return 0


@pytest.mark.parametrize("script", [nothing, only_directories])
def test_a_step_that_makes_nothing_has_failed(
    harness: BuildHarness, script: Callable[[Running], int]
) -> None:
    assert "ended well but made nothing" in failure(harness, script).what


def link(running: Running) -> int:
    running.make("file", b"x")
    (running.out / "link").symlink_to("file")
    return 0


def link_to_a_secret(running: Running) -> int:
    (running.out / "passwords").symlink_to("/etc/passwd")
    return 0


def link_to_nowhere(running: Running) -> int:
    running.make("file", b"x")
    (running.out / "link").symlink_to("nowhere")
    return 0


def link_in_place_of_the_directory(running: Running) -> int:
    running.out.rmdir()
    running.out.symlink_to("/etc")
    return 0


def no_directory_at_all(running: Running) -> int:
    running.out.rmdir()
    return 0


def pipe(running: Running) -> int:
    running.make("file", b"x")
    os.mkfifo(running.out / "pipe")
    return 0


@pytest.mark.parametrize(
    "script",
    [
        link,
        link_to_a_secret,
        link_to_nowhere,
        link_in_place_of_the_directory,
        no_directory_at_all,
        pipe,
    ],
)
def test_a_step_may_leave_files_and_directories_only(
    harness: BuildHarness, script: Callable[[Running], int]
) -> None:
    assert "is neither" in failure(harness, script).what


@pytest.mark.parametrize("which", ["output", "file"])
@pytest.mark.parametrize("damage", ["change", "lose"])
def test_a_damaged_result_is_made_again(harness: BuildHarness, which: str, damage: str) -> None:
    first = run(harness)
    blob = harness.cache.blob(first.output if which == "output" else first.files["result"])
    assert blob is not None
    if damage == "lose":
        blob.unlink()
    else:
        blob.chmod(0o644)
        blob.write_bytes(b"rotten")
    again = run(harness)
    assert not again.cached
    assert harness.engine.ran == ["musl-1.0-linux-amd64"] * 2
    assert again.output == first.output


def test_a_result_whose_record_is_damaged_is_made_again(harness: BuildHarness) -> None:
    first = run(harness)
    record = harness.cache.root / "ac" / first.key
    record.write_text(record.read_text("utf-8").replace("sandbox", "sendbox"), "utf-8")
    assert not run(harness).cached


def test_a_source_that_vanished_is_missed_by_name(harness: BuildHarness) -> None:
    sha256 = steps(harness)["musl"].release.archive.sha256
    blob = harness.cache.blob(sha256)
    assert blob is not None
    blob.unlink()
    error = failure(harness, make_something)
    assert "musl-1.0.tar.gz is not in the cache any more" in error.what


def test_products_are_known_by_name_in_one_order_cached_or_not(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        for name in ("c", "a", "b"):
            running.make(name, name.encode())
        return 0

    harness.engine.script = script
    assert list(run(harness).files) == ["a", "b", "c"]
    again = run(harness)
    assert again.cached
    assert list(again.files) == ["a", "b", "c"]


def test_a_disk_that_is_full_while_a_step_is_prepared_is_named(harness: BuildHarness) -> None:
    def script(running: Running) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    harness.engine.script = script
    with pytest.raises(StorageError, match="full") as caught:
        run(harness)
    assert str(harness.cache.root) in caught.value.what
    assert "FROMSCRATCH_CACHE" in caught.value.next
