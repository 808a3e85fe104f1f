"""Logins with a password: the right one, wrong ones, servers that do not know it, and nobody ever sees it."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from trustme import CA

from tests.behaviour.conftest import Probe
from tests.behaviour.logins import (
    CACHING_SHA2,
    DENIED,
    NATIVE,
    OK,
    READY,
    Account,
    exactly,
    my_greeting,
    my_server,
    mysql,
    pg,
    pg_clear_text,
    pg_md5,
    pg_scram,
)
from tests.behaviour.servers import Handler, flood, greet, serving
from tests.integration.certificates import HOST, context_of
from tests.integration.traces import wait_for
from tests.interpreters import Interpreter

SECRET = "corréct-horse-Battery"
# Around the sizes of the digests' blocks (64) and of what is left beside their lengths (55, 56), and beyond.
PASSWORDS = [
    "x",
    "pass word",
    "a,b=c:d@e/f",
    "é" * 9,
    *[
        ("0123456789abcdef" * 9)[:size]
        for size in (31, 44, 51, 52, 53, 55, 56, 63, 64, 65, 119, 128)
    ],
]
Kind = Callable[[Account], Handler]


def my_native(account: Account) -> Handler:
    return my_server(account, NATIVE)


def my_native_switched(account: Account) -> Handler:
    return my_server(account, NATIVE, default=CACHING_SHA2)


def my_caching(account: Account) -> Handler:
    return my_server(account, CACHING_SHA2)


def my_caching_switched(account: Account) -> Handler:
    return my_server(account, CACHING_SHA2, default=b"other")


KINDS: dict[str, tuple[str, Kind]] = {
    "postgres md5": ("postgres", pg_md5),
    "postgres scram": ("postgres", pg_scram),
    "mysql native": ("mysql", my_native),
    "mysql native, switched": ("mysql", my_native_switched),
    "mysql caching_sha2": ("mysql", my_caching),
    "mysql caching_sha2, switched": ("mysql", my_caching_switched),
}
OUTPUTS: tuple[tuple[str, ...], ...] = ((), ("-v",), ("--json-output",), ("-q",))


def account_for(password: str, *, user: bytes = b"app", database: bytes = b"") -> Account:
    return Account(password=password.encode(), user=user, database=database)


@pytest.mark.parametrize("name", list(KINDS))
def test_passwords(probe: Probe, name: str) -> None:
    check, kind = KINDS[name]
    for password in PASSWORDS:
        account = account_for(password)
        with serving(kind(account)) as server:
            words = (check, server.address, "--user", "app", "--password-env", "PW")
            done = probe(*words, env={"PW": password}, timeout=30)
        assert (password, done.returncode, "logged in" in done.stdout) == (password, 0, True), done
        assert account.password not in b"".join(account.seen) or password == "x"


@pytest.mark.parametrize("name", list(KINDS))
def test_wrong_passwords(probe: Probe, tmp_path: Path, name: str) -> None:
    check, kind = KINDS[name]
    words = "password authentication failed" if check == "postgres" else "Access denied"
    for wrong in (SECRET + "!", SECRET[:-1], SECRET.upper()):
        path = tmp_path / "password"
        path.write_text(wrong + "\n")
        with serving(kind(account_for(SECRET))) as server:
            done = probe(check, server.address, "--user=app", "--password-file", str(path))
        assert (done.returncode, f"login failed: {words}" in done.stdout) == (1, True), done


@pytest.mark.parametrize("name", list(KINDS))
def test_databases_and_names(probe: Probe, name: str) -> None:
    check, kind = KINDS[name]
    account = account_for(SECRET, user="a=b,é".encode(), database=b"shop")
    with serving(kind(account)) as server:
        words = (check, server.address, "--user", "a=b,é", "--database", "shop")
        said = [probe(*words, "--password", SECRET, *output) for output in OUTPUTS]
    for output, done in zip(OUTPUTS, said, strict=True):
        assert (done.returncode, "logged in" in done.stdout) == (0, output != ("-q",)), done
        assert "corr" not in done.stdout


@pytest.mark.parametrize("name", list(KINDS))
def test_urls_log_in(probe: Probe, name: str) -> None:
    check, kind = KINDS[name]
    with serving(kind(account_for(SECRET, database=b"shop"))) as server:
        encoded = "".join(f"%{byte:02X}" for byte in SECRET.encode())
        url = f"{check}://app:{encoded}@{server.address}/shop"
        right = probe(check, "--url-env", "URL", env={"URL": url})
        wrong = probe(url.replace(encoded, encoded + "x"), "-v")
    assert (right.returncode, wrong.returncode) == (0, 1), (right, wrong)
    assert encoded not in wrong.stdout


def test_the_user_of_postgres_is_its_database(probe: Probe) -> None:
    account = account_for(SECRET, user=b"postgres")
    with serving(pg_scram(account)) as server:
        done = probe("postgres", server.address, "--password", SECRET)
        assert done.returncode == 0
        wait_for(lambda: account.seen[-1] == b"X\0\0\0\4", seconds=10, what="it says good-bye")


def test_mysql_needs_a_name_for_a_password(probe: Probe) -> None:
    done = probe("mysql", "127.0.0.1:1", "--password", SECRET)
    assert (done.returncode, "bad usage: a password needs --user" in done.stdout) == (1, True)


# --- nobody sees it --------------------------------------------------------------------------------------------------


def echo(check: str) -> Handler:
    """A server that says the password, which it knows, in its error."""
    if check == "postgres":
        return greet(replies=(pg(b"E", b"C28P01\0Mwrong: " + SECRET.encode() + b"\0\0"),))
    if check == "mysql":
        said = mysql(2, b"\xff\x15\x04#28000wrong: " + SECRET.encode())
        return greet(first=my_greeting(NATIVE, b"s" * 20), replies=(said,))
    return greet(replies=(b"-WRONGPASS wrong: " + SECRET.encode() + b"\r\n",))


@pytest.mark.parametrize("check", ["postgres", "mysql", "redis"])
@pytest.mark.parametrize("way", ["argument", "variable", "file", "url"])
def test_the_password_is_never_shown(probe: Probe, tmp_path: Path, check: str, way: str) -> None:
    path = tmp_path / "password"
    path.write_text(SECRET)
    encoded = "".join(f"%{byte:02X}" for byte in SECRET.encode())
    known = {
        "argument": ("--user=app", "--password", SECRET),
        "variable": ("--user=app", "--password-env=PW"),
        "file": ("--user=app", "--password-file", str(path)),
    }
    kinds = [kind for one, kind in KINDS.values() if one == check]
    wrong = [kind(account_for(SECRET + "!")) for kind in kinds]
    for handler in (*wrong, echo(check), greet(), flood(b"", b"\xff" * 999)):
        with serving(handler) as server:
            words = known.get(way) or ("--url-env=URL",)
            target = [] if way == "url" else [server.address]
            env = {"PW": SECRET, "URL": f"{check}://app:{encoded}@{server.address}/"}
            for output in OUTPUTS:
                limits = ("--timeout=500ms", "--retries=1", "--interval=1ms")
                done = probe(check, *target, *words, *limits, *output, env=env)
                assert done.returncode == 1
                shown = done.stdout.encode().decode("unicode_escape").encode("latin-1", "replace")
                for text in (SECRET, encoded, "corr", "Battery"):
                    assert text not in done.stdout, done
                    assert text.encode() not in shown, done


@pytest.mark.parametrize("check", ["postgres", "mysql", "redis"])
def test_no_cut_leaves_a_part_of_the_password(probe: Probe, tmp_path: Path, check: str) -> None:
    """A server says it wherever it may, where a text is cut as well; what is left is no password any more."""
    path = tmp_path / "password"
    path.write_text(SECRET)
    secret = SECRET.encode()
    for size in (12, 20, 30, 52, 60, 180, 196, 250, 330, 390):
        pad = b"-" * size + secret + b"-" * 300
        said = {
            "postgres": [pg(b"E", b"C28P01\0M" + pad + b"\0\0"), b"R" + pad],
            "mysql": [
                mysql(0, b"\xff\x15\x04#28000" + pad),
                mysql(0, pad),
                mysql(0, b"\x0a" + pad),
                my_greeting(NATIVE, b"s" * 20) + mysql(2, b"\1" + pad),
                my_greeting(NATIVE, b"s" * 20) + mysql(2, b"\xfe" + pad),
                my_greeting(NATIVE, b"s" * 20) + mysql(2, b"\xff\x15\x04#28000" + pad),
            ],
            "redis": [b"-" + pad + b"\r\n"],
        }[check]
        for reply in said:
            with serving(greet(first=reply)) as server:
                words = (check, server.address, "--user=app", "--password-file", str(path))
                done = probe(*words, "--timeout=2s")
            assert done.returncode == 1
            assert "cor" not in done.stdout, (size, done)
            assert "tery" not in done.stdout, (size, done)


# --- a password as it is ---------------------------------------------------------------------------------------------


def caching_full(account: Account) -> Handler:
    return my_server(account, CACHING_SHA2, cached=False)


WHOLE: dict[str, tuple[str, Kind]] = {
    "postgres": ("postgres", pg_clear_text),
    "mysql": ("mysql", caching_full),
}


@pytest.mark.parametrize("check", list(WHOLE))
def test_no_password_as_it_is_over_the_network(probe: Probe, check: str) -> None:
    account = account_for(SECRET)
    with serving(WHOLE[check][1](account)) as server:
        done = probe(check, server.address, "--user=app", "--password", SECRET)
    assert (done.returncode, "--tls or a Unix socket is needed" in done.stdout) == (1, True)
    assert SECRET.encode() not in b"".join(account.seen)


@pytest.mark.parametrize("check", list(WHOLE))
def test_a_password_as_it_is_over_a_unix_socket(probe: Probe, tmp_path: Path, check: str) -> None:
    for password, code in ((SECRET, 0), ("other", 1)):
        account = account_for(SECRET)
        with serving(WHOLE[check][1](account), path=tmp_path / f"s{code}") as server:
            words = ("--unix-socket", server.address, "--user=app")
            done = probe(check, *words, "--password", password)
        assert done.returncode == code, done
        assert password.encode() in b"".join(account.seen)


def test_a_password_as_it_is_over_tls(
    probe: Probe, interpreter: Interpreter, authority: CA, ca: str
) -> None:
    if not interpreter.has_tls:
        done = probe("postgres", "--tls", "--user=app", "--password", SECRET)
        assert (done.returncode, "has no TLS" in done.stdout) == (1, True)
        return
    context = context_of(authority.issue_cert(HOST))
    account = account_for(SECRET)

    def secure_postgres(connection: socket.socket) -> None:
        exactly(connection, 8)
        connection.sendall(b"S")
        with context.wrap_socket(connection, server_side=True) as session:
            pg_clear_text(account)(session)

    wrapped = my_server(
        account,
        CACHING_SHA2,
        cached=False,
        context=context,
    )
    for check, handler in (("postgres", secure_postgres), ("mysql", wrapped)):
        with serving(handler) as server:
            words = (check, server.address, "--tls", "--user=app", "--password", SECRET)
            done = probe(*words, "--ca-file", ca)
            refused = probe(*words)
        assert (done.returncode, "logged in" in done.stdout) == (0, True), done
        assert refused.returncode == 1


# --- servers that do not know it -------------------------------------------------------------------------------------


def damaged_nonce(text: bytes) -> bytes:
    return b"r=" + base64.b64encode(b"other than ours, and longer") + text[text.index(b",s=") :]


def own_nonce(text: bytes) -> bytes:
    """Only ours, without a part of the server's."""
    return text[:26] + text[text.index(b",s=") :]


