"""The engine behind a Docker-compatible socket, through the SDK alone: create, put, start, wait, get, remove.

No bind mounts, so a remote engine works as well as a local one; no image build, so podman's socket does too.
"""

import os
import socket
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO

from builders.engines.accounting import ACCOUNTED, read_usage
from builders.engines.engine import Command, EngineName, Usage, not_a_file, overdue
from builders.toolchain import BOX, INSIDE
from core.cancel import Cancelled, CancelToken
from core.errors import EngineError

if TYPE_CHECKING:
    import docker

LABEL = "fromscratch"
"""Every container of ours carries it, with the pid of its owner."""

DEFAULT_HOST = "unix:///var/run/docker.sock"

CHUNK = 1 << 20
PIDS = 4096

USAGE = BOX / "usage"


class DockerSandbox:
    """One container, created late: everything is put before it starts, as the SDK wants it."""

    root = BOX
    toolchain = INSIDE

    def __init__(self, client: "docker.DockerClient", image: str, cancel: CancelToken) -> None:
        self.client = client
        self.image = image
        self.cancel = cancel
        self.usage = Usage()
        self.parts: list[tuple[Path, PurePosixPath]] = []
        self.container: Any = None

    def put(self, path: Path, inside: PurePosixPath) -> None:
        """Remember what to copy in."""
        self.parts.append((path, inside))

    def run(self, command: Command) -> int:
        """Create, put, start, follow, wait."""
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with engine_errors():
            self.container = self.client.containers.create(
                self.image,
                ["sh", "-c", ACCOUNTED, str(USAGE), *command.argv],
                environment=dict(command.env),
                working_dir=str(BOX),
                volumes=[str(BOX)],  # anonymous: the one place a step can write to
                network_mode="none",
                read_only=True,
                tmpfs={"/tmp": "rw,nosuid,nodev,exec"},
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                pids_limit=PIDS,
                init=True,
                labels={LABEL: str(os.getpid())},
            )
            with tempfile.TemporaryFile() as archive:
                write_tar(archive, self.parts)
                archive.seek(0)
                self.container.put_archive(str(BOX), archive)
            self.container.start()
            follower = Thread(target=self._follow, args=(command.log,), daemon=True)
            follower.start()
            code = self._wait(command)
            follower.join(timeout=30)
            self.usage = self._usage()
            return code

    def _usage(self) -> Usage:
        import docker.errors  # noqa: PLC0415

        # A step that was killed from outside has left nothing to read.
        with suppress(docker.errors.NotFound), tempfile.TemporaryFile() as archive:
            stream, _ = self.container.get_archive(str(USAGE), chunk_size=CHUNK)
            for piece in stream:
                archive.write(piece)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                member = tar.next()
                if member and member.isfile() and (content := tar.extractfile(member)):
                    return read_usage(content.read(CHUNK).decode("ascii", "replace"))
        return Usage()

    def get(self, inside: PurePosixPath, path: Path) -> None:
        """Copy a directory out; the archive is not trusted."""
        with engine_errors(), tempfile.TemporaryFile() as archive:
            stream, _ = self.container.get_archive(str(BOX / inside), chunk_size=CHUNK)
            for piece in stream:
                archive.write(piece)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                for member in tar:
                    extract(tar, member, inside.name, path)

    def remove(self) -> None:
        """Remove the container and its volume, running or not."""
        if self.container is not None:
            # A dead engine has nothing to remove; whatever it left is found by its label.
            with suppress(Exception):
                self.container.remove(force=True, v=True)

    def _follow(self, log: Path) -> None:
        with suppress(Exception), log.open("ab", buffering=0) as file:
            for piece in self.container.logs(stream=True, follow=True):
                file.write(piece)

    def _wait(self, command: Command) -> int:
        import requests  # noqa: PLC0415 - a run that builds nothing does not pay for it

        deadline = time.monotonic() + command.seconds
        while True:
            # A silent container outlives the client's own timeout, so ask again and again.
            with suppress(requests.ReadTimeout, requests.ConnectionError):
                answer: dict[str, Any] = self.client.api.wait(self.container.id, timeout=1)
                return int(answer["StatusCode"])
            if self.cancel:
                msg = f"Cancelled: {' '.join(command.argv)}"
                raise Cancelled(msg)
            if time.monotonic() > deadline:
                raise overdue(command)
            self.client.ping()  # raises when the engine is gone, not merely busy


