"""curl:full's SFTP and SCP against Debian's openssh-server: keys, hosts that are known or not, files of every kind."""

import base64
import hashlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.curls import OK, REFUSED, TOO_LATE, UNTRUSTED, Curl, Done
from tests.integration.quic_server import pattern
from tests.integration.real_server import HOST, free_port, program
from tests.integration.ssh_server import KINDS, ROOT, SshServer, make_key, ssh_server
from tests.raw_server import raw_server, say

pytestmark = pytest.mark.builds

DENIED, NO_SUCH_FILE, QUOTE_FAILED, NO_SUCH_RANGE, NO_START = 67, 78, 21, 33, 2
MEGABYTE = 1_000_000
SCHEMES = ("sftp", "scp")

Ask = Callable[..., Done]


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with ssh_server() as server:
        yield server


@pytest.fixture
def files(server: SshServer) -> Iterator[Path]:
    """Where both sides can write; empty at first."""
    server.files.mkdir(exist_ok=True)
    yield server.files
    shutil.rmtree(server.files)


@pytest.fixture
def ask(full: Curl, server: SshServer) -> Ask:
    """Run curl as who may come in, by a host key that is known."""
    return asking(full, server)


def asking(full: Curl, server: SshServer, *, kind: str = "ed25519") -> Ask:
    known = server.keys / "known_hosts"
    known.write_text(server.known(*server.host_keys))
    login = ("-u", f"{server.user}:", "--key", server.keys / kind, "--knownhosts", known)
    return lambda *words: full(*login, *words)


def at(server: SshServer, path: Path | str, scheme: str = "sftp") -> str:
    return f"{scheme}://{server.at}{path}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_keys_of_every_kind(
    full: Curl, server: SshServer, files: Path, scheme: str, kind: str
) -> None:
    (files / "a").write_text("content")
    done = asking(full, server, kind=kind)(at(server, files / "a", scheme))
    assert (done.code, done.out) == (OK, "content"), done.err


@pytest.mark.parametrize("kind", KINDS)
def test_a_public_key_may_be_named_as_well(
    ask: Ask, server: SshServer, files: Path, kind: str
) -> None:
    (files / "a").write_text("content")
    words = ("--key", server.keys / kind, "--pubkey", server.keys / f"{kind}.pub")
    assert ask(*words, at(server, files / "a")).out == "content"


@pytest.mark.parametrize("kind", KINDS)
def test_host_keys_of_every_kind(full: Curl, kind: str) -> None:
    with ssh_server(host_keys=(kind,)) as server:
        (server.files / "a").write_text("content")
        done = asking(full, server)(at(server, server.files / "a"))
        assert (done.code, done.out) == (OK, "content"), done.err


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wrong_key(ask: Ask, server: SshServer, files: Path, tmp_path: Path, scheme: str) -> None:
    (files / "a").write_text("content")
    make_key(tmp_path / "stranger", "ed25519")
    done = ask("--key", tmp_path / "stranger", at(server, files / "a", scheme))
    assert (done.code, done.out) == (DENIED, "")
    assert ask("--key", tmp_path / "none", at(server, files / "a", scheme)).code == DENIED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["OpenSSH", "PEM"])
def test_an_encrypted_key(ask: Ask, server: SshServer, files: Path, form: str, kind: str) -> None:
    """In both forms that ssh-keygen writes; PEM knows no ed25519."""
    (files / "a").write_text("content")
    own = server.keys / f"encrypted-{kind}"
    shutil.copyfile(server.keys / kind, own)
    own.chmod(0o600)
    words = [program("ssh-keygen"), "-q", "-p", "-N", "sesame", "-f", str(own)]
    subprocess.run([*words, *(["-m", "PEM"] if form == "PEM" else [])], check=True)
    url = at(server, files / "a")
    done = ask("--key", own, "--pass", "sesame", url)
    assert (done.code, done.out) == (OK, "content"), done.err
    assert ask("--key", own, "--pass", "wrong", url).code == DENIED
    assert ask("--key", own, url).code == DENIED


@pytest.mark.skipif(not ROOT, reason="only root can have a password of the test's own")
def test_a_password(full: Curl) -> None:
    with ssh_server("PubkeyAuthentication no", password="sesame") as server:
        (server.files / "a").write_text("content")
        for scheme in SCHEMES:
            url = at(server, server.files / "a", scheme)
            done = full("-k", "-u", f"{server.user}:sesame", url)
            assert (done.code, done.out) == (OK, "content"), done.err
            assert full("-k", "-u", f"{server.user}:wrong", url).code == DENIED


