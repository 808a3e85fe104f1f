"""Many targets: which products are built for them, and what `inv list` says."""

import dataclasses
import json
from typing import Any

import pytest

from commands.list import details, overview, summary
from core.errors import UsageError
from core.target import Target
from flow.build import ALL, Request, parse_targets
from flow.build import build as build_all
from publish.manifest import write_manifest
from tests.fakes import Running
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.flow.conftest import PACKED, FakeEnvironment, Harness, hello
from verify.smoke import Smoke

FILES = {
    target.slug: (DIRECTORY / f"good-{target.slug.removeprefix('linux-')}-static-pie").read_bytes()
    for target in (Target.AMD64, Target.ARM64, Target.I386, Target.S390X)
}


def for_its_target(running: Running) -> int:
    """Make a good file of the right kind, where there is one."""
    code = hello(running)
    for slug, data in FILES.items():
        if running.step.startswith("hello") and running.step.endswith(slug):
            running.make("hello", data)
        if running.step.endswith(f"{slug}-pack"):
            running.make("packed", PACKED)
            running.make("unpacked", data)
    return code


def build(harness: Harness, *targets: Target, everywhere: bool = False) -> list[str]:
    request = Request(products=("hello:plain",), targets=targets, everywhere=everywhere)
    return [one.path for one in build_all(harness.context(), request)]


@pytest.fixture
def unpacked(harness: Harness) -> Harness:
    """A yard whose products are packed nowhere: there is one packed file to hand out, for amd64."""
    harness.world.edit("hello", 'pack = "nrv"', 'pack = "none"')
    harness.engine.script = for_its_target
    return harness


def test_all_is_every_target_there_is() -> None:
    assert parse_targets(ALL) == tuple(Target)
    assert parse_targets("linux/386,linux/arm64") == (Target.I386, Target.ARM64)
    assert parse_targets("") == (Target.native(),)
    with pytest.raises(UsageError, match="Perhaps you meant 'linux/arm64'"):
        parse_targets("linux/amd64,linux/arm65")


def test_everywhere_leaves_out_what_is_not_supported_and_says_so(unpacked: Harness) -> None:
    targets = (Target.AMD64, Target.S390X, Target.LOONG64)
    assert build(unpacked, *targets, everywhere=True) == [
        "files/hello-plain-2.0-linux-amd64",
        "files/hello-plain-2.0-linux-s390x",
    ]
    (note,) = [text for text in unpacked.report.notes if text.startswith("left out")]
    assert note == "left out: hello cannot be built for linux/loong64: nobody says hello there"


def test_a_target_that_is_named_must_be_supported(unpacked: Harness) -> None:
    with pytest.raises(UsageError, match="hello cannot be built for linux/loong64: nobody"):
        build(unpacked, Target.AMD64, Target.LOONG64)
    assert unpacked.files() == []


def listed(harness: Harness) -> dict[str, Any]:
    """What ``inv list --json`` says of each product."""
    return {row.product.name: row.as_dict() for row in overview(harness.context())}


def test_the_overview_tells_what_is_built(harness: Harness) -> None:
    harness.environment = FakeEnvironment()
    harness.build()
    rows = listed(harness)
    assert rows["hello:plain"]["built"] == "linux/amd64"
    assert rows["hello:secure"]["built"] == ""
    assert rows["hello:plain"]["releases"] == ["2.0", "1.0"]
    assert json.loads(json.dumps(rows)) == rows
    cells = rows["hello:plain"]["targets"]
    assert list(cells) == list(Target)
    assert cells["linux/amd64"] == {
        "unsupported": "",
        "unpackable": "",
        "plain": {
            "size": len(FILES["linux-amd64"]),
            "verdict": True,
            "smoke": {"ran": True, "ok": True, "how": "sandbox"},
        },
        "packed": {
            "size": len(PACKED),
            "verdict": True,
            "smoke": {"ran": True, "ok": True, "how": "sandbox"},
        },
    }
    assert (cells["linux/arm64"]["plain"], cells["linux/arm64"]["unpackable"]) == (None, "")
    assert cells["linux/s390x"]["unpackable"] == "UPX does not know it"
    assert cells["linux/loong64"]["unsupported"].endswith("nobody says hello there")


def test_a_reason_of_a_library_counts_for_those_who_need_it(harness: Harness) -> None:
    path = harness.world.recipes / "tls" / "recipe.toml"
    path.write_text(path.read_text() + '\n[unsupported]\n"linux/386" = "too small"\n')
    rows = listed(harness)
    reasons = {name: row["targets"]["linux/386"]["unsupported"] for name, row in rows.items()}
    assert reasons == {
        "hello:plain": "",
        "hello:secure": "tls cannot be built for linux/386: too small",
    }


@pytest.mark.parametrize(
    ("place", "shown", "state"),
    [
        (FakeEnvironment(), "", "ok"),
        ("nobody looks", "?", "not run"),
    ],
)
def test_the_matrix_marks_what_was_not_tried(
    harness: Harness, place: FakeEnvironment | str, shown: str, state: str
) -> None:
    harness.world.edit("hello", "max_size = 100_000", "max_size = 900_000")
    harness.environment = place
    harness.build()
    rows = overview(harness.context())
    text = summary(rows)
    size = len(FILES["linux-amd64"])
    plain = next(line for line in text.splitlines() if line.startswith("hello:plain   plain"))
    assert plain.split()[2:4] == [f"{size / 1000:,.0f}{shown}", "-"]
    assert "linux/loong64: nobody says hello there" in text
    assert "hello cannot be packed for linux/s390x: UPX does not know it" in text
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("no: "))
    exact = details(rows, (Target.AMD64, Target.ARM64, Target.LOONG64))
    (line,) = [
        one
        for one in exact.splitlines()
        if one.split()[:3] == ["hello:plain", "linux/amd64", "plain"]
    ]
    assert f"{size:,}" in line
    assert state in line
    assert "hello:plain   linux/arm64    packed  -" in exact


def test_a_failed_smoke_run_is_marked(harness: Harness) -> None:
    harness.environment = FakeEnvironment()
    (plain, _) = harness.build()
    entry = dataclasses.replace(plain, smoke=Smoke(ran=True, ok=False, how="qemu"))
    write_manifest(harness.artifacts, [entry])
    rows = overview(harness.context())
    assert f"{plain.size / 1000:,.0f}!" in summary(rows)
    assert "FAILED" in details(rows, (Target.AMD64,))
