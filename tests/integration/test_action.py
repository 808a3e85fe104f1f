"""What other repositories get by `uses:`: a file whose bytes the release's key has signed for, or nothing."""

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.files import hash_file
from core.signing import SecretKey
from publish.release.sums import NAME, SIGNATURE, write_sums
from tests.integration.command import ROOT

SCRIPT = ROOT / ".github" / "action.sh"
NEEDED = ("bash", "curl", "sha256sum", "openssl", "minisign")
CHECKERS = ("minisign", "openssl")
FILES = {
    "curl-https-8.21.0-linux-amd64": b"#!/bin/sh\necho this is curl\n",
    "curl-https-8.21.0-linux-amd64.upx": b"packed",
    "curl-https-8.21.0-linux-arm-v7": b"arm",
    "curl-mini-8.21.0-linux-amd64": b"mini",
    "probe-0.1.0-linux-amd64": b"old",
    "probe-0.2.0-linux-amd64": b"new",
    "busybox-tools-1.38.0-r2-linux-amd64": b"built once more",
}


@dataclass(frozen=True, kw_only=True)
class Store:
    """A release, and whoever wants a file of it."""

    directory: Path
    key: SecretKey
    path: str
    """Where programs are looked for: with minisign, or without it."""
    home: Path

    def sign(self, key: SecretKey | None = None) -> None:
        """List the files anew, and sign for the list."""
        sums = {name: hash_file(self.directory / name) for name in FILES}
        data = write_sums(sums)
        (self.directory / NAME).write_bytes(data)
        signature = (key or self.key).sign(data, comment="timestamp:1\tfile:SHA256SUMS\thashed")
        (self.directory / SIGNATURE).write_bytes(signature)

    def get(self, **inputs: str) -> "subprocess.CompletedProcess[str]":
        """Run the script as action.yml does."""
        given = {
            "PRODUCT": "curl:https",
            "TARGET": "linux/amd64",
            "RELEASE": str(self.directory),
            "PUBLIC_KEY": self.key.public.line,
            "DIRECTORY": str(self.home / "tools"),
            "GITHUB_OUTPUT": str(self.home / "output"),
            "TMPDIR": str(self.home / "tmp"),
        }
        return subprocess.run(
            ["bash", SCRIPT],
            env={"PATH": self.path, **given, **inputs},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def got(self) -> list[str]:
        """What was handed out; nothing else was left."""
        assert list((self.home / "tmp").iterdir()) == []
        return sorted(path.name for path in (self.home / "tools").glob("*"))


@pytest.fixture(params=CHECKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return make_store(tmp_path, request.param)


def make_store(tmp_path: Path, checker: str) -> Store:
    """A signed release; ``checker`` is what its signature is checked with."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing and os.environ.get("FROMSCRATCH_TEST_DOCKER"):
        pytest.fail(f"FROMSCRATCH_TEST_DOCKER is set, but not installed: {missing}", pytrace=False)
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")
    for name in ("release", "home/tmp", "path"):
        (tmp_path / name).mkdir(parents=True)
    for name, data in FILES.items():
        (tmp_path / "release" / name).write_bytes(data)
    path = os.environ["PATH"]
    if checker == "openssl":
        link_all_but("minisign", tmp_path / "path")
        path = str(tmp_path / "path")
    made = Store(
        directory=tmp_path / "release", key=SecretKey.generate(), path=path, home=tmp_path / "home"
    )
    assert (shutil.which("minisign", path=path) is None) == (checker == "openssl")
    made.sign()
    return made


def link_all_but(hidden: str, directory: Path) -> None:
    """Fill ``directory`` with what the script calls."""
    names = "bash curl sha256sum openssl mktemp rm mv cat chmod cmp grep head tail uname wc base64 mkdir"
    for name in names.split():
        found = shutil.which(name)
        assert found, name
        (directory / name).symlink_to(found)
    assert not (directory / hidden).exists()


def refused(store: Store, why: str, **inputs: str) -> None:
    done = store.get(**inputs)
    assert done.returncode == 1, done.stdout
    assert why in done.stderr
    assert done.stderr.splitlines()[-1].startswith("::error::")
    assert store.got() == []
    assert not (store.home / "output").exists()


def test_the_file_is_handed_out_with_its_outputs(store: Store) -> None:
    done = store.get()
    assert done.returncode == 0, done.stderr
    name = "curl-https-8.21.0-linux-amd64"
    path = store.home / "tools" / name
    assert done.stdout == f"{path}\n"
    sha256 = hash_file(store.directory / name)
    output = (store.home / "output").read_text()
    assert output == f"path={path}\nversion=8.21.0\nsha256={sha256}\n"
    assert subprocess.run([path], capture_output=True, check=True).stdout == b"this is curl\n"
    assert store.got() == [name]


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"PRODUCT": "busybox:tools"}, "busybox-tools-1.38.0-r2-linux-amd64"),
        (
            {"PRODUCT": "busybox:tools", "VERSION": "1.38.0-r2"},
            "busybox-tools-1.38.0-r2-linux-amd64",
        ),
        ({"PACKED": "true"}, "curl-https-8.21.0-linux-amd64.upx"),
        ({"TARGET": "linux/arm/v7"}, "curl-https-8.21.0-linux-arm-v7"),
        ({"PRODUCT": "curl:mini", "VERSION": "8.21.0"}, "curl-mini-8.21.0-linux-amd64"),
        ({"PRODUCT": "probe", "VERSION": "0.1.0"}, "probe-0.1.0-linux-amd64"),
    ],
)
def test_the_file_that_was_asked_for(store: Store, inputs: dict[str, str], name: str) -> None:
    done = store.get(**inputs)
    assert done.returncode == 0, done.stderr
    assert store.got() == [name]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"PRODUCT": "busybox:tools", "VERSION": "1.38.0"}, "has no busybox:tools 1.38.0"),
        ({"VERSION": "8.21.0-rx"}, "is no version"),
        ({"PRODUCT": "curl:h2"}, "has no curl:h2"),
        ({"PRODUCT": "curl"}, "has no curl "),
        ({"PRODUCT": "probe"}, "several versions"),
        ({"VERSION": "8x21x0"}, "has no curl:https 8x21x0"),
        ({"TARGET": "linux/s390x"}, "for linux/s390x"),
        ({"PRODUCT": "curl:mini", "PACKED": "true"}, "packed"),
        ({"PACKED": "yes"}, "true or false"),
        ({"PRODUCT": "../x"}, "is no product"),
        ({"PRODUCT": "curl:https\nx"}, "is no product"),
        ({"VERSION": ".*"}, "is no version"),
        ({"TARGET": "linux/$(id)"}, "is no target"),
        ({"RELEASE": "release"}, "neither a URL nor"),
        ({"PUBLIC_KEY": ""}, "the public key is not"),
    ],
)
def test_what_is_not_there_or_no_input_is_refused(
    store: Store, inputs: dict[str, str], why: str
) -> None:
    refused(store, why, **inputs)


def test_a_flipped_byte_in_the_file(store: Store) -> None:
    flip(store.directory / "curl-https-8.21.0-linux-amd64", 3)
    refused(store, "is not what the release's list says")


@pytest.mark.parametrize("position", [0, 70, -2])
def test_a_flipped_byte_in_the_list(store: Store, position: int) -> None:
    flip(store.directory / NAME, position)
    refused(store, "not signed by this key")


def test_a_flipped_byte_anywhere_in_the_signature(store: Store) -> None:
    data = (store.directory / SIGNATURE).read_bytes()
    first, second, third, _ = (len(line) for line in data.splitlines(keepends=True))
    # algorithm, id, signature, its last byte; the signed comment; the signature over it
    for position in (first, first + 5, first + 40, first + second - 4, first + second + 20, -10):
        (store.directory / SIGNATURE).write_bytes(data)
        flip(store.directory / SIGNATURE, position)
        refused(store, "not signed by this key")
    assert third


def test_the_key_of_somebody_else(store: Store) -> None:
    refused(store, "not signed by this key", PUBLIC_KEY=SecretKey.generate().public.line)


def test_a_list_that_somebody_else_signed(store: Store) -> None:
    (store.directory / "curl-https-8.21.0-linux-amd64").write_bytes(b"evil")
    store.sign(SecretKey.generate())
    refused(store, "not signed by this key")


@pytest.mark.parametrize("content", [b"", b"untrusted comment: x\n", b"\n\n\n\n", b"\0" * 300])
def test_a_signature_that_is_none(store: Store, content: bytes) -> None:
    (store.directory / SIGNATURE).write_bytes(content)
    refused(store, "not signed by this key")


@pytest.mark.parametrize("name", [NAME, SIGNATURE, "curl-https-8.21.0-linux-amd64"])
def test_what_cannot_be_had(store: Store, name: str) -> None:
    (store.directory / name).unlink()
    refused(store, f"{name} cannot be had")


def test_without_anything_to_check_signatures_with_there_is_no_file(tmp_path: Path) -> None:
    store = make_store(tmp_path, "openssl")
    (tmp_path / "path" / "openssl").unlink()
    refused(store, "neither minisign nor OpenSSL 3 is installed")


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    """A release's server."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    handler = functools.partial(SilentHandler, directory=str(store.directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_over_http(store: Store, address: str) -> None:
    done = store.get(RELEASE=f"{address}/")
    assert done.returncode == 0, done.stderr
    assert store.got() == ["curl-https-8.21.0-linux-amd64"]


def test_over_http_a_missing_file_is_no_file(store: Store, address: str) -> None:
    (store.directory / SIGNATURE).unlink()
    refused(store, "SHA256SUMS.minisig cannot be had", RELEASE=address)