WRONG_SCRAM: dict[str, tuple[Handler, str]] = {
    "a wrong signature": (
        pg_scram(account_for(SECRET), final=lambda _: b"v=" + base64.b64encode(bytes(32))),
        "did not prove",
    ),
    "half a signature": (pg_scram(account_for(SECRET), final=lambda it: it[:-20]), "did not prove"),
    "no signature": (pg_scram(account_for(SECRET), final=lambda _: b""), "did not prove"),
    "an error": (pg_scram(account_for(SECRET), final=lambda _: b"e=other-error"), "did not prove"),
    "another nonce": (pg_scram(account_for(SECRET), challenge=damaged_nonce), "not speak SCRAM"),
    "our nonce alone": (pg_scram(account_for(SECRET), challenge=own_nonce), "not speak SCRAM"),
    "no salt": (
        pg_scram(account_for(SECRET), challenge=lambda it: it.replace(b",s=", b",x=")),
        "not speak SCRAM",
    ),
    "a demand": (
        pg_scram(account_for(SECRET), challenge=lambda it: b"m=ext," + it),
        "not speak SCRAM",
    ),
    "salt that is no base64": (
        pg_scram(account_for(SECRET), challenge=lambda it: it.replace(b",s=", b",s=*")),
        "not speak SCRAM",
    ),
    "too long a text": (
        pg_scram(account_for(SECRET), challenge=lambda it: it + b",x=" + b"y" * 60000),
        "not speak SCRAM",
    ),
    "too many rounds": (
        pg_scram(account_for(SECRET), challenge=lambda it: it.replace(b"i=", b"i=9999")),
        "rounds of SCRAM",
    ),
    "no rounds": (
        pg_scram(account_for(SECRET), challenge=lambda it: it[: it.index(b"i=")] + b"i=0"),
        "rounds of SCRAM",
    ),
    "no number of rounds": (
        pg_scram(account_for(SECRET), challenge=lambda it: it + b"_0"),
        "rounds of SCRAM",
    ),
    "another mechanism": (
        pg_scram(account_for(SECRET), mechanisms=b"SCRAM-SHA-256-PLUS\0OAUTHBEARER\0\0"),
        "number 10",
    ),
    "in, in the middle": (
        greet(replies=(pg(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), pg(b"R", bytes(4)) + READY)),
        "did not prove",
    ),
    "a signature at once": (
        greet(replies=(pg(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), pg(b"R", b"\0\0\0\x0cv="))),
        "did not prove",
    ),
    "Kerberos": (greet(replies=(pg(b"R", b"\0\0\0\7"),)), "number 7"),
    "salt of another size": (greet(replies=(pg(b"R", b"\0\0\0\5abc"),)), "number 5"),
    "half a code": (greet(replies=(pg(b"R", b"\0\0"),)), "PostgreSQL protocol"),
    "ready without a login": (greet(replies=(READY,)), "PostgreSQL protocol"),
    "questions without end": (
        flood(pg(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), pg(b"R", b"\0\0\0\x0bx") * 99),
        "not speak SCRAM",
    ),
    "in without an end": (
        flood(pg(b"R", bytes(4)), pg(b"S", b"a\0b\0") * 99),
        "PostgreSQL protocol",
    ),
    "in, and then no room": (
        greet(replies=(pg(b"R", bytes(4)) + pg(b"E", b"C53300\0Mtoo many\0\0"),)),
        "not ready: too many (53300)",
    ),
    "in, and then no database": (
        greet(replies=(pg(b"R", bytes(4)) + pg(b"E", b"C3D000\0Mno database\0\0"),)),
        "login failed: no database (3D000)",
    ),
    "in, and gone": (greet(replies=(pg(b"R", bytes(4)) + READY[:3],)), "timeout"),
}


