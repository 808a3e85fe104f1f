"""The committed files are what the generator writes, and the good ones are real programs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from core.target import Target
from tests.fixtures.make_elf import DIRECTORY, fixtures

NATIVE = {
    "good-amd64": Target.AMD64,
    "good-amd64-static-pie": Target.AMD64,
    "good-no-sections": Target.AMD64,
    "good-run-time-paths": Target.AMD64,
    "good-386": Target.I386,
    "good-arm64": Target.ARM64,
    "good-s390x": Target.S390X,
    "good-386-static-pie": Target.I386,
    "good-arm64-static-pie": Target.ARM64,
    "good-s390x-static-pie": Target.S390X,
    "good-run-time-paths-static-pie": Target.AMD64,
    "packed": Target.AMD64,
}


def test_committed_fixtures_are_exactly_what_the_generator_writes() -> None:
    committed = {path.name: path.read_bytes() for path in DIRECTORY.iterdir()}
    assert committed == fixtures()


def test_fixtures_stay_tiny() -> None:
    assert max(len(content) for content in fixtures().values()) < 4096


@pytest.mark.parametrize(("name", "target"), NATIVE.items())
def test_good_fixtures_run_on_the_machine_they_are_for(
    tmp_path: Path, name: str, target: Target
) -> None:
    emulator = shutil.which(f"qemu-{target.machine.arch}-static")
    if not (target.runs_natively or emulator):
        pytest.skip(
            f"{target} does not run here, and qemu-{target.machine.arch}-static is not installed"
        )
    program = tmp_path / name
    shutil.copyfile(DIRECTORY / name, program)
    program.chmod(0o755)
    command = [str(program)]
    if emulator and not target.runs_natively:
        command = [emulator, "-cpu", target.machine.qemu_cpu, *command]
    assert subprocess.run(command, check=False, timeout=10).returncode == 0
