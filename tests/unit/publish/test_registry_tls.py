"""Registries on other machines: https, and where a registry may lead us."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from trustme import CA

from core.errors import PublishError
from core.http import redirected
from core.retry import HttpError
from publish.registry.push import push
from publish.registry.reference import Repository
from tests.registry_server import Client, RegistryServer, registry_server, tiny_layout


class Elsewhere(Repository):
    """A registry that stands in for one on another machine."""

    @property
    def loopback(self) -> bool:
        return False


@pytest.fixture(scope="module")
def authority() -> CA:
    return CA()


@pytest.fixture
def plain() -> Iterator[RegistryServer]:
    with registry_server() as running:
        yield running


@pytest.fixture
def secure(authority: CA) -> Iterator[RegistryServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with registry_server(context) as running:
        yield running


def client(server: RegistryServer, directory: Path) -> Client:
    return Client(server=server, layout=tiny_layout(directory / "oci"))


def there(server: RegistryServer, *, insecure: bool = False) -> Repository:
    return Elsewhere(host=server.host, path="tools/static-curl", insecure=insecure)


def test_another_machine_is_spoken_to_in_tls(
    secure: RegistryServer, authority: CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    pusher = client(secure, tmp_path)
    push(pusher.layout, there(secure), options=pusher.options)
    assert secure.store.incomplete() == []
    assert pusher.tagged == {"8.21.0-http": pusher.layout.index.digest}


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    secure: RegistryServer, tmp_path: Path
) -> None:
    pusher = client(secure, tmp_path)
    with pytest.raises(PublishError, match="TLS failed") as caught:
        push(pusher.layout, there(secure), options=pusher.options)
    assert "certificate verify failed" in caught.value.what.lower()
    assert pusher.slept == []
    assert secure.log == []


def test_plain_http_of_another_machine_is_only_spoken_when_told_to(
    plain: RegistryServer, tmp_path: Path
) -> None:
    pusher = client(plain, tmp_path)
    with pytest.raises(PublishError, match="TLS failed") as caught:
        push(pusher.layout, there(plain), options=pusher.options)
    assert "--insecure" in caught.value.next
    assert plain.store.blobs == {}
    push(pusher.layout, there(plain, insecure=True), options=pusher.options)
    assert plain.store.incomplete() == []
    assert plain.store.tags


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a.io/v2/x", "/v2/y?_state=a%2Fb", "https://a.io/v2/y?_state=a%2Fb"),
        ("https://a.io/v2/x", "y", "https://a.io/v2/y"),
        ("https://a.io/v2/x", "https://b.io/y", "https://b.io/y"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:2/y", "http://127.0.0.1:2/y"),
        # It does not know that it stands behind TLS.
        ("https://a.io/v2/x", "http://a.io/v2/y", "https://a.io/v2/y"),
        ("https://a.io/v2/x", "http://a.io:80/v2/y", "https://a.io/v2/y"),
        ("https://a.io:443/v2/x", "http://a.io/v2/y", "https://a.io:443/v2/y"),
    ],
)
def test_a_registry_may_lead_us_on(url: str, location: str, target: str) -> None:
    assert redirected(url, location) == target


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a.io/x", "http://b.io/x"),
        ("https://a.io/x", "http://a.io:8080/x"),
        ("https://a.io/x", "file:///etc/passwd"),
        ("https://a.io/x", "https://:0/"),
        ("https://a.io/x", "https://[::1/"),
    ],
)
def test_but_not_to_where_it_is_not_safe(url: str, location: str) -> None:
    with pytest.raises(HttpError, match=r"invalid redirect|redirects from https to plain http"):
        redirected(url, location)
