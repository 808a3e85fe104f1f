"""Real servers of Debian's, each with a directory and a port of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.traces import wait_for

NOBODY = None if os.getuid() else 65534
"""Whom root starts servers as, since some of them insist on not being root."""

HOST = "127.0.0.1"
SECONDS = 40.0


def program(name: str, *others: str) -> str:
    """Where a server is, which Debian keeps out of PATH; the test is skipped when it is not there."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *others]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        why = f"'{name}' is not installed"
        if os.environ.get("FROMSCRATCH_TEST_DOCKER"):
            pytest.fail(f"FROMSCRATCH_TEST_DOCKER is set, but {why}", pytrace=False)
        pytest.skip(why)
    return found


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass(kw_only=True)
class Server:
    """A server of the test's own: where it is, and how it is started."""

    directory: Path
    port: int = field(default_factory=free_port)
    tls: int = 0
    """Where it listens with TLS, if that is another port."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def at(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def unix(self) -> Path:
        return self.directory / "s"

    def start(self, *words: str | Path) -> None:
        """Start it, as somebody who may do nothing."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                list(map(str, words)),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=NOBODY,
                group=NOBODY,
            )

    def run(self, *words: str | Path) -> None:
        """Run something that prepares its data."""
        done = subprocess.run(
            list(map(str, words)),
            cwd=self.directory,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
            user=NOBODY,
            group=NOBODY,
        )
        assert done.returncode == 0, done.stderr

    def owns(self, path: Path) -> None:
        """Give it a file that nobody else may read."""
        if NOBODY is not None:
            os.chown(path, NOBODY, NOBODY)

    def listens(self) -> None:
        wait_for(self._connects, seconds=SECONDS, what=f"{self.directory}/log: a listening server")

    def _connects(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=SECONDS)
            self.process = None


@contextmanager
def own_server() -> Iterator[Server]:
    """A directory and a port for a server, which ends with the block."""
    directory = Path(
        tempfile.mkdtemp(prefix="fsp-")
    )  # short, as it holds a socket; not pytest's own,
    if NOBODY is not None:  # which only its owner may enter
        os.chown(directory, NOBODY, NOBODY)
    server = Server(directory=directory)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)