def refuses(probe: Probe, check: str, handler: Handler, text: str) -> None:
    """The probe lets nobody have it log in to this server, and says this."""
    with serving(handler) as server:
        words = ("--user=app", "--password", SECRET, "--timeout=1500ms")
        done = probe(check, server.address, *words)
    assert (done.returncode, text in done.stdout) == (1, True), done
    assert "internal error" not in done.stdout


@pytest.mark.parametrize("name", list(WRONG_SCRAM))
def test_wrong_servers_of_postgres(probe: Probe, name: str) -> None:
    refuses(probe, "postgres", *WRONG_SCRAM[name])


def test_many_rounds_end_at_the_deadline(probe: Probe) -> None:
    """Each login asks for as many as are allowed; the clock is looked at between them."""
    with serving(pg_scram(account_for(SECRET), rounds=100_000)) as server:
        words = ("postgres", server.address, "--user=app", "--password", SECRET)
        late = probe(*words, "--timeout=20ms", cpu=3)
        good = probe(*words, "--timeout=9s", timeout=30)
    assert (late.returncode, "timeout while" in late.stdout) == (1, True)
    assert good.returncode == 0


def after_login(*replies: bytes) -> Handler:
    return greet(first=my_greeting(NATIVE, b"s" * 20), replies=replies)


