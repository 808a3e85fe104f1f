"""The engine without isolation: steps run as ordinary programs of this machine. The last resort."""

from pathlib import Path, PurePosixPath

from builders.engines.directory import DirectoryEngine, DirectorySandbox
from builders.engines.engine import Command, EngineKind
from builders.toolchain import Toolchain
from core.cancel import CancelToken


class HostSandbox(DirectorySandbox):
    """A directory, seen as what it is; the toolchain is links beside it."""

    def __init__(self, directory: Path, toolchain: Toolchain, cancel: CancelToken) -> None:
        super().__init__(directory, toolchain, cancel)
        self.root = PurePosixPath(directory)
        self.toolchain = self.root.with_name("toolchain")

    def run(self, command: Command) -> int:
        for inside, path in self.installed.parts():
            link = Path(self.toolchain / inside)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        self.directory.mkdir(exist_ok=True)
        return self.run_logged(command.argv, command, env=command.env, cwd=self.directory)


class HostEngine(DirectoryEngine):
    """Nothing is hidden from a step but the environment."""

    name = "host"
    isolated = False

    def open(self, directory: Path, cancel: CancelToken) -> HostSandbox:
        return HostSandbox(directory / "box", self.setup.toolchain, cancel)


ENGINE = EngineKind(
    make=HostEngine, examine=lambda _: [(True, "always works; a step is not isolated")]
)
