"""What comes out: good files with a true manifest; bad ones do not come out at all."""

import json
import os
from pathlib import Path

import pytest

from commands.build import closing_table
from commands.clean import clean
from commands.list import overview
from core.errors import ExitCode, FromscratchError, StepError, UsageError, VerdictError
from core.files import temporary_directory
from core.scratch import RunResult
from core.target import Target
from flow.build import Request, build
from publish.manifest import read_manifest
from tests.fakes import Running, deep
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.flow.conftest import (
    GOOD,
    PACKED,
    FakeEnvironment,
    Harness,
    hello,
    incompressible,
)
from tests.unit.flow.test_sources import gone
from verify.smoke import Smoke

UNSTRIPPED = (DIRECTORY / "unstripped-static-pie").read_bytes()
PLAIN, UPX = "hello-plain-2.0-linux-amd64", "hello-plain-2.0-linux-amd64.upx"


def bad(*steps: str, data: bytes = UNSTRIPPED, name: str = "hello") -> object:
    """A script that makes something bad in these steps."""

    def script(running: Running) -> int:
        code = hello(running)
        if running.step in steps:
            running.make(name, data)
        return code

    return script


def manifest(harness: Harness) -> list[dict[str, object]]:
    data = json.loads((harness.artifacts / "manifest.json").read_text("utf-8"))
    entries: list[dict[str, object]] = data["artifacts"]
    return entries


def test_a_build_delivers_plain_and_packed_files_and_says_so(harness: Harness) -> None:
    harness.environment = FakeEnvironment()
    plain, packed = harness.build()
    assert harness.files() == [PLAIN, UPX]
    assert (harness.artifacts / "files" / PLAIN).read_bytes() == GOOD
    assert (harness.artifacts / "files" / UPX).read_bytes() == PACKED
    assert all(os.access(harness.artifacts / "files" / name, os.X_OK) for name in harness.files())
    assert [entry["path"] for entry in manifest(harness)] == [f"files/{PLAIN}", f"files/{UPX}"]
    assert manifest(harness)[0] == json.loads(json.dumps(plain.as_dict()))
    assert [one.name for one in plain.inputs] == ["hello", "musl"]
    assert [one.name for one in packed.inputs] == ["hello", "musl", "upx"]
    assert plain.smoke == Smoke(ran=True, ok=True, how="sandbox")


def test_what_upx_cannot_make_smaller_is_delivered_unpacked_with_a_note(harness: Harness) -> None:
    harness.environment = FakeEnvironment()
    harness.engine.script = incompressible
    (made,) = harness.build()
    assert not made.packed
    assert made.verdict.ok
    assert harness.files() == [PLAIN]
    (entry,) = manifest(harness)
    assert entry["verdict"] == {
        "ok": True,
        "findings": [
            {
                "rule": "not-packed",
                "severity": "warning",
                "message": "UPX cannot make it smaller: it is delivered as it is",
            }
        ],
    }
    assert read_manifest(harness.artifacts) == (made,)
    assert any("UPX cannot make it smaller" in note for note in harness.report.notes)
    head, _, row, note = closing_table([made]).splitlines()
    assert row[head.index("form") :].startswith("not packed ")
    assert note == f"files/{PLAIN}: UPX cannot make it smaller: it is delivered as it is"
    # Nothing is done again, and the note stays.
    (again,) = harness.build()
    assert again.cached
    assert again.not_packed
    rows = {row.product.name: row for row in overview(harness.context())}
    assert rows["hello:plain"].cells[Target.AMD64].as_dict()["unpackable"] == made.not_packed


def test_a_packed_file_of_before_goes_when_upx_cannot_pack_the_program_any_more(
    harness: Harness,
) -> None:
    harness.build("hello:plain")
    assert harness.files() == [PLAIN, UPX]
    harness.engine.script = incompressible
    harness.build("hello:plain", rebuild=True)
    assert harness.files() == [PLAIN]
    assert [entry["path"] for entry in manifest(harness)] == [f"files/{PLAIN}"]


def test_what_upx_cannot_make_smaller_is_judged_as_everything_else(harness: Harness) -> None:
    def script(running: Running) -> int:
        code = incompressible(running)
        if running.step == "hello-plain-2.0-linux-amd64":
            running.make("hello", UNSTRIPPED)
        return code

    harness.engine.script = script
    with pytest.raises(VerdictError, match="no-symbols"):
        harness.build()
    assert harness.files() == []


