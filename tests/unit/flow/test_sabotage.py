"""Recipes that mean harm: nothing that a step leaves in $OUT reaches ``artifacts/`` when a verdict would refuse it."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from core.errors import FromscratchError, StepError, VerdictError
from tests.fakes import Running
from tests.fixtures.make_elf import (
    DIRECTORY,
    PIE,
    SECRET,
    SHT_NOTE,
    SHT_PROGBITS,
    class_lies,
    fixtures,
    marks_wiped,
)
from tests.unit.flow.conftest import GOOD, PACKED, FakeEnvironment, Harness, hello

PLAIN, UPX = "hello-plain-2.0-linux-amd64", "hello-plain-2.0-linux-amd64.upx"
TAMPERED = PACKED.replace(PIE.machine.exit, bytes.fromhex("31ff b84c000000 0f05"))
PROGRAMS = {
    "payload in a hole": (replace(PIE, hole=SECRET * 1000).build(), "all-bytes-described"),
    "payload in a section": (
        replace(PIE, unloaded=((b".comment", SHT_PROGBITS, SECRET * 1000),)).build(),
        "all-bytes-described",
    ),
    "payload in a note": (
        replace(PIE, unloaded=((b".note", SHT_NOTE, SECRET * 1000),)).build(),
        "all-bytes-described",
    ),
    "payload at the end": (GOOD + bytes(192) + SECRET, "no-appended-data"),
    "path in a note": (
        replace(PIE, unloaded=((b".comment", SHT_PROGBITS, b"/home/ann/key.pem"),)).build(),
        "no-build-paths",
    ),
    "dynamic": ((DIRECTORY / "dynamic").read_bytes(), "no-interpreter"),
    "dynamic for another class": (class_lies(), "consistent-header"),
    "packed": (PACKED, "packed-as-expected"),
    "packed, with another stub": (TAMPERED, "packed-as-expected"),
    "packed, without marks": (marks_wiped(), "packed-contents"),
    "packed, with one mark": (fixtures()["packed-then-stripped"], "packed-as-expected"),
    "for another machine": (fixtures()["good-arm64-static-pie"], "machine"),
    "for no machine": (fixtures()["unknown-machine"], "known-machine"),
}


def leave(data: bytes) -> Callable[[Running], int]:
    """A script that leaves these bytes as the program; what is packed is as it should be."""

    def script(running: Running) -> int:
        code = hello(running)
        if running.step == "hello-plain-2.0-linux-amd64":
            running.make("hello", data)
        return code

    return script


@pytest.mark.parametrize(("data", "rule"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_that_hides_something_is_never_delivered(
    harness: Harness, data: bytes, rule: str
) -> None:
    harness.environment = FakeEnvironment()
    harness.engine.script = leave(data)
    with pytest.raises(VerdictError, match=f"{PLAIN}: {rule}"):
        harness.build()
    assert harness.files() == []
    assert not harness.environment.tried  # nobody ran it


@pytest.mark.parametrize("data", [fixtures()["packed-then-appended"], marks_wiped(), GOOD])
def test_what_is_not_packed_by_upx_is_no_packed_file(harness: Harness, data: bytes) -> None:
    def script(running: Running) -> int:
        code = hello(running)
        if running.step.endswith("pack"):
            running.make("packed", data)
        return code

    harness.engine.script = script
    with pytest.raises(VerdictError, match=UPX):
        harness.build()
    assert harness.files() == [PLAIN]


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6777, 0o1777])
def test_no_file_comes_with_somebody_s_rights(harness: Harness, mode: int) -> None:
    def script(running: Running) -> int:
        code = hello(running)
        for path in running.out.iterdir():
            path.chmod(mode)
        return code

    harness.engine.script = script
    harness.build()
    files = [harness.artifacts / "files" / name for name in (PLAIN, UPX)]
    assert [path.stat().st_mode & 0o7777 for path in files] == [0o755, 0o755]


def test_two_files_of_one_name_are_no_program(harness: Harness) -> None:
    """Neither is chosen, not even when they are the same."""

    def script(running: Running) -> int:
        code = hello(running)
        if running.step == "hello-plain-2.0-linux-amd64":
            (running.out / "hello").unlink()
            for name in ("a", "b"):
                (running.out / name).mkdir()
                running.make(f"{name}/hello", GOOD)
        return code

    harness.engine.script = script
    with pytest.raises(StepError, match="a/hello, b/hello where one file is expected"):
        harness.build()
    assert harness.files() == []


def test_a_link_to_a_good_file_is_no_program(harness: Harness) -> None:
    def script(running: Running) -> int:
        code = hello(running)
        if running.step == "hello-plain-2.0-linux-amd64":
            (running.out / "hello").unlink()
            (running.out / "hello").symlink_to(DIRECTORY / "good-amd64-static-pie")
        return code

    harness.engine.script = script
    with pytest.raises(FromscratchError):
        harness.build()
    assert harness.files() == []


def test_the_others_are_delivered_and_the_manifest_names_them_alone(harness: Harness) -> None:
    harness.engine.script = leave(PROGRAMS["payload in a hole"][0])
    with pytest.raises(VerdictError):
        harness.build("hello:plain", "hello:secure")
    assert all(name.startswith("hello-secure") for name in harness.files())
    manifest = json.loads((harness.artifacts / "manifest.json").read_text("utf-8"))
    assert {entry["product"] for entry in manifest["artifacts"]} == {"hello:secure"}
