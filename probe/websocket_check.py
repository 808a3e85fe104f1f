"""The check of websocket: a server switches to that protocol (RFC 6455), and is left politely."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.http import Response, build_request, read_response
from probe.http_check import OWN_FIELDS, checked_url, note_response, open_url, request_fields
from probe.kinds import Callable, Steps
from probe.options import (
    BASIC_AUTH,
    CONNECT_TO,
    HEADER,
    IP_OPTIONS,
    PORT,
    TLS_OPTIONS,
    UNIX_SOCKET,
    USER_AGENT_OPTION,
    Check,
    Options,
)
from probe.scheduler import Trace
from probe.system import digest, random_bytes
from probe.tls import check_tls_options
from probe.url import Url
from probe.values import base64_text, is_token, quoted

HANDSHAKE_FIELDS = (
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
)
ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
NORMAL_CLOSURE = b"\x03\xe8"  # section 7.4.1: 1000


def prepare_websocket(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    given = options.data("url")
    if b"://" not in given or given.partition(b"://")[0].lower() not in {b"ws", b"wss"}:
        msg = "websocket needs a URL that begins with ws:// or wss://"
        raise Usage(msg)
    url = checked_url(options, b"http" + given[2:], OWN_FIELDS + HANDSHAKE_FIELDS)
    check_tls_options(options, url.scheme == "https", False)
    if options.has("subprotocol") and not is_token(options.data("subprotocol")):
        msg = "--subprotocol is one word, such as mqtt"
        raise Usage(msg)
    return "ws" + url.shown()[4:], lambda trace: _check_websocket(options, url, trace)


def _check_websocket(options: Options, url: Url, trace: Trace) -> Steps[str]:
    stream = yield from open_url(options, url, True, trace)
    try:
        key = base64_text(random_bytes(16)).encode()
        fields = request_fields(options, url, url, True)
        fields += [
            ("Connection", b"Upgrade"),
            ("Upgrade", b"websocket"),
            ("Sec-WebSocket-Version", b"13"),
            ("Sec-WebSocket-Key", key),
        ]
        if options.has("subprotocol"):
            fields.append(("Sec-WebSocket-Protocol", options.data("subprotocol")))
        trace.phase = f"sending the request to {stream.peer}"
        yield from stream.send(build_request("GET", url.target, fields, b""))
        trace.phase = f"waiting for the response of {stream.peer}"
        response = yield from read_response(stream)
        note_response(response, trace, True)
        problem = _switch_problem(response, key, options.data("subprotocol"))
        if problem:
            raise Unhealthy(problem)
        mask = random_bytes(4)
        masked = bytes([byte ^ mask[place] for place, byte in enumerate(NORMAL_CLOSURE)])
        yield from stream.send(b"\x88\x82" + mask + masked)
        return "101, switched to websocket"
    finally:
        stream.close()


def _switch_problem(response: Response, key: bytes, subprotocol: bytes) -> str:
    """Return what is wrong with the answer of the server (section 4.1), or nothing."""
    if response.status != 101:
        return f"{response.status}, not 101"
    connection = (response.field(b"connection") or b"").lower()
    if b"upgrade" not in [word.strip() for word in connection.split(b",")]:
        return "101, but its header Connection has no Upgrade"
    if (response.field(b"upgrade") or b"").lower() != b"websocket":
        return "101, but it switches to another protocol"
    if (
        response.field(b"sec-websocket-accept")
        != base64_text(digest("sha1", key + ACCEPT_SUFFIX)).encode()
    ):
        return "101, but its Sec-WebSocket-Accept is not the answer to our key"
    if response.field(b"sec-websocket-extensions"):
        return "101, but with an extension that was not offered"
    chosen = response.field(b"sec-websocket-protocol") or b""
    if chosen != subprotocol:
        return f"101, but the subprotocol is {quoted(chosen, 60)}, not {quoted(subprotocol, 60)}"
    return ""


WEBSOCKET = Check(
    "websocket",
    "a server switches to the protocol, and proves it",
    (
        ("url", "bytes", "", "ws://HOST:PORT/PATH"),
        PORT,
        HEADER,
        ("subprotocol", "text", "", "that the server must choose, such as mqtt"),
        UNIX_SOCKET,
        USER_AGENT_OPTION,
        BASIC_AUTH,
        CONNECT_TO,
    )
    + IP_OPTIONS
    + TLS_OPTIONS,
    prepare_websocket,
    (("H", "header"),),
    schemes=(("ws", "", ""), ("wss", "", "")),
)
