"""What protects a file, its rights, and what a reviewer asks: with files written byte by byte, and by the compiler."""

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.make_elf import (
    ARM64,
    DF_1_PIE,
    DIRECTORY,
    DT_FLAGS_1,
    DYNAMIC,
    GOOD,
    I386,
    PIE,
    Machine,
    Program,
)
from verify.about import About
from verify.facts import Depth, ElfFacts, read_facts
from verify.protection import Position, Protection, Relro
from verify.rights import Rights, capability_names
from verify.versions import SIGNS, Version

DT_BIND_NOW, DT_TEXTREL, DT_FLAGS, DF_TEXTREL = 24, 22, 30, 4
READ_GUARD = bytes.fromhex("64488b042528000000")  # mov rax, fs:40


def facts_of(tmp_path: Path, data: bytes, depth: Depth = Depth.ALL) -> ElfFacts:
    path = tmp_path / "file"
    path.write_bytes(data)
    return read_facts(path, depth=depth)


def protection_of(tmp_path: Path, program: Program) -> Protection:
    found = facts_of(tmp_path, program.build()).protection
    assert found
    return found


def about_of(tmp_path: Path, data: bytes) -> About:
    found = facts_of(tmp_path, data).about
    assert found
    return found


@pytest.mark.parametrize(
    ("program", "position"),
    [
        (GOOD, Position.FIXED),
        (PIE, Position.STATIC_PIE),
        (DYNAMIC, Position.PIE),
        (replace(DYNAMIC, interpreter=""), Position.LIBRARY),
        (replace(GOOD, type=1), Position.NONE),
    ],
)
def test_where_it_can_be_loaded(tmp_path: Path, program: Program, position: Position) -> None:
    assert protection_of(tmp_path, program).position is position


@pytest.mark.parametrize("now", [(DT_BIND_NOW, 0), (DT_FLAGS, 8), (DT_FLAGS_1, DF_1_PIE | 1)])
def test_relro_is_full_only_when_all_is_bound_at_the_start(
    tmp_path: Path, now: tuple[int, int]
) -> None:
    bound = replace(PIE, dynamic=((DT_FLAGS_1, DF_1_PIE), now))
    assert protection_of(tmp_path, bound).relro is Relro.FULL
    assert protection_of(tmp_path, PIE).relro is Relro.PARTIAL
    assert protection_of(tmp_path, replace(bound, relro=False)).relro is Relro.NONE


@pytest.mark.parametrize("entry", [(DT_TEXTREL, 0), (DT_FLAGS, DF_TEXTREL)])
def test_relocations_in_code_are_seen(tmp_path: Path, entry: tuple[int, int]) -> None:
    assert not protection_of(tmp_path, PIE).text_relocations
    with_them = replace(PIE, dynamic=(*PIE.dynamic, entry))
    assert protection_of(tmp_path, with_them).text_relocations


def test_a_stack_protector_is_seen_in_code(tmp_path: Path) -> None:
    assert protection_of(tmp_path, GOOD).stack_protector is False
    assert protection_of(tmp_path, replace(GOOD, strings=READ_GUARD)).stack_protector is True
    assert protection_of(tmp_path, replace(GOOD, machine=ARM64)).stack_protector is None


@pytest.mark.parametrize("machine", [GOOD.machine, I386, ARM64], ids=["amd64", "386", "arm64"])
@pytest.mark.parametrize("name", ["__stack_chk_fail", "__stack_chk_guard"])
def test_a_stack_protector_is_seen_among_the_names_of_symbols(
    tmp_path: Path, machine: Machine, name: str
) -> None:
    needs = replace(DYNAMIC, machine=machine, dynamic=((1, "libc.so.6"), (14, name)))
    assert protection_of(tmp_path, needs).stack_protector is True
    other = replace(needs, dynamic=((1, "libc.so.6"), (14, f"x{name}")))
    assert protection_of(tmp_path, other).stack_protector is not True


def test_fortified_calls_are_names_and_a_stripped_static_file_has_none(tmp_path: Path) -> None:
    def fortify(*names: str) -> bool | None:
        entries = tuple((14, name) for name in names)
        program = replace(DYNAMIC, dynamic=((1, "libc.so.6"), *entries))
        return protection_of(tmp_path, program).fortify

    assert fortify("__memcpy_chk") is True
    assert fortify("memcpy") is False
    assert fortify("__stack_chk_fail") is False
    assert protection_of(tmp_path, PIE).fortify is None