WRONG_MYSQL: dict[str, tuple[Handler, str]] = {
    "ed25519": (
        after_login(mysql(2, b"\xfeclient_ed25519\0" + b"s" * 32)),
        "client_ed25519, which",
    ),
    "old": (after_login(mysql(2, b"\xfe")), "mysql_old_password, which"),
    "as it is": (
        after_login(mysql(2, b"\xfemysql_clear_password\0")),
        "mysql_clear_password, which",
    ),
    "no salt": (after_login(mysql(2, b"\xfe" + NATIVE + b"\0short")), "no salt"),
    "no salt at first": (greet(first=mysql(0, b"\x0a8.4\0\1\0\0\0salt")), "no salt"),
    "more of nothing": (after_login(mysql(2, b"\1\3")), "answered the login by"),
    "another byte": (after_login(mysql(2, b"\2")), "answered the login by"),
    "switches for ever": (
        after_login(*[mysql(2, b"\xfe" + NATIVE + b"\0" + b"s" * 20)] * 20),
        "no end",
    ),
    "no room": (after_login(mysql(2, b"\xff\x10\x04#08004Too many")), "not ready: Too many (1040)"),
    "no database": (
        after_login(mysql(2, b"\xff\x19\x04#42000Unknown database")),
        "not ready: Unknown database (1049)",
    ),
}


@pytest.mark.parametrize("name", list(WRONG_MYSQL))
def test_wrong_servers_of_mysql(probe: Probe, name: str) -> None:
    refuses(probe, "mysql", *WRONG_MYSQL[name])


def test_without_a_password_it_stays_a_question_of_readiness(probe: Probe) -> None:
    account = account_for(SECRET)
    for kind in (pg_md5, pg_scram, pg_clear_text):
        with serving(kind(account)) as server:
            done = probe("postgres", server.address, "--user=app")
        assert (done.returncode, "accepts connections in" in done.stdout) == (0, True)
    refused = after_login(mysql(2, b"\xfe" + CACHING_SHA2 + b"\0" + b"s" * 20), mysql(4, DENIED))
    let_in = after_login(mysql(2, OK))
    for handler, text in ((refused, "access denied without a password"), (let_in, "8.4.0 in")):
        with serving(handler) as server:
            done = probe("mysql", server.address, "--user=app")
        assert (done.returncode, text in done.stdout) == (0, True)
    assert SECRET.encode() not in b"".join(account.seen)