def test_a_second_build_does_nothing_and_touches_nothing(harness: Harness) -> None:
    harness.environment = environment = FakeEnvironment()
    harness.build()
    steps = list(harness.engine.ran)
    before = {
        name: (harness.artifacts / "files" / name).stat().st_mtime_ns for name in harness.files()
    }
    again = harness.build()
    assert harness.engine.ran == steps
    assert all(artifact.cached for artifact in again)
    assert len(environment.tried) == 2  # each file once, in the first build
    after = {
        name: (harness.artifacts / "files" / name).stat().st_mtime_ns for name in harness.files()
    }
    assert after == before


def test_a_file_that_somebody_changed_is_delivered_again(harness: Harness) -> None:
    harness.build()
    (harness.artifacts / "files" / PLAIN).write_bytes(b"changed")
    (harness.artifacts / "files" / UPX).unlink()
    harness.build()
    assert (harness.artifacts / "files" / PLAIN).read_bytes() == GOOD
    assert harness.files() == [PLAIN, UPX]


def test_a_refused_file_is_not_delivered_and_the_good_ones_are(harness: Harness) -> None:
    harness.engine.script = bad("hello-secure-2.0-linux-amd64")  # type: ignore[assignment]
    with pytest.raises(VerdictError) as caught:
        harness.build("hello:secure", "hello:plain")
    assert caught.value.code == ExitCode.REFUSED
    assert "files/hello-secure-2.0-linux-amd64: " in caught.value.what
    assert "symbol" in caught.value.what
    assert harness.files() == [PLAIN, UPX]
    assert [entry["product"] for entry in manifest(harness)] == ["hello:plain", "hello:plain"]


def test_a_packed_file_that_is_refused_leaves_the_plain_one(harness: Harness) -> None:
    script = bad("hello-plain-2.0-linux-amd64-pack", name="packed", data=UNSTRIPPED)
    harness.engine.script = script  # type: ignore[assignment]
    with pytest.raises(VerdictError, match=UPX):
        harness.build()
    assert harness.files() == [PLAIN]


def test_a_packed_file_that_unpacks_to_something_else_is_refused(harness: Harness) -> None:
    other = (DIRECTORY / "good-run-time-paths-static-pie").read_bytes()
    script = bad("hello-plain-2.0-linux-amd64-pack", name="unpacked", data=other)
    harness.engine.script = script  # type: ignore[assignment]
    with pytest.raises(VerdictError, match="does not give back what was packed"):
        harness.build()
    assert harness.files() == [PLAIN]


def test_a_program_that_is_too_big_is_refused(harness: Harness) -> None:
    harness.world.edit("hello", "max_size = 100_000", "max_size = 100")
    with pytest.raises(VerdictError, match="size"):
        harness.build()
    assert harness.files() == []


def test_embedded_data_is_not_counted(harness: Harness) -> None:
    def script(running: Running) -> int:
        code = hello(running)
        if running.step.startswith("data"):
            running.make("result", b"x" * 10_000)
        return code

    harness.world.edit("hello", "max_size = 100_000", "max_size = 100")
    harness.engine.script = script
    assert [artifact.product for artifact in harness.build("hello:secure")] == ["hello:secure"] * 2


def test_a_program_that_does_not_do_what_it_should_is_refused(harness: Harness) -> None:
    harness.environment = FakeEnvironment(answer=RunResult(139, "", "Segmentation fault"))
    with pytest.raises(
        VerdictError, match=r"smoke: --version: exit code 139, not 0 \(Segmentation"
    ):
        harness.build()
    assert harness.files() == []


def test_a_program_that_could_not_be_tried_is_not_called_good(harness: Harness) -> None:
    harness.environment = "qemu is not installed"
    plain, packed = harness.build()
    for artifact in (plain, packed):
        assert artifact.smoke == Smoke.not_run("qemu is not installed")
    assert any("smoke not run: qemu is not installed" in text for text in harness.report.warnings)
    lines = closing_table([plain]).splitlines()
    assert lines[2].split()[5:8] == ["ok", "not", "run"]
    assert [entry["smoke"] for entry in manifest(harness)] == [
        plain.smoke.as_dict(),
        packed.smoke.as_dict(),
    ]


