"""The check of dns: a name resolves, as the programs beside the probe would have it, or as one name server says."""

from __future__ import annotations

from probe.address import check_host, is_ipv4, known_addresses, split_host_port
from probe.dns import MOST_SERVERS, ask_servers, resolve_name
from probe.errors import Unhealthy, Usage
from probe.kinds import Callable, Steps
from probe.options import Check, Options
from probe.scheduler import Trace
from probe.system import INET, INET6, pack_address
from probe.values import lowered, quoted, visible_text

DNS_PORT = 53
RECORD_TYPES = {"": 0, "a": 4, "aaaa": 6}
MOST_SHOWN = 16


def prepare_dns(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if not options.has("host"):
        msg = "dns needs a name to resolve"
        raise Usage(msg)
    host, kind = options.text("host"), lowered(options.text("type"))
    check_host(host)
    if is_ipv4(host):
        msg = f"{host} is an address: there is nothing to resolve"
        raise Usage(msg)
    if kind not in RECORD_TYPES:
        msg = "--type is A or AAAA"
        raise Usage(msg)
    if options.has("server"):
        split_host_port(options.text("server"), DNS_PORT)
    wanted = [visible_text(value) for value in options.every("expect")]
    for address in wanted:
        if not _packed(address):
            msg = f"--expect takes an IPv4 or IPv6 address, not {quoted(address.encode())}"
            raise Usage(msg)
    families = sorted({6 if ":" in address else 4 for address in wanted}) or [RECORD_TYPES[kind]]
    if kind and families != [RECORD_TYPES[kind]]:
        msg = "--expect has an address of another type than --type"
        raise Usage(msg)
    return host, lambda trace: _check_dns(options, families, wanted, trace)


def _check_dns(
    options: Options, families: list[int], wanted: list[str], trace: Trace
) -> Steps[str]:
    name, found = options.text("host"), []
    for family in families:
        if options.has("server"):
            host, port = split_host_port(options.text("server"), DNS_PORT)
            servers = known_addresses(host, 0) or (yield from resolve_name(host, 0, trace))
            servers = servers[:MOST_SERVERS]
            found += yield from ask_servers(name, [name], family, servers, port, trace)
        else:
            found += yield from resolve_name(name, family, trace)
    seen = f"resolves to {', '.join(found[:MOST_SHOWN])}"
    packed = [_packed(address) for address in found]
    missing = [address for address in wanted if _packed(address) not in packed]
    if missing:
        msg = f"{seen}, not to {', '.join(missing)}"
        raise Unhealthy(msg)
    return seen


def _packed(address: str) -> bytes:
    """Return the bytes of an address, which can be written in many ways; none when it is none."""
    return pack_address(INET, address) or pack_address(INET6, address)


DNS = Check(
    "dns",
    "a name resolves; with --expect, to these addresses",
    (
        ("host", "text", "", "name to resolve"),
        ("server", "text", "", "HOST:PORT of a name server to ask instead of this machine's"),
        ("type", "text", "", "A or AAAA; default: either will do"),
        ("expect", "replies", "", "address that must be among those found, repeatable"),
    ),
    prepare_dns,
)
