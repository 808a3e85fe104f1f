"""The engine behind a Docker-compatible socket, through the SDK alone: create, put, start, wait, get, remove.

No bind mounts, so a remote engine works as well as a local one; no image build, so podman's socket does too.
"""

import os
import shutil
import socket
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any, BinaryIO

import docker
import docker.errors
import requests
from docker.types import Ulimit

from builders.engines.accounting import ACCOUNTED, read_usage
from builders.engines.directory import fresh_directory
from builders.engines.engine import Command, Usage, not_a_file, overdue
from builders.engines.limits import too_much_memory
from builders.engines.log import CAP, CappedLog
from builders.engines.output import BOUNDS, Bounds, Tally, too_much
from builders.engines.syscalls import docker_profile
from builders.toolchain import BOX, INSIDE
from core.cancel import CancelToken
from core.errors import EngineError
from core.files import disk_errors, is_owned

LABEL = "fromscratch"
OWNER_LABEL = "fromscratch.owner"
"""Every container of ours carries it, with the pid of its owner."""

DEFAULT_HOST = "unix:///var/run/docker.sock"

CHUNK = 1 << 20
THREADS = 4
"""For each process: the kernel counts both."""

STEP_USER = 61184
"""uid and gid of every step: no package has it (https://systemd.io/UIDS-GIDS/), a remapped engine maps it."""

GLANCE = 0.5
"""Seconds between two looks at a container that takes its time."""

USAGE = BOX / "usage"


class DockerSandbox:
    """One container, created late: everything is put before it starts, as the SDK wants it."""

    root = BOX
    toolchain = INSIDE

    def __init__(
        self, engine: "DockerEngine", cancel: CancelToken, owner: Path | None = None
    ) -> None:
        self.engine = engine
        self.cancel = cancel
        self.owner = owner
        self.usage = Usage()
        self.inputs: list[tuple[Path, PurePosixPath]] = []
        self.container: Any = None

    def put(self, path: Path, inside: PurePosixPath, *, move: bool = False) -> None:
        self.inputs.append((path, inside))

    def run(self, command: Command) -> int:
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with engine_errors():
            self.container = create(
                self.engine.client,
                self.engine.image,
                ["sh", "-c", ACCOUNTED, str(USAGE), *command.argv],
                owner=self.owner,
                environment=dict(command.env),
                working_dir=str(BOX),
                user=f"{STEP_USER}:{STEP_USER}",
                volumes=[str(BOX)],  # anonymous: the one directory that a step can write to
                network_mode="none",
                tmpfs={"/tmp": f"rw,nosuid,nodev,exec,size={command.limits.memory}"},
                pids_limit=THREADS * command.limits.processes,
                mem_limit=command.limits.memory,
                memswap_limit=command.limits.memory,
                ulimits=[largest_file(command.limits.disk)],
                init=True,
            )
            with tempfile.TemporaryFile() as archive:
                write_tar(archive, self.inputs, user=STEP_USER)
                archive.seek(0)
                self.container.put_archive(str(BOX), archive)
            self.container.start()
            follower = Thread(target=self._follow, args=(command.log,), daemon=True)
            follower.start()
            code = wait_for(self.container, command.seconds, self.cancel, doing=str(command))
            if code is None:
                raise overdue(command)
            follower.join(timeout=30)
            if code and self._out_of_memory():
                raise too_much_memory(str(command), command.limits)
            self.usage = self._usage()
            return code

    def _out_of_memory(self) -> bool:
        self.container.reload()
        return bool(self.container.attrs["State"].get("OOMKilled"))

    def _usage(self) -> Usage:
        # A step that was killed from outside has left nothing to read.
        with suppress(docker.errors.NotFound), self._archive(USAGE) as tar:
            member = tar.next()
            if member and member.isfile() and (content := tar.extractfile(member)):
                return read_usage(content.read(CHUNK).decode("ascii", "replace"))
        return Usage()

    def get(self, inside: PurePosixPath, path: Path) -> None:
        """Copy a directory out; the archive is not trusted."""
        tally = Tally(self.engine.bounds)
        with engine_errors(), disk_errors(path), self._archive(BOX / inside) as tar:
            path.mkdir(parents=True, exist_ok=True)
            for member in tar:
                extract(tar, member, inside.name, path, tally)

    @contextmanager
    def _archive(self, path: PurePosixPath) -> Iterator[tarfile.TarFile]:
        with tempfile.TemporaryFile() as archive:
            stream, _ = self.container.get_archive(str(path), chunk_size=CHUNK)
            left = self.engine.bounds.archive
            for piece in stream:
                left -= len(piece)
                if left < 0:
                    raise too_much(
                        path, f"its archive is more than {self.engine.bounds.archive:,} bytes"
                    )
                archive.write(piece)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                yield tar

    def _follow(self, log: Path) -> None:
        with suppress(Exception), log.open("ab", buffering=0) as file:
            capped = CappedLog(file, cap=self.engine.log_cap)
            try:
                for piece in self.container.logs(stream=True, follow=True):
                    capped.write(piece)
            finally:
                capped.finish()


