"""Who the probe says it is: `--cert` and `--key`, to servers that ask for it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trustme import CA, KeyType, LeafCert

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import http_reply, read_request, serving
from tests.behaviour.test_other_checks import SETTINGS, grpc_reply
from tests.integration.certificates import HOST, context_of
from tests.interpreters import Interpreter, interpreters

CLIENT = "probe.example"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=[it for it in interpreters() if it.has_tls])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that have TLS."""
    return Interpreter(request.param)


@contextmanager
def asking(
    authority: CA, *, protocol: str = "", version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[tuple[str, list[str]]]:
    """A server that wants a certificate of this CA: where it is, and whom it has seen."""
    context = context_of(authority.issue_cert(HOST), version, version)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    if protocol:
        context.set_alpn_protocols([protocol])
    seen: list[str] = []

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            names: Any = (session.getpeercert() or {}).get("subjectAltName", ())
            seen.extend(name for _, name in names)
            if protocol:
                session.recv(65536)
                session.sendall(SETTINGS + grpc_reply(1))
                while session.recv(65536):
                    pass
            else:
                read_request(session)
                session.sendall(http_reply(body=b"welcome"))

    with serving(handle) as server:
        yield server.address, seen


def written(directory: Path, name: str, *parts: bytes) -> str:
    path = directory / name
    path.write_bytes(b"".join(parts))
    return str(path)


def chain_of(certificate: LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def key_of(
    certificate: LeafCert,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    """The certificate's key, written otherwise."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


@pytest.fixture(scope="module")
def client(authority: CA) -> LeafCert:
    return authority.issue_cert(CLIENT)


@pytest.fixture
def own(client: LeafCert, tmp_path: Path) -> tuple[str, ...]:
    """The options for the client's certificate and key."""
    certificate = written(tmp_path, "cert.pem", chain_of(client))
    return "--cert", certificate, "--key", written(tmp_path, "key.pem", key_of(client))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", list(KeyType))
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_versions_keys_and_their_forms(
    probe: Probe,
    authority: CA,
    ca: str,
    tmp_path: Path,
    version: ssl.TLSVersion,
    kind: KeyType,
    form: PrivateFormat,
) -> None:
    client = authority.issue_cert(CLIENT, key_type=kind)
    certificate = written(tmp_path, "cert.pem", chain_of(client))
    key = written(tmp_path, "key.pem", key_of(client, form))
    with asking(authority, version=version) as (address, seen):
        url = f"https://{address}/"
        done = probe(url, "--ca-file", ca, "--cert", certificate, "--key", key)
    assert (done.returncode, done.stdout.partition(" ")[0]) == (0, "healthy:")
    assert seen == [CLIENT]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_one_the_server_refuses(
    probe: Probe, authority: CA, ca: str, version: ssl.TLSVersion
) -> None:
    with asking(authority, version=version) as (address, seen):
        done = probe(f"https://{address}/", "--ca-file", ca)
    assert done.returncode == 1
    assert done.stdout.startswith("unhealthy: ")
    assert "internal error" not in done.stdout
    assert seen == []


@pytest.mark.parametrize("version", VERSIONS)
def test_one_that_the_server_does_not_trust(
    probe: Probe, authority: CA, ca: str, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    stranger = CA().issue_cert(CLIENT)
    both = written(tmp_path, "both.pem", chain_of(stranger), key_of(stranger))
    with asking(authority, version=version) as (address, seen):
        done = probe(f"https://{address}/", "--ca-file", ca, "--cert", both)
    assert done.returncode == 1
    assert "internal error" not in done.stdout
    assert seen == []


@pytest.mark.parametrize("key_first", [True, False])
def test_both_in_one_file(
    probe: Probe, authority: CA, ca: str, client: LeafCert, tmp_path: Path, key_first: bool
) -> None:
    parts = [key_of(client), chain_of(client)]
    both = written(tmp_path, "both.pem", *parts if key_first else reversed(parts))
    with asking(authority) as (address, seen):
        assert probe(f"https://{address}/", "--ca-file", ca, "--cert", both).returncode == 0
        environment = {"PROBE_CERT": both, "PROBE_CA_FILE": ca}
        assert probe(f"https://{address}/", env=environment).returncode == 0
    assert seen == [CLIENT] * 2


def test_an_intermediate_goes_along(probe: Probe, authority: CA, ca: str, tmp_path: Path) -> None:
    client = authority.create_child_ca().issue_cert(CLIENT)
    assert len(client.cert_chain_pems) == 2
    both = written(tmp_path, "both.pem", chain_of(client), key_of(client))
    with asking(authority) as (address, seen):
        assert probe(f"https://{address}/", "--ca-file", ca, "--cert", both).returncode == 0
    assert seen == [CLIENT]


def test_the_server_is_still_checked(probe: Probe, authority: CA, own: tuple[str, ...]) -> None:
    with asking(authority) as (address, seen):
        assert probe(f"https://{address}/", *own).returncode == 1
        assert seen == []
        assert probe(f"https://{address}/", *own, "--insecure").returncode == 0


def test_a_server_that_does_not_ask(
    probe: Probe, authority: CA, ca: str, own: tuple[str, ...]
) -> None:
    context = context_of(authority.issue_cert(HOST))

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            read_request(session)
            session.sendall(http_reply())

    with serving(handle) as server:
        assert probe(f"https://{server.address}/", *own, "--ca-file", ca).returncode == 0


def test_grpc(probe: Probe, authority: CA, ca: str, own: tuple[str, ...]) -> None:
    with asking(authority, protocol="h2") as (address, seen):
        words = ("grpc", address, "--tls", "--ca-file", ca)
        assert probe(*words).returncode == 1
        assert seen == []
        assert probe(*words, *own).returncode == 0
    assert seen == [CLIENT]


class TestWhatCannotBeUsed:
    """Each is named, and nothing is sent."""

    @pytest.fixture(autouse=True)
    def _files(
        self, probe: Probe, authority: CA, ca: str, client: LeafCert, tmp_path: Path
    ) -> Iterator[None]:
        self.probe, self.ca, self.directory, self.client = probe, ca, tmp_path, client
        self.certificate = written(tmp_path, "cert.pem", chain_of(client))
        self.key = written(tmp_path, "key.pem", key_of(client))
        with asking(authority) as (self.address, self.seen):
            yield
        assert self.seen == []

    def refusal(self, *words: str) -> str:
        done = self.probe(f"https://{self.address}/", "--ca-file", self.ca, *words)
        assert done.returncode == 1
        assert "internal error" not in done.stdout
        assert done.stdout.count("\n") == 1
        return done.stdout

    @pytest.mark.parametrize("kind", list(KeyType))
    def test_a_key_of_another_one(self, authority: CA, kind: KeyType) -> None:
        other = authority.issue_cert(CLIENT, key_type=kind)
        key = written(self.directory, "other.pem", key_of(other))
        said = self.refusal("--cert", self.certificate, "--key", key)
        assert "the client's key does not fit its certificate" in said

    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_an_encrypted_key(self, form: PrivateFormat) -> None:
        encryption = BestAvailableEncryption(b"password")
        key = written(self.directory, "locked.pem", key_of(self.client, form, encryption))
        said = self.refusal("--cert", self.certificate, "--key", key)
        assert f"the key in {key} is encrypted" in said

    def test_files_that_hold_something_else(self) -> None:
        nothing = written(self.directory, "nothing.pem", b"no certificate, and no key\n")
        empty, none = written(self.directory, "empty.pem"), str(self.directory / "none.pem")
        for path in (nothing, self.key):
            said = self.refusal("--cert", path, "--key", self.key)
            assert f"--cert {path} holds no certificate" in said
        for path in (nothing, self.certificate):
            said = self.refusal("--cert", self.certificate, "--key", path)
            assert f"--key {path} holds no private key" in said
        assert "holds no private key" in self.refusal("--cert", self.certificate)
        for option, words in (
            ("--cert", ["--key", self.key]),
            ("--key", ["--cert", self.certificate]),
        ):
            assert f"{option} {empty} is empty" in self.refusal(*words, option, empty)
            said = self.refusal(*words, option, none)
            assert f"{option} {none} cannot be read: no such file" in said

    def test_a_ca_file_that_holds_none(self) -> None:
        said = self.probe(f"https://{self.address}/", "--ca-file", self.key).stdout
        assert f"--ca-file {self.key} holds no certificate" in said

    def test_a_key_alone(self) -> None:
        assert "--key needs --cert" in self.refusal("--key", self.key)

    def test_a_kind_of_key_that_mbedtls_has_not(self, interpreter: Interpreter) -> None:
        key = ed25519.Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = written(self.directory, "ed25519.pem", pem)
        said = self.refusal("--cert", self.certificate, "--key", path)
        why = "does not fit" if interpreter is Interpreter.CPYTHON else "the client's key:"
        assert why in said

    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.data())
    def test_damaged_files(self, data: st.DataObject) -> None:
        pem = bytearray(chain_of(self.client) + key_of(self.client))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(pem) - 1))
            pem[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
        path = written(self.directory, "damaged.pem", bytes(pem))
        done = self.probe(f"https://{self.address}/", "--ca-file", self.ca, "--cert", path)
        assert "internal error" not in done.stdout
        assert done.stdout.count("\n") == 1
        self.seen.clear()  # what was damaged may not count
