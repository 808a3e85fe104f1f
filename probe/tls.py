"""TLS on a connection, as the options say."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.files import error_reason, read_bytes
from probe.kinds import Steps
from probe.options import Options
from probe.stream import Stream
from probe.system import HAS_ANCHORS, HAS_TLS, open_tls
from probe.values import visible_text

LARGEST_CA_FILE = 1 << 20


def start_tls(stream: Stream, host: str, options: Options, protocol: bytes) -> Steps[None]:
    """Put TLS on a connection; the certificate is checked unless --insecure."""
    if stream.buffer:
        # It would be taken for what comes over TLS: anybody on the way could have said it.
        msg = f"{stream.peer} sent more before the TLS handshake than it may"
        raise Unhealthy(msg)
    if not HAS_TLS:
        msg = "this build has no TLS: use http://, or the variant of the probe that has it"
        raise Usage(msg)
    stream.trace.phase = f"making the TLS handshake with {stream.peer}"
    authorities, insecure = _read_ca_file(options.data("ca-file")), options.flag("insecure")
    if not (authorities or insecure or HAS_ANCHORS):
        msg = "this build has no CA certificates: give --ca-file (or --insecure)"
        raise Usage(msg)
    name = (options.text("server-name") or host.partition("%")[0]).encode()
    try:
        session = open_tls(stream.descriptor, name, authorities, insecure, protocol, b"", b"")
        stream.tls = session
        want = session.handshake()
        while want:
            yield from stream.wait(want)
            stream.trace.check()
            want = session.handshake()
    except (OSError, ValueError) as error:
        msg = f"TLS with {stream.peer} failed: {error_reason(error)}"
        raise Unhealthy(msg) from None


def _read_ca_file(path: bytes) -> bytes:
    """Return the PEM file, which must not be empty: that would mean the certificates inside."""
    if not path:
        return b""
    try:
        authorities = read_bytes(path, LARGEST_CA_FILE)
    except OSError as error:
        msg = f"--ca-file {visible_text(path)} cannot be read: {error_reason(error)}"
        raise Unhealthy(msg) from None
    if not authorities:
        msg = f"--ca-file {visible_text(path)} is empty"
        raise Unhealthy(msg)
    return authorities
