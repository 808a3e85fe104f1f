"""All that the probe asks of the operating system, by CPython's built-in C modules.

Where the probe runs on MicroPython, a C module of the name `system` stands in its place, with the same names: the
checks know no other difference between the interpreters. Every failure is an OSError with its errno; "not now" is
never an exception but a value. Files and sockets are plain descriptors.
"""

from __future__ import annotations

import _socket
import errno
import posix
import select
import sys
import time

from probe.kinds import TlsSession

try:
    import _tls  # type: ignore[import-not-found]  # the frozen program's, C over mbedTLS
except (ImportError, SystemError):  # without importlib a failing import is a SystemError
    _tls = None
try:
    import _digest  # type: ignore[import-not-found]  # the frozen program's, C
except (ImportError, SystemError):
    _digest = None

INET, INET6, UNIX = _socket.AF_INET, _socket.AF_INET6, _socket.AF_UNIX
STREAM, DATAGRAM = _socket.SOCK_STREAM, _socket.SOCK_DGRAM
READABLE, WRITABLE = select.POLLIN, select.POLLOUT
AGAIN, IN_PROGRESS, REFUSED = errno.EAGAIN, errno.EINPROGRESS, errno.ECONNREFUSED
NO_ADDRESS, NO_FAMILY = errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT
BROKEN_PIPE, RESET, NOT_FOUND = errno.EPIPE, errno.ECONNRESET, errno.ENOENT

# A package on a plain Python has the ssl module beside it; a frozen one has `_tls`, or no TLS.
HAS_TLS = _tls is not None or __name__ == "probe.system"
HAS_ANCHORS = bool(_tls.BUNDLE) if _tls is not None else HAS_TLS


def arguments() -> list[bytes]:
    """Return the words of the command line, without the program's name."""
    encoding = sys.getfilesystemencoding()
    return [word.encode(encoding, "surrogateescape") for word in sys.argv[1:]]


def environment() -> dict[bytes, bytes]:
    """Return the environment; of two variables of one name, the first."""
    return posix.environ


def monotonic() -> float:
    """Return the seconds since some moment; the clock that is never set."""
    return time.monotonic()


def wall_clock() -> float:
    """Return the seconds since 1970."""
    return time.time()


def random_bytes(size: int) -> bytes:
    """Return bytes that nobody can foresee."""
    return posix.urandom(size)


def digest(name: str, data: bytes) -> bytes:
    """Return the digest of data: md5, sha1 or sha256. No other is here; it raises OSError."""
    if _digest is not None:
        made: bytes = _digest.digest(name, data)
        return made
    from probe.digests import plain_digest  # noqa: PLC0415  # a frozen program has no hashlib

    return plain_digest(name, data)


def hmac_rounds(key: bytes, data: bytes, rounds: int) -> bytes:
    """Return HMAC-SHA-256 of data, of that, and so on, `rounds` times: the last one, and behind it the XOR of all.

    With one round both halves are the plain HMAC. With more it is a part of PBKDF2, whose next part begins with the
    last of this one (RFC 8018, section 5.2). A thousand rounds take a millisecond or so.
    """
    if _digest is not None:
        made: bytes = _digest.hmac_rounds(key, data, rounds)
        return made
    from probe.digests import plain_hmac_rounds  # noqa: PLC0415

    return plain_hmac_rounds(key, data, rounds)


def error_text(number: int) -> str:
    """Return what the C library calls an errno."""
    return posix.strerror(number)


def end(code: int) -> None:
    """End the process now: nothing is left to clean up, and ending an interpreter costs more than a check."""
    posix._exit(code)


