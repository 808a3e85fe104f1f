"""What needs a younger CPU than its target promises fails in a smoke run: programs of a few instructions."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from builders.engines.choose import find_emulator
from builders.engines.scratch_root import LATE, PROGRAM, SandboxEnvironment
from core.scratch import RunResult
from core.target import Target
from tests.built import Built
from tests.fixtures.make_elf import AMD64, ARM64, GOOD, I386, S390X, Machine, Program
from tests.integration.command import ROOT

pytestmark = pytest.mark.sandbox

RECIPES = ROOT / "tests/fixtures/recipes"

ARM_EXIT = struct.pack("<3I", 0xE3A07001, 0xE3A00000, 0xEF000000)  # mov r7,#1; mov r0,#0; svc #0
ARM = Machine(number=40, bits=32, order="<", exit=ARM_EXIT)
RISCV64 = Machine(  # li a7,93; li a0,0; ecall
    number=243, bits=64, order="<", exit=struct.pack("<3I", 0x05D00893, 0x00000513, 0x73)
)
PPC64LE = Machine(  # li r0,1; li r3,0; sc
    number=21, bits=64, order="<", exit=struct.pack("<3I", 0x38000001, 0x38600000, 0x44000002)
)
MACHINES = {
    Target.AMD64: replace(GOOD, machine=AMD64),
    Target.ARM64: replace(GOOD, machine=ARM64),
    Target.ARM_V7: replace(GOOD, machine=ARM, flags=0x05000400),
    Target.ARM_V6: replace(GOOD, machine=ARM, flags=0x05000400),
    Target.I386: replace(GOOD, machine=I386, base=0x8048000),
    Target.RISCV64: replace(GOOD, machine=RISCV64),
    Target.PPC64LE: replace(GOOD, machine=PPC64LE, flags=2),
    Target.S390X: replace(GOOD, machine=S390X),
}
YOUNGER = {
    Target.AMD64: bytes.fromhex("f20f7cc0"),  # haddps xmm0,xmm0: SSE3
    Target.ARM64: struct.pack("<I", 0xB82103E2),  # ldadd w1,w2,[sp]: LSE
    Target.ARM_V7: struct.pack("<I", 0xF2200840),  # vadd.i32 q0,q0,q0: NEON
    Target.ARM_V6: struct.pack("<I", 0xE3001001),  # movw r1,#1: ARMv7
    Target.I386: bytes.fromhex("f20f7cc0"),  # haddps xmm0,xmm0: SSE3
    Target.RISCV64: struct.pack("<I", 0x20B5A5B3),  # sh1add a1,a1,a1: Zba
    Target.PPC64LE: struct.pack("<I", 0x7C642E16),  # modsw r3,r4,r5: POWER9
    Target.S390X: bytes.fromhex("e70000000044"),  # vgbm %v0,0: z13
}


def run(target: Target, program: Program, directory: Path, roots: SandboxEnvironment) -> RunResult:
    """Run it in the emulator, also where it would run without."""
    emulator = find_emulator(target)
    if emulator is None:
        pytest.skip(f"not installed: qemu-{target.machine.arch}-static")
    file = directory / "file"
    file.write_bytes(program.build())
    with replace(roots, emulator=emulator).open({PROGRAM: file}) as root:
        return root.run([], seconds=20)


@pytest.mark.parametrize("target", MACHINES, ids=str)
def test_a_program_for_the_oldest_cpu_runs(
    target: Target, tmp_path: Path, empty_roots: SandboxEnvironment
) -> None:
    ran = run(target, MACHINES[target], tmp_path, empty_roots)
    assert (ran.code, ran.stderr) == (0, "")


@pytest.mark.parametrize("target", MACHINES, ids=str)
def test_one_for_a_younger_cpu_does_not(
    target: Target, tmp_path: Path, empty_roots: SandboxEnvironment
) -> None:
    program = MACHINES[target]
    code = YOUNGER[target] + program.machine.exit
    younger = replace(program, machine=replace(program.machine, exit=code))
    assert run(target, younger, tmp_path, empty_roots).code not in {0, LATE}


@pytest.mark.builds
@pytest.mark.parametrize("target", [Target.ARM_V7, Target.ARM_V6, Target.I386], ids=str)
def test_what_the_compiler_calls_needs_no_younger_cpu(
    target: Target, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its runtime is built by another compiler, which has to be told the CPU in words of its own."""
    if not (target.runs_natively or find_emulator(target)):
        pytest.skip(f"not installed: qemu-{target.machine.arch}-static")
    directory = tmp_path_factory.mktemp("division")
    built = Built.once(directory, "division", targets=[target], recipes=str(RECIPES), pack=False)
    assert built.entry("division:it", target=target)["smoke"]["ok"]


def test_every_target_is_tried_but_one() -> None:
    """Of LoongArch there is one CPU in qemu, and it has what is younger."""
    assert set(Target) - set(MACHINES) == {Target.LOONG64}
    assert set(MACHINES) == set(YOUNGER)
