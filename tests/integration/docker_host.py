"""A Docker engine of the tests' own: it may become a swarm, make networks and hold images, and leaves nothing behind.

It is the first process of a PID namespace, in a network namespace with a loopback interface of its own. So a registry
there can have the address that the examples name, no rule and no bridge of it is ever seen on this machine, and the
kernel ends all that runs in it when it ends.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.registry import registry
from tests.integration.traces import wait_for

PACKAGES = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "docker-registry": "docker-registry",
    "podman": "podman",
    "skopeo": "skopeo",
    "curl": "curl",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
}
"""Every program it runs, and Debian's package of it."""


@dataclass(frozen=True, kw_only=True)
class DockerHost:
    """An engine and a registry that see each other, and nobody else."""

    directory: Path
    pid: int
    """The engine's."""
    client: str
    """A `docker` that can build both ways: through the classic builder and through BuildKit."""
    address: str
    """The registry's, ``127.0.0.1:5000``: on this host alone."""

    @property
    def images(self) -> str:
        """Where the images of the tests are: the examples' default."""
        return f"{self.address}/fromscratch"

    @property
    def socket(self) -> str:
        return f"unix://{self.directory}/docker.sock"

    @property
    def network(self) -> tuple[str, ...]:
        """Words before a command that must reach the registry."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    @property
    def inside(self) -> tuple[str, ...]:
        """Words before a command that is to end with the host, mounts and all."""
        return ("nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--")

    def run(self, *words: str | Path, env: Mapping[str, str] | None = None, code: int = 0) -> str:
        """Run a command that speaks to the engine; it must end with ``code``. Return all that it says."""
        done = self.call(*words, env=env)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def call(
        self, *words: str | Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """The same, however it ends."""
        return subprocess.run(
            list(map(str, words)),
            env={**os.environ, "DOCKER_HOST": self.socket, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def docker(self, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run a docker command; return what it prints, without its warnings."""
        done = self.call(self.client, *words, env=env)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()


def missing() -> str:
    """'' when such a host can be made here, else why not."""
    packages = {package for name, package in PACKAGES.items() if shutil.which(name) is None}
    if packages:
        return f"not installed: {' '.join(sorted(packages))}"
    if os.geteuid() != 0:
        return "an engine of its own needs root"
    return "" if _client() else "no docker client here builds with BuildKit"


def _client() -> str:
    """The first on the PATH that has BuildKit: version 20.10 by itself, newer ones by a plug-in."""
    for directory in os.get_exec_path():
        path = Path(directory) / "docker"
        if path.is_file():
            version = subprocess.run(
                [path, "--version"], capture_output=True, text=True, check=False
            )
            plugin = subprocess.run([path, "buildx", "version"], capture_output=True, check=False)
            if version.stdout.startswith("Docker version 20.") or plugin.returncode == 0:
                return str(path)
    return ""


@contextlib.contextmanager
def open_docker_host() -> Iterator[DockerHost]:
    """Start engine and registry; skipped where that cannot be, a failure where Docker is demanded."""
    if reason := missing():
        if os.environ.get("FROMSCRATCH_TEST_DOCKER"):
            pytest.fail(f"FROMSCRATCH_TEST_DOCKER is set, but: {reason}", pytrace=False)
        pytest.skip(reason)
    # Short: it holds a socket.
    with tempfile.TemporaryDirectory(prefix="fromscratch-host-", dir="/tmp") as name:
        directory = Path(name)
        with _engine(directory) as pid:
            host = DockerHost(directory=directory, pid=pid, client=_client(), address="")
            with registry(directory / "registry", 5000, inside=host.network) as address:
                yield DockerHost(directory=directory, pid=pid, client=host.client, address=address)


@contextlib.contextmanager
def _engine(directory: Path) -> Iterator[int]:
    """Run dockerd; yield its PID as this machine sees it."""
    # However these tests end: dead parent, dead unshare, dead engine, dead namespace.
    words = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--net", "--pid"]
    words += ["--fork", "--kill-child", "--mount-proc"]
    words += ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    words += ["dockerd", f"--data-root={directory}/data", f"--exec-root={directory}/exec"]
    words += [f"--pidfile={directory}/dockerd.pid", f"--host=unix://{directory}/docker.sock"]
    log, groups = directory / "dockerd.log", _podman_groups()
    with log.open("w") as output:
        unshare = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )
    ask = ["docker", "-H", f"unix://{directory}/docker.sock", "version"]

    def answers() -> bool:
        assert unshare.poll() is None, log.read_text()[-3000:]
        return subprocess.run(ask, capture_output=True, check=False).returncode == 0

    try:
        wait_for(answers, seconds=60, what="the engine's first answer")
        yield _child(unshare.pid)
    finally:
        with contextlib.suppress(ValueError, OSError, subprocess.TimeoutExpired):
            os.kill(_child(unshare.pid), signal.SIGTERM)
            unshare.wait(timeout=30)
        unshare.kill()  # and with it its child, and with that one all that runs on this host
        unshare.wait()
        for path in sorted(_podman_groups() - groups, reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()


def _podman_groups() -> set[Path]:
    """The control groups that podman makes and never removes."""
    return set(Path("/sys/fs/cgroup").glob("**/libpod_parent/**/"))


def _child(pid: int) -> int:
    """The one child of a process. Raises ValueError when there is not one."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)
