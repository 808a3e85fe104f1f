"""Empty roots in containers: scratch images that hold the program alone, see `builders.engines.scratch_root`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import docker

from builders.engines.directory import fresh_directory
from builders.engines.docker import connect, create, engine_errors, wait_for, write_tar
from builders.engines.engine import Emulator, EngineSetup
from builders.engines.scratch_root import DOING, LATE, PROGRAM, USER, executable_copy
from core.cancel import CancelToken
from core.errors import EngineError
from core.scratch import RunResult


@dataclass(frozen=True, kw_only=True)
class DockerRoot:
    """A scratch image; every run is a container of it."""

    environment: "DockerEnvironment"
    image: str
    program: PurePosixPath
    owner: Path | None = None

    def run(self, args: Sequence[str], *, seconds: float) -> RunResult:
        with engine_errors():
            container = create(
                self.environment.client,
                self.image,
                [str(self.program), *args],
                owner=self.owner,
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

    client: docker.DockerClient
    scratch: Path
    how: str = "docker"
    cancel: CancelToken = field(default_factory=CancelToken)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath = PROGRAM
    ) -> Iterator[DockerRoot]:
        """Make a scratch image with these files; it is removed at the end."""
        repository, tag = "fromscratch-smoke", f"smoke-{os.getpid()}-{os.urandom(4).hex()}"
        image = f"{repository}:{tag}"
        with fresh_directory(self.scratch, "room") as directory:
            copies = [
                (executable_copy(path, directory, inside.name), PurePosixPath(inside.name))
                for inside, path in files.items()
            ]
            archive = directory / "root.tar"
            with archive.open("wb") as file:
                write_tar(file, copies)
            with engine_errors():
                self.client.api.import_image_from_file(str(archive), repository=repository, tag=tag)
            archive.unlink()
            try:
                yield DockerRoot(environment=self, image=image, program=program, owner=directory)
            finally:
                with engine_errors():
                    self.client.images.remove(image, force=True)


def docker_environment(setup: EngineSetup, emulator: Emulator | None) -> DockerEnvironment:
    """Return scratch containers. Raises EngineError when the engine cannot run them here."""
    if emulator:
        msg = "Containers hold no emulator."
        raise EngineError(msg)
    client = connect()
    # Else the container does not share this machine's loopback network.
    if not str(client.api.base_url).startswith("http+docker://local"):
        msg = "The Docker engine is on another machine: its containers do not reach servers on this one."
        raise EngineError(msg)
    return DockerEnvironment(client=client, scratch=setup.scratch, cancel=setup.cancel)
