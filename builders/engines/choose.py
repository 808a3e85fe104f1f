"""Which engine: the one asked for, or the first of docker, sandbox, host that works. Says why."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from builders.engines.engine import Engine, EngineName
from builders.engines.host import HostEngine
from builders.engines.isolation import Backend, try_backend
from builders.engines.sandbox import SandboxEngine
from builders.toolchain import Toolchain
from core.cancel import CancelToken
from core.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One engine, looked at."""

    name: EngineName
    works: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """All that is needed to make an engine of any kind."""

    toolchain: Toolchain
    scratch: Path
    base_image: str
    mirrors: tuple[str, ...]
    """Debian base URLs for the base of the builder image."""
    cancel: CancelToken

    def choose(self, wanted: EngineName) -> Engine:
        """Return the engine. Raises EngineError with every reason when none works."""
        if wanted is not EngineName.AUTO:
            return self.make(wanted)
        reasons: list[str] = []
        for name in (EngineName.DOCKER, EngineName.SANDBOX, EngineName.HOST):
            try:
                return self.make(name)
            except EngineError as error:
                reasons.append(error.what)
        msg = "No engine works here:\n  " + "\n  ".join(reasons)
        raise EngineError(msg, next="inv doctor")

    def candidates(self) -> Iterator[Candidate]:
        """Look at every engine, without making anything."""
        from builders.engines.docker import connect  # noqa: PLC0415 - not needed for the others

        try:
            version = connect().version()["Version"]
            yield Candidate(name=EngineName.DOCKER, works=True, reason=f"engine {version}")
        except EngineError as error:
            yield Candidate(name=EngineName.DOCKER, works=False, reason=error.what)
        for backend in Backend:
            trouble = try_backend(backend, self.scratch)
            reason = f"{backend.value}: {trouble or 'works'}"
            yield Candidate(name=EngineName.SANDBOX, works=not trouble, reason=reason)
        reason = "always works; a step is not isolated"
        yield Candidate(name=EngineName.HOST, works=True, reason=reason)

    def make(self, name: EngineName) -> Engine:
        """Return the engine called ``name``. Raises EngineError when it does not work here."""
        match name:
            case EngineName.AUTO:
                return self.choose(name)
            case EngineName.DOCKER:
                from builders.engines.base import builder_image  # noqa: PLC0415
                from builders.engines.docker import DockerEngine, connect  # noqa: PLC0415

                client = connect()
                image = builder_image(
                    client,
                    self.toolchain,
                    base=self.base_image,
                    mirrors=self.mirrors,
                    scratch=self.scratch,
                    cancel=self.cancel,
                )
                return DockerEngine(client, image, self.cancel)
            case EngineName.SANDBOX:
                backend = self.backend()
                return SandboxEngine(self.toolchain, self.scratch, self.cancel, backend=backend)
            case EngineName.HOST:
                return HostEngine(self.toolchain, self.scratch, self.cancel)
            case _:
                assert_never(name)

    def backend(self) -> Backend:
        """Return the better wall that works. Raises EngineError with both reasons."""
        troubles: list[str] = []
        for backend in Backend:
            trouble = try_backend(backend, self.scratch)
            if not trouble:
                return backend
            troubles.append(trouble)
        msg = "No sandbox works here: " + "; ".join(troubles)
        raise EngineError(msg, next="apt-get install -y bubblewrap, or --engine host")
