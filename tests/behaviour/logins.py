"""Servers that let in whoever knows the password: the other side of the logins, by hashlib."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.behaviour.servers import Handler

READY = b"Z\0\0\0\5I"


def pg(kind: bytes, payload: bytes) -> bytes:
    return kind + (len(payload) + 4).to_bytes(4, "big") + payload


def mysql(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def sha(name: str, *parts: bytes) -> bytes:
    return hashlib.new(name, b"".join(parts)).digest()


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


@dataclass(kw_only=True)
class Account:
    """Who may come in, and what was seen of who tried."""

    user: bytes = b"app"
    password: bytes
    database: bytes = b""
    seen: list[bytes] = field(default_factory=list)

    def see(self, data: bytes) -> bytes:
        self.seen.append(data)
        return data


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def pg_message(connection: socket.socket, account: Account) -> bytes:
    head = exactly(connection, 5)
    return account.see(head + exactly(connection, int.from_bytes(head[1:], "big") - 4))[5:]


def pg_start(connection: socket.socket, account: Account) -> None:
    size = int.from_bytes(exactly(connection, 4), "big")
    start = account.see(exactly(connection, size - 4))
    words = start[4:].split(b"\0")
    found = dict(zip(words[::2], words[1::2], strict=False))
    assert found[b"user"] == account.user
    assert found[b"database"] == (account.database or account.user)


def pg_end(connection: socket.socket, account: Account, right: bool) -> None:
    if right:
        more = pg(b"S", b"server_version\x0015\0") * 14 + pg(b"K", bytes(8)) + READY
        connection.sendall(pg(b"R", bytes(4)) + pg(b"N", b"SNOTICE\0Mhello\0\0") + more)
        account.see(exactly(connection, 5))
    else:
        said = b'C28P01\0Mpassword authentication failed for user "app"\0\0'
        connection.sendall(pg(b"E", b"SFATAL\0" + said))


def pg_clear_text(account: Account) -> Handler:
    def handle(connection: socket.socket) -> None:
        pg_start(connection, account)
        connection.sendall(pg(b"R", b"\0\0\0\3"))
        answer = pg_message(connection, account)
        pg_end(connection, account, answer == account.password + b"\0")

    return handle


def pg_md5(account: Account) -> Handler:
    def handle(connection: socket.socket) -> None:
        pg_start(connection, account)
        salt = os.urandom(4)
        connection.sendall(pg(b"R", b"\0\0\0\5" + salt))
        inner = sha("md5", account.password, account.user).hex().encode()
        expected = b"md5" + sha("md5", inner, salt).hex().encode() + b"\0"
        pg_end(connection, account, pg_message(connection, account) == expected)

    return handle


Change = Callable[[bytes], bytes]


def same(text: bytes) -> bytes:
    return text


def pg_scram(
    account: Account,
    *,
    rounds: int = 4096,
    salt: bytes = b"",
    mechanisms: bytes = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
    challenge: Change = same,
    final: Change = same,
) -> Handler:
    """``challenge`` and ``final`` change what the server says, as a wrong one would."""

    def handle(connection: socket.socket) -> None:
        pg_start(connection, account)
        connection.sendall(pg(b"R", b"\0\0\0\x0a" + mechanisms))
        answer = pg_message(connection, account)
        name, _, rest = answer.partition(b"\0")
        assert name == b"SCRAM-SHA-256"
        assert int.from_bytes(rest[:4], "big") == len(rest) - 4
        assert rest[4:].startswith(b"n,,n=")
        bare = rest[7:]
        nonce = bare.partition(b",r=")[2] + base64.b64encode(os.urandom(12))
        own = salt or os.urandom(16)
        first = b"r=" + nonce + b",s=" + base64.b64encode(own) + b",i=" + str(rounds).encode()
        first = challenge(first)
        connection.sendall(pg(b"R", b"\0\0\0\x0b" + first))
        answer = pg_message(connection, account)
        without, _, proof = answer.rpartition(b",p=")
        assert without == b"c=biws,r=" + nonce
        key = hashlib.pbkdf2_hmac("sha256", account.password, own, rounds)
        client = hmac.digest(key, b"Client Key", "sha256")
        said = bare + b"," + first + b"," + without
        stored = hmac.digest(sha("sha256", client), said, "sha256")
        if base64.b64decode(proof) != xor(client, stored):
            pg_end(connection, account, right=False)
            return
        signature = hmac.digest(hmac.digest(key, b"Server Key", "sha256"), said, "sha256")
        last = final(b"v=" + base64.b64encode(signature))
        connection.sendall(pg(b"R", b"\0\0\0\x0c" + last) if last else b"")
        pg_end(connection, account, right=True)

    return handle


# --- MySQL -----------------------------------------------------------------------------------------------------------

NATIVE, CACHING_SHA2 = b"mysql_native_password", b"caching_sha2_password"
OK = b"\0\0\0\2\0\0\0"
DENIED = b"\xff\x15\x04#28000Access denied for user 'app'@'localhost' (using password: YES)"


def my_packet(connection: socket.socket, account: Account) -> tuple[int, bytes]:
    head = exactly(connection, 4)
    data = account.see(exactly(connection, int.from_bytes(head[:3], "little")))
    return head[3], data


def my_salt() -> bytes:
    return os.urandom(20).replace(b"\0", b"x")


def my_greeting(plugin: bytes, salt: bytes, version: bytes = b"8.4.0") -> bytes:
    capabilities = b"\xff\xff\x21\2\0\xff\xff\x15"
    head = b"\x0a" + version + b"\0\1\0\0\0" + salt[:8] + b"\0" + capabilities + bytes(10)
    return mysql(0, head + salt[8:] + b"\0" + plugin + b"\0")


def my_proof(plugin: bytes, password: bytes, salt: bytes) -> bytes:
    if plugin == NATIVE:
        once = sha("sha1", password)
        return xor(once, sha("sha1", salt, sha("sha1", once)))
    once = sha("sha256", password)
    return xor(once, sha("sha256", sha("sha256", once), salt))


def my_login(data: bytes, account: Account) -> tuple[bytes, bytes]:
    """What a login says: the proof, and the name of the plug-in."""
    assert int.from_bytes(data[:4], "little") & 0x8 == (0x8 if account.database else 0)
    user, _, rest = data[32:].partition(b"\0")
    assert user == account.user
    proof, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
    if account.database:
        database, _, rest = rest.partition(b"\0")
        assert database == account.database
    plugin, _, rest = rest.partition(b"\0")
    assert not rest
    return proof, plugin


def my_server(
    account: Account,
    plugin: bytes,
    *,
    default: bytes = b"",
    cached: bool = True,
    context: ssl.SSLContext | None = None,
) -> Handler:
    """A server whose account logs in by ``plugin``; its greeting names ``default``, if that is another."""

    def handle(connection: socket.socket) -> None:
        salt = my_salt()
        connection.sendall(my_greeting(default or plugin, salt))
        if context is None:
            let_in(connection, salt)
            return
        my_packet(connection, account)
        with context.wrap_socket(connection, server_side=True) as session:
            let_in(session, salt)

    def let_in(connection: socket.socket, salt: bytes) -> None:
        number, data = my_packet(connection, account)
        proof, named = my_login(data, account)
        if named != plugin:
            salt = my_salt()
            connection.sendall(mysql(number + 1, b"\xfe" + plugin + b"\0" + salt + b"\0"))
            number, proof = my_packet(connection, account)
        right = proof == my_proof(plugin, account.password, salt)
        if plugin == CACHING_SHA2 and not cached:
            connection.sendall(mysql(number + 1, b"\1\4"))
            number, whole = my_packet(connection, account)
            right = whole == account.password + b"\0"
        elif plugin == CACHING_SHA2 and right:
            number += 1
            connection.sendall(mysql(number, b"\1\3"))
        connection.sendall(mysql(number + 1, OK if right else DENIED))
        if right:
            assert my_packet(connection, account) == (0, b"\1")

    return handle
