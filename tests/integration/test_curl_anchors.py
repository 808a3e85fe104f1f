"""The trust anchors inside of curl, by both libraries, among them one of ours: success without any file."""

import re
import ssl
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from trustme import CA

from tests.anchors import AnchorTools, swapped
from tests.integration.authorities import Anchor, Authority, revoked
from tests.integration.certificates import HOST, context_of, expired, rehash
from tests.integration.http_server import Servers, serving
from tests.integration.seeded_cache import SeededCache

pytestmark = pytest.mark.builds

UNTRUSTED = 60
END = b"-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture(scope="module", params=["https", "full"])
def finished(request: pytest.FixtureRequest, curls: dict[str, Path]) -> Path:
    return curls[request.param]


@pytest.fixture(scope="module")
def ours(
    finished: Path,
    anchor_tools: AnchorTools,
    authority: CA,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The finished file with another bundle: our CA in the midst of the real ones."""
    blocks = anchor_tools.pem.split(END)[:100]
    blocks.insert(50, authority.cert_pem.bytes().removesuffix(END))
    bundle = anchor_tools.encode(END.join([*blocks, b""]))
    path = tmp_path_factory.mktemp("ours") / "curl"
    path.write_bytes(swapped(finished.read_bytes(), anchor_tools.anchors, bundle))
    path.chmod(0o755)
    return path


def run(program: Path, *words: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [program, "-qsS", "-m", "20", *words],
        capture_output=True,
        check=False,
        timeout=60,
        env=variables,
        text=True,
    )
    return done.returncode, done.stdout


def at(servers: Servers, context: ssl.SSLContext) -> str:
    return f"https://{HOST}:{servers.tls(context).port}/status/200"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_chain_that_ends_in_a_ca_inside(
    ours: Path, finished: Path, servers: Servers, authority: CA, version: ssl.TLSVersion
) -> None:
    deeper = authority.create_child_ca().create_child_ca()
    for signer in (authority, deeper):
        url = at(servers, context_of(signer.issue_cert(HOST), version, version))
        assert run(ours, url) == (0, "ok")
        assert run(finished, url) == (UNTRUSTED, "")


def test_who_is_not_vouched_for(ours: Path, servers: Servers, authority: CA) -> None:
    for certificate in (
        CA().issue_cert(HOST),
        authority.issue_cert("other.example"),
        expired(authority),
    ):
        url = at(servers, context_of(certificate))
        assert run(ours, url) == (UNTRUSTED, "")
        assert run(ours, "-k", url) == (0, "ok")


def test_what_is_named_takes_their_place(
    ours: Path, servers: Servers, authority: CA, tmp_path: Path
) -> None:
    url = at(servers, context_of(authority.issue_cert(HOST)))
    other = tmp_path / "other.pem"
    CA().cert_pem.write_to_path(str(other))
    rehash(tmp_path)
    assert run(ours, "--cacert", str(other), url) == (UNTRUSTED, "")
    assert run(ours, "--capath", str(tmp_path), url) == (UNTRUSTED, "")
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        assert run(ours, url, **{name: str(other)}) == (UNTRUSTED, "")
    assert run(ours, url, SSL_CERT_DIR=str(tmp_path)) == (UNTRUSTED, "")


def test_a_list_of_revoked_certificates_counts(
    ours: Path, servers: Servers, authority: CA, tmp_path: Path
) -> None:
    certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    root = Authority(name=certificate.subject, key=key, certificate=certificate)
    leaf = authority.issue_cert(HOST)
    gone = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    url = at(servers, context_of(leaf))
    path = tmp_path / "crl.pem"
    for who, code in (
        ((), 0),
        ((Authority(name=root.name, key=key, certificate=gone),), UNTRUSTED),
    ):
        path.write_bytes(revoked(root, *who))
        assert run(ours, "--crlfile", str(path), url)[0] == code
    path.write_bytes(revoked(Authority.make("Stranger")))
    assert run(ours, "--crlfile", str(path), url) == (UNTRUSTED, "")


def test_a_proxy_is_believed_by_them_too(ours: Path, servers: Servers, authority: CA) -> None:
    proxy = servers.tls(context_of(authority.issue_cert(HOST))).port
    url = at(servers, context_of(authority.issue_cert(HOST)))
    words = ("--proxy", f"https://{HOST}:{proxy}")
    assert run(ours, *words, url) == (0, "ok")
    stranger = servers.tls(context_of(CA().issue_cert(HOST))).port
    assert run(ours, "--proxy", f"https://{HOST}:{stranger}", url) == (UNTRUSTED, "")


def test_what_is_of_another_form_is_an_error(
    finished: Path, anchor_tools: AnchorTools, servers: Servers, authority: CA, tmp_path: Path
) -> None:
    real = anchor_tools.anchors
    spoilt = tmp_path / "curl"
    spoilt.write_bytes(swapped(finished.read_bytes(), real, bytes(len(real))))
    spoilt.chmod(0o755)
    code, said = run(spoilt, at(servers, context_of(authority.issue_cert(HOST))))
    assert (code != 0, said) == (True, "")


def test_the_dump_is_of_what_is_inside(
    ours: Path, finished: Path, servers: Servers, authority: CA, tmp_path: Path
) -> None:
    code, text = run(ours, "--dump-ca-embed")
    assert code == 0
    assert text.startswith("# The trust anchors inside of this curl")
    path = tmp_path / "dump.pem"
    path.write_text(text)
    url = at(servers, context_of(authority.issue_cert(HOST)))
    assert run(finished, "--cacert", str(path), url) == (0, "ok")
    ssl.create_default_context(cafile=str(path))  # OpenSSL reads it, too


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_they_are_mozillas_as_pinned(finished: Path, seeded_cache: SeededCache) -> None:
    with zipfile.ZipFile(seeded_cache.source("cacert")) as archive:
        pinned = archive.read("certifi/cacert.pem").decode()
    code, dumped = run(finished, "--dump-ca-embed")
    assert code == 0
    assert anchors(dumped) == anchors(pinned)
    assert len(anchors(pinned)) > 100


def anchors(text: str) -> list[Anchor]:
    """Return what a bundle of certificates says, in one order."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n", text)
    return sorted(
        (Anchor.of(x509.load_pem_x509_certificate(block.encode())) for block in blocks),
        key=lambda anchor: (anchor.subject, anchor.key),
    )
