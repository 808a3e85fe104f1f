"""Empty roots for real: programs of a few instructions that ask the kernel one question each."""

import struct
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.engine import Emulator
from builders.engines.isolation import Backend
from builders.engines.scratch_root import LATE, PROGRAM, USER, SandboxEnvironment
from core.scratch import RunResult
from core.target import Target
from tests.fixtures.make_elf import AMD64, GOOD

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(not Target.AMD64.runs_natively, reason="the programs are for linux/amd64"),
]

WRITE, OPEN, ACCESS, PAUSE, GETUID, GETGID = 1, 2, 21, 34, 102, 104
ENOENT, EROFS = 2, 30
O_WRONLY_O_CREAT = 0o101
SECONDS = 20


def program(number: int, text: str = "", numbers: Sequence[int] = (), *, answer: int) -> bytes:
    """An ELF file that makes one system call and exits with 0 when the kernel gives ``answer``.

    The call gets the address of ``text``, if there is one, then ``numbers``.
    """
    registers = [b"\xbf", b"\xbe", b"\xba"]  # mov edi/esi/edx, imm32
    code = b"\xb8" + struct.pack("<I", number)  # mov eax, number
    if number == WRITE:
        code += b"\xbf\x01\0\0\0"  # to standard output
        numbers = [len(text)]
        registers = [b"\xba"]
    elif text:
        registers = registers[1:]
    for register, value in zip(registers, numbers, strict=False):
        code += register + struct.pack("<I", value)
    ending = b"\x0f\x05"  # syscall
    ending += b"\x3d" + struct.pack("<i", answer)  # cmp eax, answer
    ending += b"\x40\x0f\x95\xc7\x40\x0f\xb6\xff"  # setne dil; movzx edi, dil
    ending += b"\xb8\x3c\0\0\0\x0f\x05"  # mov eax, 60; syscall
    lea = (b"\x48\x8d\x35" if number == WRITE else b"\x48\x8d\x3d") if text else b""
    if lea:  # rsi or rdi: the text behind the code
        lea += struct.pack("<i", len(ending))
    code += lea + ending + text.encode() + b"\0"
    return replace(GOOD, machine=replace(AMD64, exit=code)).build()


def run(
    backend: Backend,
    directory: Path,
    elf: bytes,
    *,
    seconds: float = SECONDS,
    name: PurePosixPath = PROGRAM,
) -> RunResult:
    file, ca = directory / "file", directory / "ca"
    file.unlink(missing_ok=True)  # nobody but root writes to a file of this mode
    file.write_bytes(elf)
    file.chmod(0o400)  # as the cache keeps it
    ca.write_text("certificate", "utf-8")
    environment = SandboxEnvironment(backend=backend, scratch=directory / "scratch")
    with environment.open({name: file, PurePosixPath("/ca.pem"): ca}, program=name) as root:
        ran = root.run(["--version"], seconds=seconds)
    assert list((directory / "scratch").iterdir()) == []
    return ran


def test_the_programs_of_this_test_can_tell_right_from_wrong(
    backend: Backend, tmp_path: Path
) -> None:
    assert run(backend, tmp_path, program(GETUID, answer=12345)).code == 1


@pytest.mark.parametrize("question", [GETUID, GETGID])
def test_it_runs_as_nobody(backend: Backend, tmp_path: Path, question: int) -> None:
    ran = run(backend, tmp_path, program(question, answer=USER))
    assert ran.code == 0, ran.stderr


@pytest.mark.parametrize("path", ["/tmp", "/proc", "/dev", "/etc", "/usr"])
def test_there_is_nothing_in_its_root(backend: Backend, tmp_path: Path, path: str) -> None:
    ran = run(backend, tmp_path, program(ACCESS, path, [0], answer=-ENOENT))
    assert ran.code == 0, ran.stderr


@pytest.mark.parametrize("path", ["/program", "/ca.pem"])
def test_what_was_handed_in_is_there(backend: Backend, tmp_path: Path, path: str) -> None:
    ran = run(backend, tmp_path, program(ACCESS, path, [4], answer=0))
    assert ran.code == 0, ran.stderr


def test_the_program_has_the_name_it_is_given(backend: Backend, tmp_path: Path) -> None:
    elf = program(ACCESS, "/hello", [1], answer=0)
    assert run(backend, tmp_path, elf, name=PurePosixPath("/hello")).code == 0
    assert run(backend, tmp_path, elf).code == 1


def test_an_emulator_runs_the_program_on_the_oldest_cpu(backend: Backend, tmp_path: Path) -> None:
    """It is one that says how it was called: the words lie on its stack, below their number."""
    emulator = tmp_path / "emulator"
    code = b"\x48\x8b\x74\x24\x08"  # mov rsi, [rsp + 8]: the first word
    code += b"\xba" + struct.pack("<I", len("/qemu\0-cpu\0old,new=off\0/program\0--version\0"))
    code += b"\xbf\x01\0\0\0\xb8\x01\0\0\0\x0f\x05"  # write to standard output
    code += b"\x31\xff\xb8\x3c\0\0\0\x0f\x05"  # exit(0)
    emulator.write_bytes(replace(GOOD, machine=replace(AMD64, exit=code)).build())
    emulator.chmod(0o755)
    file = tmp_path / "file"
    file.write_bytes(b"no program of this machine")
    environment = SandboxEnvironment(
        backend=backend,
        scratch=tmp_path / "scratch",
        emulator=Emulator(path=emulator, cpu="old,new=off"),
    )
    with environment.open({PROGRAM: file}) as root:
        ran = root.run(["--version"], seconds=SECONDS)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.split("\0")[:-1] == ["/qemu", "-cpu", "old,new=off", "/program", "--version"]


def test_it_cannot_write_anywhere(backend: Backend, tmp_path: Path) -> None:
    ran = run(backend, tmp_path, program(OPEN, "/file", [O_WRONLY_O_CREAT, 0o644], answer=-EROFS))
    assert ran.code == 0, ran.stderr


def test_what_it_says_is_heard(backend: Backend, tmp_path: Path) -> None:
    assert run(backend, tmp_path, program(WRITE, "hello\n", answer=6)) == RunResult(
        0, "hello\n", ""
    )


def test_who_never_ends_is_ended(backend: Backend, tmp_path: Path) -> None:
    began = time.monotonic()
    ran = run(backend, tmp_path, program(PAUSE, answer=0), seconds=0.5)
    assert ran.code == LATE
    assert 0.5 <= time.monotonic() - began < SECONDS  # of its own deadline, not of the usual one


def test_what_is_no_program_fails_to_run(backend: Backend, tmp_path: Path) -> None:
    ran = run(backend, tmp_path, b"no program")
    assert ran.code not in {0, LATE}
    assert ran.stderr
