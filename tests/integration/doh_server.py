"""A server of DNS over HTTPS that answers as a test says."""

import ssl
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.http_server import Handler, Server

MOMENT = 0.4
A, AAAA, HTTPS = 1, 28, 65
"""https://www.iana.org/assignments/dns-parameters"""
MANDATORY, ALPN, NO_DEFAULT_ALPN, PORT, IPV4HINT, ECH, IPV6HINT = range(7)
"""https://www.rfc-editor.org/rfc/rfc9460#section-14.3.2"""


def dns_name(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def alpn(*names: str) -> bytes:
    return b"".join(bytes([len(name)]) + name.encode() for name in names)


def record(
    parameters: Mapping[int, bytes] | Iterable[tuple[int, bytes]] = (),
    *,
    priority: int = 1,
    target: str = "",
) -> bytes:
    """The data of an HTTPS record; its parameters are ordered as they are given."""
    pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
    told = b"".join(struct.pack(">HH", key, len(value)) + value for key, value in pairs)
    return struct.pack(">H", priority) + dns_name(target) + told


@dataclass(kw_only=True)
class Zone:
    """What the names stand for, and what was asked."""

    rows: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    whole: dict[int, bytes | int] = field(default_factory=dict)
    """By type: what is sent in place of an answer, or the status of an answer without one."""
    slow: frozenset[int] = frozenset()
    """The types whose answers come a moment later than others."""
    asked: list[tuple[str, int]] = field(default_factory=list)

    def answer(self, query: bytes) -> bytes | int:
        name, kind, end = _question(query)
        self.asked.append((name, kind))
        if kind in self.slow:
            time.sleep(MOMENT)
        if (whole := self.whole.get(kind)) is not None:
            return whole
        rows = self.rows.get((name, kind), [])
        head = query[:2] + struct.pack(">5H", 0x8180, 1, len(rows), 0, 0)
        # Each begins with a pointer to the name in the question.
        told = (struct.pack(">HHHIH", 0xC00C, kind, 1, 60, len(row)) + row for row in rows)
        return head + query[12:end] + b"".join(told)


def _question(query: bytes) -> tuple[str, int, int]:
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    kind = struct.unpack_from(">H", query, at + 1)[0]
    return ".".join(labels), kind, at + 5


class _Handler(Handler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, DohServer)
        query = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        told = server.zone.answer(query)
        if isinstance(told, int):
            self.answer(told, b"")
        else:
            self.answer(200, told, Content_Type="application/dns-message")


class DohServer(Server):
    def __init__(
        self, zone: Zone, context: ssl.SSLContext, address: Any = ("127.0.0.1", 0)
    ) -> None:
        self.zone = zone
        super().__init__(address)
        self.context = context
        self.RequestHandlerClass = _Handler
