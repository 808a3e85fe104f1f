"""A Docker engine that is a few Python objects: it remembers what it was asked."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import docker.errors
import requests


@dataclass
class FakeContainer:
    client: "FakeDocker"
    image: str
    argv: list[str]
    options: dict[str, Any]
    id: str = "c1"
    put: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    started: bool = False
    removed: dict[str, Any] | None = None
    output: bytes = b""
    usage: bytes | None = None
    attrs: dict[str, Any] = field(default_factory=dict)

    def put_archive(self, path: str, archive: Any) -> bool:
        assert not self.started
        with tarfile.open(fileobj=archive) as tar:
            self.put |= {f"{path}/{member.name}": member for member in tar}
        return True

    def reload(self) -> None:
        self.attrs["State"] = {"OOMKilled": self.client.out_of_memory}

    def start(self) -> None:
        self.started = True

    def wait(self, timeout: float) -> dict[str, int]:
        if self.client.waits:
            self.client.waits -= 1
            raise requests.ReadTimeout
        return {"StatusCode": self.client.code}

    def logs(self, **_: Any) -> Iterator[bytes]:
        yield from self.client.says

    def get_archive(self, path: str, chunk_size: int) -> tuple[Iterator[bytes], dict[str, Any]]:
        if path == "/box/usage":
            if self.usage is None:
                raise docker.errors.NotFound(path)
            return iter([self.usage]), {}
        assert path == "/box/out"
        return iter([self.output[:100], self.output[100:]]), {}

    def export(self) -> Iterator[bytes]:
        with io.BytesIO() as file:
            tarfile.open(fileobj=file, mode="w").close()
            yield file.getvalue()

    def remove(self, **options: Any) -> None:
        self.removed = options


@dataclass
class FakeDocker:
    """Both the client and everything that hangs on it."""

    code: int = 0
    waits: int = 0
    """How often ``wait`` runs into its own timeout first; -1: always."""
    dead: bool = False
    out_of_memory: bool = False
    images_known: set[str] = field(default_factory=set)
    made: list[FakeContainer] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    output: bytes = b""
    says: Sequence[bytes] = (b"output of the step\n",)
    usage: bytes | None = None
    """The archive with what a step's container took."""

    @property
    def api(self) -> "FakeDocker":
        return self

    @property
    def containers(self) -> "FakeDocker":
        return self

    @property
    def images(self) -> "FakeDocker":
        return self

    def create(self, image: str, argv: list[str], **options: Any) -> FakeContainer:
        if self.dead:
            msg = "connection refused"
            raise requests.ConnectionError(msg)
        container = FakeContainer(self, image, argv, options, output=self.output, usage=self.usage)
        self.made.append(container)
        return container

    def ping(self) -> bool:
        if self.dead:
            msg = "connection refused"
            raise requests.ConnectionError(msg)
        return True

    def get(self, tag: str) -> str:
        if tag not in self.images_known:
            raise docker.errors.ImageNotFound(tag)
        return tag

    def pull(self, name: str) -> None:
        self.pulled.append(name)

    def import_image_from_file(self, path: str, *, repository: str, tag: str) -> None:
        with tarfile.open(path) as tar:
            self.imported += tar.getnames()
        self.images_known.add(f"{repository}:{tag}")
