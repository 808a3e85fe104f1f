"""Connections that never wait long without a look at their `Exchange`; for requests, in place of its own.

Every wait ends within GLANCE, and goes on when there is reason to: so there is nothing above a socket (status line,
headers, chunks, trailers, a proxy's answer, the TLS handshake) that could hang. To be imported where it is needed.
"""

import errno
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from core.exchange import GLANCE, Exchange

_T = TypeVar("_T")
_Address = tuple[Any, ...]
_Found = list[tuple[int, int, int, str, _Address]]
Prepare = Callable[[ssl.SSLContext, str, int], None]
"""Makes a context ready for a connection to a host and port."""


class _Patience:
    """How a socket waits: in short glances, ``patience`` seconds in all for each byte."""

    exchange: Exchange
    patience: float | None = None

    def wait_for(self, act: Callable[..., _T], *args: Any) -> _T:
        """Return what ``act`` does once it can. Raises Fault, Cancelled, and TimeoutError as a socket does."""
        waited = 0.0
        while True:
            self.exchange.check()
            try:
                return act(*args)
            except TimeoutError as error:
                waited += GLANCE
                # With a number it is the kernel's, which has given up.
                if error.errno is not None or (self.patience and waited >= self.patience):
                    raise

    def glance(self, patience: float | None) -> float:
        self.patience = patience
        return GLANCE if patience is None else min(GLANCE, patience)


class _Socket(_Patience, socket.socket):
    """One without TLS."""

    def settimeout(self, value: float | None) -> None:
        super().settimeout(self.glance(value))

    def recv(self, *args: Any) -> bytes:
        self.exchange.turns(sending=False)
        data = self.wait_for(super().recv, *args)
        self.exchange.received(len(data))
        return data

    def recv_into(self, *args: Any) -> int:
        self.exchange.turns(sending=False)
        size = self.wait_for(super().recv_into, *args)
        self.exchange.received(size)
        return size

    def send(self, *args: Any) -> int:
        self.exchange.turns(sending=True)
        size = self.wait_for(super().send, *args)
        self.exchange.sent(size)
        return size

    def sendall(self, data: Any, flags: int = 0) -> None:
        with memoryview(data) as view, view.cast("B") as left:
            done = 0
            while done < len(left):
                done += self.send(left[done:], flags)


class _TlsSocket(_Patience, ssl.SSLSocket):
    """One with. Its `sendall` uses `send`, its `recv` and `recv_into` use `read`."""

    def settimeout(self, value: float | None) -> None:
        super().settimeout(self.glance(value))

    def do_handshake(self, block: bool = False) -> None:
        self.wait_for(super().do_handshake, block)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        self.exchange.turns(sending=False)
        found: Any = self.wait_for(super().read, len, buffer)
        # A count if there is a buffer, else bytes.
        self.exchange.received(found if buffer is not None else memoryview(found).nbytes)
        return found

    def send(self, *args: Any) -> int:
        self.exchange.turns(sending=True)
        size = self.wait_for(super().send, *args)
        self.exchange.sent(size)
        return size


class _TlsContext(ssl.SSLContext):
    """Makes a `_TlsSocket` of a `_Socket`; a handshake waits no longer than anything else."""

    sslsocket_class = _TlsSocket

    def wrap_socket(self, sock: socket.socket, *args: Any, **settings: Any) -> ssl.SSLSocket:
        inner = cast("_Socket", sock)
        exchange, patience = inner.exchange, inner.patience
        settings["do_handshake_on_connect"] = False
        wrapped = cast("_TlsSocket", super().wrap_socket(sock, *args, **settings))
        wrapped.exchange = exchange
        wrapped.settimeout(patience)
        try:
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped


def _tls_context() -> ssl.SSLContext:
    """What urllib3 makes where it is given none: https://urllib3.readthedocs.io/en/stable/reference/urllib3.util.html."""
    context = _TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.post_handshake_auth = True
    if log := os.environ.get("SSLKEYLOGFILE"):
        context.keylog_filename = os.path.expandvars(log)
    return context


def _resolve(host: str, port: int, exchange: Exchange, patience: float | None) -> _Found:
    """`socket.getaddrinfo` in a thread of its own, which nothing can interrupt: it is left behind if need be."""
    found: Future[_Found] = Future()

    def ask() -> None:
        try:
            found.set_result(cast("_Found", socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)))
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    waiting = _Patience()
    waiting.exchange, waiting.patience = exchange, patience
    # What it raises itself is no wait that could go on: a resolver's time-out is a gaierror.
    return waiting.wait_for(lambda: found.result(GLANCE))


def _dial(
    place: tuple[int, int, int, str, _Address],
    options: Sequence[tuple[int, int, int | bytes]],
    exchange: Exchange,
    patience: float | None,
) -> _Socket:
    """Return a socket that is connected. Raises OSError, Fault and Cancelled."""
    family, kind, protocol, _, address = place
    connection = _Socket(family, kind, protocol)
    connection.exchange = exchange
    try:
        for option in options:
            connection.setsockopt(*option)
        connection.setblocking(False)
        code = connection.connect_ex(address)
        poll = select.poll()
        poll.register(connection, select.POLLOUT)

        def connected() -> int:
            if not poll.poll(GLANCE * 1000):
                raise TimeoutError
            return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

        connection.settimeout(patience)
        if code == errno.EINPROGRESS:
            code = connection.wait_for(connected)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(connection: Any, exchange: Exchange) -> _Socket:
    """What urllib3's `_new_conn` does, with the same errors."""
    host, port, patience = connection._dns_host, connection.port, connection.timeout
    try:
        host.strip("[]").encode("idna")
        last: OSError = OSError("the name has no address")
        for place in _resolve(host.strip("[]"), port, exchange, patience):
            try:
                return _dial(place, connection.socket_options or (), exchange, patience)
            except OSError as error:
                last = error
        raise last
    except UnicodeError as error:
        unknown = socket.gaierror(socket.EAI_NONAME, "label empty or too long")
        raise NameResolutionError(connection.host, connection, unknown) from error
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "no connection in time") from error
    except OSError as error:
        raise NewConnectionError(connection, f"{error}") from error


class WatchedAdapter(HTTPAdapter):
    """What requests sends with, when every wait is to be watched by ``exchange``.

    ``prepare`` makes each TLS context ready before its first connection.
    """

    def __init__(self, exchange: Exchange, prepare: Prepare) -> None:
        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(self, exchange)

        class Secure(HTTPSConnection):
            def __init__(self, *args: Any, **settings: Any) -> None:
                settings["ssl_context"] = settings.get("ssl_context") or _tls_context()
                super().__init__(*args, **settings)

            def connect(self) -> None:
                context = self.ssl_context
                assert context, "made above"
                prepare(context, self._tunnel_host or self.host, self._tunnel_port or self.port)
                super().connect()

            def _new_conn(self) -> socket.socket:
                return _connect(self, exchange)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        super().__init__()

    def init_poolmanager(self, *args: Any, **settings: Any) -> None:
        super().init_poolmanager(*args, **settings)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **settings)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager
