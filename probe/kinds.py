"""Names that only annotations use. At run time they are empty: nothing is imported for them."""

from __future__ import annotations

__all__ = ["Address", "Callable", "Option", "Steps", "TlsSession", "Wait"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol, TypeVar

    T = TypeVar("T")

    # What a task waits for: (descriptor, poll events) pairs, and the latest time to wake up.
    Wait = tuple[list[tuple[int, int]], float]
    # A task: it yields waits and returns a T. See scheduler.run_tasks.
    Steps = Generator[Wait, None, T]

    # What to connect to: family, packed address or path of a Unix socket, port, scope; how messages call it.
    Address = tuple[int, bytes, int, int, str]

    # A row of a table of options: name, kind, default, help.
    Option = tuple[str, str, str, str]

    class TlsSession(Protocol):
        """What system.open_tls returns: 1 and 2 mean "wants to read" and "wants to write"."""

        def handshake(self) -> int:
            """Return 0 when done; raise OSError or ValueError with the reason when refused."""

        def read(self, size: int) -> bytes | int:
            """Return plain bytes, b"" at the end."""

        def write(self, data: bytes | bytearray | memoryview) -> int:
            """Return the number of bytes taken, or -1 (wants to read), -2 (wants to write)."""

else:
    Address = Callable = Option = Steps = TlsSession = Wait = object
