"""The checks there are, in the order of the help. A new one is a module of its own and a row here."""

from __future__ import annotations

from probe.amqp_check import AMQP
from probe.dns_check import DNS
from probe.errors import Usage
from probe.file_check import FILE
from probe.grpc_check import GRPC
from probe.guess import perhaps
from probe.http_check import HTTP
from probe.kafka_check import KAFKA
from probe.memcached_check import MEMCACHED
from probe.mongodb_check import MONGODB
from probe.mqtt_check import MQTT
from probe.mysql_check import MYSQL
from probe.options import Check
from probe.postgres_check import POSTGRES
from probe.process_check import PROCESS
from probe.redis_check import REDIS
from probe.smtp_check import SMTP
from probe.tcp_check import TCP
from probe.udp_check import UDP
from probe.unix_check import UNIX_CHECK
from probe.values import lowered, visible_text
from probe.websocket_check import WEBSOCKET

CHECKS: tuple[Check, ...] = (
    HTTP,
    WEBSOCKET,
    TCP,
    UDP,
    UNIX_CHECK,
    GRPC,
    REDIS,
    POSTGRES,
    MYSQL,
    MEMCACHED,
    AMQP,
    MQTT,
    KAFKA,
    MONGODB,
    SMTP,
    DNS,
    FILE,
    PROCESS,
)


def find_check(name: str) -> Check | None:
    """Return the check of a name."""
    for check in CHECKS:
        if check.name == name:
            return check
    return None


def check_of_url(url: bytes) -> Check:
    """Return the check that the scheme of a URL is for; raises Usage. Without a scheme it is http, which says so."""
    scheme = lowered(visible_text(url.partition(b"://")[0]))
    known = []
    for check in CHECKS:
        for row in check.schemes:
            if row[0] == scheme or b"://" not in url:
                return check
            known.append(row[0])
    msg = f"no check takes such a URL{perhaps(scheme, known, '')} (one of {', '.join(known)})"
    raise Usage(msg)


def check_names() -> str:
    """Return the names of all checks, for messages."""
    return ", ".join([check.name for check in CHECKS])
