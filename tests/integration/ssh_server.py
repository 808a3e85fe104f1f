"""Debian's sshd, with host keys, a port and a list of keys of the test's own, for whoever runs the tests."""

import getpass
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.real_server import HOST, Server, program

KINDS = ("ed25519", "ecdsa", "rsa")
ROOT = os.geteuid() == 0

CONFIGURATION = """
ListenAddress {host}:{port}
PidFile none
UsePAM no
StrictModes no
LogLevel VERBOSE
PermitRootLogin yes
PubkeyAuthentication yes
PasswordAuthentication {password}
KbdInteractiveAuthentication no
AuthorizedKeysFile {directory}/authorized
Subsystem sftp internal-sftp
{more}
"""

PREPARED = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && {more} exec {command}"
"""As root sshd wants a directory in /run: it gets one in a view of the mounts that ends with it."""


@dataclass(frozen=True, kw_only=True)
class SshServer:
    """A server that runs, and the keys of who may come in."""

    server: Server
    keys: Path
    """Holds KIND and KIND.pub of each kind; nobody else may read it."""
    files: Path
    """A directory for what is carried."""
    host_keys: Sequence[str] = KINDS

    @property
    def at(self) -> str:
        return self.server.at

    @property
    def user(self) -> str:
        return getpass.getuser() if not ROOT else "root"

    @property
    def log(self) -> str:
        return (self.server.directory / "log").read_text()

    def host_key(self, kind: str) -> str:
        """Its public key as base64."""
        return (self.server.directory / f"host_{kind}.pub").read_text().split()[1]

    def known(self, *kinds: str) -> str:
        """What known_hosts says of it."""
        lines = [
            (self.server.directory / f"host_{kind}.pub").read_text().rsplit(" ", 1)[0]
            for kind in kinds
        ]
        return "".join(f"[{HOST}]:{self.server.port} {line}\n" for line in lines)


def make_key(path: Path, kind: str, secret: str = "") -> None:
    """A pair of keys, the private one encrypted where there is a secret."""
    bits = ("-b", "2048") if kind == "rsa" else ()
    words = (program("ssh-keygen"), "-q", "-t", kind, *bits, "-N", secret, "-C", "x", "-f")
    subprocess.run([*words, path], check=True, stdin=subprocess.DEVNULL)


@contextmanager
def ssh_server(
    *settings: str, host_keys: Sequence[str] = KINDS, password: str = ""
) -> Iterator[SshServer]:
    """Serve the user who runs this; ``settings`` are lines of sshd_config.

    A ``password`` is root's there, and there alone: only root can have one.
    """
    with tempfile.TemporaryDirectory(prefix="fs-ssh-") as name:
        directory = Path(name)
        server = Server(directory=directory)
        keys, files = directory / "keys", directory / "files"
        keys.mkdir(mode=0o700)
        files.mkdir()
        for kind in KINDS:
            make_key(keys / kind, kind)
        for kind in host_keys:
            make_key(directory / f"host_{kind}", kind)
        authorized = "".join((keys / f"{kind}.pub").read_text() for kind in KINDS)
        (directory / "authorized").write_text(authorized)
        lines = [*settings, *(f"HostKey {directory}/host_{kind}" for kind in host_keys)]
        texts = {"host": HOST, "port": server.port, "directory": directory}
        texts["password"] = "yes" if password else "no"
        (directory / "conf").write_text(CONFIGURATION.format(**texts, more="\n".join(lines)))
        try:
            _start(server, password)
            server.listens()
            yield SshServer(server=server, keys=keys, files=files, host_keys=host_keys)
        finally:
            server.stop()


def _start(server: Server, password: str) -> None:
    words = [program("sshd"), "-D", "-e", "-f", str(server.directory / "conf")]
    more = ""
    if ROOT:
        if password:
            shadow = server.directory / "shadow"
            shadow.write_text(_with_password(Path("/etc/shadow").read_text(), password))
            shadow.chmod(0o600)
            more = f"mount --bind {shadow} /etc/shadow &&"
        script = PREPARED.format(more=more, command=shlex.join(words))
        words = [program("unshare"), "--mount", "sh", "-c", script]
    with (server.directory / "log").open("ab") as log:
        server.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _with_password(shadow: str, password: str) -> str:
    """The file with another password for root, which does not expire."""
    done = subprocess.run(
        [program("openssl"), "passwd", "-6", "-stdin"],
        input=password,
        capture_output=True,
        text=True,
        check=True,
    )
    others = [line for line in shadow.splitlines() if not line.startswith("root:")]
    return "\n".join([f"root:{done.stdout.strip()}:19000:0:99999:7:::", *others, ""])
