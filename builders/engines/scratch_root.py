"""Empty roots to try finished programs in: only the program, uid 65532, read-only, no /tmp, the machine's loopback."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from builders.engines.directory import fresh_directory
from builders.engines.docker import connect, create, engine_errors, is_local, wait_for, write_tar
from builders.engines.engine import EngineSetup
from builders.engines.isolation import Backend, Bind, find_backend, make_empty, sandbox_command
from builders.engines.process import run_process
from core.cancel import CancelToken
from core.errors import EngineError
from core.scratch import RunResult

if TYPE_CHECKING:
    import docker

USER = 65532
"""The "nonroot" user of distroless images."""

PROGRAM = PurePosixPath("/program")
"""The program's path, unless another is given."""
QEMU = PurePosixPath("/qemu")
LATE = 124

DOING = "a smoke run"


@dataclass(frozen=True, kw_only=True)
class SandboxRoot:
    """An empty root on this machine."""

    environment: "SandboxEnvironment"
    files: Mapping[PurePosixPath, Path]
    argv: tuple[str, ...]
    """The program, after its emulator."""
    empty: Path

    def run(
        self, args: Sequence[str], *, seconds: float, env: Mapping[str, str] | None = None
    ) -> RunResult:
        """Run the program with ``env`` and nothing else of this process's environment but PATH."""
        argv = sandbox_command(
            self.environment.backend,
            [*self.argv, *args],
            binds=[Bind(path=path, inside=inside) for inside, path in self.files.items()],
            network=True,
            user=USER,
            temporary=False,
            processes=False,
            empty=self.empty,
        )
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            ended = run_process(
                argv,
                stdout=stdout,
                stderr=stderr,
                env={"PATH": os.defpath, **(env or {})},
                seconds=seconds,
                cancel=self.environment.cancel,
                doing=DOING,
            )
            texts = []
            for stream in (stdout, stderr):
                stream.seek(0)
                texts.append(stream.read().decode("utf-8", "replace"))
        return RunResult(ended.code if ended else LATE, *texts)


@dataclass(frozen=True, kw_only=True)
class SandboxEnvironment:
    """Empty roots without a daemon; for a foreign target with its qemu inside."""

    backend: Backend
    scratch: Path
    emulator: Path | None = None
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def how(self) -> str:
        return "qemu" if self.emulator else "sandbox"

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath = PROGRAM
    ) -> Iterator[SandboxRoot]:
        argv: tuple[str, ...] = (str(program),)
        with fresh_directory(self.scratch, "room") as directory:
            # A blob of the cache is not executable.
            files = {**files, program: _executable(files[program], directory)}
            if self.emulator:
                files[QEMU] = self.emulator
                argv = (str(QEMU), *argv)
            empty = make_empty(directory)
            yield SandboxRoot(environment=self, files=files, argv=argv, empty=empty)


@dataclass(frozen=True, kw_only=True)
class DockerRoot:
    """A scratch image; every run is a container of it."""

    environment: "DockerEnvironment"
    image: str
    program: PurePosixPath

    def run(self, args: Sequence[str], *, seconds: float) -> RunResult:
        """Run the program in a fresh container."""
        with engine_errors():
            container = create(
                self.environment.client,
                self.image,
                [str(self.program), *args],
                user=f"{USER}:{USER}",
                network_mode="host",  # the servers listen on the machine's loopback
            )
            try:
                container.start()
                code = wait_for(container, seconds, self.environment.cancel, doing=DOING)
                stdout = container.logs(stdout=True, stderr=False).decode("utf-8", "replace")
                stderr = container.logs(stdout=False, stderr=True).decode("utf-8", "replace")
            finally:
                container.remove(force=True, v=True)
        return RunResult(LATE if code is None else code, stdout, stderr)


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
        tag = f"smoke-{os.getpid()}-{os.urandom(4).hex()}"
        with fresh_directory(self.scratch, "room") as directory:
            copies = [
                (_executable(path, directory, inside.name), PurePosixPath(inside.name))
                for inside, path in files.items()
            ]
            archive = directory / "root.tar"
            with archive.open("wb") as file:
                write_tar(file, copies)
            with engine_errors():
                self.client.api.import_image_from_file(
                    str(archive), repository="fromscratch-smoke", tag=tag
                )
        image = f"fromscratch-smoke:{tag}"
        try:
            yield DockerRoot(environment=self, image=image, program=program)
        finally:
            with engine_errors():
                self.client.images.remove(image, force=True)


def _executable(path: Path, directory: Path, name: str = "program") -> Path:
    copy = directory / name
    shutil.copyfile(path, copy)
    copy.chmod(0o755)
    return copy


def docker_environment(setup: EngineSetup, emulator: Path | None) -> DockerEnvironment:
    """Return scratch containers. Raises EngineError when the engine cannot run them here."""
    if emulator:
        msg = "Containers hold no emulator."
        raise EngineError(msg)
    client = connect()
    if not is_local(client):
        msg = "The Docker engine is on another machine: its containers do not reach servers on this one."
        raise EngineError(msg)
    return DockerEnvironment(client=client, scratch=setup.scratch, cancel=setup.cancel)


def sandbox_environment(setup: EngineSetup, emulator: Path | None) -> SandboxEnvironment:
    """Return empty roots on this machine. Raises EngineError when no sandbox works here."""
    return SandboxEnvironment(
        backend=find_backend(setup.scratch),
        scratch=setup.scratch,
        emulator=emulator,
        cancel=setup.cancel,
    )
