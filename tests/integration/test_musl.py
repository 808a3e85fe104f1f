"""The two parts of musl: the base that most programs are built on, and the whole."""

import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from builders.plan import SYSROOT, plan_step
from builders.toolchain import Toolchain
from builders.tree import unpack_tree
from console.progress import PlainReport
from core.settings import Settings
from core.target import Target
from flow.context import Context
from flow.fetch import fetch_sources
from recipes.load import HERE
from recipes.model import find_need

BASE = (HERE / SYSROOT / "base.txt").read_text("utf-8")


def headers_and_members(
    context: Context, name: str, directory: Path
) -> tuple[dict[Path, int], Counter[str]]:
    """Build a variant for this machine; return the size of each header, and how often libc.a has each member."""
    found, native = find_need(name, context.recipes), Target.native()
    assert found
    sources = fetch_sources(context, [found[0]], {}, exact=False)
    releases = {SYSROOT: sources[SYSROOT][0]}
    step = plan_step(*found, native, recipes=context.recipes, releases=releases, native=native)
    builder = context.builder()
    inputs = {need: builder.run(base, {}) for need, base in step.needs}
    unpack_tree(context.blob(builder.run(step, inputs).output), directory)
    include = directory / "include"
    headers = {
        path.relative_to(include): path.stat().st_size
        for path in include.rglob("*")
        if path.is_file()
    }
    program = Toolchain.installed(HERE).packages / "ziglang" / "zig"
    words: list[str | Path] = [program, "ar", "t", directory / "lib/libc.a"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True)
    return headers, Counter(listed.stdout.split())


def unreplaced(musl: Path, arch: str) -> Counter[str]:
    """Names of the objects that musl's own Makefile would put into libc.a: BASE_SRCS, but for REPLACED_OBJS."""
    settings = musl / "arch" / arch / "arch.mak"
    lines = settings.read_text("utf-8").splitlines() if settings.exists() else []
    compat = [line.split()[2] for line in lines if line.startswith("COMPAT_SRC_DIRS = ")]
    directories = ["src/*", "src/malloc/mallocng", *compat]
    base = [file for directory in directories for file in musl.glob(f"{directory}/*.c")]
    own = [file for ending in ("s", "S", "c") for file in musl.glob(f"src/*/{arch}/*.{ending}")]
    replaced = {file.parent.parent / file.stem for file in own}
    kept = [file for file in base if file.with_suffix("") not in replaced]
    return Counter(f"{file.stem}.o" for file in [*kept, *own])


@pytest.fixture
def context() -> Context:
    return Context(settings=Settings.read({}), report=PlainReport())


def test_the_whole_is_the_base_and_more(context: Context, tmp_path: Path) -> None:
    some, base = headers_and_members(context, f"{SYSROOT}:base", tmp_path / "base")
    all_, whole = headers_and_members(context, SYSROOT, tmp_path / "whole")
    assert some == all_
    assert base <= whole
    assert 0 < base.total() < whole.total() / 2
    listed = {f"{name}.o" for line in BASE.splitlines() if line[0] != "#" for name in line.split()}
    assert base.keys() <= listed
    assert not (whole - base).keys() & listed


def test_the_whole_has_every_object_of_musl_once(context: Context, tmp_path: Path) -> None:
    """Many are compiled by one process, which must lose none."""
    found = find_need(SYSROOT, context.recipes)
    assert found
    release, _ = fetch_sources(context, [found[0]], {}, exact=False)[SYSROOT]
    with tarfile.open(context.blob(release.archive.sha256)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("musl-*")
    _, members = headers_and_members(context, SYSROOT, tmp_path / "whole")
    assert members == unreplaced(source, Target.native().machine.musl_arch)


def test_the_list_is_sorted_and_names_nothing_twice() -> None:
    words = [word for line in BASE.splitlines() if line[0] != "#" for word in line.split()]
    assert words == sorted(set(words))
