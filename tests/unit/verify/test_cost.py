"""No file below 2 MB takes more than two seconds of the processor or a hundred megabytes, whatever is in it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.hostile_elf import HOSTILE, LARGEST, PATHS, Elf, many, one_load, pairs, repeated
from tests.interpreters import ROOT
from verify.facts import Depth

CPU_SECONDS = 2.0
MEMORY = 100_000_000
"""Bytes, of the whole process."""


class Judge:
    """A process that judges files; see `tests.fixtures.judging`."""

    def __init__(self, process: "subprocess.Popen[str]", directory: Path) -> None:
        self._process = process
        self._directory = directory

    def costs(self, *contents: bytes) -> tuple[float, int, list[str]]:
        """Write files and have them judged."""
        paths = [self._directory / str(number) for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            assert len(content) <= LARGEST
            path.write_bytes(content)
        return self.costs_of(*paths)

    def costs_of(self, *paths: Path, depth: Depth = Depth.ALL) -> tuple[float, int, list[str]]:
        """Return seconds of the processor, bytes, and the rules that a file breaks."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([depth, *map(str, paths)]) + "\n")
        self._process.stdin.flush()
        seconds, memory, broken = json.loads(self._process.stdout.readline())
        return seconds, memory, broken

    def allows(self, *contents: bytes) -> None:
        seconds, memory, _ = self.costs(*contents)
        assert seconds < CPU_SECONDS
        assert memory < MEMORY


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    words = [sys.executable, "-m", "tests.fixtures.judging"]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        try:
            yield Judge(process, tmp_path_factory.mktemp("cost"))
        finally:
            process.stdin.close()
            process.wait(timeout=60)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_made_to_cost_much_costs_little(judge: Judge, name: str) -> None:
    judge.allows(HOSTILE[name]())


@pytest.mark.parametrize("name", pairs())
def test_two_files_made_to_differ_much_are_compared_for_little(judge: Judge, name: str) -> None:
    judge.allows(*pairs()[name])


def test_a_large_file_is_read_whole_in_little_memory(judge: Judge, tmp_path: Path) -> None:
    size = 600 * 1024 * 1024
    content = Elf(segments=lambda at, _: one_load(at, size), body=b"").build()
    with (tmp_path / "large").open("wb") as file:
        file.write(content)
        file.truncate(size - 16)
        file.seek(0, 2)
        file.write(b"/home/ann/x".ljust(16 + len(content), b"\0"))
    _, memory, broken = judge.costs_of(tmp_path / "large", depth=Depth.BYTES)
    assert "no-build-paths" in broken
    assert memory < MEMORY


pieces = st.lists(
    st.one_of(
        st.sampled_from([piece.encode() for piece in PATHS]),
        st.text("/a.c-IX\0", max_size=12).map(str.encode),
        st.binary(max_size=6),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(parts=pieces)
def test_no_text_costs_much(judge: Judge, parts: Sequence[bytes]) -> None:
    piece = b"".join(parts) or b"/"
    judge.allows(Elf(segments=one_load, body=repeated(piece)).build())


@settings(max_examples=15, deadline=None)
@given(
    kind=st.integers(0, 0xFFFFFFFF),
    flags=st.integers(0, 7),
    body=st.binary(min_size=1, max_size=64),
)
def test_no_kind_of_segment_costs_much(judge: Judge, kind: int, flags: int, body: bytes) -> None:
    judge.allows(Elf(segments=many(kind, flags=flags), body=repeated(body)).build())
