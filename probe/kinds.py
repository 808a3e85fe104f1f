"""Names that only annotations use. At run time they are empty: nothing is imported for them."""

from __future__ import annotations

__all__ = ["Address", "Callable", "Steps", "TlsSession", "Wait"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol, TypeVar

    T = TypeVar("T")

    # What a task waits for: (file descriptor, poll events) pairs, and the latest time to wake up.
    Wait = tuple[tuple[tuple[int, int], ...], float]
    # A task: it yields waits and returns a T. See scheduler.run_tasks.
    Steps = Generator[Wait, None, T]

    # What to connect to: the family, the argument of connect(), and how messages call it.
    Address = tuple[int, tuple[str, int] | tuple[str, int, int, int] | bytes, str]

    class TlsSession(Protocol):
        """The interface of `_tls.wrap(...)`: 1 and 2 mean "wants to read" and "wants to write"."""

        def handshake(self) -> int:
            """Return 0 when done; raise OSError or ValueError with the reason when refused."""

        def read(self, size: int, /) -> bytes | int:
            """Return plain bytes, b"" at the end."""

        def write(self, data: bytes | memoryview, /) -> int:
            """Return the number of bytes taken, or -1 (wants to read), -2 (wants to write)."""

else:
    Address = Callable = Steps = TlsSession = Wait = object
