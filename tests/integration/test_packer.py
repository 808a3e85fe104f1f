"""UPX, linked with few files of libc++: what it throws must be caught, and what it packs must come back."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builders.key import PACK_SCRIPT
from core.process import run_program
from core.progress import Report
from core.settings import Settings
from flow.context import Context
from flow.judge import judge_file
from tests.built import Built
from tests.fixtures.make_elf import AMD64, PIE
from tests.integration.seeded_cache import CURLS, SeededCache
from verify.facts import read_facts
from verify.verdict import Policy

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


@pytest.fixture(scope="module")
def judge(built: Built) -> Callable[[Path], set[tuple[str, bool]]]:
    """Rules that `inv verify` finds broken, and whether it says so of what is unpacked."""
    context = Context(settings=Settings.read(built.settings, environment={}), report=Report())

    def found(path: Path) -> set[tuple[str, bool]]:
        findings = judge_file(context, path, Policy()).findings
        inside = f"{path.name}, unpacked: "
        return {(finding.rule, finding.message.startswith(inside)) for finding in findings}

    return found


@pytest.mark.parametrize(
    "words",
    [["-1", "--nrv2b"], ["-7", "--nrv2d"], ["--best", "--nrv2e", "--no-filter"], ["--lzma"]],
)
def test_whatever_this_upx_packed_can_be_vouched_for(
    words: list[str],
    upx: Path,
    built: Built,
    judge: Callable[[Path], set[tuple[str, bool]]],
    tmp_path: Path,
) -> None:
    packed = tmp_path / "packed"
    command = [str(upx), "-q", *words, "-o", str(packed), str(built.file("curl:mini"))]
    run_program(command, seconds=60, package="", purpose="pack")
    assert judge(packed) == set()


@pytest.mark.parametrize("product", CURLS)
def test_another_stub_over_the_entry_point_of_what_we_packed_is_found(
    product: str, built: Built, judge: Callable[[Path], set[tuple[str, bool]]], tmp_path: Path
) -> None:
    """It runs, and `upx -d` gives back what was packed."""
    path = built.file(product, packed=True)
    assert judge(path) == set()
    facts = read_facts(path)
    (code,) = (s for s in facts.loads if s.executable and s.vaddr <= facts.entry < s.vaddr_end)
    at = facts.entry - code.vaddr + code.offset
    content = bytearray(path.read_bytes())
    content[at : at + len(AMD64.exit)] = AMD64.exit
    tampered = tmp_path / "tampered"
    tampered.write_bytes(content)
    tampered.chmod(0o755)
    if facts.machine == "EM_X86_64":
        run_program([str(tampered)], seconds=60, package="", purpose="run")
    assert judge(tampered) == {("packed-contents", False)}
    for wiped in (b"\0\0\0\0", b"UPX?"):
        (tmp_path / "wiped").write_bytes(path.read_bytes().replace(b"UPX!", wiped))
        assert ("packed-contents", False) in judge(tmp_path / "wiped")


def test_a_packed_dynamic_program_is_found_with_and_without_its_marks(
    upx: Path, judge: Callable[[Path], set[tuple[str, bool]]], tmp_path: Path
) -> None:
    plain, packed, wiped = Path("/bin/bash"), tmp_path / "packed", tmp_path / "wiped"
    if not plain.is_file() or not read_facts(plain).needed:
        pytest.skip("no dynamic program here")
    shutil.copyfile(plain, tmp_path / "plain")
    (tmp_path / "plain").chmod(0o755)
    command = [str(upx), "-q", "-1", "-o", str(packed), str(tmp_path / "plain")]
    run_program(command, seconds=60, package="", purpose="pack")
    assert {("no-interpreter", True), ("no-needed", True)} <= judge(packed)
    wiped.write_bytes(packed.read_bytes().replace(b"UPX!", bytes(4)))
    wiped.chmod(0o755)
    done = run_program([str(wiped), "-c", "echo it runs"], seconds=60, package="", purpose="run")
    assert done.stdout == "it runs\n"
    assert ("packed-contents", False) in judge(wiped)
