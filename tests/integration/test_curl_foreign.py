"""curl:full for another machine, in an empty root by qemu: HTTP/3 and SFTP, with servers of this machine."""

import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from trustme import CA

from builders.engines.choose import find_emulator
from builders.engines.scratch_root import PROGRAM, SandboxEnvironment
from core.scratch import RunResult
from core.target import Target
from tests.built import Built
from tests.curls import OK, UNTRUSTED
from tests.integration.certificates import HOST
from tests.integration.quic_server import pattern, quic_server
from tests.integration.ssh_server import ssh_server

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

TARGET = Target.ARM64
SECONDS = 60


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_emulator(TARGET) is None:
        pytest.skip(f"not installed: qemu-{TARGET.machine.arch}-static")
    directory = tmp_path_factory.mktemp("foreign")
    return Built.once(directory, "curl:full", targets=[TARGET], pack=False).file(
        "curl:full", target=TARGET
    )


def run(roots: SandboxEnvironment, program: Path, *words: str, **files: Path) -> RunResult:
    """Run it with these files in its root, and nothing else."""
    inside = {PurePosixPath(f"/{name}"): path for name, path in files.items()}
    emulated = replace(roots, emulator=find_emulator(TARGET))
    with emulated.open({PROGRAM: program, **inside}) as root:
        return root.run(["-qsS", "-m", str(SECONDS), *words], seconds=SECONDS + 10)


def test_http3(empty_roots: SandboxEnvironment, program: Path, authority: CA, ca: str) -> None:
    with quic_server(authority.issue_cert(HOST)) as server:
        url = f"https://{HOST}:{server.port}/headers/60000"
        words = ("--http3-only", "-w", "%{stderr}%{http_version}", "-i", url)
        ran = run(empty_roots, program, "--cacert", "/ca", *words, ca=Path(ca))
        assert (ran.code, ran.stderr) == (OK, "3")
        assert f"x-long: {'x' * 60_000}" in ran.stdout
        assert run(empty_roots, program, *words).code == UNTRUSTED
        assert len(server.asked) == 1


def test_sftp(empty_roots: SandboxEnvironment, program: Path, tmp_path: Path) -> None:
    with ssh_server() as server:
        (server.files / "a").write_bytes(pattern(1_000_000).hex().encode())
        known = tmp_path / "known"
        known.write_text(server.known(*server.host_keys))
        key = tmp_path / "key"
        shutil.copyfile(server.keys / "ed25519", key)  # for the program's user, who is not us
        words = ("-u", f"{server.user}:", "--key", "/key", "--knownhosts", "/known")
        url = f"sftp://{server.at}{server.files}/a"
        ran = run(empty_roots, program, *words, url, key=key, known=known)
    assert (ran.code, ran.stderr) == (OK, "")
    assert ran.stdout == pattern(1_000_000).hex()
