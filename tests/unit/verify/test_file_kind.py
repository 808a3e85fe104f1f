"""A file that is no ELF file is named for what it is, made by what makes such files where that is at hand."""

import bz2
import gzip
import io
import lzma
import py_compile
import shutil
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.make_elf import GOOD
from verify.file_kind import KINDS, LOOK, Kind, name_kind
from verify.rules import verify_file
from verify.verdict import Policy

ELF = GOOD.build()


def tar(form: int, content: bytes = ELF) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        entry = tarfile.TarInfo("bin/hello")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def old_tar() -> bytes:
    """As it was before POSIX: no mark, and its checksum after it."""
    block = bytearray(tar(tarfile.USTAR_FORMAT))
    block[257:512] = bytes(255)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, ELF)
    return out.getvalue()


def pe() -> bytes:
    return b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80) + bytes(0x40) + b"PE\0\0" + ELF


MADE = {
    "a static library": b"!<arch>\nhello.o/        0           0     0     644     8         `\n"
    + ELF,
    "a thin static library": b"!<thin>\n/               0           0     0     0       4         `\n",
    "a Debian package": b"!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n",
    "a tar archive": tar(tarfile.USTAR_FORMAT),
    "a tar archive (GNU)": tar(tarfile.GNU_FORMAT),
    "a tar archive (pax)": tar(tarfile.PAX_FORMAT),
    "a tar archive (old)": old_tar(),
    "compressed by gzip": gzip.compress(tar(tarfile.GNU_FORMAT)),
    "compressed by bzip2": bz2.compress(ELF),
    "compressed by xz": lzma.compress(ELF),
    "compressed by lzma": lzma.compress(ELF, format=lzma.FORMAT_ALONE),
    "a zip archive": zipped("hello"),
    "an empty zip archive": zipped(),
    "a program or library for Windows (PE)": pe(),
    "a program or library for DOS": b"MZ".ljust(64, b"\x01"),
    "a program or library for macOS (Mach-O, 64 bits)": struct.pack("<II", 0xFEEDFACF, 0x0100000C)
    + ELF,
    "a program or library for macOS (universal": struct.pack(">II", 0xCAFEBABE, 2) + ELF,
    "a Java class": struct.pack(">IHH", 0xCAFEBABE, 0, 65) + ELF,
    "a WebAssembly module": b"\0asm\1\0\0\0",
    "a script": b"#!/usr/bin/env python3\n" + ELF,
    "a script of the linker": b"/* GNU ld script\n   Use the shared library */\nGROUP ( /lib/libc.so.6 )\n",
    "text": "Zeilen, mit Umlauten: \u00e4\u00f6\u00fc\n\tund mehr\n".encode(),
}


@pytest.mark.parametrize("what", MADE)
def test_a_file_is_named_for_what_it_is(tmp_path: Path, what: str) -> None:
    name = what.partition(" (GNU)")[0].partition(" (pax)")[0].partition(" (old)")[0]
    assert name_kind(MADE[what]).startswith(f"it is {name}")
    file = tmp_path / "hello"  # nothing in the name tells
    file.write_bytes(MADE[what])
    (finding,) = verify_file(file, Policy()).findings
    assert finding.message.startswith(f"not an ELF file (it is {name}")


def test_a_library_of_this_machine_s_ar_and_its_members(tmp_path: Path) -> None:
    if not shutil.which("ar"):
        pytest.skip("ar is not installed")
    (tmp_path / "hello.o").write_bytes(ELF)
    subprocess.run(["ar", "rc", "libhello.a", "hello.o"], cwd=tmp_path, check=True)
    assert "a static library" in name_kind((tmp_path / "libhello.a").read_bytes())


def test_what_this_python_compiled_is_named(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text("x = 1\n")
    compiled = py_compile.compile(str(tmp_path / "it.py"), cfile=str(tmp_path / "it.pyc"))
    assert name_kind(Path(str(compiled)).read_bytes()) == "it is compiled Python (.pyc)"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (bytes(5000), "it holds zeros only"),
        (b"\x01junk\n" + ELF, "something was put in front: ELF begins at byte 6"),
        (bytes(5000) + ELF, "something was put in front: ELF begins at byte 5000"),
        (bytes(range(128, 256)) * 8, "it is data, or a program of another system"),
        ("a" * (LOOK - 1) + "\u00e4", "it is text"),
    ],
)
def test_what_has_no_mark_is_told_as_well_as_it_can_be(content: bytes | str, why: str) -> None:
    raw = content.encode()[:LOOK] if isinstance(content, str) else content
    assert name_kind(raw) == why


@given(content=st.binary(max_size=700), kind=st.sampled_from(KINDS))
def test_whatever_it_is_there_is_one_line_for_it(content: bytes, kind: Kind) -> None:
    marked = content[: kind.offset].ljust(kind.offset, b"-") + kind.magic + content
    assert name_kind(marked).startswith("it is ")
    for start in (content, marked, b"MZ" + content, b"\xca\xfe\xba\xbe" + content):
        assert name_kind(start).isprintable()
