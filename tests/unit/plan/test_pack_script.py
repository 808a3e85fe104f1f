"""The script that packs, beside a UPX that only says what the real one says."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.key import PACK_SCRIPT

UPX = """#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
*" --best "*)
    test -z "$SAYS" || { echo "upx: plain: $SAYS" >&2; exit "$CODE"; }
    echo packed >"$5" ;;
*" -d "*) echo unpacked >"$4" ;;
esac
"""


@dataclass(frozen=True, kw_only=True)
class Packed:
    code: int
    made: dict[str, str]
    output: str
    calls: list[str]


def pack(
    directory: Path, *, size: int = 10_000, says: str = "", code: int = 1, method: str = "nrv"
) -> Packed:
    """Run the script on a program of ``size`` bytes, with a UPX that ``says`` that it cannot."""
    for name in ("plain", "upx", "out", "work"):
        (directory / name).mkdir(exist_ok=True)
    (directory / "plain" / "hello").write_bytes(bytes(size))
    (directory / "upx" / "upx").write_text(UPX)
    (directory / "upx" / "upx").chmod(0o755)
    done = subprocess.run(
        ["sh", PACK_SCRIPT],
        env={
            "PATH": "/usr/bin:/bin",
            "NEED_PLAIN": str(directory / "plain"),
            "NEED_UPX": str(directory / "upx"),
            "METHOD": method,
            "OUT": str(directory / "out"),
            "WORK": str(directory / "work"),
            "LOG": str(directory / "log"),
            "SAYS": says,
            "CODE": str(code),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    log = directory / "log"
    return Packed(
        code=done.returncode,
        made={path.name: path.read_text() for path in sorted((directory / "out").iterdir())},
        output=done.stdout,
        calls=log.read_text().splitlines() if log.exists() else [],
    )


@pytest.mark.parametrize("method", ["nrv", "lzma"])
def test_a_program_is_packed_tested_and_unpacked(tmp_path: Path, method: str) -> None:
    packed = pack(tmp_path, method=method)
    assert packed.code == 0
    assert packed.made == {"packed": "packed\n", "unpacked": "unpacked\n"}
    assert [("--best" in call, " -t " in call, " -d " in call) for call in packed.calls] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, False, False),
    ]


@pytest.mark.parametrize(
    ("says", "size"),
    [
        ("NotCompressibleException", 10_000),
        ("NotCompressibleException", 100),
        ("IOException: file is too small -- skipped", 4095),
        ("UnknownExecutableFormatException", 300),
    ],
)
def test_what_cannot_be_made_smaller_is_no_failure(tmp_path: Path, says: str, size: int) -> None:
    packed = pack(tmp_path, says=says, size=size)
    assert packed.code == 0
    assert packed.made == {"incompressible": "UPX cannot make it smaller\n"}
    assert says in packed.output
    assert len(packed.calls) == 1


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize(
    "says",
    [
        "UnknownExecutableFormatException",
        "CantPackException: bad e_phoff",
        "AlreadyPackedException",
    ],
)
def test_whatever_else_upx_refuses_fails_the_build(tmp_path: Path, says: str, code: int) -> None:
    packed = pack(tmp_path, says=says, code=code, size=4096)
    assert packed.code == code
    assert packed.made == {}
    assert says in packed.output


def test_a_method_that_nobody_knows_fails_the_build(tmp_path: Path) -> None:
    assert pack(tmp_path, method="best").code == 2


@pytest.mark.parametrize("name", ["side", "aside", "zone"])
def test_what_lies_beside_the_program_is_not_packed(tmp_path: Path, name: str) -> None:
    beside = tmp_path / "plain" / name
    beside.mkdir(parents=True)
    (beside / "link.map").write_text("a map\n")
    packed = pack(tmp_path)
    assert packed.code == 0
    assert all(f"{name}" not in call.partition("plain/")[2] for call in packed.calls)
    assert "plain/hello" in packed.calls[0]
