"""Facts are read from program headers, stay true without section headers, and know build paths."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.make_elf import DIRECTORY, GOOD
from verify.build_paths import MAX_FOUND
from verify.elf_file import MAX_FILE_SIZE
from verify.facts import ElfFacts, MalformedElfError, NotElfError, Packing, read_facts

WINDOW = 1024 * 1024


def facts_of(name: str) -> ElfFacts:
    return read_facts(DIRECTORY / name)


def paths_in(directory: Path, text: bytes, *build_paths: str) -> tuple[str, ...]:
    file = directory / "program"
    file.write_bytes(replace(GOOD, strings=b"\0" + text + b"\0").build())
    return read_facts(file, build_paths=build_paths).build_paths


def test_facts_name_the_file_and_its_header() -> None:
    path = DIRECTORY / "good-s390x"
    facts = read_facts(path)
    content = path.read_bytes()
    assert (facts.path, facts.size) == (path, len(content))
    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert (facts.machine, facts.bits, facts.little_endian) == ("EM_S390", 64, False)
    assert (facts.elf_type, facts.os_abi) == ("ET_EXEC", "ELFOSABI_SYSV")
    assert [segment.type for segment in facts.segments] == ["PT_LOAD", "PT_GNU_STACK"]
    assert facts.appended == 0


def test_a_dynamic_file_is_seen_as_such_without_section_headers() -> None:
    full, wiped = facts_of("dynamic"), facts_of("dynamic-no-sections")
    assert full.interpreter == wiped.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert full.needed == wiped.needed == ("libc.so.6",)
    assert not full.is_static_pie
    assert not wiped.is_static_pie


@pytest.mark.parametrize(
    ("name", "static_pie"),
    [
        ("good-amd64-static-pie", True),
        ("good-amd64", False),
        ("dynamic", False),
        ("needed-no-interpreter", False),
        ("shared-library", False),
    ],
)
def test_static_pie_is_neither_fixed_nor_dynamic_nor_a_library(name: str, static_pie: bool) -> None:
    assert facts_of(name).is_static_pie is static_pie


def test_a_stack_that_nobody_spoke_of_is_unknown() -> None:
    assert facts_of("good-amd64").stack_executable is False
    assert facts_of("stack-executable").stack_executable is True
    assert facts_of("stack-missing").stack_executable is None


def test_search_paths_are_read() -> None:
    assert facts_of("rpath").rpath == "/opt/lib"
    assert facts_of("runpath").runpath == "$ORIGIN"
    assert facts_of("good-amd64-static-pie").rpath is None


def test_a_needed_library_counts_even_when_its_name_cannot_be_read(tmp_path: Path) -> None:
    content = (DIRECTORY / "dynamic").read_bytes()
    file = tmp_path / "program"
    # DT_STRTAB, the third entry, becomes an unknown tag.
    at = read_facts(DIRECTORY / "dynamic").segments[2].offset + 2 * 16
    file.write_bytes(content[:at] + b"\x77" + content[at + 1 :])
    assert read_facts(file).needed == ("(unreadable name 0x1)",)


def test_section_headers_that_cannot_be_read_leave_facts_unknown() -> None:
    facts = facts_of("truncated-sections")
    assert facts.section_problem == "the section header table lies outside the file"
    assert facts.symbol_table is None
    assert facts.debug_sections is None
    assert facts.appended is None


def test_packing_is_seen_by_both_of_its_marks() -> None:
    assert facts_of("packed").packing is Packing.UPX
    assert facts_of("packed-then-stripped").packing is Packing.DAMAGED
    assert facts_of("packed-then-appended").packing is Packing.DAMAGED
    assert facts_of("good-amd64").packing is Packing.NONE


def test_a_program_that_merely_mentions_upx_is_not_packed(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(replace(GOOD, strings=b"\0UPX!\0$Info: UPX!\0").build())
    assert read_facts(file).packing is Packing.NONE


def test_every_damaged_byte_of_the_pack_header_is_seen(tmp_path: Path) -> None:
    content = (DIRECTORY / "packed").read_bytes()
    file = tmp_path / "program"
    for back in range(1, 33):
        damaged = bytearray(content)
        damaged[-back] ^= 0x55
        file.write_bytes(damaged)
        assert read_facts(file).packing is Packing.DAMAGED, back


def test_appended_bytes_are_counted() -> None:
    assert facts_of("appended").appended == len(b"not described by any header")
    assert facts_of("appended-elf").appended == facts_of("good-amd64").size


@pytest.mark.parametrize(
    "text",
    [
        "/home/ann/curl/lib/url.c",
        "/home/ann/.cargo/registry/src/x/lib.rs",
        "/Users/ann/out",
        "/root/curl",
        "/tmp/cc1/x.o",
        "/tmp/build-1/curl/lib",
        "/var/tmp/stage/usr/lib",
        "/build/curl/lib",
        "/builds/group/project",
        "/src/curl/lib",
        "/opt/toolchain/lib/crt1.o",
        "/data/ci/job/url.c",
    ],
)
def test_paths_of_the_building_machine_are_found(tmp_path: Path, text: str) -> None:
    assert paths_in(tmp_path, text.encode()) == (text,)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("-I/home/ann/include", "/home/ann/include"),
        ("--prefix=/build/out/usr", "/build/out/usr"),
        ("'/root/out'", "/root/out"),
        ("/usr/bin:/home/ann/bin", "/home/ann/bin"),
        ("at /home/ann/x/y.c:12", "/home/ann/x/y.c"),
    ],
)
def test_paths_inside_longer_strings_are_found(tmp_path: Path, text: str, path: str) -> None:
    assert paths_in(tmp_path, text.encode()) == (path,)


@pytest.mark.parametrize(
    "text",
    [
        "/tmp",
        "/tmp/.X11-unix/X0",
        "/tmp/my.sock",
        "/tmp/myimport.zip/mydirectory",
        "/tmp/%s/%d",
        "/var/tmp",
        "/home/%s/.netrc",
        "/home/",
        "/root/.netrc",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/resolv.conf",
        "/usr/include/stdio.h",
        "/usr/share/zoneinfo/Europe/Berlin",
        "/usr/local/lib/python3.13/os.py",
        "/rustc/0123abcd/library/std/src/io.rs",
        "/proc/self/exe",
        "/dev/null",
        "/src/app.js",
        "https://example.org/src/curl/lib/url.c",
        "https://example.org/home/ann/x",
        "lib/url.c",
        "../src/lib/url.c",
        "./build/curl/lib",
    ],
)
def test_harmless_paths_are_left_alone(tmp_path: Path, text: str) -> None:
    assert paths_in(tmp_path, text.encode()) == ()


def test_directories_named_by_a_recipe_are_found_as_whole_directories(tmp_path: Path) -> None:
    text = b"/fs/curl/x\0/fs/curlew/x\0/fs/curl\0/other/fs/curl/x"
    assert paths_in(tmp_path, text, "/fs/curl/") == ("/fs/curl/x",)
    assert paths_in(tmp_path, text) == ()


@pytest.mark.parametrize("before_the_edge", [0, 1, 2, 5, 14, 15, 16, 4000])
def test_a_path_across_the_edge_of_a_read_is_found_whole(
    tmp_path: Path, before_the_edge: int
) -> None:
    strings_at = GOOD.build().index(GOOD.machine.exit) + 16
    padding = bytes(WINDOW - strings_at - 1 - before_the_edge)
    assert paths_in(tmp_path, padding + b"/home/ann/out/x") == ("/home/ann/out/x",)


def test_paths_are_listed_once_and_not_without_end(tmp_path: Path) -> None:
    assert paths_in(tmp_path, b"/home/ann/x\0" * 50) == ("/home/ann/x",)
    many = b"".join(b"/home/ann/%d\0" % number for number in range(500))
    assert len(paths_in(tmp_path, many)) == MAX_FOUND


def test_bytes_that_are_not_loaded_are_not_searched(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes((DIRECTORY / "good-amd64").read_bytes() + b"\0/home/ann/x\0")
    assert read_facts(file).build_paths == ()


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as stream:
        stream.write(GOOD.build())
        stream.truncate(MAX_FILE_SIZE + 1)
    with pytest.raises(NotElfError, match="is more than"):
        read_facts(file)


def test_errors_say_what_and_why() -> None:
    with pytest.raises(MalformedElfError, match="claims 65535 program headers") as malformed:
        facts_of("header-count-lies")
    assert malformed.value.why
    with pytest.raises(NotElfError, match="not an ELF file") as not_elf:
        facts_of("script")
    assert not_elf.value.why == "it is a script"