def test_no_such_user(full: Curl, server: SshServer, files: Path) -> None:
    words = ("-k", "-u", "nobody-of-that-name:", "--key", server.keys / "ed25519")
    assert full(*words, at(server, files)).code == DENIED


class TestHosts:
    """Who is believed to be the server."""

    @pytest.fixture
    def login(self, full: Curl, server: SshServer, files: Path) -> Ask:
        (files / "a").write_text("content")
        words = ("-u", f"{server.user}:", "--key", server.keys / "ed25519")
        return lambda *more: full(*words, *more, at(server, files / "a"))

    def test_known(self, login: Ask, server: SshServer, tmp_path: Path) -> None:
        for kinds in (*((kind,) for kind in KINDS), KINDS):
            known = tmp_path / "known"
            known.write_text(server.known(*kinds))
            done = login("--knownhosts", known)
            assert (done.code, done.out) == (OK, "content"), (kinds, done.err)

    def test_known_by_a_hashed_name(self, login: Ask, server: SshServer, tmp_path: Path) -> None:
        known = tmp_path / "known"
        known.write_text(server.known(*KINDS))
        subprocess.run([program("ssh-keygen"), "-q", "-H", "-f", known], check=True)
        assert HOST not in known.read_text()
        assert login("--knownhosts", known).out == "content"

    def test_known_at_home(
        self, full: Curl, server: SshServer, files: Path, tmp_path: Path
    ) -> None:
        (files / "a").write_text("content")
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh/known_hosts").write_text(server.known(*KINDS))
        words = ("-u", f"{server.user}:", "--key", server.keys / "ed25519", at(server, files / "a"))
        assert full(*words, env={"HOME": str(tmp_path)}).out == "content"

    def test_another_key_is_known(self, login: Ask, server: SshServer, tmp_path: Path) -> None:
        """Somebody else answers at the address: nothing is sent."""
        make_key(tmp_path / "other", "ed25519")
        key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
        known = tmp_path / "known"
        known.write_text(f"[{HOST}]:{server.server.port} {key}\n")
        before = server.log.count("Accepted")
        done = login("--knownhosts", known)
        assert (done.code, done.out) == (UNTRUSTED, "")
        assert server.log.count("Accepted") == before

    def test_it_is_not_known(self, login: Ask, tmp_path: Path) -> None:
        known = tmp_path / "known"
        known.write_text("")
        done = login("--knownhosts", known)
        assert (done.code, done.out) == (UNTRUSTED, "")
        assert known.read_text() == "", "nobody becomes known by answering"

    def test_nobody_is_known(self, login: Ask) -> None:
        """Without any list curl asks nobody."""
        done = login()
        assert done.code != OK
        assert done.out == ""

    def test_insecure(self, login: Ask) -> None:
        assert login("-k").out == "content"

    def test_by_fingerprint(self, login: Ask, server: SshServer) -> None:
        known = [
            base64.b64encode(hashlib.sha256(base64.b64decode(server.host_key(kind))).digest())
            for kind in KINDS
        ]
        codes = [login("--hostpubsha256", one.decode()).code for one in known]
        assert sorted(codes) == [OK, UNTRUSTED, UNTRUSTED], "of one key that it shows"
        shown = known[codes.index(OK)].decode()
        assert login("--hostpubsha256", shown.rstrip("=")).out == "content"
        assert login("--hostpubsha256", shown[:-3]).code == UNTRUSTED


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", [0, 1, 32_768, 3 * MEGABYTE])
def test_there_and_back(
    ask: Ask, server: SshServer, files: Path, tmp_path: Path, scheme: str, size: int
) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(pattern(size))
    url = at(server, files / "there", scheme)
    done = ask("-T", sent, url)
    assert done.code == OK, done.err
    assert (files / "there").read_bytes() == pattern(size)
    done = ask("-o", back, url)
    assert done.code == OK, done.err
    assert (back.read_bytes() if size else b"") == pattern(size)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_large_file_under_keys_that_change(full: Curl, tmp_path: Path, scheme: str) -> None:
    size = 50 * MEGABYTE
    sent = tmp_path / "sent"
    sent.write_bytes(pattern(size))
    with ssh_server("RekeyLimit 4M") as server:
        ask = asking(full, server)
        url = at(server, server.files / "there", scheme)
        done = ask("-T", sent, url)
        assert done.code == OK, done.err
        assert (server.files / "there").read_bytes() == sent.read_bytes()
        done = ask(url)
        assert done.code == OK, done.err
        assert done.data == sent.read_bytes()


def test_a_path_below_home(ask: Ask, server: SshServer) -> None:
    done = ask("-l", at(server, "/~/"))
    assert done.code == OK, done.err
    assert {".", ".."} <= set(done.out.split("\n"))


