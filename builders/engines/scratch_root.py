"""Empty roots to try programs in: only the program, uid 65532, read-only, no /tmp, the loopback of this machine."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from builders.engines.directory import fresh_directory, refuse_noexec
from builders.engines.engine import Emulator, EngineSetup
from builders.engines.isolation import Backend, Bind, Isolation, View, find_backend
from builders.engines.process import run_process
from builders.engines.user import step_user
from core.cancel import CancelToken
from core.scratch import RunResult

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
    directory: Path
    """For what isolates the program."""

    def run(
        self, args: Sequence[str], *, seconds: float, env: Mapping[str, str] | None = None
    ) -> RunResult:
        """Run the program with ``env`` and nothing else of this process's environment but PATH."""
        view = View(
            binds=[Bind(path=path, inside=inside) for inside, path in self.files.items()],
            network=True,
            user=USER,
            temporary=False,
            processes=False,
        )
        isolation = Isolation(backend=self.environment.backend, files=self.directory)
        user = None if step_user() is None else USER
        argv = isolation.command([*self.argv, *args], view, user=user)
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
    emulator: Emulator | None = None
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
            refuse_noexec(directory)
            files = {**files, program: executable_copy(files[program], directory)}
            if self.emulator:
                files[QEMU] = self.emulator.path
                argv = (*self.emulator.command(QEMU), *argv)
            directory.chmod(0o711)  # the program's user has to find it
            yield SandboxRoot(environment=self, files=files, argv=argv, directory=directory)


def executable_copy(path: Path, directory: Path, name: str = "program") -> Path:
    """Return a copy that can be run: a blob of the cache is not executable."""
    copy = directory / name
    shutil.copyfile(path, copy)
    copy.chmod(0o755)
    return copy


def sandbox_environment(setup: EngineSetup, emulator: Emulator | None) -> SandboxEnvironment:
    """Return empty roots on this machine. Raises EngineError when no sandbox works here."""
    return SandboxEnvironment(
        backend=find_backend(setup.scratch),
        scratch=setup.scratch,
        emulator=emulator,
        cancel=setup.cancel,
    )
