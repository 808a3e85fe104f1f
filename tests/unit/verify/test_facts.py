"""Facts are read from program headers, stay true without section headers, and know build paths."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.make_elf import (
    AMD64,
    ARM64,
    DIRECTORY,
    GOOD,
    I386,
    PIE,
    S390X,
    Load,
    Machine,
    R,
    X,
)
from verify.build_paths import MAX_FOUND
from verify.elf_file import MAX_FILE_SIZE, MalformedElfError, NotElfError
from verify.facts import ElfFacts, Packing, read_facts
from verify.sections import MAX_SECTIONS

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


@pytest.mark.parametrize(
    ("entry", "now"),
    [
        ((24, 0), True),  # DT_BIND_NOW
        ((30, 8), True),  # DT_FLAGS: DF_BIND_NOW
        ((30, 4), False),  # DF_TEXTREL
        ((0x6FFFFFFB, 0x08000001), True),  # DT_FLAGS_1: DF_1_NOW and DF_1_PIE
        ((0x6FFFFFFB, 0x08000000), False),
    ],
)
def test_immediate_binding_is_any_of_its_three_marks(
    tmp_path: Path, entry: tuple[int, int], now: bool
) -> None:
    (tmp_path / "program").write_bytes(replace(PIE, dynamic=(entry,)).build())
    assert read_facts(tmp_path / "program").bind_now is now


PPC64 = replace(ARM64, number=21)
GUARDED: dict[str, tuple[Machine, bytes, bytes]] = {
    # One instruction that reads the guard, and one that differs from it by its place only.
    "mov rax": (AMD64, b"\x64\x48\x8b\x04\x25\x28\0\0\0", b"\x64\x48\x8b\x04\x25\x30\0\0\0"),
    "cmp r15": (AMD64, b"\x64\x4c\x3b\x3c\x25\x28\0\0\0", b"\x65\x4c\x3b\x3c\x25\x28\0\0\0"),
    "mov eax": (I386, b"\x65\xa1\x14\0\0\0", b"\x65\xa1\x10\0\0\0"),
    "cmp ecx": (I386, b"\x65\x3b\x0d\x14\0\0\0", b"\x64\x3b\x0d\x14\0\0\0"),
    "ld 3": (PPC64, bytes.fromhex("f08f6de8"), bytes.fromhex("f08f6cf8")),
    "ld 31": (PPC64, bytes.fromhex("f08fedeb"), bytes.fromhex("f48fedeb")),
    "lg %r2,40(%r1)": (
        S390X,
        bytes.fromhex("b24f0011 e32010280004"),
        bytes.fromhex("b24f0011 e32010200004"),
    ),
    "cg %r3,40(%r4)": (
        S390X,
        bytes.fromhex("b24f0041 e33040280020"),
        bytes.fromhex("b24f0041 e33010280020"),
    ),
}


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("name", GUARDED)
def test_reads_of_the_stack_guard_are_counted(tmp_path: Path, name: str, count: int) -> None:
    machine, read, other = GUARDED[name]
    code = (b"\0" * 8 + read + other) * count + other
    for flags, expected in ((R | X, count), (R, 0)):  # code is what can be executed
        program = replace(GOOD, machine=machine, strings=code, text_flags=flags)
        (tmp_path / "program").write_bytes(program.build())
        assert read_facts(tmp_path / "program").guard_reads == expected


def test_a_stack_guard_is_found_once_wherever_the_window_ends(tmp_path: Path) -> None:
    read = GUARDED["mov rax"][1]
    for shift in range(-12, 4):
        start = WINDOW - len(replace(GOOD, sections=False).build()) + shift
        program = replace(GOOD, sections=False, strings=b"\0" * start + read)
        overlapping = Load(offset=0, vaddr=0x900000, file_size=WINDOW, mem_size=WINDOW, flags=R | X)
        for loads in ((), (overlapping,)):
            (tmp_path / "program").write_bytes(replace(program, loads=loads).build())
            assert read_facts(tmp_path / "program").guard_reads == 1


def test_whether_there_are_stack_guards_is_unknown_where_they_are_variables() -> None:
    assert facts_of("good-arm64").guard_reads is None
    assert facts_of("good-amd64").guard_reads == 0


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


def with_debug_name(directory: Path, name: bytes) -> ElfFacts:
    """Return the facts of a file whose section ``.debug_info`` has another name, at the end of the file."""
    content = bytearray(replace(GOOD, debug=True).build())
    names_at = content.index(b"\0.text\0")
    table = int.from_bytes(content[40:48], "little")
    debug, names = table + 2 * 64, table + 3 * 64
    content[debug : debug + 4] = (len(content) - names_at).to_bytes(4, "little")
    content[names + 32 : names + 40] = (len(content) - names_at + len(name)).to_bytes(8, "little")
    (directory / "program").write_bytes(bytes(content) + name)
    return read_facts(directory / "program")


@pytest.mark.parametrize("size", [6, 255, 256, 257, 5000])
def test_a_section_name_is_read_as_far_as_256_bytes(tmp_path: Path, size: int) -> None:
    name = b".debug".ljust(size, b"x")
    facts = with_debug_name(tmp_path, name + b"\0")
    assert facts.debug_sections == (name[:256].decode(),)
    assert facts.appended == 0


def with_sections(directory: Path, count: int, *, names_index: int) -> ElfFacts:
    """Return the facts of a file with so many section headers, all of them empty."""
    content = bytearray(replace(GOOD, sections=False).build())
    content[40:48] = len(content).to_bytes(8, "little")
    content[60:64] = count.to_bytes(2, "little") + names_index.to_bytes(2, "little")
    (directory / "program").write_bytes(bytes(content) + bytes(64) * count)
    return read_facts(directory / "program")


def test_as_many_section_headers_as_a_program_can_have_are_read_and_no_more(tmp_path: Path) -> None:
    assert with_sections(tmp_path, MAX_SECTIONS, names_index=0).section_problem is None
    refused = with_sections(tmp_path, MAX_SECTIONS + 1, names_index=0)
    assert refused.section_problem == f"claims {MAX_SECTIONS + 1} section headers"


def test_the_names_must_be_in_a_section_that_is_there(tmp_path: Path) -> None:
    assert with_sections(tmp_path, 3, names_index=2).section_problem is None
    refused = with_sections(tmp_path, 3, names_index=3)
    assert refused.section_problem == "the section names cannot be found"


def test_what_follows_a_section_s_name_is_no_part_of_it(tmp_path: Path) -> None:
    assert with_debug_name(tmp_path, b".debug_a\0tail\0").debug_sections == (".debug_a",)


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


def at_edge(text: bytes, *, before: int = 0, path_at: int = 0) -> bytes:
    """Return strings in which byte ``path_at`` of ``text`` lies so many bytes before the edge of a read."""
    strings_at = GOOD.build().index(GOOD.machine.exit) + 16
    return bytes(WINDOW - strings_at - 1 - before - path_at) + text


@pytest.mark.parametrize("before_the_edge", [0, 1, 2, 5, 14, 15, 16, 4000])
def test_a_path_across_the_edge_of_a_read_is_found_whole(
    tmp_path: Path, before_the_edge: int
) -> None:
    text = at_edge(b"/home/ann/out/x", before=before_the_edge)
    assert paths_in(tmp_path, text) == ("/home/ann/out/x",)


@pytest.mark.parametrize("before_the_edge", [0, 1])
def test_the_longest_path_across_the_edge_of_a_read_is_found_whole_and_once(
    tmp_path: Path, before_the_edge: int
) -> None:
    # From the last byte of a read to as far as it looks ahead; from the edge on, no read may see a shorter one.
    size = before_the_edge + 4096 + (50 if before_the_edge == 0 else 0)
    path = (b"/home" + b"/long".ljust(200, b"g") * 30)[: size - 1] + b"x"
    assert paths_in(tmp_path, at_edge(path, before=before_the_edge)) == (path.decode(),)


@pytest.mark.parametrize("before_the_edge", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"-I/home/ann/include", ("/home/ann/include",)),  # told by two bytes before it
        (b"./build/curl/lib", ()),  # and by one
    ],
)
def test_what_stands_before_a_path_is_seen_across_the_edge_of_a_read(
    tmp_path: Path, text: bytes, found: tuple[str, ...], before_the_edge: int
) -> None:
    path_at = text.index(b"/")
    strings = at_edge(text, before=before_the_edge, path_at=path_at)
    assert paths_in(tmp_path, strings) == found


def loaded(directory: Path, text: bytes, *ranges: tuple[int, int]) -> tuple[str, ...]:
    """Find paths in ``text`` at the end of a file, where these ranges of it are segments."""
    none = Load(offset=0, vaddr=0, file_size=0, mem_size=0)
    program = replace(GOOD, sections=False, loads=(none,) * len(ranges))
    end = len(program.build())
    loads = tuple(
        Load(offset=end + at, vaddr=0x500000 + end + at, file_size=stop - at, mem_size=stop - at)
        for at, stop in ranges
    )
    (directory / "program").write_bytes(replace(program, loads=loads).build() + text)
    return read_facts(directory / "program").build_paths


def test_a_path_across_two_segments_that_touch_is_found_whole(tmp_path: Path) -> None:
    text = b"\0/home/ann/out/x\0"
    for at in range(1, len(text)):
        assert loaded(tmp_path, text, (0, at), (at, len(text))) == ("/home/ann/out/x",), at


def test_a_segment_inside_another_hides_nothing_of_it(tmp_path: Path) -> None:
    text = b"\0some text\0/home/ann/out/x\0"
    assert loaded(tmp_path, text, (0, len(text)), (2, 5)) == ("/home/ann/out/x",)


def test_bytes_around_a_segment_are_no_part_of_a_path(tmp_path: Path) -> None:
    text = b"lib/home/ann/x-and-more\0"
    start, stop = text.index(b"/"), text.index(b"-and")
    assert loaded(tmp_path, text, (start, stop)) == ("/home/ann/x",)


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