def test_lists(ask: Ask, server: SshServer, files: Path) -> None:
    (files / "b").write_text("12345")
    (files / "with space").write_text("")
    (files / "below").mkdir()
    (files / "link").symlink_to("b")
    done = ask("-l", at(server, f"{files}/"))
    assert sorted(done.out.splitlines()) == [".", "..", "b", "below", "link", "with space"]
    done = ask(at(server, f"{files}/"))
    rows = {row.split(maxsplit=8)[-1]: row for row in done.out.splitlines()}
    assert rows["b"].startswith("-rw")
    assert rows["below"].startswith("drw")
    assert " 5 " in rows["b"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_names_with_what_is_special(ask: Ask, server: SshServer, files: Path, scheme: str) -> None:
    """Quotes are for the shell that scp has on the other side."""
    for name, quoted in (("with space", "with%20space"), ("it's $HOME;", "it's%20$HOME%3b")):
        (files / name).write_text(name)
        assert ask(at(server, f"{files}/{quoted}", scheme)).out == name


def test_a_part(ask: Ask, server: SshServer, files: Path) -> None:
    (files / "a").write_text("0123456789")
    url = at(server, files / "a")
    assert ask("-r", "2-4", url).out == "234"
    assert ask("-r", "7-", url).out == "789"
    assert ask("-r", "-2", url).out == "89"


def test_resuming(ask: Ask, server: SshServer, files: Path, tmp_path: Path) -> None:
    (files / "a").write_bytes(pattern(MEGABYTE))
    half = tmp_path / "half"
    half.write_bytes(pattern(400_000))
    done = ask("-C", "-", "-o", half, "-w", "%{size_download}", at(server, files / "a"))
    assert (done.code, done.out) == (OK, "600000")
    assert half.read_bytes() == pattern(MEGABYTE)
    whole = tmp_path / "whole"
    whole.write_bytes(pattern(MEGABYTE))
    (files / "up").write_bytes(pattern(300_000))
    done = ask("-C", "-", "-T", whole, "-w", "%{size_upload}", at(server, files / "up"))
    assert (done.code, done.out) == (OK, "700000")
    assert (files / "up").read_bytes() == pattern(MEGABYTE)
    assert ask("-C", "2000000", at(server, files / "a")).code == NO_SUCH_RANGE


def test_appending(ask: Ask, server: SshServer, files: Path, tmp_path: Path) -> None:
    (files / "a").write_text("one ")
    more = tmp_path / "more"
    more.write_text("two")
    assert ask("-a", "-T", more, at(server, files / "a")).code == OK
    assert (files / "a").read_text() == "one two"


def test_commands(ask: Ask, server: SshServer, files: Path) -> None:
    (files / "a").write_text("content")
    url = at(server, f"{files}/")
    commands = (
        f"mkdir {files}/new",
        f"rename {files}/a {files}/new/b",
        f"chmod 600 {files}/new/b",
        f"ln {files}/new/b {files}/link",
    )
    done = ask(*[word for command in commands for word in ("-Q", command)], "-l", url)
    assert done.code == OK, done.err
    assert (files / "new/b").stat().st_mode & 0o777 == 0o600
    assert (files / "link").is_symlink()
    done = ask("-Q", "pwd", "-l", "-i", url)
    assert done.code == OK
    removed = ("-Q", f"rm {files}/new/b", "-Q", f"rmdir {files}/new", "-Q", f"rm {files}/link")
    assert ask(*removed, "-l", url).code == OK
    assert list(files.iterdir()) == []
    assert ask("-Q", f"rm {files}/none", url).code == QUOTE_FAILED
    (files / "a").write_text("content")
    assert ask("-Q", f"ln {files}/b {files}/a", "-l", url).code == QUOTE_FAILED, "it is there"
    assert ask("-Q", f"*rm {files}/none", "-l", url).code == OK


def test_missing_directories_are_made_when_asked_for(
    ask: Ask, server: SshServer, files: Path, tmp_path: Path
) -> None:
    sent = tmp_path / "sent"
    sent.write_text("content")
    url = at(server, files / "a/b/c")
    assert ask("-T", sent, url).code == NO_SUCH_FILE
    assert ask("--ftp-create-dirs", "-T", sent, url).code == OK
    assert (files / "a/b/c").read_text() == "content"


def test_a_missing_file(ask: Ask, server: SshServer, files: Path) -> None:
    done = ask(at(server, files / "none"))
    assert (done.code, done.out) == (NO_SUCH_FILE, "")
    done = ask(at(server, files / "none", "scp"))
    assert (done.code, done.out) == (NO_SUCH_FILE, "")


def test_one_after_another_over_one_connection(ask: Ask, server: SshServer, files: Path) -> None:
    (files / "a").write_text("content")
    before = server.log.count("Accepted publickey")
    done = ask(*[at(server, files / "a")] * 4)
    assert (done.code, done.out) == (OK, "content" * 4)
    assert server.log.count("Accepted publickey") == before + 1


def test_nobody_is_there(ask: Ask) -> None:
    assert ask(f"sftp://{HOST}:{free_port()}/a").code == REFUSED


def test_a_silent_server(ask: Ask) -> None:
    with raw_server(lambda connection, over: say(connection, over, "silent", b"")) as port:
        assert ask("-m", "1", f"sftp://{HOST}:{port}/a").code == TOO_LATE


PACKET = bytes.fromhex("0000000c 06 02 00000000 000000000000")
"""To be ignored, from before there are keys."""


@pytest.mark.parametrize(
    ("first", "for_ever", "code"),
    [
        (b"", b"Welcome!\r\n", NO_START),
        (b"", b"\n", NO_START),
        (b"", b"x" * 4096, NO_START),
        (b"SSH-2.0-server\r\n", PACKET, TOO_LATE),
    ],
    ids=["lines", "empty lines", "one line", "packets"],
)
def test_a_server_that_never_stops(ask: Ask, first: bytes, for_ever: bytes, code: int) -> None:
    """Time is up when it is up, and what comes before a server says who it is has a bound."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        say(connection, over, "flood", for_ever)

    with raw_server(talk) as port:
        began = time.monotonic()
        done = ask("-m", "2", f"sftp://{HOST}:{port}/a")
    assert done.code == code, done.err
    assert time.monotonic() - began < 4


def test_lines_before_a_server_says_who_it_is(ask: Ask) -> None:
    """Some have much to say; it is no reason to leave."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"Welcome!\r\n" * 3_000 + b"SSH-1.99-old\r\n")
        heard.append(connection.recv(1000))
        while len(heard[0]) < len(b"SSH-2.0-") + 300 and (more := connection.recv(1000)):
            heard[0] += more

    heard: list[bytes] = []
    with raw_server(talk) as port:
        ask("-m", "5", f"sftp://{HOST}:{port}/a")
    assert heard[0].startswith(b"SSH-2.0-libssh2")
    assert b"curve25519-sha256" in heard[0], "its offer of algorithms follows"


def test_what_is_no_ssh_server(ask: Ask) -> None:
    with raw_server(lambda connection, over: say(connection, over, "close", b"")) as port:
        done = ask("-m", "5", f"sftp://{HOST}:{port}/a")
    assert done.code != OK
    assert done.out == ""


def test_what_is_weak_is_not_spoken(full: Curl) -> None:
    """Of a server that has nothing else."""
    weak = (
        ("KexAlgorithms diffie-hellman-group1-sha1",),
        ("Ciphers 3des-cbc",),
        ("MACs hmac-md5", "Ciphers aes256-ctr"),
        ("HostKeyAlgorithms ssh-rsa",),
    )
    for settings in weak:
        with ssh_server(*settings) as server:
            done = asking(full, server)(at(server, server.files))
            assert done.code == NO_START, (settings, done.err)
            assert "Unable to exchange encryption keys" in done.err, settings
            assert "Accepted" not in server.log, settings


@pytest.mark.parametrize(
    "setting",
    [
        "Ciphers aes256-ctr",
        "Ciphers aes128-gcm@openssh.com",
        "Ciphers aes256-gcm@openssh.com",
        "Ciphers chacha20-poly1305@openssh.com",
        "KexAlgorithms curve25519-sha256",
        "KexAlgorithms ecdh-sha2-nistp256",
        "KexAlgorithms diffie-hellman-group14-sha256",
        "KexAlgorithms diffie-hellman-group-exchange-sha256",
        "MACs hmac-sha2-256-etm@openssh.com",
    ],
)
def test_what_servers_insist_on(full: Curl, setting: str) -> None:
    with ssh_server(setting) as server:
        (server.files / "a").write_text("content")
        done = asking(full, server)(at(server, server.files / "a"))
        assert (done.code, done.out) == (OK, "content"), done.err


def test_a_key_is_asked_for_by_nobody(full: Curl, server: SshServer, files: Path) -> None:
    """Without a key and without an agent it ends, and waits for nobody."""
    quiet = replace(full, options=("-qsS", "-m", "10"))
    done = quiet("-k", "-u", f"{server.user}:", at(server, files))
    assert done.code == DENIED
