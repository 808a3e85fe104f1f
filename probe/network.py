"""From a host name to a connection."""

from __future__ import annotations

from probe.address import known_addresses, socket_address, split_host_port, unix_address
from probe.dns import resolve_name
from probe.errors import Usage
from probe.kinds import Steps
from probe.options import Options
from probe.scheduler import Trace
from probe.stream import Stream, open_stream
from probe.tls import check_tls_options

MOST_ADDRESSES = 16  # of one name


def connect_host(host: str, port: int, family: int, trace: Trace) -> Steps[Stream]:
    """Connect to a host by name or address, trying all its addresses."""
    found = known_addresses(host, family)
    if found is None:
        trace.phase = f"resolving {host}"
        found = yield from resolve_name(host, family, trace)
        found = found[:MOST_ADDRESSES]
        trace.note(f"{host} is {', '.join(found)}")
    stream = yield from open_stream([socket_address(address, port) for address in found], trace)
    trace.note(f"connected to {stream.peer}")
    return stream


def server_target(options: Options, default_port: int) -> str:
    """Say what `open_server` will connect to; checks the options on the way."""
    check_tls_options(options, options.flag("tls") or options.flag("starttls"), False)
    path = options.data("unix-socket")
    if path:
        return unix_address(path)[4]
    if not options.has("address") and not default_port:
        msg = f"{options.check.name} needs HOST:PORT (probe {options.check.name} --help)"
        raise Usage(msg)
    host, port = server_address(options, default_port)
    known_addresses(host, options.family())
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def server_address(options: Options, default_port: int) -> tuple[str, int]:
    """Return the host and the port that the options name, --port before that of the address."""
    given = options.count("port")
    host, port = split_host_port(options.text("address"), given or default_port)
    return host, given or port


def server_host(options: Options) -> str:
    """Return the name that the certificate of that server must have, unless --server-name says so."""
    if options.has("unix-socket"):
        return "localhost"
    return split_host_port(options.text("address"), 1)[0]


def open_server(options: Options, default_port: int, trace: Trace) -> Steps[Stream]:
    """Connect to the Unix socket or HOST:PORT that the options name."""
    path = options.data("unix-socket")
    if path:
        return (yield from open_stream([unix_address(path)], trace))
    host, port = server_address(options, default_port)
    return (yield from connect_host(host, port, options.family(), trace))
