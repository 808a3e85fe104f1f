"""Connected sockets that never block: opened, read and written by tasks (see scheduler)."""

from __future__ import annotations

import _socket
from errno import EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EINPROGRESS
from posix import strerror
from select import POLLIN, POLLOUT
from time import monotonic

from probe.errors import Unhealthy
from probe.kinds import Address, Steps, TlsSession
from probe.scheduler import Trace

READ_SIZE = 16384
NEXT_ADDRESS_AFTER = (
    0.25  # RFC 8305 section 5: a silent address must not eat the time of the others
)


class Stream:
    """A connection with a read buffer. All reading is bounded by the caller and by the deadline."""

    def __init__(self, sock: _socket.socket, peer: str, trace: Trace) -> None:
        self.sock = sock
        self.peer = peer
        self.trace = trace
        self.tls: TlsSession | None = None
        self.buffer = bytearray()

    def close(self) -> None:
        """Close the connection; twice does no harm."""
        self.sock.close()

    def wait(self, want: int) -> Steps[None]:
        """Wait until the socket can be read (1) or written (2)."""
        yield ((self.sock.fileno(), POLLIN if want == 1 else POLLOUT),), self.trace.deadline

    def fill(self) -> Steps[bool]:
        """Read what has come into the buffer; False when the other side has ended."""
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
            yield from self.wait(data)

    def send(self, data: bytes) -> Steps[None]:
        """Send all. A peer that has hung up is no error yet: it may have answered before it did."""
        view = memoryview(data)
        while view:
            self.trace.check()
            try:
                sent = self._transmit(view)
            except (BrokenPipeError, ConnectionResetError):
                return
            except (OSError, ValueError) as error:
                msg = f"{error_reason(error)} while {self.trace.phase}"
                raise Unhealthy(msg) from None
            if sent < 0:
                yield from self.wait(-sent)
            else:
                view = view[sent:]

    def exactly(self, size: int) -> Steps[bytes]:
        """Take the next `size` bytes."""
        while len(self.buffer) < size:
            if not (yield from self.fill()):
                msg = f"closed by {self.peer} while {self.trace.phase}"
                raise Unhealthy(msg)
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

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
                data = bytes(self.buffer[:end])
                del self.buffer[: end + 1]
                return data[:-1] if data.endswith(b"\r") else data
            if not (yield from self.fill()):
                msg = f"closed by {self.peer} while {self.trace.phase}"
                raise Unhealthy(msg)

    def _receive(self) -> bytes | int:
        if self.tls is not None:
            return self.tls.read(READ_SIZE)
        try:
            return self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return 1

    def _transmit(self, view: memoryview) -> int:
        if self.tls is not None:
            return self.tls.write(view)
        try:
            # Without MSG_NOSIGNAL a hung-up peer would kill a probe that does not ignore SIGPIPE.
            return self.sock.send(view, _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return -2


def open_stream(addresses: list[Address], trace: Trace) -> Steps[Stream]:
    """Connect to the first address that answers; the next is tried when one fails or is slow."""
    queue = list(addresses)
    pending: dict[int, tuple[_socket.socket, Address]] = {}
    failures: dict[str, list[str]] = {}
    next_start = 0.0
    try:
        while queue or pending:
            if queue and (not pending or monotonic() >= next_start):
                address = queue.pop(0)
                next_start = monotonic() + NEXT_ADDRESS_AFTER
                code, sock = _start_connecting(address)
                if sock is not None:
                    pending[sock.fileno()] = (sock, address)
                elif (
                    code == EAGAIN
                ):  # a Unix socket whose backlog is full: there is nothing to poll for
                    trace.phase = f"waiting for room in the backlog of {address[2]}"
                    trace.check()
                    yield (), monotonic() + 0.02
                    queue.insert(0, address)
                else:
                    failures.setdefault(_connect_reason(code), []).append(address[2])
                continue
            trace.phase = _connecting(pending, failures)
            pairs = tuple((descriptor, POLLOUT) for descriptor in pending)
            yield pairs, next_start if queue else trace.deadline
            for descriptor, (sock, address) in list(pending.items()):
                code = _connect_state(sock)
                if code == EINPROGRESS:
                    continue
                del pending[descriptor]
                if not code:
                    return Stream(sock, address[2], trace)
                sock.close()
                failures.setdefault(_connect_reason(code), []).append(address[2])
        raise Unhealthy(_describe(failures))
    finally:
        for sock, _ in pending.values():
            sock.close()


def _start_connecting(address: Address) -> tuple[int, _socket.socket | None]:
    family, target, _ = address
    try:
        sock = _socket.socket(
            family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
        )
    except OSError as error:
        return error.errno or EAFNOSUPPORT, None
    code = sock.connect_ex(target)
    if code in {0, EINPROGRESS}:
        return 0, sock
    sock.close()
    return code, None


def _connect_state(sock: _socket.socket) -> int:
    """Return 0 when connected, EINPROGRESS when not yet, else the error."""
    try:
        peer = sock.getpeername()
    except OSError:
        return sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR) or EINPROGRESS
    # A loopback port nobody listens on can become our own: TCP then connects us with ourselves.
    if sock.family != _socket.AF_UNIX and sock.getsockname() == peer:
        return ECONNREFUSED
    return 0


def _connecting(
    pending: dict[int, tuple[_socket.socket, Address]], failures: dict[str, list[str]]
) -> str:
    text = "connecting to " + " and ".join([address[2] for _, address in pending.values()])
    return f"{text} ({_describe(failures)})" if failures else text


def _connect_reason(code: int) -> str:
    if code == ECONNREFUSED:
        return "refused by"
    if code in {EADDRNOTAVAIL, EAFNOSUPPORT}:
        return "no such network here:"
    return strerror(code).lower() + ":"


def _describe(failures: dict[str, list[str]]) -> str:
    text = "; ".join([f"{reason} {' and '.join(labels)}" for reason, labels in failures.items()])
    if list(failures) == ["refused by"]:
        text += " (is the app listening there?)"
    return text or "no address to connect to"


def error_reason(error: OSError | ValueError) -> str:
    """Return the short text of an error of the operating system or of TLS."""
    if isinstance(error, OSError) and error.errno and error.strerror:
        return error.strerror.lower()
    return str(error)