class DockerEngine:
    """Containers from one builder image that holds a base and the toolchain."""

    name = "docker"
    isolated = True

    def __init__(
        self,
        client: docker.DockerClient,
        image: str,
        cancel: CancelToken,
        *,
        scratch: Path | None = None,
        bounds: Bounds = BOUNDS,
        log_cap: int = CAP,
    ) -> None:
        self.scratch = scratch
        self.client = client
        self.image = image
        self.cancel = cancel
        self.bounds = bounds
        self.log_cap = log_cap

    @contextmanager
    def sandbox(self, cancel: CancelToken | None = None) -> Iterator[DockerSandbox]:
        with fresh_directory(self.scratch, self.name) if self.scratch else nullcontext() as owner:
            sandbox = DockerSandbox(self, self.cancel if cancel is None else cancel, owner)
            try:
                yield sandbox
            finally:
                if sandbox.container is not None:
                    # A dead engine has nothing to remove; whatever it left is found by its label.
                    with suppress(Exception):
                        sandbox.container.remove(force=True, v=True)


def largest_file(size: int) -> Ulimit:
    """No file of a step gets larger. What all take together only the daemon's own disk knows."""
    return Ulimit(name="fsize", soft=size, hard=size)


def owner_label(box: Path) -> str:
    """Name what the container belongs to, so that somebody on the same file system can ask whether it is owned."""
    state = box.parent.stat()
    return f"{state.st_dev}:{state.st_ino}:{box}"


def is_orphan(label: str) -> bool | None:
    """True when who made a container with this label is gone; None when that cannot be known here."""
    device, _, rest = label.partition(":")
    node, _, name = rest.partition(":")
    try:
        state = Path(name).parent.stat()
    except (OSError, ValueError):
        return None
    if f"{state.st_dev}:{state.st_ino}" != f"{device}:{node}":
        return None
    return not is_owned(Path(name))


def create(
    client: docker.DockerClient,
    image: str,
    argv: list[str],
    *,
    owner: Path | None = None,
    **options: Any,
) -> Any:
    """Create a container that can change nothing but its volumes, and carries our label.

    ``owner`` is a directory that this process owns (see `core.files.temporary_directory`) while the container is used.
    """
    return client.containers.create(
        image,
        argv,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges", f"seccomp={docker_profile()}"],
        labels={LABEL: str(os.getpid()), **({OWNER_LABEL: owner_label(owner)} if owner else {})},
        **options,
    )


def wait_for(container: Any, seconds: float, cancel: CancelToken, *, doing: str) -> int | None:
    """Return the container's exit code, None at the deadline. Raises Cancelled, with the words of ``doing``."""
    deadline = time.monotonic() + seconds
    while True:
        # A silent container outlives the client's own timeout, so ask again and again.
        with suppress(requests.ReadTimeout, requests.ConnectionError):
            return int(container.wait(timeout=GLANCE)["StatusCode"])
        cancel.check(doing)
        if time.monotonic() > deadline:
            return None
        container.client.ping()  # raises when the engine is gone, not merely busy


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the SDK's and the socket's errors into an EngineError."""
    try:
        yield
    except docker.errors.APIError as error:
        msg = f"The Docker engine refused: {error.explanation or error}"
        raise EngineError(msg, next="docker info; or --engine sandbox") from error
    except (docker.errors.DockerException, requests.RequestException, ConnectionError) as error:
        msg = f"The Docker engine stopped answering: {error}"
        why = "the daemon ended or was restarted"
        raise EngineError(msg, why=why, next="docker info; or --engine sandbox") from error


def as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take away who owned a file on this machine."""
    return owned(member, 0)


def owned(member: tarfile.TarInfo, user: int) -> tarfile.TarInfo:
    """Make ``user`` and no name of this machine the owner."""
    member.uid = member.gid = user
    member.uname = member.gname = ""
    return member


def write_tar(archive: BinaryIO, files: list[tuple[Path, PurePosixPath]], *, user: int = 0) -> None:
    """Write files and directories as a tar stream, owned by ``user``."""
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, inside in files:
            tar.add(path, arcname=str(inside), filter=partial(owned, user=user))


def extract(
    tar: tarfile.TarFile, member: tarfile.TarInfo, top: str, into: Path, tally: Tally
) -> None:
    """Write one member below ``into``: plain files and directories only, no way out, no more than may be."""
    parts = PurePosixPath(member.name).parts
    if not parts or parts[0] != top or ".." in parts:
        msg = f"The archive from the Docker engine has an invalid path: '{member.name}'."
        raise EngineError(msg)
    below = PurePosixPath(*parts[1:])
    tally.entry(below)
    path = into / below
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif below.name and member.isfile() and (content := tar.extractfile(member)):
        tally.file(below, member.size)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)
    else:
        raise not_a_file(member.name)


def examine_docker(_setup: object) -> Iterator[tuple[bool, str]]:
    """Yield whether the engine works here, and why."""
    try:
        yield True, f"engine {connect().version()['Version']}"
    except EngineError as error:
        yield False, error.what


def connect() -> docker.DockerClient:
    """Return a client of the engine that the environment names. Raises EngineError when none answers."""
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    try:
        if host.startswith("unix://"):
            # Where nobody listens, the SDK leaks the socket that it failed with.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(10)
                probe.connect(host.removeprefix("unix://"))
        client = docker.from_env(timeout=600)
        options = client.info().get("SecurityOptions") or []
    except (docker.errors.DockerException, OSError) as error:
        reason = str(error).splitlines()[0]
        msg = f"No Docker engine answers at {host}: {reason}"
        raise EngineError(
            msg,
            why="no daemon runs, or this user may not talk to it",
            next="start it, set DOCKER_HOST, or use --engine sandbox",
        ) from error
    if not any("seccomp" in option for option in options):
        client.close()
        msg = f"The Docker engine at {host} lets containers use every system call."
        raise EngineError(
            msg,
            why="it, or its kernel, was built without seccomp",
            next="use another engine, or --engine sandbox",
        )
    return client
