"""What Nuitka's runtime imports at start, as one small module under several names. No file system is behind it."""

import posix
import sys


class path:
    """As much of os.path as the runtime calls."""

    @staticmethod
    def join(*parts: str) -> str:
        """Join with slashes."""
        return "/".join(parts)


class ModuleSpec:
    """importlib.machinery's, without a finder behind it."""

    def __init__(self, *args: object, **more: object) -> None:
        pass


def _spec_from_module(module: object) -> ModuleSpec:
    """importlib._bootstrap's."""
    return ModuleSpec()


def empty() -> None:
    """The pattern of the runtime's own code objects."""


environ = posix.environ
for name in ("importlib", "importlib._bootstrap", "importlib.machinery"):
    sys.modules[name] = sys.modules["os"]
