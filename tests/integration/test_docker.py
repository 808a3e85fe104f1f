"""What the docker engine asks of the daemon, and what becomes of a build whose daemon dies."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from builders.engines.choose import Chooser
from builders.engines.docker import LABEL, STEP_USER, DockerEngine
from builders.engines.syscalls import docker_profile
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from recipes.load import HERE
from tests.built import Built
from tests.integration.command import Inv, listed
from tests.integration.running import Running
from tests.integration.seeded_cache import SeededCache, all_but
from tests.integration.traces import (
    containers_of,
    engine,
    half_files,
    held_locks,
    processes_at,
    wait_for,
)

pytestmark = [pytest.mark.builds, pytest.mark.docker]


def test_a_step_runs_in_a_container_that_may_do_nothing(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    with Running(inv, "--engine", "docker") as build:
        build.come_to()
        pid = build.process.pid
        (container,) = wait_for(lambda: containers_of(pid), seconds=60, what="a container")
        assert container.labels[LABEL] == str(pid)
        host = container.attrs["HostConfig"]
        assert host["NetworkMode"] == "none"
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges", f"seccomp={docker_profile()}"]
        assert container.attrs["Config"]["User"] == f"{STEP_USER}:{STEP_USER}"
        assert host["Privileged"] is False
        assert host["PidsLimit"] > 0
        assert host["Binds"] == ["/box"]  # a volume without a name, not a directory of this machine
        assert [mount["Type"] for mount in container.attrs["Mounts"]] == ["volume"]

        done = build.end(seconds=120)

        assert done.code == 0, done.stderr
        assert containers_of(pid) == []
        with engine() as client:
            tags = [tag for image in client.images.list() for tag in image.tags]
        assert not [tag for tag in tags if f"smoke-{pid}-" in tag]


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """An engine of our own, to be killed."""

    process: "subprocess.Popen[bytes]"
    url: str

    def kill(self) -> None:
        """Without any goodbye; its namespace takes containerd and the containers along."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)


@pytest.fixture
def daemon(built: Built, tmp_path: Path) -> Iterator[Daemon]:
    chooser = Chooser(
        toolchain=Toolchain.installed(HERE),
        scratch=tmp_path / "scratch",
        base_image="",
        mirrors=(),
        cancel=CancelToken(),
    )
    builder = chooser.make("docker")
    assert isinstance(builder, DockerEngine)
    directory = Path(tempfile.mkdtemp(prefix="fsd-"))  # a socket's path may not be long
    url = f"unix://{directory}/s"
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd"]
    words += ["--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec"]
    words += ["--pidfile", f"{directory}/pid", "-H", url]
    words += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    daemon = Daemon(process=process, url=url)
    try:
        wait_for(lambda: answers(directory / "s"), seconds=60, what="the daemon's answer")
        with contextlib.closing(docker.DockerClient(base_url=url, timeout=120)) as client:
            image = builder.client.images.get(builder.image)
            client.images.load(image.save(named=builder.image))
        builder.client.close()
        yield daemon
    finally:
        daemon.kill()
        wait_for(lambda: not processes_at(directory), seconds=30, what="the end of the containers")
        shutil.rmtree(directory)


def answers(path: Path) -> bool:
    """Without the SDK, which loses the sockets that it fails with."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in connection.recv(100)
        except OSError:
            return False


def test_a_daemon_that_dies_in_the_middle_is_an_engine_error(
    inv: Inv, daemon: Daemon, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    cache = seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    with Running(inv.environ(DOCKER_HOST=daemon.url), "--engine", "docker") as build:
        build.come_to()
        with contextlib.closing(docker.DockerClient(base_url=daemon.url)) as client:
            wait_for(client.containers.list, seconds=60, what="a container that runs")
        time.sleep(1)

        daemon.kill()
        done = build.end(seconds=60)

        assert done.code == 6
        assert "stopped answering" in done.stderr
        assert "--engine sandbox" in done.stderr
        assert half_files(cache, tmp_path / "artifacts") == []
        assert held_locks(cache) == []
        assert listed(tmp_path / "artifacts") == []
