"""A project that publishes releases on a loopback server, signs them, and is in Debian; and a recipe that pins it."""

import contextlib
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from builders.sources.apt import DebianRelease, PoolFile
from tests.keys import Signer, write_keys

DAY = date(2026, 5, 6)

RECIPE = """name = "tool"
kind = "library"
summary = "a tool" # and a comment
homepage = "https://tool.invalid/"
update = {{ rule = "debian-or-upstream", listing = "{url}/" }}

[[releases]]
version = "1.0" # the first one
date = 2026-01-02
licence = "MIT"
filename = "tool-1.0.tar.gz"
urls = [
    "{url}/tool-1.0.tar.gz",
    "{url}/other/v1_0/tool-1.0.tar.gz",
]
debian = "pool/main/t/tool/tool_1.0.orig.tar.gz"
size = 1234
sha256 = "{zeros}"
signature = {{ url = "{url}/tool-1.0.tar.gz.asc", key = "{key}" }}
# the end
"""


def archive_of(
    version: str, *, top: str = "", day: date = DAY, files: int = 2, padding: int = 0
) -> bytes:
    """A .tar.gz whose newest file is of ``day``; the same bytes every time."""
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(files):
            content = f"file {number} of {version}\n".encode() + b"\0" * padding
            member = tarfile.TarInfo(f"{top or f'tool-{version}'}/{number}.c")
            member.size, member.mtime = len(content), int(moment) - number * 86400 * 30
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.asked.append(self.path)
        body = server.files.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    files: dict[str, bytes]
    asked: list[str]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may hang up."""


@dataclass
class Upstream:
    """The project. Its server has ``files`` by path, and the listing of them at ``/``."""

    directory: Path
    signer: Signer = field(default_factory=Signer.new)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    packaged: dict[str, DebianRelease] = field(default_factory=dict)
    url: str = ""

    @classmethod
    @contextlib.contextmanager
    def serving(cls, directory: Path) -> Iterator["Upstream"]:
        self = cls(directory)
        with _Server(("127.0.0.1", 0), _Handler) as server:
            server.files, server.asked = self.files, self.asked
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            self.write_recipe()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    # --- the recipe ---

    @property
    def recipes(self) -> Path:
        return self.directory / "recipes"

    @property
    def recipe(self) -> Path:
        return self.recipes / "tool" / "recipe.toml"

    @property
    def pool(self) -> Path:
        return self.directory / "debian"

    def write_recipe(self) -> None:
        self.recipe.parent.mkdir(parents=True)
        text = RECIPE.format(url=self.url, zeros="0" * 64, key=self.signer.fingerprint)
        self.recipe.write_text(text, "utf-8")
        (self.recipe.parent / "build.sh").write_text("# makes tool\n", "utf-8")
        write_keys(self.recipe.parent / "upstream.asc", self.signer.certificate)

    def edit(self, old: str, new: str) -> None:
        text = self.recipe.read_text("utf-8")
        assert old in text
        self.recipe.write_text(text.replace(old, new), "utf-8")

    # --- releases ---

    def release(
        self, version: str, data: bytes | None = None, *, signature: bytes | None = None
    ) -> bytes:
        """Publish a release with its signature, and list it."""
        data = archive_of(version) if data is None else data
        signature = self.signer.sign(data) if signature is None else signature
        self.files[f"/tool-{version}.tar.gz"] = data
        self.files[f"/tool-{version}.tar.gz.asc"] = signature
        self.list()
        return data

    def list(self, *more: str) -> None:
        names = [path.removeprefix("/") for path in self.files if path != "/"]
        links = "".join(f'<li><a href="{name}">{name}</a>\n' for name in (*names, *more))
        self.files["/"] = f"<!DOCTYPE html><html><ul>{links}</ul></html>".encode()

    def package(
        self, version: str, data: bytes | None = None, *, pool: bool = True, signed: bool = True
    ) -> bytes:
        """Have Debian package a release."""
        data = archive_of(version) if data is None else data
        name = f"pool/main/t/tool/tool_{version}.orig.tar.gz"
        self.packaged[version] = DebianRelease(
            version=version,
            archive=self._pooled(name, data, pool=pool),
            signature=self._pooled(f"{name}.asc", self.signer.sign(data), pool=pool)
            if signed
            else None,
        )
        return data

    def _pooled(self, name: str, data: bytes, *, pool: bool) -> PoolFile:
        if pool:
            path = self.pool / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return PoolFile(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