def process_id() -> int:
    """Return the number of this process."""
    return posix.getpid()


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are UTF-8 as RFC 3629 has it.

    Here, since MicroPython's decode() is lax, and a frozen CPython's that fails asks a registry of codecs, which is not
    there. So nothing may be decoded that has not been asked about here.
    """
    return data.decode("utf-8", "replace").encode() == data


def is_open(descriptor: int) -> bool:
    """Tell whether a descriptor is open."""
    try:
        posix.fstat(descriptor)
    except OSError:
        return False
    return True


def open_file(path: bytes) -> int:
    """Open a file for reading. It is not waited for: a FIFO must not block the probe."""
    return posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)


def read(descriptor: int, size: int) -> bytes:
    """Read up to `size` bytes of a file; nothing at its end."""
    return posix.read(descriptor, size)


def write(descriptor: int, data: bytes) -> int:
    """Write; return how many bytes were taken."""
    return posix.write(descriptor, data)


def close(descriptor: int) -> None:
    """Close a file or socket. Nothing can be done about a failure, so none is told."""
    try:
        posix.close(descriptor)
    except OSError:
        return


def file_status(path: bytes) -> tuple[int, int, float]:
    """Return mode, size in bytes, and the time of the last change in seconds since 1970."""
    status = posix.stat(path)
    return status.st_mode, status.st_size, status.st_mtime


def list_directory(path: bytes) -> list[bytes]:
    """Return the names in a directory, but . and .."""
    return posix.listdir(path)


def pack_address(family: int, text: str) -> bytes:
    """Return the 4 or 16 bytes of a literal address of this family, or none when it is no such literal."""
    try:
        return _socket.inet_pton(family, text)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return b""


def address_text(packed: bytes) -> str:
    """Write 4 or 16 bytes as an address."""
    return _socket.inet_ntop(INET if len(packed) == 4 else INET6, packed)


def interface_index(name: str) -> int:
    """Return the number of a network interface."""
    return _socket.if_nametoindex(name)


def open_socket(family: int, kind: int) -> int:
    """Open a socket that never blocks and that no other program inherits; TCP sends at once what it is given."""
    sock = _socket.socket(family, kind | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    if kind == STREAM and family != UNIX:
        # Else what follows a first small piece waits for its receipt, which the other side may delay by 40 ms.
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    return sock.detach()


def connect(descriptor: int, family: int, target: bytes, port: int, scope: int) -> int:
    """Begin to connect to a packed address, or to the path of a Unix socket; return 0 or the errno."""
    sock = _socket.socket(fileno=descriptor)
    try:
        if family == UNIX:
            return sock.connect_ex(target)
        if family == INET:
            return sock.connect_ex((address_text(target), port))
        return sock.connect_ex((address_text(target), port, 0, scope))
    finally:
        sock.detach()


def connection_error(descriptor: int) -> int:
    """Return 0 when a socket is connected, IN_PROGRESS when it is not yet, else the errno."""
    sock = _socket.socket(fileno=descriptor)
    try:
        try:
            peer = sock.getpeername()
        except OSError:
            return sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR) or IN_PROGRESS
        # A loopback port nobody listens on can become our own: TCP then connects us with ourselves.
        if sock.family != UNIX and sock.getsockname() == peer:
            return REFUSED
        return 0
    finally:
        sock.detach()


def receive(descriptor: int, size: int) -> bytes | None:
    """Return what has come, nothing at the end; None: nothing has come yet."""
    try:
        return posix.read(descriptor, size)
    except BlockingIOError:
        return None


def send(descriptor: int, data: bytes | bytearray | memoryview) -> int:
    """Send; return how many bytes were taken, or -1 when none can be now. No signal: SIGPIPE is ignored."""
    try:
        return posix.write(descriptor, data)
    except BlockingIOError:
        return -1


def wait(pairs: list[tuple[int, int]], seconds: float) -> list[int]:
    """Wait for (descriptor, events); return the descriptors that have something to say, if only an error."""
    poller = select.poll()
    for descriptor, events in pairs:
        poller.register(descriptor, events)
    return [descriptor for descriptor, _ in poller.poll(seconds * 1000)]  # rounded up


def open_tls(
    descriptor: int,
    name: bytes,
    authorities: bytes,
    insecure: bool,
    protocol: bytes,
    certificate: bytes,
    key: bytes,
) -> TlsSession:
    """Put TLS on a connected socket, where HAS_TLS. Certificates and key are PEM; empty: none.

    Without `authorities`, those inside the program are trusted. Raises ValueError with the reason (what is wrong with a
    certificate, the key, the protocol) or OSError.
    """
    if _tls is None:
        from probe.ssl_session import SslSession  # noqa: PLC0415  # a frozen program has no ssl

        return SslSession(descriptor, name, authorities, insecure, protocol, certificate, key)
    own = (certificate, key) if certificate else ()
    session: TlsSession = _tls.wrap(
        descriptor, name, authorities or None, int(insecure), protocol, *own
    )
    return session
