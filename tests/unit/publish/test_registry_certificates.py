"""Registries with certificates of their owner's own authority, on this machine and on others."""

import dataclasses
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from trustme import CA

from core.errors import FromscratchError, PublishError, UsageError
from publish.oci.layout import Layout
from publish.registry.push import push
from publish.registry.tls import BUNDLES, Certificates, speaks_tls
from tests.registry_server import (
    Auth,
    Client,
    RegistryServer,
    attachments_of,
    registry_server,
    tiny_layout,
)
from tests.unit.publish.test_registry_login import ROBIN


@pytest.fixture(scope="module")
def theirs() -> CA:
    """The authority of somebody whom no machine believes."""
    return CA()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any certificates."""
    for name in (*BUNDLES, "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def ca_file(theirs: CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    theirs.cert_pem.write_to_path(str(path))
    return path


def secure(authority: CA, *, asks: CA | None = None) -> ssl.SSLContext:
    """A server's context; ``asks``: who must have signed its clients' certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    if asks:
        asks.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def server(theirs: CA) -> Iterator[RegistryServer]:
    with registry_server(secure(theirs)) as running:
        yield running


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return tiny_layout(tmp_path / "oci")


@pytest.fixture
def client(server: RegistryServer, layout: Layout, home: Path) -> Client:
    return Client(server=server, layout=layout, attachments=attachments_of(layout))


def by_flag(client: Client, ca_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client.ca_file = str(ca_file)


def by_variable(name: str) -> Callable[..., None]:
    def tell(client: Client, ca_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, str(ca_file))

    return tell


def by_directory(words: str) -> Callable[..., None]:
    def tell(client: Client, ca_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        directory = home / words / "certs.d" / client.server.host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(ca_file.read_bytes())
        if words.startswith("elsewhere"):
            monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))

    return tell


