"""UPX, linked with few files of libc++: what it throws must be caught, and what it packs must come back."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builders.key import PACK_SCRIPT
from core.process import run_program
from tests.built import Built
from tests.fixtures.make_elf import PIE
from tests.integration.seeded_cache import SeededCache

pytestmark = pytest.mark.builds

PACKED = "curl:mini"


@pytest.fixture(scope="module")
def upx(seeded_cache: SeededCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packer that the build made."""
    blob = seeded_cache.cache.blob(seeded_cache.outcome("upx").files["upx"])
    assert blob is not None
    path = tmp_path_factory.mktemp("packer") / "upx"
    shutil.copyfile(blob, path)
    path.chmod(0o755)
    return path


def flip(data: bytes) -> bytes:
    """Change every byte in the middle of what is compressed: one would do, and may look like a wrong checksum only."""
    start, end = len(data) // 3, len(data) // 2
    return data[:start] + bytes(byte ^ 255 for byte in data[start:end]) + data[end:]


REFUSED: dict[str, tuple[str, Callable[[bytes], bytes], str, int]] = {
    "text": ("-ofile", lambda _: b"x" * 5000, "UnknownExecutableFormatException", 1),
    "empty": ("-ofile", lambda _: b"", "IOException: empty file", 1),
    "damaged": ("-t", flip, "Exception: compressed data violation", 1),
    "cut": ("-t", lambda data: data[: len(data) // 2], "CantUnpackException", 1),
    "packed twice": ("-ofile", lambda data: data, "AlreadyPackedException", 2),
}
"""What is asked of it, for which file made of a packed one, what it says, and its exit code (1: error, 2: warning)."""


@pytest.mark.parametrize(("option", "spoil", "said", "code"), REFUSED.values(), ids=REFUSED)
def test_every_refusal_is_caught_and_said(
    option: str,
    spoil: Callable[[bytes], bytes],
    said: str,
    code: int,
    upx: Path,
    built: Built,
    tmp_path: Path,
) -> None:
    spoilt = tmp_path / "given"
    spoilt.write_bytes(spoil(built.file(PACKED, packed=True).read_bytes()))
    spoilt.chmod(0o755)
    option = option.replace("file", str(tmp_path / "made"))
    done = run_program(
        [str(upx), option, str(spoilt)], seconds=60, package="", purpose="refuse", check=False
    )
    assert said in done.stdout + done.stderr
    assert done.returncode == code
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("strings", [b"", random.Random("noise").randbytes(100_000)])
def test_what_it_cannot_make_smaller_ends_the_packing_well(
    strings: bytes, upx: Path, tmp_path: Path
) -> None:
    for name in ("plain", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "plain" / "program").write_bytes(replace(PIE, strings=strings).build())
    (tmp_path / "plain" / "program").chmod(0o755)
    where = {
        "NEED_PLAIN": str(tmp_path / "plain"),
        "NEED_UPX": str(upx.parent),
        "OUT": str(tmp_path / "out"),
        "METHOD": "nrv",
    }
    run_program(
        ["env", *(f"{name}={value}" for name, value in where.items()), "sh", str(PACK_SCRIPT)],
        seconds=60,
        package="",
        purpose="pack",
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["incompressible"]


@pytest.mark.parametrize("method", ["--nrv2b", "--nrv2d", "--nrv2e", "--lzma", "--no-filter"])
def test_what_any_method_packs_comes_back(
    method: str, upx: Path, built: Built, tmp_path: Path
) -> None:
    plain, packed, unpacked = built.file("curl:mini"), tmp_path / "packed", tmp_path / "unpacked"
    for words in (["-o", packed, plain], ["-t", packed], ["-d", "-o", unpacked, packed]):
        run_program(
            [str(upx), "-q", method, *map(str, words)], seconds=60, package="", purpose="pack"
        )
    assert packed.stat().st_size < plain.stat().st_size
    version = run_program([str(packed), "--version"], seconds=60, package="", purpose="run")
    assert version.stdout.startswith("curl ")
    assert unpacked.stat().st_size == plain.stat().st_size
