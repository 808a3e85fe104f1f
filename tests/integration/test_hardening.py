"""What a program does for its own safety: seen by Debian's tools, by `verify`, and in its memory while it runs."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.target import Target
from tests.built import Built
from verify.facts import ElfFacts, read_facts

pytestmark = pytest.mark.builds

PRODUCTS = ("curl:mini", "curl:http", "curl:https", "probe:mini", "probe:full", "busybox")
NAMES = ("curl:mini", "curl:http", "curl:https", "probe:mini", "probe:full", "busybox:tools")
PAGE = 4096


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.once(tmp_path_factory.mktemp("hardened"), *PRODUCTS)


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


def test_hardening_check_is_green(programs: Built, name: str) -> None:
    said = tool("hardening-check", "devscripts", "--nocolor", programs.file(name))
    found = dict(re.findall(r"^ (.*?): (.*)$", said, re.MULTILINE))
    for title in ("Position Independent Executable", "Read-only relocations", "Immediate binding"):
        assert found[title] == "yes", said


def test_checksec_is_green(programs: Built, name: str) -> None:
    file = programs.file(name)
    said = json.loads(tool("checksec", "checksec", f"--file={file}", "--output=json"))
    found = said[str(file)]
    assert (found["relro"], found["nx"], found["pie"]) == ("full", "yes", "yes")
    assert (found["rpath"], found["runpath"], found["symbols"]) == ("no", "no", "no")


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
            ours = [row for row in maps(pid) if row[3] == str(file)]
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
