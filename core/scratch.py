"""Empty roots to try finished programs in: `builders.engines` makes them, `verify` runs programs in them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol


class RunResult(NamedTuple):
    """How one run ended; code 124 when it had to be ended."""

    code: int
    stdout: str
    stderr: str


class ScratchRoot(Protocol):
    """An empty root with one program in it."""

    def run(self, args: Sequence[str], *, seconds: float) -> RunResult:
        """Run the program: uid 65532, read-only, the machine's loopback network, no /tmp."""
        ...


class SmokeEnvironment(Protocol):
    """Makes empty roots."""

    @property
    def how(self) -> str:
        """``docker``, ``sandbox`` or ``qemu``: what the manifest says."""
        ...

    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> AbstractContextManager[ScratchRoot]:
        """Make an empty root that holds these files, one of which is the program."""
        ...
