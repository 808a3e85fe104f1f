"""The udp check: send a datagram, and wait for an answer. Without one, nothing is known."""

from __future__ import annotations

from probe.address import known_addresses, socket_address
from probe.dns import resolve_name
from probe.errors import Unhealthy, Usage
from probe.kinds import Callable, Steps
from probe.network import MOST_ADDRESSES, server_address, server_target
from probe.options import ADDRESS, EXPECT, IP_OPTIONS, PORT, SEND, URL_OPTION, Check, Options
from probe.scheduler import Trace
from probe.stream import Failures
from probe.system import (
    DATAGRAM,
    NO_FAMILY,
    READABLE,
    close,
    connect,
    monotonic,
    open_socket,
    receive,
    send,
)
from probe.values import parse_escapes, quoted

LARGEST_DATAGRAM = 65507
SEND_AGAIN_AFTER = 1.0  # seconds, doubled each time: a datagram may get lost


def prepare_udp(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if not options.has("send"):
        msg = "udp needs --send: only an answer shows that somebody is there"
        raise Usage(msg)
    if len(parse_escapes(options.data("send"))) > LARGEST_DATAGRAM:
        msg = f"--send is more than the {LARGEST_DATAGRAM} bytes of a datagram"
        raise Usage(msg)
    return server_target(options, 0), lambda trace: _check_udp(options, trace)


def _check_udp(options: Options, trace: Trace) -> Steps[str]:
    host, port = server_address(options, 0)
    family = options.family()
    found = known_addresses(host, family)
    if found is None:
        trace.phase = f"resolving {host}"
        found = yield from resolve_name(host, family, trace)
    sockets: list[tuple[int, str]] = []
    try:
        return (yield from _exchange(options, found[:MOST_ADDRESSES], port, sockets, trace))
    finally:
        for descriptor, _ in sockets:
            close(descriptor)


def _exchange(
    options: Options, addresses: list[str], port: int, sockets: list[tuple[int, str]], trace: Trace
) -> Steps[str]:
    """Send to all addresses of the host, each from a socket that hears that one only; return what is answered."""
    failures = Failures()
    for address in addresses:
        family, target, number, scope, label = socket_address(address, port)
        try:
            descriptor = open_socket(family, DATAGRAM)
        except OSError as error:
            failures.remember(error.errno or NO_FAMILY, label)
            continue
        sockets.append((descriptor, label))
        code = connect(descriptor, family, target, number, scope)
        if code:
            failures.remember(code, label)
            close(sockets.pop()[0])
    data, again, pause = parse_escapes(options.data("send")), 0.0, SEND_AGAIN_AFTER
    expected = [parse_escapes(text) for text in options.every("expect")]
    names = " and ".join([label for _, label in sockets])
    trace.phase = f"waiting for an answer of {names}"
    while sockets:
        trace.check()
        sending = monotonic() >= again
        for descriptor, label in list(sockets):
            try:
                if sending:
                    send(descriptor, data)
                reply = receive(descriptor, LARGEST_DATAGRAM)
            except OSError as error:
                failures.remember(error.errno or 0, label)
                sockets.remove((descriptor, label))
                close(descriptor)
                continue
            if reply is None:
                continue
            if all(text in reply for text in expected):
                return f"answered by {label}, {len(reply)} bytes"
            trace.phase = (
                f"waiting for the expected text from {label}, which sent {quoted(reply, 60)}"
            )
        if sending:
            again, pause = monotonic() + pause, pause * 2
        if sockets:
            yield [(descriptor, READABLE) for descriptor, _ in sockets], again
    raise Unhealthy(failures.text())


UDP = Check(
    "udp",
    "a datagram is answered; with --expect, by these texts",
    (ADDRESS, URL_OPTION, PORT) + IP_OPTIONS + (SEND, EXPECT),
    prepare_udp,
    schemes=(("udp", "", ""),),
)
