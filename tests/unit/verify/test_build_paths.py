"""Strings that lie side by side make no path of a build, and no path hides between them."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.make_elf import GOOD
from verify.build_paths import compile_build_paths
from verify.facts import read_facts

NEIGHBOURS = (
    "/dev/null",
    "/proc/self/fd/%d",
    "/etc/shadow",
    "/dev/pts/%d/x",
    "etc/resolv.conf",
    "abc/def.c",
    "X",
    "",
)
"""What the linker may have put behind a string of 16 bytes."""


def found(text: str, *directories: str) -> list[str]:
    pattern = compile_build_paths(directories)
    return [match.group().decode() for match in pattern.finditer(text.encode())]


@pytest.mark.parametrize("behind", NEIGHBOURS)
@pytest.mark.parametrize(
    "template",
    [
        "/tmp/tmpfile_XXX",
        "/tmp/tmpnam_XXXX",
        "/tmp/tmpnam_XXXXXX",
        "/var/tmp/a.XXXXXX",
        "/tmp/d-XXXXXX/sub",
    ],
)
def test_a_template_is_no_build_path_whatever_lies_behind_it(template: str, behind: str) -> None:
    assert found(f"\0{template}{behind}\0/usr/x") == []


@pytest.mark.parametrize("size", [8, 16])
def test_a_string_of_musl_that_is_cut_into_registers_is_no_build_path(
    tmp_path: Path, size: int
) -> None:
    # As a compiler for each word size leaves it: pieces of the strings, each beside pieces of others.
    strings = (
        b"/tmp/tmpfile_XXXXXX\0",
        b"/tmp/tmpnam_XXXXXX\0",
        b"/dev/shm/\0",
        b"/dev/ptmx\0",
        b"/proc/self/fd/\0",
    )
    pieces = [
        text[at : at + size]
        for text in strings
        for at in range(0, len(text), size)
        if at + size <= len(text)
    ]
    file = tmp_path / "program"
    for first in pieces:
        for second in set(pieces) - {first}:  # equal ones become one
            file.write_bytes(replace(GOOD, strings=b"\0" + first + second + first + b"\0").build())
            assert read_facts(file).build_paths == (), first + second


@pytest.mark.parametrize(
    "path", ["/home/ann/x", "/build/curl/lib", "/opt/ci/url.c", "/box/x", "/url.c"]
)
def test_a_path_behind_a_template_is_found(path: str) -> None:
    assert found(f"/tmp/tmpfile_XXX{path}", "/box") == [path]


def test_one_s_own_directory_may_look_like_a_template() -> None:
    assert found("/tmp/cacheXXX/a/b", "/tmp/cacheXXX") == ["/tmp/cacheXXX/a/b"]


@pytest.mark.parametrize(
    "text",
    [
        "/tmp/stage/dev/null",
        "/var/tmp/a/proc/self",
        "/run/rpcbind../../src/svc.c",
        "/include/cuda.h",
        "/tmp/perf-test-X/tmp/format-XXXXXXd",
    ],
)
def test_what_only_looks_like_a_path_of_a_build_is_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "/tmp/stage/devel/null",
        "/tmp/stage/usr/dev/null",
        "/build/curl/../lib/url.c",
        "/opt/x..y/url.c",
        "/opt/include/url.h",
        "/build/fooXXX/url.c",
        "/home/ann/XXX",
    ],
)
def test_what_is_a_path_of_a_build_is_found(text: str) -> None:
    assert found(text) == [text]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("-I/opt/a-I/opt/b/c.c", "/opt/b/c.c"),
        ("/opt/a-L/c.c", "/c.c"),
        ("/opt/a-L/b/c.c", "/b/c.c"),
        ("/opt/aXXX/c.c", "/c.c"),
        ("-B/c.c", "/c.c"),
        ("/opt/a.c+/-I/c.c", "/c.c"),
        ("/opt/a.c~/x-L/c.c", "/c.c"),
    ],
)
def test_a_source_is_found_behind_a_name_that_another_path_may_begin_at(
    text: str, path: str
) -> None:
    assert found(text) == [path]


names = st.text("abcXYI.+-@~", min_size=1, max_size=12).filter(lambda name: name.strip("."))


@given(
    directories=st.lists(names, min_size=1, max_size=8),
    name=names,
    end=st.sampled_from([".c", ".cpp", ".c++", ".rs", ".o"]),
    before=st.sampled_from(["", "\0", " ", "'", "=", "-I", ":"]),
    after=st.sampled_from(["", "\0", ":12", " ", "'", ")"]),
)
def test_every_source_file_is_found(
    directories: list[str], name: str, end: str, before: str, after: str
) -> None:
    if any(part.endswith("..") for part in directories):
        return  # it is taken for two strings side by side
    path = "/" + "/".join([*directories, name]) + end
    (shown,) = found(f"{before}{path}{after}")
    assert path.endswith(shown)
