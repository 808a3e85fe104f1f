"""--rebuild-and-compare for real: equal where nothing leaks in, and found where something does."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builders.engines.varied import Clock
from core.target import Target
from records.rebuilds import read_rebuilds
from tests.integration.command import Done, Inv, finish, listed
from tests.integration.seeded_cache import SeededCache, everything
from tests.integration.traces import processes_at, wait_for

pytestmark = pytest.mark.builds

RECIPE = """
name = "leaky"
kind = "program"
summary = "says when, of what and by how many it was made"
homepage = "https://leaky.invalid/"
update = { frozen = "exists only in tests" }
local = "leaks"

[[releases]]
version = "1.0"
date = 2026-01-01
licence = "0BSD"
[unhardened]
pie = "it has no C library, whose start would relocate it"
"""
VARIANT = """
[variants.{name}]
summary = "{name}"
[variants.{name}.expect]
max_size = 100_000
"""
SCRIPT = r"""
set -eu
case $VARIANT in
always) told="made always" ;;
date) told="made on $(date +%F)" ;;
random) told="made of $(od -An -N8 -tx1 /dev/urandom | tr -d ' ')" ;;
cores) told="made by $JOBS cores" ;;
longer) told="made in $(printf '%*s' "$JOBS" | tr ' ' x) steps" ;;
esac
cat >"$WORK/leaky.c" <<END
static const char told[] = "this file was $told\n";
static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}
void _start(void)
{
    call(1, 1, (long)told, sizeof told - 1);
    call(60, 0, 0, 0);
    for (;;);
}
END
# shellcheck disable=SC2086
"$TOOLCHAIN/zig/zig" clang $CLANG_TARGET --no-default-config -nostdinc -nostdlib -static -no-pie -s -Oz \
    -fno-asynchronous-unwind-tables -Wl,-z,noexecstack --ld-path="$TOOLCHAIN/bin/ld" "$WORK/leaky.c" -o "$OUT/leaky"
"""
LEAKS = ("always", "date", "random", "cores", "longer")


@pytest.fixture
def leaky(spoilt: Inv, project: Path) -> Inv:
    """A project with a recipe whose variants let something in."""
    directory = project / "recipes" / "leaky"
    directory.mkdir()
    variants = "".join(VARIANT.format(name=name) for name in LEAKS)
    (directory / "recipe.toml").write_text(RECIPE + variants, "utf-8")
    (directory / "build.sh").write_text(SCRIPT, "utf-8")
    (project / "leaks").mkdir()
    (project / "leaks" / "source.py").write_text("", "utf-8")
    return spoilt


def parsed(done: Done) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The whole answer, and its plain files by product."""
    result = json.loads(done.stdout)
    return result, {file["product"]: file for file in result["files"] if not file["packed"]}


def varied(result: Mapping[str, Any], engine: str) -> None:
    """What is said to be different was different."""
    ways = result["varied"]
    before, _, after = ways["engine"].partition(" -> ")
    assert before == engine
    assert after != engine
    assert ways["clock"].startswith("400 days" if Clock.of_this_machine(1) else "not varied")
    for name in ("directories", "steps at a time", "JOBS of a step"):
        first, _, second = ways[name].partition(" -> ")
        assert first != second
    assert "umask 077" in ways["of the pipeline"]