class DockerEngine:
    """Containers from one builder image that holds a base and the toolchain."""

    name = EngineName.DOCKER
    isolated = True

    def __init__(self, client: "docker.DockerClient", image: str, cancel: CancelToken) -> None:
        self.client = client
        self.image = image
        self.cancel = cancel

    @contextmanager
    def sandbox(self) -> Iterator[DockerSandbox]:
        """Open a box; its container is removed at the end, whatever happened."""
        sandbox = DockerSandbox(self.client, self.image, self.cancel)
        try:
            yield sandbox
        finally:
            sandbox.remove()


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the SDK's and the socket's errors into an EngineError."""
    import docker.errors  # noqa: PLC0415
    import requests  # noqa: PLC0415

    try:
        yield
    except docker.errors.APIError as error:
        msg = f"The Docker engine refused: {error.explanation or error}"
        raise EngineError(msg, next="docker info; or --engine sandbox") from error
    except (docker.errors.DockerException, requests.RequestException, ConnectionError) as error:
        msg = f"The Docker engine stopped answering: {error}"
        raise EngineError(
            msg, why="the daemon ended or was restarted", next="docker info; or --engine sandbox"
        ) from error


def as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take away who owned a file on this machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def write_tar(archive: BinaryIO, parts: list[tuple[Path, PurePosixPath]]) -> None:
    """Write files and directories as a tar stream, owned by root."""
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, inside in parts:
            tar.add(path, arcname=str(inside), filter=as_root)


def extract(tar: tarfile.TarFile, member: tarfile.TarInfo, top: str, into: Path) -> None:
    """Write one member below ``into``: plain files and directories only, no way out."""
    parts = PurePosixPath(member.name).parts
    if not parts or parts[0] != top or ".." in parts:
        msg = f"The engine sent a strange path: '{member.name}'."
        raise EngineError(msg)
    place = into.joinpath(*parts[1:])
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
    elif member.isfile() and (content := tar.extractfile(member)):
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            while piece := content.read(CHUNK):
                file.write(piece)
        place.chmod(member.mode & 0o777)
    else:
        raise not_a_file(member.name)


def is_local(client: "docker.DockerClient") -> bool:
    """True when the engine runs on this machine, so that a container can share its loopback network."""
    return str(client.api.base_url).startswith("http+docker://local")


def has_image(client: "docker.DockerClient", tag: str) -> bool:
    """True when the engine knows the image."""
    import docker.errors  # noqa: PLC0415

    with engine_errors():
        try:
            client.images.get(tag)
        except docker.errors.ImageNotFound:
            return False
        return True


def _knock(host: str) -> None:
    """Raise OSError when nobody is behind a unix socket: the SDK leaks the socket that it failed with."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(10)
            door.connect(host.removeprefix("unix://"))


def connect() -> "docker.DockerClient":
    """Return a client of the engine that the environment names. Raises EngineError when none answers."""
    import docker  # noqa: PLC0415
    import docker.errors  # noqa: PLC0415

    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    try:
        _knock(host)
        client = docker.from_env(timeout=600)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        reason = str(error).splitlines()[0]
        msg = f"No Docker engine answers at {host}: {reason}"
        raise EngineError(
            msg,
            why="no daemon runs, or this user may not talk to it",
            next="start it, set DOCKER_HOST, or use --engine sandbox",
        ) from error
    return client
