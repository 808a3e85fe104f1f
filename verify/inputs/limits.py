"""The most that is taken out of archives and images, which others made."""

from dataclasses import dataclass

from core.errors import VerdictError


class InputError(VerdictError):
    """An archive or an image cannot be looked into, or not whole."""


@dataclass(frozen=True, kw_only=True)
class InputLimits:
    """Bytes and counts; each a multiple of what large images of today have."""

    unpacked: int = 32 << 30
    """Of all layers of one image together, or of one archive."""
    extracted: int = 16 << 30
    """Of ELF files on the disk at one time."""
    file: int = 512 << 20
    """Of one ELF file in an archive."""
    entries: int = 500_000
    """Of all layers of one image together."""
    header: int = 1 << 20
    """Of the texts that belong to one entry: long names, attributes."""
    name: int = 4096
    """Bytes of a name, as in PATH_MAX."""
    steps: int = 256
    """Names and links on the way to one file."""
    layers: int = 512
    images: int = 64
    """Platforms, or images of one archive."""
    depth: int = 4
    """Indexes inside indexes."""
    json: int = 4 << 20
    """Of one index, manifest or config."""


LIMITS = InputLimits()
