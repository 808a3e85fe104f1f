"""Connected sockets that never block: opened, read and written by tasks (see scheduler)."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.files import error_reason
from probe.kinds import Address, Steps, TlsSession
from probe.scheduler import Trace
from probe.system import (
    AGAIN,
    BROKEN_PIPE,
    IN_PROGRESS,
    NO_ADDRESS,
    NO_FAMILY,
    READABLE,
    REFUSED,
    RESET,
    STREAM,
    WRITABLE,
    close,
    connect,
    connection_error,
    error_text,
    monotonic,
    open_socket,
    receive,
    send,
)

READ_SIZE = 16384
NEXT_ADDRESS_AFTER = (
    0.25  # RFC 8305 section 5: a silent address must not eat the time of the others
)
WANTS_READ, WANTS_WRITE = 1, 2
CLOSED = -1


class Stream:
    """A connection with a read buffer. All reading is bounded by the caller and by the deadline."""

    def __init__(self, descriptor: int, peer: str, trace: Trace) -> None:
        self.descriptor = descriptor
        self.peer = peer
        self.trace = trace
        self.tls: TlsSession | None = None
        self.handshake_seconds = 0.0
        self.buffer = bytearray()

    def close(self) -> None:
        """Close the connection; twice does no harm."""
        if self.descriptor != CLOSED:
            close(self.descriptor)
            self.descriptor = CLOSED

    def wait(self, want: int, until: float = 0.0) -> Steps[None]:
        """Wait until the socket can be read (1) or written (2), or until some time."""
        events = READABLE if want == WANTS_READ else WRITABLE
        yield [(self.descriptor, events)], until or self.trace.deadline

    def fill(self, until: float = 0.0) -> Steps[bool]:
        """Read what has come into the buffer, if it comes before `until`; False when the other side has ended."""
        while True:
            self.trace.check()
            try:
                data = self._receive()
            except (OSError, ValueError) as error:
                msg = f"{error_reason(error)} while {self.trace.phase}"
                raise Unhealthy(msg) from None
            if not isinstance(data, int):
                self.buffer += data
                return bool(data)
            if until and monotonic() >= until:
                return True
            yield from self.wait(data, until)

    def send(self, data: bytes) -> Steps[None]:
        """Send all. A peer that has hung up is no error yet: it may have answered before it did."""
        view = memoryview(data)
        while view:
            self.trace.check()
            try:
                sent = self._transmit(view)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in {BROKEN_PIPE, RESET}:
                    return
                msg = f"{error_reason(error)} while {self.trace.phase}"
                raise Unhealthy(msg) from None
            if sent < 0:
                yield from self.wait(-sent)
            else:
                view = view[sent:]

    def take(self, size: int) -> bytes:
        """Take the first `size` bytes out of the buffer."""
        data = bytes(self.buffer[:size])
        self.buffer[:size] = b""
        return data

    def exactly(self, size: int) -> Steps[bytes]:
        """Take the next `size` bytes."""
        while len(self.buffer) < size:
            if not (yield from self.fill()):
                msg = f"closed by {self.peer} while {self.trace.phase}"
                raise Unhealthy(msg)
        return self.take(size)

    def line(self, limit: int) -> Steps[bytes]:
        """Take the next line, without its end (LF or CR LF)."""
        start = 0
        while True:
            end = self.buffer.find(b"\n", start)
            start = len(self.buffer)
            if end > limit or (end < 0 and start > limit):
                msg = f"{self.peer} sent a line of more than {limit} bytes"
                raise Unhealthy(msg)
            if end >= 0:
                data = self.take(end + 1)[:-1]
                return data[:-1] if data.endswith(b"\r") else data
            if not (yield from self.fill()):
                msg = f"closed by {self.peer} while {self.trace.phase}"
                raise Unhealthy(msg)

    def _receive(self) -> bytes | int:
        if self.tls is not None:
            return self.tls.read(READ_SIZE)
        data = receive(self.descriptor, READ_SIZE)
        return WANTS_READ if data is None else data

    def _transmit(self, view: memoryview) -> int:
        if self.tls is not None:
            return self.tls.write(view)
        sent = send(self.descriptor, view)
        return -WANTS_WRITE if sent < 0 else sent


class Failures:
    """Why no connection was made: the labels of the addresses, under the reason they share."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.labels: dict[str, list[str]] = {}

    def remember(self, code: int, label: str) -> None:
        """Remember that this address failed."""
        reason = _connect_reason(code)
        if reason not in self.labels:
            self.reasons.append(reason)
            self.labels[reason] = []
        self.labels[reason].append(label)

    def text(self) -> str:
        """Return all that failed, and a hint."""
        parts = [f"{reason} {' and '.join(self.labels[reason])}" for reason in self.reasons]
        if self.reasons == ["refused by"]:
            parts[0] += " (is the app listening there?)"
        return "; ".join(parts) or "no address to connect to"


def open_stream(addresses: list[Address], trace: Trace) -> Steps[Stream]:
    """Connect to the first address that answers; the next is tried when one fails or is slow."""
    queue = list(addresses)
    pending: list[tuple[int, str]] = []
    failures = Failures()
    next_start = 0.0
    try:
        while queue or pending:
            if queue and (not pending or monotonic() >= next_start):
                address = queue.pop(0)
                label = address[4]
                next_start = monotonic() + NEXT_ADDRESS_AFTER
                code, descriptor = _start_connecting(address)
                if not code:
                    pending.append((descriptor, label))
                elif code == AGAIN:
                    # A Unix socket whose backlog is full: there is nothing to poll for.
                    trace.phase = f"waiting for room in the backlog of {label}"
                    trace.check()
                    yield [], monotonic() + 0.02
                    queue.insert(0, address)
                else:
                    failures.remember(code, label)
                continue
            trace.phase = "connecting to " + " and ".join([label for _, label in pending])
            if failures.reasons:
                trace.phase += f" ({failures.text()})"
            pairs = [(descriptor, WRITABLE) for descriptor, _ in pending]
            yield pairs, next_start if queue else trace.deadline
            for descriptor, label in list(pending):
                code = connection_error(descriptor)
                if code == IN_PROGRESS:
                    continue
                pending.remove((descriptor, label))
                if not code:
                    return Stream(descriptor, label, trace)
                close(descriptor)
                failures.remember(code, label)
            if pending:
                trace.check()
        raise Unhealthy(failures.text())
    finally:
        for descriptor, _ in pending:
            close(descriptor)


def _start_connecting(address: Address) -> tuple[int, int]:
    """Return (0, a socket that is connecting), or (errno, no socket)."""
    family, target, port, scope, _ = address
    try:
        descriptor = open_socket(family, STREAM)
    except OSError as error:
        return error.errno or NO_FAMILY, CLOSED
    code = connect(descriptor, family, target, port, scope)
    if code in {0, IN_PROGRESS}:
        return 0, descriptor
    close(descriptor)
    return code, CLOSED


def _connect_reason(code: int) -> str:
    if code == REFUSED:
        return "refused by"
    if code in {NO_ADDRESS, NO_FAMILY}:
        return "no such network here:"
    return error_text(code).lower() + ":"