def with_notes(data: bytes, program: Program, align: int = 4) -> bytes:
    """A program whose PT_GNU_STACK is a PT_NOTE instead, over notes at its end."""
    made = bytearray(program.build())
    order, wide = program.machine.order, program.machine.bits == 64
    size, start = (56, 64) if wide else (32, 52)
    count = int.from_bytes(
        made[56:58] if wide else made[44:46], "little" if order == "<" else "big"
    )
    kind = struct.pack(f"{order}I", 0x6474E551)
    at = next(start + i * size for i in range(count) if made[start + i * size :][:4] == kind)
    numbers = (len(made), 0, 0, len(data), len(data))
    header = (
        struct.pack(f"{order}II6Q", 4, 4, *numbers, align)
        if wide
        else struct.pack(f"{order}8I", 4, *numbers, 4, align)
    )
    made[at : at + size] = header
    return bytes(made) + data


def note(kind: int, data: bytes, order: str = "<", name: bytes = b"GNU\0") -> bytes:
    return (
        struct.pack(f"{order}III", len(name), len(data), kind) + name + data + bytes(-len(data) % 4)
    )


@pytest.mark.parametrize(
    ("kind", "bits", "marks"),
    [
        (0xC0000002, 3, ("IBT", "SHSTK")),
        (0xC0000002, 2, ("SHSTK",)),
        (0xC0000000, 3, ("BTI", "PAC")),
        (0xC0000000, 0, ()),
        (0xC0000099, 3, ()),
    ],
)
def test_code_is_marked_by_properties(
    tmp_path: Path, kind: int, bits: int, marks: tuple[str, ...]
) -> None:
    other = struct.pack("<IIQ", 0xC0008002, 4, 1)
    data = other + struct.pack("<IIII", kind, 4, bits, 0)
    facts = facts_of(tmp_path, with_notes(note(5, data), GOOD, align=8))
    assert facts.protection
    assert facts.protection.code_marks == marks


@pytest.mark.parametrize("program", [GOOD, replace(GOOD, machine=I386, base=0x8048000)])
def test_the_build_id_is_a_note_among_others(tmp_path: Path, program: Program) -> None:
    notes = note(1, bytes(16)) + note(3, b"\xab\xcd" * 10) + note(3, b"other", name=b"Go\0\0")
    assert about_of(tmp_path, with_notes(notes, program)).build_id == "abcd" * 10
    assert about_of(tmp_path, with_notes(notes[:40], program)).build_id is None


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 13])
def test_notes_that_lie_about_their_sizes_end_the_list(tmp_path: Path, size: int) -> None:
    for lie in (struct.pack("<III", 4, size, 3), struct.pack("<III", size, 4, 3)):
        assert about_of(tmp_path, with_notes(lie + b"GNU\0", GOOD)).build_id is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (b"libcurl/8.21.0", Version(name="curl", version="8.21.0")),
        (b"\0mbedtls_x\0\x003.6.7\0", Version(name="mbedTLS", version="3.6.7")),
        (b"OpenSSL 3.0.22 25 Aug 2026", Version(name="OpenSSL", version="3.0.22")),
        (b"musl libc (x86_64)\nVersion 1.2.5\n", Version(name="musl", version="1.2.5")),
        (
            b"\xff Go buildinf:\x08\x02" + bytes(16) + b"\x08go1.24.4",
            Version(name="Go", version="1.24.4"),
        ),
        (b"\0PYTHONHOME\0\x003.13.15\0", Version(name="CPython", version="3.13.15")),
        (b"MicroPython v1.26.1 on", Version(name="MicroPython", version="1.26.1")),
        (b"micropython\0", Version(name="MicroPython", version="")),
        (b" inflate 1.3.1 Copyright 1995", Version(name="zlib", version="1.3.1")),
        (b"nghttp2/1.64.0", Version(name="nghttp2", version="1.64.0")),
        (b"OpenSSL Default Provider\0\x003.5.7\0", Version(name="OpenSSL", version="3.5.7")),
        (b"\0SSH-2.0-libssh2_1.11.1\r\n\0", Version(name="libssh2", version="1.11.1")),
        (b"curl nghttp3/1.15.0 ", Version(name="nghttp3", version="1.15.0")),
        (b"\0nghttp3_x\0\x001.15.0\0", Version(name="nghttp3", version="1.15.0")),
        (b"ngtcp2/1.24.0 ", Version(name="ngtcp2", version="1.24.0")),
        (b"\0ngtcp2_x\0\x001.24.0\0", Version(name="ngtcp2", version="1.24.0")),
        (b"BusyBox v1.38.0 (", Version(name="BusyBox", version="1.38.0")),
    ],
)
def test_versions_are_found_in_the_data(tmp_path: Path, text: bytes, version: Version) -> None:
    for before in (b"", b"x" * 5000):
        data = GOOD.build() + before + text
        assert about_of(tmp_path, data).versions == (version,)
    assert about_of(tmp_path, GOOD.build()).versions == ()