def test_a_program_that_could_not_be_tried_is_tried_as_soon_as_it_can_be(harness: Harness) -> None:
    harness.environment = "qemu is not installed"
    harness.build()
    harness.environment = environment = FakeEnvironment()
    assert all(artifact.smoke.ok for artifact in harness.build())
    assert environment.tried == [GOOD, PACKED]


def test_without_isolation_the_manifest_says_so(harness: Harness) -> None:
    harness.engine.name, harness.engine.isolated = "host", False
    assert {(one.engine, one.isolated) for one in harness.build()} == {("host", False)}


def test_a_program_of_two_files_is_no_program(harness: Harness) -> None:
    script = bad("hello-plain-2.0-linux-amd64", name="README", data=b"read me")
    harness.engine.script = script  # type: ignore[assignment]
    with pytest.raises(StepError, match="made README, hello where one file is expected"):
        harness.build()


def test_a_step_that_fails_delivers_nothing(harness: Harness) -> None:
    harness.engine.script = lambda _: 1
    with pytest.raises(StepError):
        harness.build()
    assert not harness.artifacts.exists()


def test_rebuild_makes_the_named_products_again(harness: Harness) -> None:
    harness.build()
    harness.engine.ran.clear()
    harness.build("hello:plain", rebuild=True)
    assert sorted(harness.engine.ran) == [
        "hello-2.0-linux-amd64-checks",
        "hello-plain-2.0-linux-amd64",
        "hello-plain-2.0-linux-amd64-pack",
    ]


def test_without_packing_there_is_no_packer_either(harness: Harness) -> None:
    gone(harness, "1.0", "upx")  # not even fetched
    (plain,) = harness.build(pack=False)
    assert not plain.packed
    assert harness.files() == [PLAIN]
    assert not [step for step in harness.engine.ran if step.endswith("pack") or "upx" in step]
    assert [entry["path"] for entry in manifest(harness)] == [f"files/{PLAIN}"]


def test_without_packing_a_packed_file_stays_as_long_as_its_plain_one(harness: Harness) -> None:
    harness.build()
    harness.build(pack=False)
    assert harness.files() == [PLAIN, UPX]
    other = (DIRECTORY / "good-run-time-paths-static-pie").read_bytes()
    harness.engine.script = bad("hello-plain-2.0-linux-amd64", data=other)  # type: ignore[assignment]
    harness.build("hello:plain", pack=False, rebuild=True)
    assert harness.files() == [PLAIN]
    assert [entry["path"] for entry in manifest(harness)] == [f"files/{PLAIN}"]


def test_no_product_means_the_default_ones(harness: Harness) -> None:
    assert {artifact.product for artifact in harness.build()} == {"hello:plain"}


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("engine", "sandbx", "Unknown engine 'sandbx'. Perhaps you meant 'sandbox'"),
        ("jobs", "0", "'jobs' must be a whole number from 1"),
    ],
)
def test_a_wrong_setting_is_found_before_anything_is_fetched(
    harness: Harness, flag: str, value: str, said: str
) -> None:
    request = Request(targets=(Target.AMD64,))
    with pytest.raises(FromscratchError, match=said) as caught:
        build(harness.context(**{flag: value}), request)
    assert isinstance(caught.value, UsageError)
    assert not (harness.directory / "cache").exists()


def test_cleaning_takes_what_was_built_and_leaves_who_is_at_work(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    harness.build()
    (harness.artifacts / "README.md").write_text("kept", "utf-8")
    sandboxes = harness.directory / "cache" / "boxes"
    # A process of that number lives, but owns nothing.
    dead = sandboxes / f"sandbox-{os.getpid()}-x"
    sandboxes.mkdir(parents=True, exist_ok=True)
    deep(dead, 1_500, mode=0)
    with temporary_directory(sandboxes, prefix="sandbox-1-") as alive:
        lines = clean(harness.context(), cache=False)
        assert [path for path in (dead, alive) if path.exists()] == [alive]
    assert f"removed {harness.artifacts / 'files'}" in lines
    assert [path.name for path in harness.artifacts.iterdir()] == ["README.md"]
    assert Path(harness.directory / "cache" / "cas").is_dir()
