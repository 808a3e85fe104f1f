"""TLS on a connection, as the options say."""

from __future__ import annotations

from probe.address import check_host
from probe.errors import Unhealthy, Usage
from probe.files import error_reason, read_bytes
from probe.kinds import Steps
from probe.options import TLS_OPTIONS, Options
from probe.stream import Stream
from probe.system import HAS_ANCHORS, HAS_TLS, monotonic, open_tls
from probe.values import visible_text

NO_TLS = "this build has no TLS: use http://, or the variant of the probe that has it"
LARGEST_PEM_FILE = 1 << 20
SHORTEST_PATIENCE = 0.25  # seconds
BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
END_OF_KEY = b"PRIVATE KEY-----"
PKCS8_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
OPENSSL_ENCRYPTED = b"Proc-Type: 4,ENCRYPTED"


def check_tls_options(options: Options, used: bool, perhaps_later: bool) -> None:
    """Refuse TLS that is not there, and options of TLS that would have no effect; raises Usage."""
    if used and not HAS_TLS:
        raise Usage(NO_TLS)
    for name, _, _, _ in TLS_OPTIONS:
        if options.has(name) and not (used or perhaps_later):
            way = "https:// or wss://" if options.check.options[0][0] == "url" else "--tls"
            msg = f"--{name} has no effect without TLS ({way})"
            raise Usage(msg)
    if options.has("server-name"):
        check_host(options.text("server-name"))


def start_tls(stream: Stream, host: str, options: Options, protocol: bytes) -> Steps[None]:
    """Put TLS on a connection; the certificate is checked unless --insecure."""
    if stream.buffer:
        # It would be taken for what comes over TLS: anybody on the way could have said it.
        msg = f"{stream.peer} sent more before the TLS handshake than it may"
        raise Unhealthy(msg)
    if not HAS_TLS:
        raise Usage(NO_TLS)
    stream.trace.phase = f"making the TLS handshake with {stream.peer}"
    authorities, insecure = _read_certificates(options, "ca-file"), options.flag("insecure")
    certificate, key = _read_identity(options)
    if not (authorities or insecure or HAS_ANCHORS):
        msg = "this build has no CA certificates: give --ca-file (or --insecure)"
        raise Usage(msg)
    name = (options.text("server-name") or host.partition("%")[0]).encode()
    began = monotonic()
    try:
        session = open_tls(
            stream.descriptor, name, authorities, insecure, protocol, certificate, key
        )
        stream.tls = session
        want = session.handshake()
        while want:
            yield from stream.wait(want)
            stream.trace.check()
            want = session.handshake()
    except (OSError, ValueError) as error:
        msg = f"TLS with {stream.peer} failed: {error_reason(error)}"
        raise Unhealthy(msg) from None
    stream.handshake_seconds = monotonic() - began


def await_refusal(stream: Stream) -> Steps[None]:
    """Give the server time to refuse us, where it has nothing more to say.

    In TLS 1.3 the handshake is over for a client before the server has looked at its certificate, or missed it
    (RFC 8446, section 4.4.2.4). A refusal takes no longer than the handshake did; what else it says ends the wait.
    """
    if stream.tls is None or stream.buffer:
        return
    stream.trace.phase = f"waiting whether {stream.peer} takes the TLS session"
    now = monotonic()
    patience = min(
        max(SHORTEST_PATIENCE, stream.handshake_seconds), (stream.trace.deadline - now) / 2
    )
    if not (yield from stream.fill(now + patience)):
        msg = f"{stream.peer} ended the connection after the TLS handshake: it may want a client certificate (--cert)"
        raise Unhealthy(msg)


def _read_identity(options: Options) -> tuple[bytes, bytes]:
    """Return what the client shows of itself, as PEM: its certificate, and the key to it."""
    certificate = _read_certificates(options, "cert")
    if not certificate:
        return b"", b""
    option = "key" if options.has("key") else "cert"
    path, key = visible_text(options.data(option)), _read_pem(options, option)
    if END_OF_KEY not in key:
        more = "" if option == "key" else " (give --key)"
        msg = f"--{option} {path} holds no private key in PEM form{more}"
        raise Unhealthy(msg)
    if PKCS8_ENCRYPTED in key or OPENSSL_ENCRYPTED in key:
        msg = f"the key in {path} is encrypted: the probe has no password for it"
        raise Unhealthy(msg)
    return certificate, key


def _read_certificates(options: Options, option: str) -> bytes:
    """Return the file of an option; none when it is not given."""
    data = _read_pem(options, option)
    if data and BEGIN_CERTIFICATE not in data:
        msg = f"--{option} {visible_text(options.data(option))} holds no certificate in PEM form"
        raise Unhealthy(msg)
    return data


def _read_pem(options: Options, option: str) -> bytes:
    """Return the file of an option, which must not be empty: that would mean that it is not given."""
    path = options.data(option)
    if not path:
        return b""
    try:
        data = read_bytes(path, LARGEST_PEM_FILE)
    except OSError as error:
        msg = f"--{option} {visible_text(path)} cannot be read: {error_reason(error)}"
        raise Unhealthy(msg) from None
    if not data:
        msg = f"--{option} {visible_text(path)} is empty"
        raise Unhealthy(msg)
    return data
