"""Whom curl believes, by both TLS libraries: in an empty root, with nothing of the machine's certificates."""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest
from trustme import CA, KeyType

from builders.engines.scratch_root import PROGRAM, SandboxEnvironment
from core.scratch import RunResult
from tests.built import Built
from tests.integration.certificates import (
    HOST,
    context_of,
    expired,
    not_yet,
    outdated,
    outdated_context,
    self_signed,
)
from tests.integration.http_server import Servers, serving

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

UNTRUSTED = 60
HANDSHAKE = 35

Curl = Callable[..., RunResult]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture(params=["https", "https, packed", "full"])
def curl(request: pytest.FixtureRequest, empty_roots: SandboxEnvironment, ca: str) -> Curl:
    """A curl in an empty root that holds the CA's certificate as /ca.pem."""
    program = program_of(request)

    def run(*args: str, env: Mapping[str, str] | None = None) -> RunResult:
        with empty_roots.open({PROGRAM: program, PurePosixPath("/ca.pem"): Path(ca)}) as root:
            return root.run(["-sS", "-m", "10", *args], seconds=20, env=env)

    return run


def program_of(request: pytest.FixtureRequest) -> Path:
    variant, _, packed = request.param.partition(", ")
    if packed:
        built: Built = request.getfixturevalue("built")
        return built.file(f"curl:{variant}", packed=True)
    curls: dict[str, Path] = request.getfixturevalue("curls")
    return curls[variant]


@pytest.fixture(scope="module")
def good(servers: Servers, authority: CA) -> str:
    return f"https://{HOST}:{servers.tls(context_of(authority.issue_cert(HOST))).port}/status/200"


def at(servers: Servers, context: ssl.SSLContext) -> str:
    return f"https://{HOST}:{servers.tls(context).port}/status/200"


def test_a_good_chain_is_accepted_by_the_given_ca(curl: Curl, good: str) -> None:
    assert curl("--cacert", "/ca.pem", good)[:2] == (0, "ok")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_the_environment_can_name_the_ca(curl: Curl, good: str, variable: str) -> None:
    assert curl(good, env={variable: "/ca.pem"})[:2] == (0, "ok")


def test_an_unknown_ca_is_refused_by_the_embedded_bundle(curl: Curl, good: str) -> None:
    assert curl(good)[:2] == (UNTRUSTED, "")


def test_a_missing_ca_file_is_an_error_not_a_fallback(curl: Curl, good: str) -> None:
    assert curl("--cacert", "/none.pem", good)[:2] == (2, "")
    assert curl(good, env={"SSL_CERT_FILE": "/none.pem"})[:2] == (77, "")


def test_insecure_is_possible_when_asked_for(curl: Curl, good: str) -> None:
    assert curl("-k", good)[:2] == (0, "ok")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3(
    curl: Curl, servers: Servers, authority: CA, version: ssl.TLSVersion
) -> None:
    url = at(servers, context_of(authority.issue_cert(HOST), version, version))
    assert curl("--cacert", "/ca.pem", url)[:2] == (0, "ok")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("key", list(KeyType))
def test_both_kinds_of_keys_through_an_intermediate(
    curl: Curl, servers: Servers, authority: CA, key: KeyType, version: ssl.TLSVersion
) -> None:
    certificate = authority.create_child_ca(key_type=key).issue_cert(HOST, key_type=key)
    url = at(servers, context_of(certificate, version, version))
    assert curl("--cacert", "/ca.pem", url)[:2] == (0, "ok")


def test_an_expired_certificate_is_refused(curl: Curl, servers: Servers, authority: CA) -> None:
    url = at(servers, context_of(expired(authority)))
    assert curl("--cacert", "/ca.pem", url)[:2] == (UNTRUSTED, "")


def test_a_certificate_of_the_future_is_refused(
    curl: Curl, servers: Servers, authority: CA
) -> None:
    url = at(servers, context_of(not_yet(authority)))
    assert curl("--cacert", "/ca.pem", url)[:2] == (UNTRUSTED, "")


def test_another_hosts_certificate_is_refused(curl: Curl, servers: Servers, authority: CA) -> None:
    url = at(servers, context_of(authority.issue_cert("elsewhere.invalid", "127.0.0.2")))
    assert curl("--cacert", "/ca.pem", url)[:2] == (UNTRUSTED, "")


def test_names_are_checked_too(curl: Curl, servers: Servers, authority: CA) -> None:
    port = servers.tls(context_of(authority.issue_cert("service.internal"))).port
    for name, code in (("service.internal", 0), ("other.internal", UNTRUSTED)):
        words = ("--cacert", "/ca.pem", "--resolve", f"{name}:{port}:{HOST}")
        assert curl(*words, f"https://{name}:{port}/status/200").code == code


def test_a_self_signed_certificate_is_refused(curl: Curl, servers: Servers, tmp_path: Path) -> None:
    url = at(servers, self_signed(tmp_path))
    assert curl(url)[:2] == (UNTRUSTED, "")
    assert curl("--cacert", "/ca.pem", url)[:2] == (UNTRUSTED, "")


def test_another_authority_is_refused(curl: Curl, servers: Servers) -> None:
    url = at(servers, context_of(CA().issue_cert(HOST)))
    assert curl("--cacert", "/ca.pem", url)[:2] == (UNTRUSTED, "")


def test_tls_1_0_and_1_1_are_refused(curl: Curl, servers: Servers, authority: CA) -> None:
    port = servers.tls(outdated_context(authority.issue_cert(HOST))).port
    # The server does speak it: what refuses is curl.
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with outdated():
        old.minimum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")
    assert spoken(old, port) == "TLSv1.1"
    ran = curl("-k", f"https://{HOST}:{port}/status/200")
    assert ran[:2] == (HANDSHAKE, "")


def spoken(context: ssl.SSLContext, port: int) -> str | None:
    """The version that a server agrees to."""
    with (
        socket.create_connection((HOST, port), timeout=5) as connection,
        context.wrap_socket(connection) as secure,
    ):
        return secure.version()