@pytest.mark.sandbox
def test_curl_is_the_same_wherever_it_is_built(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", everything)
    (tmp_path / "t").mkdir()
    done = inv.environ(TMPDIR=str(tmp_path / "t"))(
        "build", "curl:mini", "--rebuild-and-compare", "--json"
    )
    assert done.code == 0, done.stderr
    result, files = parsed(done)
    assert result["equal"] is True
    assert [file["packed"] for file in result["files"]] == [False, True]
    assert all(file["sha256"][0] == file["sha256"][1] for file in result["files"])
    assert files["curl:mini"]["difference"] is None
    # Really built again, all of it but the tool: musl, curl, the packing.
    assert len(done.started) == 3
    assert "upx" in result["varied"]["taken over"]
    assert listed(tmp_path / "t") == []
    assert not (tmp_path / "artifacts" / "compare").exists()
    # What the report shows of it.
    (kept,) = read_rebuilds(tmp_path / "artifacts")
    assert kept.equal
    assert [list(file.sha256) for file in kept.files] == [it["sha256"] for it in result["files"]]
    assert str(tmp_path) not in (tmp_path / "artifacts" / "rebuilds.json").read_text("utf-8")


@pytest.mark.sandbox
@pytest.mark.skipif(not Target.AMD64.runs_natively, reason="the program is for linux/amd64")
def test_what_leaks_in_is_found_and_shown(leaky: Inv, tmp_path: Path) -> None:
    products = [f"leaky:{name}" for name in LEAKS]
    done = leaky("build", *products, "--engine", "sandbox", "--rebuild-and-compare", "--json")
    assert done.code == 1, done.stderr
    result, files = parsed(done)
    varied(result, "sandbox")
    expected = {"leaky:random", "leaky:cores", "leaky:longer"}
    if Clock.of_this_machine(1):
        expected.add("leaky:date")
    assert {name for name, file in files.items() if not file["equal"]} == expected
    (kept,) = read_rebuilds(tmp_path / "artifacts")
    assert {file.product for file in kept.files if not file.equal} == expected
    for name in sorted(expected):
        difference = files[name]["difference"]
        place = difference["places"][0]
        shown = [place[side]["strings"][0] for side in ("first", "second")]
        assert all(text.startswith("this file was made ") for text in shown)
        assert shown[0] != shown[1]
        assert place["part"].startswith(".rodata")
        assert place["part"].endswith("(r--)")
        # It is that byte of that file.
        data = (tmp_path / "artifacts" / files[name]["path"]).read_bytes()
        assert data[place["first"]["offset"] :].startswith(bytes.fromhex(place["first"]["bytes"]))
        second = tmp_path / "artifacts" / "compare" / Path(files[name]["path"]).name
        assert second.is_file()
    assert files["leaky:longer"]["difference"]["resized"]


@pytest.mark.sandbox
@pytest.mark.skipif(not Target.AMD64.runs_natively, reason="the program is for linux/amd64")
def test_people_are_shown_a_table_and_the_place(leaky: Inv) -> None:
    done = leaky("build", "leaky:cores", "--engine", "sandbox", "--rebuild-and-compare")
    assert done.code == 1
    assert "leaky:cores" in done.stdout
    assert "NO" in done.stdout
    assert ".rodata" in done.stdout
    assert 'near "this file was made by' in done.stdout


@pytest.mark.sandbox
@pytest.mark.skipif(not Target.AMD64.runs_natively, reason="the program is for linux/amd64")
def test_an_error_of_the_second_build_is_told_as_what_it_is(leaky: Inv, project: Path) -> None:
    script = project / "recipes" / "leaky" / "build.sh"
    # It fails only where it is built again.
    text = SCRIPT.replace("set -eu", 'set -eu\n[ "$JOBS" = CORES ] || exit 9')
    script.write_text(text.replace("CORES", str(os.cpu_count() or 1)), "utf-8")
    done = leaky("build", "leaky:always", "--engine", "sandbox", "--rebuild-and-compare")
    assert done.code == 5, done.stderr
    assert "The second build: leaky:always 1.0 linux/amd64 failed with exit code 9" in done.stderr


@pytest.mark.sandbox
def test_an_interrupted_comparison_leaves_nothing(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", everything)
    temporary = tmp_path / "t"
    temporary.mkdir()
    calling = inv.environ(TMPDIR=str(temporary))
    with calling.start("build", "curl:mini", "--rebuild-and-compare") as process:
        wait_for(
            lambda: list(temporary.glob("fromscratch-rebuild-*/cache/logs/musl*")),
            seconds=120,
            what="the second build to begin",
        )
        time.sleep(0.5)
        process.terminate()
        done = finish(process, seconds=30)
    assert done.code == 130
    assert "nothing is left running" in done.stderr
    assert listed(temporary) == []
    assert processes_at(temporary) == []
