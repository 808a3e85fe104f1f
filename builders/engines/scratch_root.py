"""Empty roots to try finished programs in: only the program, uid 65532, read-only, no /tmp, the machine's loopback."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.engines.docker import LABEL, engine_errors, write_tar
from builders.engines.isolation import Backend, Bind, sandbox_command
from builders.engines.process import end_family
from core.cancel import Cancelled, CancelToken
from core.target import Target

if TYPE_CHECKING:
    import docker

USER = 65532
"""The "nonroot" user of distroless images."""

PROGRAM = PurePosixPath("/program")
"""Where the program is, when nobody says otherwise."""
QEMU = PurePosixPath("/qemu")
LATE = 124

GLANCE = 0.2
"""Seconds between two looks at whether everything is to stop."""


class Ran(NamedTuple):
    """How one run ended; code 124 when it had to be ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class SandboxRoot:
    """An empty root behind a wall."""

    backend: Backend
    files: Mapping[PurePosixPath, Path]
    launcher: tuple[str, ...]
    empty: Path
    program: PurePosixPath = PROGRAM
    cancel: CancelToken = field(default_factory=CancelToken)

    def run(
        self, args: Sequence[str], *, seconds: float, env: Mapping[str, str] | None = None
    ) -> Ran:
        """Run the program with ``env`` and nothing else of this process's environment but PATH."""
        binds = [Bind(path=path, place=place) for place, path in self.files.items()]
        words = sandbox_command(
            self.backend,
            [*self.launcher, str(self.program), *args],
            binds=binds,
            network=True,
            user=USER,
            temporary=False,
            processes=False,
            empty=self.empty,
        )
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.defpath, **(env or {})},
            start_new_session=True,
        )
        try:
            code, stdout, stderr = _end_of(process, seconds, self.cancel)
        finally:
            end_family(process)
        return Ran(code, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))


@dataclass(frozen=True, kw_only=True)
class SandboxEnvironment:
    """Empty roots without a daemon; for a foreign target with its qemu inside."""

    backend: Backend
    scratch: Path
    emulator: Path | None = None
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def how(self) -> str:
        """What the manifest says."""
        return "qemu" if self.emulator else "sandbox"

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath = PROGRAM
    ) -> Iterator[SandboxRoot]:
        """Make an empty root with these files, one of which is the program."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"room-{os.getpid()}-", dir=self.scratch) as name:
            directory = Path(name)
            copy = directory / "program"
            shutil.copyfile(files[program], copy)  # a blob of the cache is not executable
            copy.chmod(0o755)
            inside = {**files, program: copy}
            launcher: tuple[str, ...] = ()
            if self.emulator:
                inside[QEMU] = self.emulator
                launcher = (str(QEMU),)
            empty = directory / "empty"
            empty.mkdir()
            yield SandboxRoot(
                backend=self.backend,
                files=inside,
                launcher=launcher,
                empty=empty,
                program=program,
                cancel=self.cancel,
            )


@dataclass(frozen=True, kw_only=True)
class DockerRoot:
    """A scratch image; every run is a container of it."""

    client: "docker.DockerClient"
    image: str
    program: PurePosixPath = PROGRAM
    cancel: CancelToken = field(default_factory=CancelToken)

    def run(self, args: Sequence[str], *, seconds: float) -> Ran:
        """Run the program in a fresh container."""
        import requests  # noqa: PLC0415

        with engine_errors():
            container: Any = self.client.containers.create(
                self.image,
                [str(self.program), *args],
                user=f"{USER}:{USER}",
                read_only=True,
                network_mode="host",  # the servers listen on the machine's loopback
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                labels={LABEL: str(os.getpid())},
            )
            try:
                container.start()
                code, deadline = LATE, time.monotonic() + seconds
                while time.monotonic() < deadline:
                    with suppress(requests.ReadTimeout, requests.ConnectionError):
                        code = int(container.wait(timeout=GLANCE)["StatusCode"])
                        break
                    _look(self.cancel)
                    self.client.ping()  # raises when the engine is gone, not merely busy
                stdout = container.logs(stdout=True, stderr=False).decode("utf-8", "replace")
                stderr = container.logs(stdout=False, stderr=True).decode("utf-8", "replace")
            finally:
                container.remove(force=True, v=True)
        return Ran(code, stdout, stderr)


@dataclass(frozen=True, kw_only=True)
class DockerEnvironment:
    """Scratch containers of a local engine."""

    client: "docker.DockerClient"
    scratch: Path
    how: str = "docker"
    cancel: CancelToken = field(default_factory=CancelToken)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath = PROGRAM
    ) -> Iterator[DockerRoot]:
        """Make a scratch image with these files; it is removed at the end."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        tag = f"smoke-{os.getpid()}-{os.urandom(4).hex()}"
        with tempfile.TemporaryDirectory(prefix=f"room-{os.getpid()}-", dir=self.scratch) as name:
            parts = []
            for place, path in files.items():
                copy = Path(name) / place.name
                shutil.copyfile(path, copy)
                copy.chmod(0o755)
                parts.append((copy, PurePosixPath(place.name)))
            archive = Path(name) / "root.tar"
            with archive.open("wb") as file:
                write_tar(file, parts)
            with engine_errors():
                self.client.api.import_image_from_file(
                    str(archive), repository="fromscratch-smoke", tag=tag
                )
        image = f"fromscratch-smoke:{tag}"
        try:
            yield DockerRoot(client=self.client, image=image, program=program, cancel=self.cancel)
        finally:
            with engine_errors():
                self.client.images.remove(image, force=True)


def _end_of(
    process: "subprocess.Popen[bytes]", seconds: float, cancel: CancelToken
) -> tuple[int, bytes, bytes]:
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            said = process.communicate(timeout=max(0, min(GLANCE, left)))
            return (process.returncode, *said)
        _look(cancel)
        if left <= 0:
            end_family(process)
            return (LATE, *process.communicate())


def _look(cancel: CancelToken) -> None:
    if cancel:
        msg = "Cancelled: a smoke run"
        raise Cancelled(msg)


def emulator(target: Target) -> Path | None:
    """Return the static qemu for ``target``, or None when it is not installed."""
    found = shutil.which(f"qemu-{target.machine.arch}-static")
    return Path(found) if found else None
