"""TLS by the ssl module of a plain Python, for `python -m probe`: the frozen programs have mbedTLS in its place."""

from __future__ import annotations

import os
import posix
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

WANTS_READ, WANTS_WRITE = 1, 2
RECORD_SIZE = 16384
# The last: the key is of another kind.
MISFITS = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}


class SslSession:
    """What system.open_tls returns, over ssl.MemoryBIO: ssl itself wants to own the socket."""

    def __init__(
        self,
        descriptor: int,
        name: bytes,
        authorities: bytes,
        insecure: bool,
        protocol: bytes,
        certificate: bytes,
        key: bytes,
    ) -> None:
        self.descriptor = descriptor
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.unsent = b""
        try:
            context = ssl.create_default_context(
                cadata=authorities.decode("ascii", "replace") if authorities else None
            )
            if insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if protocol:
                context.set_alpn_protocols([protocol.decode("ascii")])
            if certificate:
                _load_certificate(context, certificate, key)
            self.session = context.wrap_bio(
                self.incoming, self.outgoing, server_hostname=name.decode("ascii")
            )
        except ssl.SSLError as error:
            raise _refusal(error) from None

    def flush(self) -> bool:
        """Send what is to be sent; False when not all can be now."""
        self.unsent += self.outgoing.read()
        while self.unsent:
            try:
                self.unsent = self.unsent[posix.write(self.descriptor, self.unsent) :]
            except BlockingIOError:
                return False
        return True

    def pull(self) -> bool:
        """Take what has come; False when nothing has."""
        try:
            data = posix.read(self.descriptor, RECORD_SIZE)
        except BlockingIOError:
            return False
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return True

    def exchange(self) -> int:
        """Do what the session waits for: 0 when that was possible, else what to wait for."""
        if not self.flush():
            return WANTS_WRITE
        return 0 if self.pull() else WANTS_READ

    def handshake(self) -> int:
        """Return 0 when it is done, else what to wait for."""
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                want = self.exchange()
                if want:
                    return want
            except ssl.SSLError as error:
                self.flush()  # the alert that tells the server why
                raise _refusal(error) from None
            else:
                return 0 if self.flush() else WANTS_WRITE

    def read(self, size: int) -> bytes | int:
        """Return plain bytes, none at the end; or what to wait for."""
        while True:
            try:
                return self.session.read(size)
            except ssl.SSLWantReadError:
                want = self.exchange()
                if want:
                    return want
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""
            except ssl.SSLError as error:
                raise _refusal(error) from None

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Return how many bytes were taken, or what to wait for, below zero."""
        if not self.flush():
            return -WANTS_WRITE
        try:
            sent = self.session.write(data)
        except ssl.SSLError as error:
            raise _refusal(error) from None
        self.flush()
        return sent


def _load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load both from memory: ssl knows files only, and a key must not be left on a disk."""
    with _in_memory(certificate) as first, _in_memory(key) as second:
        try:
            # A password that is asked for would be read from the terminal.
            context.load_cert_chain(first, second, password="")
        except ssl.SSLError as error:
            if error.reason not in MISFITS:
                raise
            msg = "the client's key does not fit its certificate"
            raise ValueError(msg) from None


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """Give a path under which the data can be read."""
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _refusal(error: ssl.SSLError) -> ValueError:
    """Return an error of ssl, whose errno is none of the system's, as the text of a ValueError."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ValueError(error.verify_message)
    return ValueError(error.reason or str(error))
