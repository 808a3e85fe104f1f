"""However many dynamic segments there are, each byte is read once, and what was not read is said."""

from pathlib import Path

import pytest

from tests.fixtures.hostile_elf import Elf, Header, dynamic, many, one_load
from verify.dynamic import MAX_ENTRIES, MAX_NAMES
from verify.facts import ElfFacts, read_facts

TEXT = b"\0liba.so\0libb.so\0".ljust(64, b"\0")


def facts_of(directory: Path, table: bytes, segments: int = 1, step: int = 0) -> ElfFacts:
    """Facts of a file whose strings are followed by its dynamic table; each segment begins ``step`` bytes on."""
    count = 1 + segments
    at = 64 + 56 * count

    def headers(_at: int, _size: int) -> list[Header]:
        begin = at + len(TEXT)
        rest = (
            Header(2, 4, begin + step * n, len(table) - step * n, 0x400000 + begin)
            for n in range(segments)
        )
        return [*one_load(at, len(TEXT) + len(table)), *rest]

    address = dynamic([(5, 0x400000 + at)])  # DT_STRTAB
    file = directory / "program"
    file.write_bytes(Elf(segments=headers, body=TEXT + address + table[len(address) :]).build())
    return read_facts(file)


def test_names_are_found_by_any_of_many_segments_over_one_table(tmp_path: Path) -> None:
    table = dynamic([(0x6FFFFFF0, 0), (1, 1), (1, 9), (0, 0)])
    facts = facts_of(tmp_path, table, segments=1168)
    assert facts.needed == ("liba.so", "libb.so")
    assert facts.dynamic_problem == "there is more than one dynamic segment"


@pytest.mark.parametrize("count", [MAX_NAMES - 1, MAX_NAMES, MAX_NAMES + 1, 2000])
def test_as_many_libraries_as_there_are_count_and_not_all_are_named(
    tmp_path: Path, count: int
) -> None:
    facts = facts_of(tmp_path, dynamic([(5, 0), *[(1, 1)] * count, (0, 0)]))
    assert len(facts.needed) == count
    assert facts.needed.count("liba.so") == min(count, MAX_NAMES)
    assert facts.dynamic_problem is None


def test_what_is_read_of_all_tables_together_is_bounded_and_the_rest_is_a_problem(
    tmp_path: Path,
) -> None:
    table = dynamic([(5, 0), *[(1, 1)] * MAX_ENTRIES])
    facts = facts_of(tmp_path, table, segments=1000, step=16)
    assert len(facts.needed) <= MAX_ENTRIES
    assert facts.dynamic_problem
    assert "does not end; " in facts.dynamic_problem
    assert "nor do 997 more" in facts.dynamic_problem
    assert len(facts.dynamic_problem) < 300


def test_a_dynamic_segment_without_a_byte_does_not_end(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(Elf(segments=many(2, 1), body=b"").build())
    assert "does not end" in str(read_facts(file).dynamic_problem)
