"""What a program does for its own safety: seen by Debian's tools, by `verify`, and in its memory while it runs."""

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders.engines.choose import find_emulator
from core.target import Target
from publish.manifest import read_manifest
from recipes.load import list_products, load_recipes
from recipes.model import Hardening, unsupported
from tests.built import Built
from tests.integration.command import ROOT
from verify.facts import ElfFacts, read_facts

pytestmark = pytest.mark.builds

RECIPES = load_recipes()
NAMES = tuple(
    product.name
    for product in list_products(RECIPES)
    if not unsupported(product.recipe, product.variant, Target.native(), RECIPES)
)
PAGE = 4096


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.once(tmp_path_factory.mktemp("hardened"), *NAMES)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def facts(programs: Built, name: str) -> ElfFacts:
    return read_facts(programs.file(name))


def tool(program: str, package: str, *words: str | Path) -> str:
    if not shutil.which(program):
        pytest.skip(f"not installed: {program} (apt-get install -y {package})")
    # Both end with a code of their own for what a stripped file cannot show.
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return done.stdout


def plain_files(programs: Built, name: str) -> list[Path]:
    """Of this machine, and of all others that were built in this checkout."""
    manifest = read_manifest(ROOT / "artifacts")
    there = [one.path for one in manifest if one.product == name and not one.packed]
    return [programs.file(name), *(ROOT / "artifacts" / path for path in there)]


def test_hardening_check_is_green(programs: Built, name: str) -> None:
    for file in plain_files(programs, name):
        said = tool("hardening-check", "devscripts", "--nocolor", file)
        found = dict(re.findall(r"^ (.*?): (.*)$", said, re.MULTILINE))
        titles = ("Position Independent Executable", "Read-only relocations", "Immediate binding")
        assert [found[title] for title in titles] == ["yes"] * 3, said


def test_checksec_is_green(programs: Built, name: str) -> None:
    for file in plain_files(programs, name):
        said = json.loads(tool("checksec", "checksec", f"--file={file}", "--output=json"))
        found = said[str(file)]
        assert (found["relro"], found["nx"], found["pie"]) == ("full", "yes", "yes"), file
        assert (found["rpath"], found["runpath"], found["symbols"]) == ("no", "no", "no"), file


def test_verify_sees_the_same_and_the_stack_protector(facts: ElfFacts) -> None:
    assert facts.is_static_pie
    assert facts.relro
    assert facts.bind_now
    if Target.native() is Target.AMD64:
        assert facts.guard_reads is not None
        # To begin and to end with, in many functions.
        assert facts.guard_reads > 100


def test_what_was_relocated_is_whole_pages_of_their_own(facts: ElfFacts) -> None:
    (locked,) = (s for s in facts.segments if s.type == "PT_GNU_RELRO")
    assert locked.vaddr_end % Target.native().machine.page == 0
    assert locked.mem_size >= locked.file_size > 0
    later = [s for s in facts.loads if s.writable and s.vaddr >= locked.vaddr_end]
    earlier = [s for s in facts.loads if s.vaddr < locked.vaddr_end]
    assert later
    assert all(not s.writable or s.vaddr >= locked.vaddr for s in earlier)


