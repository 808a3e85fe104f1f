"""A registry on loopback that does what the distribution spec says, until a test tells it otherwise.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

import base64
import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import urllib3

from core.files import write_file
from core.progress import Progress
from core.retry import RetryPolicy
from core.target import Target
from publish.oci.attachment import Attachment
from publish.oci.compression import TAR
from publish.oci.layer import LayerFile, layer_tar
from publish.oci.layout import (
    CONFIG,
    INDEX,
    MANIFEST,
    Descriptor,
    Layout,
    canonical,
    platform,
    write_index,
)
from publish.registry.client import POLICY, RegistryOptions
from publish.registry.credentials import Login
from publish.registry.pull import VERSION, pull
from publish.registry.push import push
from publish.registry.reference import Reference, Repository
from publish.registry.referrers import is_fallback
from publish.registry.tls import speaks_tls
from publish.registry.upload_item import Pushed

USER, PASSWORD = "robin", "s3cret-pa55word"
IDENTITY = "refresh-me-4711"


class ServerFault(Enum):
    """What befalls a request."""

    ERROR = auto()
    """HTTP 500, and nothing is done."""
    RESET = auto()
    """The connection breaks before anything is done."""
    MIDWAY = auto()
    """The connection breaks when half of the body is here."""
    LOST = auto()
    """All is done, and the answer gets lost."""
    DENIED = auto()
    """HTTP 403."""
    HANG = auto()
    """No answer, for longer than anybody waits."""


class Auth(Enum):
    """How the registry wants to know who asks."""

    NONE = auto()
    BASIC = auto()
    TOKEN = auto()
    ANONYMOUS = auto()
    """Tokens for everybody."""


class LocationForm(Enum):
    """How an upload's Location is written."""

    RELATIVE = auto()
    ABSOLUTE = auto()
    QUERY = auto()
    """Relative, with a query that must come back."""
    ELSEWHERE = auto()
    """Another path of the same host, as a storage backend would have it."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request, as the server saw it."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    size: int

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Store:
    """What the registry holds, by repository and digest or tag."""

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)

    def incomplete(self) -> list[str]:
        """Everything that a tag leads to, and that is not there or is not what it is called."""
        found: list[str] = []
        for (repository, tag), digest in self.tags.items():
            self._walk(repository, digest, f"{repository}:{tag}", found)
        return found

    def _walk(self, repository: str, digest: str, where: str, found: list[str]) -> None:
        _, data = self.manifests.get((repository, digest), ("", b""))
        if digest_of(data) != digest:
            found.append(f"{where}: {digest}")
            return
        content = json.loads(data)
        for manifest in content.get("manifests", []):
            self._walk(repository, manifest["digest"], f"{where} > {digest}", found)
        for blob in [*content.get("layers", []), *filter(None, [content.get("config")])]:
            if digest_of(self.blobs.get((repository, blob["digest"]), b"?")) != blob["digest"]:
                found.append(f"{where} > {digest} > {blob['digest']}")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


Change = Callable[[str, bytes], bytes]


class RegistryServer(ThreadingHTTPServer):
    """The registry. What a test may change has no underscore."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls
        self.store = Store()
        self.log: list[Asked] = []
        self.connections = 0
        self.fault: Callable[[Asked], ServerFault | None] = lambda asked: None
        self.auth = Auth.NONE
        self.location_form = LocationForm.RELATIVE
        self.referrers = False
        self.referrers_status = 404
        """Answered when it has no lists of referrers."""
        self.foreign: tuple[dict[str, object], ...] = ()
        """Entries of somebody else's in every list of referrers."""
        self.forgot = False
        """It has lists of referrers, but not of what was pushed before it had them."""
        self.retry_after: list[str] = []
        """Answered with 429 and this, one request after the other."""
        self.bad_requests = 0
        """Requests that are answered with 400, whatever they ask."""
        self.body_limit = 0
        """Bytes of a body that something before the registry lets through; 0: any."""
        self.hangs_up = False
        """That something says nothing, but closes the connection."""
        self.piece_minimum = 0
        self.token_uses = 1_000_000
        """Requests that a token is good for."""
        self.realm = ""
        self.redirects = ""
        """Another host that blobs are to be fetched from."""
        self.change: Change = lambda kind, data: data
        """What becomes of a blob or manifest on its way into the store."""
        self.says: dict[str, str] = {}
        """Headers that it lies with, on every PUT of a manifest."""
        self.hostile: dict[str, str] = {}
        """Headers that stand in every answer, in the place of its own."""
        self.pretends: set[str] = set()
        """Blobs that it says it has until somebody uploads them."""
        self.lax = False
        """It takes manifests whose parts it lacks."""
        self.page = 0
        self.detail = "no"
        self.guard = threading.RLock()
        self.uploads: dict[str, bytearray] = {}
        self.tokens: dict[str, tuple[str, int]] = {}
        self.gate = threading.Event()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def asked(self, word: str) -> list[str]:
        """Requests whose line has ``word`` in it."""
        return [str(asked) for asked in self.log if word in str(asked)]

    @property
    def written(self) -> list[str]:
        """Requests that may have changed something."""
        return [str(asked) for asked in self.log if asked.method not in {"GET", "HEAD"}]

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        self.connections += 1
        if self.tls:
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are the point of some tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RegistryServer

    def do(self) -> None:
        server = self.server
        size = int(self.headers.get("Content-Length") or 0)
        with server.guard:
            asked = Asked(
                number=len(server.log),
                method=self.command,
                path=self.path,
                headers=dict(self.headers.items()),
                size=size,
            )
            server.log.append(asked)
            fault = server.fault(asked)
        if server.body_limit and size > server.body_limit:
            self.cut(server.body_limit)
            return
        if fault is ServerFault.MIDWAY:
            self.rfile.read(size // 2)
            self.reset()
            return
        body = self.rfile.read(size)
        match fault:
            case ServerFault.ERROR:
                self.refuse(500, "UNKNOWN")
            case ServerFault.DENIED:
                self.refuse(403, "DENIED")
            case ServerFault.RESET:
                self.reset()
            case ServerFault.HANG:
                server.gate.wait(30)
                self.reset()
            case ServerFault.LOST:
                self.wfile = io.BytesIO()
                with server.guard:
                    self.serve(body)
                self.reset()
            case None:
                with server.guard:
                    self.serve(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do

    def cut(self, limit: int) -> None:
        """What a proxy does that takes no large bodies."""
        self.rfile.read(limit)
        if self.server.hangs_up:
            self.reset()
            return
        self.close_connection = True
        headers = {"Content-Type": "text/html", "Connection": "close"}
        self.answer(413, b"<html>too large</html>", **headers)
        # Take the rest, so that the answer is not lost in a reset: the other kind of proxy is `hangs_up`.
        self.rfile.read(int(self.headers["Content-Length"]) - limit)

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def serve(self, body: bytes) -> None:
        server = self.server
        url = urlsplit(self.path)
        if server.retry_after:
            after = server.retry_after.pop(0)
            self.refuse(429, "TOOMANYREQUESTS", **({"Retry-After": after} if after else {}))
        elif server.bad_requests:
            server.bad_requests -= 1
            self.refuse(400, "UNKNOWN")
        elif url.path == "/token":
            self.token(body)
        elif self.authorized(url.path):
            words = url.path.removeprefix("/elsewhere").split("/")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            for kind in ("blobs", "manifests", "tags", "referrers"):
                if kind in words[3:]:
                    where = words.index(kind, 3)
                    repository = "/".join(words[2:where])
                    rest = "/".join(words[where + 1 :])
                    getattr(self, kind)(repository, rest, query, body)
                    return
            self.answer(200, b"{}")

    # --- who asks

    def authorized(self, path: str) -> bool:
        """Tell whether the request may go on; answer it when not."""
        server, header = self.server, self.headers.get("Authorization", "")
        scheme, _, value = header.partition(" ")
        if server.auth is Auth.NONE:
            return True
        if server.auth is Auth.BASIC:
            if scheme == "Basic" and value == login_of(USER, PASSWORD):
                return True
            challenge = 'Basic realm="here"'
        else:
            action = "pull" if self.command in {"GET", "HEAD"} else "push"
            words = path.split("/")
            end = next(
                (
                    i
                    for i, word in enumerate(words)
                    if i > 2 and word in {"blobs", "manifests", "tags", "referrers"}
                ),
                len(words),
            )
            repository = "/".join(words[2:end])
            scope, uses = server.tokens.get(value, ("", 0))
            if f"repository:{repository}:" in scope and action in scope.rpartition(":")[2] and uses:
                server.tokens[value] = (scope, uses - 1)
                return True
            wanted = "pull" if action == "pull" else "pull,push"
            realm = server.realm or f"http://{server.host}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:{repository}:{wanted}"'
        self.refuse(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})
        return False

    def token(self, body: bytes) -> None:
        server = self.server
        query = parse_qs(urlsplit(self.path).query)
        form = parse_qs(body.decode())
        basic = self.headers.get("Authorization", "").partition(" ")[2]
        good = (
            server.auth is Auth.ANONYMOUS
            or basic == login_of(USER, PASSWORD)
            or form.get("refresh_token") == [IDENTITY]
        )
        if not good:
            self.refuse(401, "UNAUTHORIZED")
            return
        name = f"token-{len(server.tokens)}-of-the-registry"
        scope = (query.get("scope") or form.get("scope") or [""])[0]
        server.tokens[name] = (scope, server.token_uses)
        self.answer(200, json.dumps({"token": name}).encode())

    # --- what is there

    def blobs(self, repository: str, rest: str, query: dict[str, str], body: bytes) -> None:
        server = self.server
        if rest.startswith("uploads"):
            self.upload(repository, rest.removeprefix("uploads").strip("/"), query, body)
            return
        data = server.store.blobs.get((repository, rest))
        if data is None and rest in server.pretends and self.command == "HEAD":
            self.answer(200, b"")
        elif data is None:
            self.refuse(404, "BLOB_UNKNOWN")
        elif server.redirects and self.command == "GET":
            self.answer(307, b"", Location=f"{server.redirects}{self.path}")
        else:
            self.answer(200, data, **{"Docker-Content-Digest": rest})

    def upload(self, repository: str, name: str, query: dict[str, str], body: bytes) -> None:
        server = self.server
        if self.command == "POST":
            name = f"upload-{len(server.log)}"
            server.uploads[name] = bytearray()
            least = {"OCI-Chunk-Min-Length": str(server.piece_minimum)}
            self.on(202, repository, name, **(least if server.piece_minimum else {}))
            return
        if name not in server.uploads or (
            server.location_form is LocationForm.QUERY and query.get("_state") != f"{name} & more"
        ):
            self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
            return
        kept = server.uploads[name]
        if self.command == "PATCH":
            first, last = self.headers["Content-Range"].split("-")
            if int(first) != len(kept) or int(last) != len(kept) + len(body) - 1:
                self.refuse(416, "BLOB_UPLOAD_INVALID")
                return
            kept += body
            self.on(202, repository, name, Range=f"0-{len(kept) - 1}")
            return
        kept += body
        del server.uploads[name]
        if digest_of(bytes(kept)) != query["digest"]:
            self.refuse(400, "DIGEST_INVALID")
            return
        data = server.change("blob", bytes(kept))
        server.store.blobs[repository, query["digest"]] = data
        server.pretends.discard(query["digest"])
        self.answer(201, b"", **{"Docker-Content-Digest": query["digest"]})

    def on(self, status: int, repository: str, name: str, **headers: str) -> None:
        where = path = f"/v2/{repository}/blobs/uploads/{name}"
        match self.server.location_form:
            case LocationForm.RELATIVE:
                pass
            case LocationForm.ABSOLUTE:
                where = f"http://{self.server.host}{path}"
            case LocationForm.QUERY:
                where = f"{path}?_state={name}%20%26%20more"
            case LocationForm.ELSEWHERE:
                where = f"/elsewhere{path}"
        self.answer(status, b"", Location=where, **headers)

    def manifests(self, repository: str, word: str, query: dict[str, str], body: bytes) -> None:
        store = self.server.store
        if self.command == "PUT":
            self.put_manifest(repository, word, body)
            return
        digest = word if ":" in word else store.tags.get((repository, word), "")
        if (repository, digest) not in store.manifests:
            self.refuse(404, "MANIFEST_UNKNOWN")
            return
        media_type, data = store.manifests[repository, digest]
        self.answer(200, data, **{"Content-Type": media_type, "Docker-Content-Digest": digest})

    def put_manifest(self, repository: str, word: str, body: bytes) -> None:
        store, content = self.server.store, json.loads(body)
        children = {manifest["digest"] for manifest in content.get("manifests", [])}
        parts = {layer["digest"] for layer in content.get("layers", [])}
        parts |= {content["config"]["digest"]} if "config" in content else set()
        missing = {(repository, digest) for digest in children} - set(store.manifests)
        missing |= {(repository, digest) for digest in parts} - set(store.blobs)
        if missing and not self.server.lax:
            self.refuse(404, "MANIFEST_BLOB_UNKNOWN")
            return
        digest = digest_of(body)
        if ":" in word and word != digest:
            self.refuse(400, "DIGEST_INVALID")
            return
        media_type = self.headers["Content-Type"]
        store.manifests[repository, digest] = (media_type, self.server.change("manifest", body))
        if ":" not in word:
            store.tags[repository, word] = digest
        headers = {"Docker-Content-Digest": digest}
        if self.server.referrers and "subject" in content:
            headers["OCI-Subject"] = content["subject"]["digest"]
        self.answer(201, b"", **{**headers, **self.server.says})

    def tags(self, repository: str, rest: str, query: dict[str, str], body: bytes) -> None:
        names = sorted(tag for name, tag in self.server.store.tags if name == repository)
        if not names:
            self.refuse(404, "NAME_UNKNOWN")
            return
        headers = {}
        if self.server.page:
            names = [name for name in names if name > query.get("last", "")]
            if names[self.server.page :]:
                names = names[: self.server.page]
                path = f"/v2/{repository}/tags/list?n={self.server.page}&last={names[-1]}"
                headers = {"Link": f'<{path}>; rel="next"'}
        self.answer(200, json.dumps({"name": repository, "tags": names}).encode(), **headers)

    def referrers(self, repository: str, rest: str, query: dict[str, str], body: bytes) -> None:
        if not self.server.referrers:
            status = self.server.referrers_status
            self.answer(status, b"page not found\n", **{"Content-Type": "text/plain"})
            return
        found: list[dict[str, object]] = [*self.server.foreign]
        for (name, digest), (media_type, data) in self.server.store.manifests.items():
            content = json.loads(data)
            if self.server.forgot:
                continue
            if name == repository and content.get("subject", {}).get("digest") == rest:
                entry = {"mediaType": media_type, "digest": digest, "size": len(data)}
                found.append({**entry, "artifactType": content.get("artifactType", "")})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
        self.answer(200, json.dumps(index).encode(), **{"Content-Type": INDEX})

    # --- answers

    def refuse(self, status: int, code: str, **headers: str) -> None:
        detail = self.server.detail.replace("{auth}", self.headers.get("Authorization", ""))
        errors = {"errors": [{"code": code, "message": detail}]}
        self.answer(status, json.dumps(errors).encode(), **headers)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        if not (self.command == "HEAD" and not body):
            self.send_header("Content-Length", str(len(body)))
        for name, value in self.server.hostile.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class DirectHandler(Handler):
    """Handles one request of `requests` where it stands: no thread, no socket, no parsing."""

    def __init__(self, server: RegistryServer, request: requests.PreparedRequest) -> None:
        # Not the parent's: that one handles what comes out of a socket at once.
        self.server = server
        self.command, self.path = request.method or "", request.path_url
        self.headers = Message()
        for name, value in request.headers.items():
            self.headers[name] = value
        body: Any = request.body
        self.rfile = io.BytesIO(body if isinstance(body, bytes) else b"".join(body or ()))
        self.wfile = self.sent = io.BytesIO()
        self.status = 0
        self.fields: dict[str, str] = {}

    def send_response(self, code: int, message: str | None = None) -> None:
        self.status = code

    def send_header(self, keyword: str, value: str) -> None:
        self.fields[keyword] = value

    def end_headers(self) -> None:
        pass

    def reset(self) -> None:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


class DirectAdapter(requests.adapters.HTTPAdapter):
    """Brings requests to a `DirectHandler`: for tests with thousands of them."""

    def __init__(self, server: RegistryServer) -> None:
        super().__init__()
        self.server = server

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        handler = DirectHandler(self.server, request)
        try:
            handler.do()
        except ConnectionResetError as error:
            broken = urllib3.exceptions.ProtocolError("Connection aborted.", error)
            raise requests.ConnectionError(broken) from error
        try:
            raw = urllib3.HTTPResponse(
                body=io.BytesIO(handler.sent.getvalue()),
                headers=handler.fields,
                status=handler.status,
                preload_content=False,
                request_method=request.method,
            )
        except urllib3.exceptions.InvalidHeader as error:
            raise requests.exceptions.InvalidHeader(error) from error
        return self.build_response(request, raw)


def login_of(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@contextlib.contextmanager
def registry_server(tls: ssl.SSLContext | None = None) -> Iterator[RegistryServer]:
    with RegistryServer(tls) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.gate.set()
            server.shutdown()


# --- what is pushed, and who pushes it


TAG_OF_IT = "8.21.0-http"


def tiny_layout(directory: Path, *, bulk: int = 0, word: str = "") -> Layout:
    """An image of two platforms; ``bulk`` bytes more in the first layer, ``word`` makes it another image."""
    entries = []
    for target in (Target.AMD64, Target.ARM_V7):
        padding = bytes(range(256)) * (bulk // 256) if target is Target.AMD64 else b""
        data = f"a file for {target}{word}".encode() + padding
        sha256 = hashlib.sha256(data).hexdigest()
        source = directory.with_name(f"{directory.name}-{sha256[:12]}")
        write_file(source, data)
        file = LayerFile(path=PurePosixPath("/file"), source=source, sha256=sha256, mode=0o755)
        layer = put_blob(directory, layer_tar([file], {}, epoch=0), TAR)
        rootfs = {"type": "layers", "diff_ids": [layer.digest]}
        running = {"config": {"Cmd": ["/file"]}, "rootfs": rootfs}
        config = put_blob(directory, canonical({**platform(target), **running}), CONFIG)
        content = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.as_dict(),
            "layers": [layer.as_dict()],
            "annotations": {VERSION: TAG_OF_IT},
        }
        manifest = put_blob(directory, canonical(content), MANIFEST)
        entries.append(dataclasses.replace(manifest, platform=target).as_dict())
    content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    index = put_blob(directory, canonical(content), INDEX)
    layout = Layout(directory=directory, name="static-curl", tag=TAG_OF_IT, index=index)
    write_index(layout)
    return layout


def put_blob(directory: Path, data: bytes, media_type: str) -> Descriptor:
    descriptor = Descriptor.of(data, media_type)
    write_file(directory / "blobs" / descriptor.digest.replace(":", "/"), data)
    return descriptor


def attachments_of(layout: Layout) -> tuple[Attachment, ...]:
    """An SBOM for each platform, and a signature of the whole."""
    sboms = [
        Attachment(
            subject=manifest,
            artifact_type="application/vnd.cyclonedx+json",
            media_type="application/vnd.cyclonedx+json",
            filename="sbom.cdx.json",
            data=f"what is in {manifest.digest}".encode(),
        )
        for manifest in layout.manifests()
    ]
    signature = Attachment(
        subject=layout.index,
        artifact_type="application/vnd.fromscratch.minisig.v1",
        media_type="text/plain",
        filename="index.minisig",
        data=b"signed",
    )
    return (signature, *sboms)


@dataclass
class Recorder(Progress):
    """A `Progress` that keeps everything."""

    notes: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    bytes: int = 0
    running: bool = False

    def started(self, label: str, size: int, origin: str = "") -> None:
        self.labels.append(label)
        self.running = True

    def advanced(self, size: int) -> None:
        assert self.running
        self.bytes += size

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finished(self) -> None:
        self.running = False


@dataclass
class Client:
    """Somebody with an image, a registry to push it to, and a login if there is one. Never really waits."""

    server: RegistryServer
    layout: Layout
    attachments: tuple[Attachment, ...] = ()
    login: Login | None = None
    slept: list[float] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    policy: RetryPolicy = field(
        default_factory=lambda: dataclasses.replace(POLICY, connect=2.0, read=2.0)
    )
    ca_file: str = ""
    direct: bool = False
    """Without sockets: quick, where it is not their faults that matter."""

    def session(self) -> requests.Session:
        session = requests.Session()
        if self.direct:
            session.mount("http://", DirectAdapter(self.server))
        return session

    @property
    def options(self) -> RegistryOptions:
        return RegistryOptions(
            policy=self.policy,
            session=self.session,
            login=lambda host: self.login,
            sleep=self.slept.append,
            random=lambda: 1.0,
            ca_file=self.ca_file,
            speaks_tls=(lambda *_: False) if self.direct else speaks_tls,
        )

    @property
    def repository(self) -> Repository:
        return Repository.parse(f"oci://{self.server.host}/from.scratch/tools").joined(
            "static-curl"
        )

    def push(self, *tags: str, dry: bool = False) -> Pushed:
        return push(
            self.layout,
            self.repository,
            tags,
            self.attachments,
            dry=dry,
            options=self.options,
            progress=self.recorder,
        )

    def pull(
        self, directory: Path, word: str = "8.21.0-http"
    ) -> tuple[Layout, tuple[Attachment, ...]]:
        reference = Reference(repository=self.repository, word=word)
        return pull(reference, directory, options=self.options, progress=self.recorder)

    @property
    def tagged(self) -> dict[str, str]:
        """Images by tag, as the registry has them."""
        return {
            tag: digest
            for (_, tag), digest in self.server.store.tags.items()
            if not is_fallback(tag)
        }