WAYS = {
    "--ca-file": by_flag,
    "SSL_CERT_FILE": by_variable("SSL_CERT_FILE"),
    "REQUESTS_CA_BUNDLE": by_variable("REQUESTS_CA_BUNDLE"),
    "docker's directory": by_directory(".docker"),
    "rootless docker's": by_directory(".config/docker"),
    "podman's": by_directory(".config/containers"),
    "podman's elsewhere": by_directory("elsewhere/containers"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("there", [False, True], ids=["here", "another machine"])
def test_an_authority_of_ones_own_is_believed(
    client: Client,
    ca_file: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: str,
    *,
    there: bool,
) -> None:
    WAYS[way](client, ca_file, home, monkeypatch)
    if there:
        from tests.unit.publish.test_registry_tls import Elsewhere  # noqa: PLC0415

        away = Elsewhere(host=client.repository.host, path=client.repository.path)
        push(client.layout, away, attachments=client.attachments, options=client.options)
    else:
        client.push()
    assert client.server.store.incomplete() == []
    assert client.tagged == {"8.21.0-http": client.layout.index.digest}
    assert client.slept == []
    assert client.pull(tmp_path / "pulled")[1] == client.attachments


def test_nobody_is_believed_who_was_not_named(client: Client) -> None:
    with pytest.raises(PublishError, match="TLS failed") as caught:
        client.push()
    assert "--ca-file" in caught.value.next
    assert client.server.log == []
    assert client.slept == []


def test_another_hosts_directory_is_not_looked_into(
    client: Client, ca_file: Path, home: Path
) -> None:
    directory = home / ".docker" / "certs.d" / "127.0.0.1:1"
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(ca_file.read_bytes())
    with pytest.raises(PublishError, match="TLS failed"):
        client.push()


def test_what_a_variable_names_takes_the_place_of_all_others(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca_file: Path
) -> None:
    CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    with pytest.raises(PublishError, match="TLS failed"):
        client.push()
    client.ca_file = str(ca_file)  # and this comes on top, whatever the variable says
    client.push()


def test_a_token_service_of_the_same_authority(client: Client, ca_file: Path) -> None:
    client.server.auth, client.login = Auth.TOKEN, ROBIN
    client.server.realm = f"https://{client.server.host}/token"
    client.ca_file = str(ca_file)
    client.push()
    assert client.server.store.incomplete() == []


class TestOurOwnCertificate:
    @pytest.fixture
    def ours(self) -> CA:
        return CA()

    @pytest.fixture
    def strict(self, theirs: CA, ours: CA) -> Iterator[RegistryServer]:
        with registry_server(secure(theirs, asks=ours)) as running:
            yield running

    def told(self, host: str, home: Path, ours: CA) -> Path:
        directory = home / ".docker" / "certs.d" / host
        directory.mkdir(parents=True)
        made = ours.issue_cert("robin@example.invalid")
        made.cert_chain_pems[0].write_to_path(str(directory / "client.cert"))
        made.private_key_pem.write_to_path(str(directory / "client.key"))
        return directory

    def test_is_shown_to_who_asks(
        self, strict: RegistryServer, layout: Layout, home: Path, ours: CA, ca_file: Path
    ) -> None:
        client = Client(server=strict, layout=layout, ca_file=str(ca_file))
        client.policy = dataclasses.replace(client.policy, tries=1)
        with pytest.raises(PublishError):
            client.push()
        self.told(strict.host, home, ours)
        client.push()
        assert strict.store.incomplete() == []

    def test_is_shown_to_no_other_host(
        self,
        strict: RegistryServer,
        theirs: CA,
        layout: Layout,
        home: Path,
        ours: CA,
        ca_file: Path,
        tmp_path: Path,
    ) -> None:
        self.told(strict.host, home, ours)
        client = Client(server=strict, layout=layout, ca_file=str(ca_file))
        client.policy = dataclasses.replace(client.policy, tries=1)
        client.push()
        with registry_server(secure(theirs, asks=ours)) as other:
            other.store = strict.store
            strict.redirects = f"https://{other.host}"
            with pytest.raises(PublishError):
                client.pull(tmp_path / "pulled")
            assert other.connections
            assert other.log == []

    @pytest.mark.parametrize(
        ("name", "content"), [("client.cert", "none"), ("client.key", "none"), ("client.key", "")]
    )
    def test_that_is_none_is_named(
        self, strict: RegistryServer, home: Path, ours: CA, name: str, content: str
    ) -> None:
        path = self.told(strict.host, home, ours) / name
        path.unlink()
        if content:
            path.write_text(content)
        with pytest.raises(PublishError, match="no certificate with its key") as caught:
            Certificates.find(strict.host, "")
        assert "client.cert" in caught.value.what


@pytest.mark.parametrize("content", [None, "", "no PEM", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_file_without_certificates_is_named_before_anything_is_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"ca\.pem holds no certificates") as flag:
        Certificates.find("registry.example", str(path))
    assert "--ca-file" in flag.value.next
    directory = home / ".docker" / "certs.d" / "registry.example"
    directory.mkdir(parents=True)
    if content is not None:
        (directory / "ca.crt").write_text(content)
        with pytest.raises(PublishError, match=r"ca\.crt holds no certificates"):
            Certificates.find("registry.example", "")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(FromscratchError, match=r"SSL_CERT_FILE names '.*gone\.pem'"):
        Certificates.find("127.0.0.1:1", "")


class TestWhichOfTheTwo:
    def test_plain_http_is_still_spoken_here(self, layout: Layout, home: Path) -> None:
        with registry_server() as plain:
            client = Client(server=plain, layout=layout)
            client.push()
            assert client.tagged
            assert plain.connections == 1

    def test_it_is_found_out_once(self, client: Client, ca_file: Path) -> None:
        client.ca_file = str(ca_file)
        client.push()
        # One in plain http, one to find out, and one for all that is to be said.
        assert client.server.connections == 3

    def test_a_server_shows_it(self, theirs: CA, server: RegistryServer) -> None:
        with registry_server() as plain, registry_server(secure(theirs, asks=CA())) as strict:
            ports = [it.server_address[1] for it in (server, strict, plain)]
            assert [speaks_tls("127.0.0.1", port) for port in ports] == [True, True, False]
        assert not speaks_tls("127.0.0.1", ports[2])  # nobody is there any more

    def test_insecure_is_plain_http_whatever_happens(self, client: Client, ca_file: Path) -> None:
        client.ca_file = str(ca_file)
        client.policy = dataclasses.replace(client.policy, tries=1)
        plain = dataclasses.replace(client.repository, insecure=True)
        with pytest.raises(PublishError):
            push(client.layout, plain, options=client.options)
        assert client.server.log == []

    def test_a_bad_request_of_a_plain_server_is_an_answer(self, layout: Layout, home: Path) -> None:
        with registry_server() as plain:
            client = Client(server=plain, layout=layout)
            plain.bad_requests = 1
            with pytest.raises(PublishError, match="HTTP 400"):
                client.push()
