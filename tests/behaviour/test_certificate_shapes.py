"""Certificates as real servers show them: in any order, many, large, for an address, limited to names."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import http_reply, serving
from tests.behaviour.test_https import over_tls
from tests.integration.authorities import Authority, basic, pem_of
from tests.integration.certificates import HOST
from tests.interpreters import Interpreter, interpreters


@pytest.fixture(params=[it for it in interpreters() if it.has_tls])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that have TLS."""
    return Interpreter(request.param)


@pytest.fixture
def root() -> Authority:
    return Authority.make("Root")


Ask = Callable[..., str]


@pytest.fixture
def ask(probe: Probe, root: Authority, tmp_path: Path) -> Iterator[Ask]:
    """Show the probe a chain, and return what it says of it."""
    with ExitStack() as stack:

        def run(leaf: Authority, *chain: Authority) -> str:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            shown = pem_of(leaf.certificate, *(one.certificate for one in chain))
            (tmp_path / "server.pem").write_bytes(leaf.key_pem + shown)
            (tmp_path / "root.pem").write_bytes(root.pem)
            context.load_cert_chain(tmp_path / "server.pem")
            server = stack.enter_context(serving(over_tls(context, http_reply(body=b"ok"))))
            done = probe(f"https://{server.address}/", "--ca-file", str(tmp_path / "root.pem"))
            assert (done.returncode == 0) == done.stdout.startswith("healthy")
            return done.stdout

        yield run


def leaf_of(by: Authority, *names: x509.GeneralName) -> Authority:
    value = x509.SubjectAlternativeName(names)
    extension = x509.Extension(oid=value.oid, critical=False, value=value)
    return Authority.make("Server", by=by, extensions=[extension])


ADDRESS = x509.IPAddress(ipaddress.ip_address(HOST))


def chain_of(root: Authority, count: int, *more: x509.GeneralName) -> list[Authority]:
    """A server's certificate and the intermediates above it."""
    chain = [root]
    for number in range(count):
        chain.insert(0, Authority.make("Between", str(number), by=chain[0]))
    return [leaf_of(chain[0], ADDRESS, *more), *chain[:-1]]


def test_many_intermediates(ask: Ask, root: Authority) -> None:
    assert ask(*chain_of(root, 20)).startswith("healthy")


def test_forty_kilobytes(ask: Ask, root: Authority) -> None:
    names = [x509.DNSName(f"{number:060}.example") for number in range(570)]
    assert ask(*chain_of(root, 1, *names)).startswith("healthy")


def test_any_order(ask: Ask, root: Authority) -> None:
    leaf, *chain = chain_of(root, 3)
    assert ask(leaf, *reversed(chain)).startswith("healthy")
    assert ask(leaf, chain[1], Authority.make("Stranger"), chain[2], chain[0]).startswith("healthy")


def test_a_chain_that_never_ends(ask: Ask) -> None:
    one = Authority.make("One")
    two = Authority.make("Two", by=one)
    back = Authority.make(name=one.name, key=one.key, by=two)
    assert "certificate" in ask(leaf_of(two, ADDRESS), two, back)


@pytest.mark.parametrize("name", [HOST, "*.0.0.1"])
def test_an_address_is_no_name(ask: Ask, root: Authority, name: str) -> None:
    assert ask(leaf_of(root, ADDRESS)).startswith("healthy")
    assert "certificate" in ask(leaf_of(root, x509.DNSName(name)))


@pytest.mark.parametrize("critical", [True, False])
def test_a_ca_that_may_not_sign_for_this_address(ask: Ask, root: Authority, critical: bool) -> None:
    elsewhere = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
    value = x509.NameConstraints(permitted_subtrees=[elsewhere], excluded_subtrees=None)
    limit = x509.Extension(oid=value.oid, critical=critical, value=value)
    between = Authority.make("Limited", by=root, extensions=[basic(), limit])
    assert ask(leaf_of(between, ADDRESS), between).startswith("unhealthy")
