"""What a file is that is no ELF file, told by its first bytes and never by its name."""

import struct
from dataclasses import dataclass
from typing import Final

LOOK: Final = 1024 * 1024
"""Bytes of the file that are enough."""
_ELF: Final = b"\x7fELF"
_TAR_CHECKSUM: Final = slice(148, 156)
_TAR_BLOCK: Final = 512
_FIRST_JAVA: Final = 45
"""Java's first version of a class file, which stands where a universal Mach-O has the number of its programs."""
_PE_AT: Final = 0x3C


@dataclass(frozen=True)
class Kind:
    """Bytes at an offset, and what a file is that has them."""

    magic: bytes
    what: str
    offset: int = 0

    def fits(self, start: bytes) -> bool:
        return start.startswith(self.magic, self.offset)


KINDS: Final = (
    Kind(b"#!", "a script"),
    Kind(b"!<arch>\ndebian-binary", "a Debian package"),
    Kind(b"!<arch>\n", "a static library: an archive (.a) of object files to link with"),
    Kind(b"!<thin>\n", "a thin static library: it only names object files"),
    Kind(b"ustar", "a tar archive", 257),
    Kind(b"\x1f\x8b", "compressed by gzip"),
    Kind(b"BZh", "compressed by bzip2"),
    Kind(b"\xfd7zXZ\0", "compressed by xz"),
    Kind(b"\x5d\0\0", "compressed by lzma"),
    Kind(b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    Kind(b"\x04\x22\x4d\x18", "compressed by lz4"),
    Kind(b"\x1f\x9d", "compressed by compress"),
    Kind(b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    Kind(b"PK\3\4", "a zip archive, or what is made of one: a wheel, a JAR, an APK"),
    Kind(b"PK\5\6", "an empty zip archive"),
    Kind(b"\xed\xab\xee\xdb", "an RPM package"),
    Kind(b"07070", "a cpio archive"),
    Kind(b"\xce\xfa\xed\xfe", "a program or library for macOS (Mach-O, 32 bits)"),
    Kind(b"\xcf\xfa\xed\xfe", "a program or library for macOS (Mach-O, 64 bits)"),
    Kind(b"\xfe\xed\xfa\xce", "a program or library for macOS (Mach-O, 32 bits, big-endian)"),
    Kind(b"\xfe\xed\xfa\xcf", "a program or library for macOS (Mach-O, 64 bits, big-endian)"),
    Kind(b"\0asm", "a WebAssembly module"),
    Kind(b"BC\xc0\xde", "LLVM's bitcode: compiled for link-time optimisation, and not linked yet"),
    Kind(b"\xde\xc0\x17\x0b", "LLVM's bitcode: compiled for link-time optimisation"),
    Kind(b"dex\n", "a program for Android (DEX)"),
    Kind(b"/* GNU ld script", "a script of the linker: text that names the library"),
    Kind(b"%PDF-", "a PDF document"),
    Kind(b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
    Kind(b"\xff\xd8\xff", "a picture (JPEG)"),
    Kind(b"SQLite format 3\0", "an SQLite database"),
    Kind(b"hsqs", "a SquashFS image"),
    Kind(b"\r\n", "compiled Python (.pyc)", 2),
)
"""The first that fits."""


def name_kind(start: bytes) -> str:
    """Return why a file is no ELF file; ``start`` are its first LOOK bytes, or all there are."""
    if not start:
        return "the file is empty"
    if kind := next((kind for kind in KINDS if kind.fits(start)), None):
        return f"it is {kind.what}"
    if start.startswith(b"\xca\xfe\xba\xbe") and len(start) >= 8:
        count = int.from_bytes(start[4:8], "big")
        universal = "a program or library for macOS (universal Mach-O)"
        return f"it is {universal if count < _FIRST_JAVA else 'a Java class'}"
    if start.startswith(b"MZ"):
        return f"it is a program or library for {'Windows (PE)' if _is_pe(start) else 'DOS'}"
    if _is_old_tar(start):
        return "it is a tar archive"
    if (found := start.find(_ELF)) > 0:
        return f"something was put in front: ELF begins at byte {found}"
    if not start.strip(b"\0"):
        return "it holds zeros only"
    if _is_text(start):
        return "it is text"
    return "it is data, or a program of another system"


def _is_pe(start: bytes) -> bool:
    where = int.from_bytes(start[_PE_AT : _PE_AT + 4], "little")
    return start.startswith(b"PE\0\0", where)


def _is_old_tar(start: bytes) -> bool:
    """Before POSIX there was no mark: the checksum of the first header tells."""
    header = start[:_TAR_BLOCK]
    try:
        said = int(header[_TAR_CHECKSUM].strip(b" \0"), 8)
    except ValueError:
        return False
    rest = bytearray(header)
    rest[_TAR_CHECKSUM] = b" " * 8
    return len(header) == _TAR_BLOCK and said in {
        sum(rest),
        sum(struct.unpack(f"{_TAR_BLOCK}b", rest)),
    }


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        # The last character may have been cut.
        if error.start < len(start) - 3 or len(start) < LOOK:
            return False
        text = start[: error.start].decode()
    return all(line.isprintable() for line in text.replace("\t", " ").splitlines())