@contextmanager
def running(file: Path) -> Iterator[int]:
    """A curl that waits for a server that says nothing; yields its process id."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with subprocess.Popen([file, "-s", "-m", "20", url]) as process:
            try:
                server.settimeout(20)
                connection, _ = server.accept()
                with connection:
                    yield process.pid
            finally:
                process.kill()


def maps(pid: int) -> list[tuple[int, int, str, str]]:
    """Start, end, permissions and name of each mapping: proc(5)."""
    rows = []
    for line in Path(f"/proc/{pid}/maps").read_text("utf-8").splitlines():
        range_, permissions, _, _, _, *rest = line.split()
        start, _, end = range_.partition("-")
        rows.append((int(start, 16), int(end, 16), permissions, rest[0] if rest else ""))
    return rows


@pytest.mark.parametrize("product", ["curl:mini", "curl:https"])
def test_while_it_runs_its_pointers_are_locked_and_its_address_is_another_each_time(
    programs: Built, product: str
) -> None:
    file = programs.file(product)
    facts = read_facts(file)
    (locked,) = (s for s in facts.segments if s.type == "PT_GNU_RELRO")
    places = set()
    for _ in range(4):
        with running(file) as pid:
            ours = [row for row in maps(pid) if row[3] == str(file.resolve())]
        base = ours[0][0]
        places.add(base)
        start, end = base + locked.vaddr // PAGE * PAGE, base + locked.vaddr_end
        inside = [row for row in ours if row[0] < end and row[1] > start]
        assert {row[2] for row in inside} == {"r--p"}
        assert sum(min(row[1], end) - max(row[0], start) for row in inside) == end - start
        assert not [row for row in ours if "w" in row[2] and "x" in row[2]]
    assert len(places) > 1


@pytest.mark.parametrize("product", ["curl:mini", "curl:https"])
def test_a_packed_file_locks_as_much_once_it_is_unpacked(programs: Built, product: str) -> None:
    facts = read_facts(programs.file(product))
    (locked,) = (s for s in facts.segments if s.type == "PT_GNU_RELRO")
    (code,) = (s for s in facts.loads if s.executable)
    with running(programs.file(product, packed=True)) as pid:
        rows = maps(pid)
    # The name is gone; code is what is as large as in the plain file, and what is locked lies behind it.
    (place,) = [
        index
        for index, row in enumerate(rows)
        if row[2] == "r-xp" and row[1] - row[0] == -(-code.mem_size // PAGE) * PAGE
    ]
    base = rows[place][0] - code.vaddr // PAGE * PAGE
    start = base + locked.vaddr // PAGE * PAGE
    (found,) = [row for row in rows if row[0] == start]
    assert (found[1], found[2]) == (base + locked.vaddr_end, "r--p")


RECIPE = """
name = "careless"
kind = "program"
summary = "makes the mistakes that hardening is against"
homepage = "https://example.invalid/"
update = { frozen = "it is a fixture" }
local = "nothing"
[[releases]]
version = "1"
date = 2026-01-01
licence = "Apache-2.0"
[variants.it]
summary = "it"
needs = ["musl"]
[variants.it.expect]
max_size = 100_000
"""
WITHOUT = (
    Hardening.RELRO,
    Hardening.STACK_PROTECTOR,
    Hardening.ZERO_INIT,
)
TARGETS = (Target.AMD64, Target.ARM64, Target.ARM_V6, Target.RISCV64, Target.S390X, Target.LOONG64)
"""Two where a file shows where its guard stands, and one of each machine where it does not."""
RUNNERS = {target: find_emulator(target) for target in TARGETS}


def careless(directory: Path, *without: Hardening) -> Built:
    """The program for all targets that can be run here, with and without what it is about."""
    there = directory / "recipes" / "careless"
    shutil.copytree(ROOT / "tests/fixtures/careless", there)
    (directory / "nothing").mkdir()
    left = "".join(f'{measure} = "to see what it is good for"\n' for measure in without)
    text = RECIPE + (f"[unhardened]\n{left}" if left else "")
    (there / "recipe.toml").write_text(text, "utf-8")
    targets = [target for target in TARGETS if target.runs_natively or RUNNERS[target]]
    return Built.once(directory, "careless", targets=targets, recipes=str(directory / "recipes"))


@pytest.fixture(scope="module")
def hardened(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return careless(tmp_path_factory.mktemp("careful"))


@pytest.fixture(scope="module")
def unhardened(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return careless(tmp_path_factory.mktemp("careless"), *WITHOUT)


@pytest.fixture(params=TARGETS, ids=str)
def target(request: pytest.FixtureRequest) -> Target:
    wanted = Target(request.param)
    if not (wanted.runs_natively or RUNNERS[wanted]):
        pytest.skip(f"{wanted} does not run here (apt-get install -y qemu-user-static)")
    return wanted


def answer(built: Built, target: Target, *words: str) -> tuple[int, str]:
    """Its code, or the negative number of the signal that ended it; and what it printed."""
    emulator = None if target.runs_natively else RUNNERS[target]
    runner = emulator.command(emulator.path) if emulator else ()
    words = (*runner, str(built.file("careless:it", target=target)), *words)
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout


SURVIVED, SEEN = (0, "survived 1\n"), (99, "overflow seen\n")
EXCESS = 24
"""Bytes behind the end of a buffer: on every machine the guard is within them."""


def overflows(built: Built, target: Target) -> list[tuple[int, str]]:
    """What comes of writing 0, 1, 2 … bytes too many."""
    return [answer(built, target, "overflow", *["x"] * excess) for excess in range(EXCESS)]


def test_an_overflow_is_seen_before_it_changes_where_a_function_returns_to(
    hardened: Built, unhardened: Built, target: Target
) -> None:
    outcomes = overflows(hardened, target)
    harmless = outcomes.index(SEEN)
    assert outcomes == [SURVIVED] * harmless + [SEEN] * (EXCESS - harmless)
    assert harmless > 0
    without = overflows(unhardened, target)
    assert without[0] == SURVIVED
    assert SEEN not in without


def test_code_shows_that_it_is_protected_where_the_guard_has_a_place_of_its_own(
    hardened: Built, unhardened: Built, target: Target
) -> None:
    seen = [
        read_facts(built.file("careless:it", target=target)).guard_reads
        for built in (unhardened, hardened)
    ]
    if target in {Target.AMD64, Target.S390X}:
        without, protected = seen
        assert without is not None
        assert protected is not None
        assert protected >= without + 2  # as a function begins, and as it ends
    else:
        assert seen == [None, None]


def test_a_pointer_that_was_filled_in_at_the_start_cannot_be_changed(
    hardened: Built, unhardened: Built, target: Target
) -> None:
    assert answer(unhardened, target, "overwrite") == (0, "survived 2\n")
    code, printed = answer(hardened, target, "overwrite")
    assert (code, printed) == (-signal.SIGSEGV, "")


def test_what_was_left_on_the_stack_is_not_found(
    hardened: Built, unhardened: Built, target: Target
) -> None:
    assert answer(unhardened, target, "leftover") == (0, "65 and then 65\n")
    assert answer(hardened, target, "leftover") == (0, "65 and then 0\n")


@pytest.mark.parametrize("secret", ["where", "guard"])
def test_every_run_has_other_addresses_and_another_guard(hardened: Built, secret: str) -> None:
    answers = {answer(hardened, Target.native(), secret) for _ in range(8)}
    assert {code for code, _ in answers} == {0}
    assert len({int(printed, 16) for _, printed in answers} - {0}) > 4
