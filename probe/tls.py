"""TLS by `_tls` (C over mbedTLS, in frozen builds) or by the ssl module of a plain Python."""

from __future__ import annotations

import _socket

from probe.errors import Unhealthy, Usage
from probe.files import read_bytes
from probe.kinds import Steps, TlsSession
from probe.options import Options
from probe.stream import READ_SIZE, Stream, error_reason
from probe.values import encode_text

LARGEST_CA_FILE = 1 << 20


def start_tls(stream: Stream, host: str, options: Options, alpn: bytes) -> Steps[None]:
    """Put TLS on a connection; the certificate is checked unless --insecure."""
    stream.trace.phase = f"making the TLS handshake with {stream.peer}"
    name = options.text("server-name") or host
    ca_pem = _read_ca_file(options.text("ca-file"))
    try:
        stream.tls = _wrap(stream.sock, encode_text(name), ca_pem, options.flag("insecure"), alpn)
        while want := stream.tls.handshake():
            yield from stream.wait(want)
            stream.trace.check()
    except (OSError, ValueError) as error:
        msg = f"TLS with {stream.peer} failed: {error_reason(error)}"
        raise Unhealthy(msg) from None


def _read_ca_file(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return read_bytes(encode_text(path), LARGEST_CA_FILE)
    except OSError as error:
        msg = f"--ca-file {path} cannot be read: {error_reason(error)}"
        raise Unhealthy(msg) from None


def _wrap(
    sock: _socket.socket, name: bytes, ca_pem: bytes | None, insecure: bool, alpn: bytes
) -> TlsSession:
    try:
        import _tls  # type: ignore[import-not-found]  # noqa: PLC0415
    except (ImportError, SystemError):  # without importlib a failing import is a SystemError
        return _wrap_by_ssl(sock, name, ca_pem, insecure, alpn)
    if not (ca_pem or insecure or _tls.BUNDLE):
        msg = "this build has no CA certificates: give --ca-file (or --insecure)"
        raise Usage(msg)
    extra = (alpn,) if alpn else ()
    session: TlsSession = _tls.wrap(sock.fileno(), name, ca_pem, int(insecure), *extra)
    return session


def _wrap_by_ssl(
    sock: _socket.socket, name: bytes, ca_pem: bytes | None, insecure: bool, alpn: bytes
) -> TlsSession:
    try:
        import ssl  # noqa: PLC0415
    except (ImportError, SystemError):
        msg = "this build has no TLS: use http://, or the variant of the probe that has it"
        raise Usage(msg) from None

    class SslSession:
        """The interface of _tls over ssl.MemoryBIO (ssl itself wants a socket.socket)."""

        def __init__(self) -> None:
            context = ssl.create_default_context(
                cadata=ca_pem.decode("ascii", "replace") if ca_pem else None
            )
            if insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if alpn:
                context.set_alpn_protocols([alpn.decode("latin-1")])
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.session = context.wrap_bio(
                self.incoming, self.outgoing, server_hostname=name.decode("latin-1")
            )
            self.unsent = b""

        def flush(self) -> bool:
            self.unsent += self.outgoing.read()
            while self.unsent:
                try:
                    self.unsent = self.unsent[sock.send(self.unsent, _socket.MSG_NOSIGNAL) :]
                except BlockingIOError:
                    return False
            return True

        def pull(self) -> bool:
            try:
                data = sock.recv(READ_SIZE)
            except BlockingIOError:
                return False
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()
            return True

        def handshake(self) -> int:
            while True:
                try:
                    self.session.do_handshake()
                except ssl.SSLWantReadError:
                    if not self.flush():
                        return 2
                    if not self.pull():
                        return 1
                    continue
                except ssl.SSLCertVerificationError as error:
                    raise ValueError(error.verify_message) from None
                return 0 if self.flush() else 2

        def read(self, size: int, /) -> bytes | int:
            while True:
                try:
                    return self.session.read(size)
                except ssl.SSLWantReadError:
                    if not self.flush():
                        return 2
                    if not self.pull():
                        return 1
                except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    return b""

        def write(self, data: bytes | memoryview, /) -> int:
            if not self.flush():
                return -2
            sent = self.session.write(data)
            self.flush()
            return sent

    return SslSession()
