"""Debian's Samba, with a share, a port and a user of the test's own, for whoever runs the tests."""

import getpass
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.ntlm_server import password_hash
from tests.integration.real_server import Server, program

PASSWORD = "sesame"

CONFIGURATION = """
[global]
interfaces = lo
bind interfaces only = yes
smb ports = {port}
server role = standalone server
server min protocol = {oldest}
ntlm auth = ntlmv1-permitted
lanman auth = yes
disable netbios = yes
disable spoolss = yes
load printers = no
passdb backend = smbpasswd:{directory}/smbpasswd
pid directory = {directory}/run
lock directory = {directory}/lock
state directory = {directory}/state
cache directory = {directory}/cache
private dir = {directory}/private
ncalrpc dir = {directory}/ncalrpc
[files]
path = {directory}/files
read only = no
[sealed]
path = {directory}/files
read only = yes
"""
"""Curl speaks the oldest SMB alone, with the oldest answers to a challenge."""


@dataclass(frozen=True, kw_only=True)
class SmbServer:
    server: Server
    files: Path
    """What both shares show: `files`, and `sealed`, where nothing can be written."""

    @property
    def user(self) -> str:
        return getpass.getuser()

    def url(self, path: str, share: str = "files") -> str:
        return f"smb://{self.server.at}/{share}/{path}"


@contextmanager
def smb_server(*, oldest: str = "NT1") -> Iterator[SmbServer]:
    """Serve the user who runs this, by PASSWORD."""
    with tempfile.TemporaryDirectory(prefix="fs-smb-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = Server(directory=directory)
        for below in ("files", "run", "lock", "state", "cache", "private", "ncalrpc"):
            (directory / below).mkdir()
        user = pwd.getpwuid(os.getuid())
        hashed = password_hash(PASSWORD).hex().upper()
        row = f"{user.pw_name}:{user.pw_uid}:{'X' * 32}:{hashed}:[U          ]:LCT-65000000:\n"
        (directory / "smbpasswd").write_text(row)
        (directory / "smbpasswd").chmod(0o600)
        texts = {"port": server.port, "directory": directory, "oldest": oldest}
        (directory / "conf").write_text(CONFIGURATION.format(**texts))
        words = [program("smbd"), "--foreground", "--no-process-group", "--debug-stdout"]
        try:
            with (directory / "log").open("ab") as log:
                server.process = subprocess.Popen(
                    [*words, "-s", directory / "conf"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            server.listens()
            yield SmbServer(server=server, files=directory / "files")
        finally:
            server.stop()