def test_libraries_that_are_made_for_each_other_are_told_apart(tmp_path: Path) -> None:
    numbers = {"nghttp2": "1.70.0", "nghttp3": "1.15.0", "ngtcp2": "1.24.0"}
    words = b"".join(f"\0{name}_x\0".encode() for name in numbers)
    data = GOOD.build() + words + b"".join(f"\0{text}\0".encode() for text in numbers.values())
    assert {v.name: v.version for v in about_of(tmp_path, data).versions} == numbers


def test_every_sign_of_a_version_begins_with_its_word() -> None:
    for sign in SIGNS:
        assert sign.pattern.pattern.startswith(sign.word[:1]) or sign.word[:1] in b"\xff$%"


def test_entropy_tells_noise_from_zeros(tmp_path: Path) -> None:
    noise = bytes(range(256)) * 4096
    assert about_of(tmp_path, GOOD.build() + noise).entropy > 7.9
    assert about_of(tmp_path, GOOD.build() + bytes(len(noise))).entropy < 0.5


def test_sizes_are_told_by_segment(tmp_path: Path) -> None:
    (part,) = about_of(tmp_path, GOOD.build()).parts
    assert part.access == "r-x"
    assert 0 < part.file_size == part.mem_size < len(GOOD.build())


def test_headers_alone_tell_nothing_of_the_bytes() -> None:
    facts = read_facts(DIRECTORY / "good-amd64", depth=Depth.HEADERS)
    assert (facts.sha256, facts.protection, facts.about, facts.guard_reads) == (
        "",
        None,
        None,
        None,
    )


def test_rights_are_mode_bits_and_capabilities(tmp_path: Path) -> None:
    assert Rights.of(0o4755) == Rights(setuid=True)
    assert Rights.of(0o2755) == Rights(setgid=True)
    assert not Rights.of(0o2644)  # mandatory locks, once
    net_bind = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
    assert Rights.of(0o755, net_bind).capabilities == ("cap_net_bind_service",)
    bpf = struct.pack("<5I", 0x02000001, 0, 0, 1 << 7, 1 << 31)
    assert capability_names(bpf) == ("cap_bpf", "cap_63")
    assert capability_names(b"short") == ("unreadable",)
    path = tmp_path / "file"
    path.write_bytes(b"")
    path.chmod(0o6755)
    assert Rights.of_file(path) == Rights(setuid=True, setgid=True)
    assert not Rights.of_file(tmp_path / "missing")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here")
@pytest.mark.parametrize(
    ("flags", "relro", "guarded", "fortify"),
    [
        ("-fstack-protector-all -D_FORTIFY_SOURCE=2 -pie -Wl,-z,now", Relro.FULL, True, True),
        ("-fno-stack-protector -no-pie -Wl,-z,lazy,-z,relro", Relro.PARTIAL, False, False),
        ("-fno-stack-protector -no-pie -Wl,-z,norelro", Relro.NONE, False, False),
    ],
)
def test_what_the_compiler_is_told_is_what_is_found(
    tmp_path: Path, flags: str, relro: Relro, guarded: bool, fortify: bool
) -> None:
    source = tmp_path / "a.c"
    source.write_text(
        "#include <string.h>\n#include <stdio.h>\n"
        "int main(int c, char **v) { char b[64]; strcpy(b, v[0]); return puts(b); }\n"
    )
    out = tmp_path / "out"
    subprocess.run(["gcc", "-O2", *flags.split(), str(source), "-o", str(out)], check=True)
    facts = read_facts(out, depth=Depth.ALL)
    assert facts.protection
    assert facts.about
    assert facts.protection.relro is relro
    assert facts.protection.stack_protector is guarded
    assert facts.protection.fortify is fortify
    assert any("GCC" in text for text in facts.about.comment)
