"""make and Perl, which sources are built with: static, in need of nothing around them, and in no default build."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from builders.plan import Step, needed_recipes, plan_step
from builders.pool import LocalPool
from builders.schedule import run_plan
from builders.toolchain import BOX
from builders.tree import unpack_tree
from console.progress import PlainReport
from core.settings import Settings
from core.target import Target
from flow.context import Context
from flow.fetch import fetch_sources, select
from recipes.load import load_recipes
from recipes.model import Product, find_need
from verify.facts import read_facts

pytestmark = pytest.mark.builds

TOOLS = ("make", "perl")
PROGRAMS = {"make": "make", "perl": "bin/perl"}
MODULES = [
    "Config",
    "Cwd",
    "Data::Dumper",
    "Encode",
    "Fcntl",
    "File::Basename",
    "File::Compare",
    "File::Copy",
    "File::Glob",
    "File::Path",
    "File::Spec::Functions",
    "File::Temp",
    "FindBin",
    "Getopt::Long",
    "Getopt::Std",
    "IPC::Cmd",
    "IPC::Open3",
    "List::Util",
    "POSIX",
    "Pod::Usage",
    "Storable",
    "Time::Piece",
]


def in_order(step: Step) -> list[Step]:
    """All that a step needs, and the step itself, each after what it needs."""
    return [*(one for _, need in step.needs for one in in_order(need)), step]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directories of what was built, far from where it was built."""
    context = Context(settings=Settings.read({}), report=PlainReport())
    recipes, native = context.recipes, Target.native()
    directories: dict[str, Path] = {}
    for name in TOOLS:
        found = find_need(name, recipes)
        assert found
        product = Product(recipe=found[0], variant=found[1])
        sources = fetch_sources(context, needed_recipes([product], recipes, pack=False))
        releases = {one: release for one, (release, _) in sources.items()}
        step = plan_step(*found, native, recipes=recipes, releases=releases, native=native)
        steps = list(dict.fromkeys(in_order(step)))
        builder = context.builder()
        pool = LocalPool(builder, jobs=2)
        outcomes = run_plan(steps, builder, pool=pool, cancel=context.cancel)
        directories[name] = tmp_path_factory.mktemp(name) / "out"
        unpack_tree(context.blob(outcomes[step].output), directories[name])
    return directories


def run(tool: Path, words: Sequence[str], directory: Path) -> str:
    """What a tool prints in an empty environment."""
    done = subprocess.run(
        [tool, *words], cwd=directory, capture_output=True, text=True, env={}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_static_and_says_its_version(
    tools: dict[str, Path], name: str, tmp_path: Path
) -> None:
    program = tools[name] / PROGRAMS[name]
    facts = read_facts(program)
    assert (facts.interpreter, facts.needed, facts.is_static_pie) == (None, (), True)
    version = load_recipes()[name].releases[0].version
    assert version in run(program, ["--version"], tmp_path).splitlines()[0 if name == "make" else 1]


def test_make_makes(tools: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "all: b.out\n%.out: %.in\n\t@cat $< $(wildcard *.more) >$@\n%.in:\n\t@echo made by $(MAKE_VERSION) >$@\n",
        "utf-8",
    )
    (tmp_path / "a.more").write_text("more\n", "utf-8")
    program = tools["make"] / "make"
    run(program, ["-j2"], tmp_path)
    made = (tmp_path / "b.out").read_text("utf-8")
    assert made == f"made by {load_recipes()['make'].releases[0].version}\nmore\n"
    assert "up to date" in run(program, ["b.out"], tmp_path)


@pytest.mark.parametrize("module", MODULES)
def test_perl_finds_its_modules_wherever_it_is(
    tools: dict[str, Path], module: str, tmp_path: Path
) -> None:
    lib = tools["perl"] / "lib"
    file = module.replace("::", "/") + ".pm"
    words = ["-e", f"use {module}; print $INC{{'{file}'}}"]
    assert Path(run(tools["perl"] / "bin/perl", words, tmp_path)) == lib / file


def test_a_perl_of_perls_finds_them_too(tools: dict[str, Path], tmp_path: Path) -> None:
    """perlasm starts others by $^X."""
    program = tools["perl"] / "bin/perl"
    child = (
        'print `$^X -MPOSIX=floor -MIPC::Cmd=can_run -e "print floor(7.5), !!can_run(q(/bin/sh))"`'
    )
    assert run(program, ["-e", child], tmp_path) == "71"


def test_perl_is_told_where_by_the_environment_as_well(
    tools: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "Told.pm").write_text("package Told; sub word { 'told' } 1;\n", "utf-8")
    done = subprocess.run(
        [tools["perl"] / "bin/perl", "-MTold", "-e", "print Told::word()"],
        env={"PERL5LIB": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "told"


def test_perl_says_nothing_of_where_and_when_it_was_built(
    tools: dict[str, Path], tmp_path: Path
) -> None:
    words = ["-MConfig", "-e", "print join qq(\\n), map { $Config{$_} // '' } sort keys %Config"]
    said = run(tools["perl"] / "bin/perl", words, tmp_path)
    assert "x86_64" in said or "aarch64" in said
    assert f"{BOX}/" not in said
    for name in ("cf_time", "myuname", "incpth"):
        assert run(tools["perl"] / "bin/perl", [f"-V:{name}"], tmp_path) == f"{name}='';\n"
    inside = [
        f for f in tools["perl"].rglob("*") if f.is_file() and f"{BOX}/".encode() in f.read_bytes()
    ]
    assert not inside


def test_no_default_build_needs_a_tool_but_the_packer() -> None:
    recipes = load_recipes()
    products, _ = select(recipes, ())
    assert not {recipe.name for recipe in needed_recipes(products, recipes)} & set(TOOLS)
