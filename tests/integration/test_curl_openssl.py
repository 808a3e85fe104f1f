"""What OpenSSL gives curl:full that mbedTLS does not give the others, against servers that tell what they saw."""

import base64
import hashlib
import os
import select
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509 import ocsp
from trustme import CA, LeafCert

from tests.anchors import AnchorTools
from tests.curls import HANDSHAKE, OK, UNTRUSTED, Curl
from tests.integration.authorities import Authority, Key, pem_of, revoked, server_of
from tests.integration.certificates import HOST
from tests.integration.http_server import Servers, serving
from tests.integration.quic_server import quic_server
from tests.integration.real_server import program
from tests.integration.staples import (
    BETWEEN,
    CLIENT,
    LEAF,
    NO_STATUS,
    ROOT,
    STAPLES,
    Staple,
)
from tests.integration.tls13_server import (
    DATA,
    SERVER_NAME,
    X25519,
    X25519MLKEM768,
    Hello,
    Session,
    Talker,
)
from tests.integration.tls_servers import HEAD, counting, openssl_server
from tests.raw_server import raw_server

pytestmark = pytest.mark.builds

PASSWORD = "sesame"
BAD_KEY, SENDING_FAILED, RECEIVING_FAILED, NO_CERTIFICATE = 43, 55, 56, 58
BAD_CIPHER, WRONG_PIN = 59, 90
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file with the certificate of `ROOT`."""
    path = tmp_path_factory.mktemp("root") / "root.pem"
    path.write_bytes(ROOT.pem)
    return str(path)


@pytest.fixture
def curl(full: Curl, root: str) -> Curl:
    """Believes whom `ROOT` vouches for."""
    return replace(full, options=(*full.options, "--cacert", root))


@pytest.fixture(scope="module")
def trusting(
    full: Curl, anchor_tools: AnchorTools, tmp_path_factory: pytest.TempPathFactory
) -> Curl:
    """The finished file with `ROOT` among its anchors."""
    copy = tmp_path_factory.mktemp("trusting") / "curl"
    return replace(full, program=anchor_tools.trusting(full.program, ROOT.pem, copy))


def context(
    directory: Path, leaf: Authority = LEAF, *chain: Authority, version: ssl.TLSVersion = TLS_1_3
) -> ssl.SSLContext:
    """A server that speaks one version."""
    shown = directory / "shown.pem"
    shown.write_bytes(leaf.key_pem + pem_of(leaf.certificate, *(one.certificate for one in chain)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(shown)
    return context


# OCSP stapling


Stapling = Callable[..., int]


@pytest.fixture
def stapling(tmp_path: Path) -> Stapling:
    """The exit code of the last of some runs against a server with a staple, or without one."""

    def run(
        curl: Curl,
        staple: bytes | None,
        *words: str,
        before: tuple[str, ...] = (),
        leaf: Authority = LEAF,
        chain: Sequence[Authority] = (BETWEEN,),
    ) -> int:
        options = ["-www"]
        if chain:
            (tmp_path / "chain.pem").write_bytes(pem_of(*(one.certificate for one in chain)))
            options += ["-cert_chain", str(tmp_path / "chain.pem")]
        if staple is not None:
            (tmp_path / "status").write_bytes(staple)
            options += ["-status_file", str(tmp_path / "status")]
        with openssl_server(leaf.key_pem + leaf.pem, tmp_path, *options) as (url, _):
            assert not before or curl(*before, url).code == OK
            done = curl(*words, url)
        assert (b"s_server" in done.data) == (done.code == OK), done
        return done.code

    return run


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("case", STAPLES)
def test_a_staple(curl: Curl, trusting: Curl, stapling: Stapling, case: str, version: str) -> None:
    staple = STAPLES[case]
    for one in (curl, trusting):
        assert stapling(one, staple.der, "--cert-status", "--tls-max", version) == staple.code


def test_without_a_staple(curl: Curl, trusting: Curl, stapling: Stapling) -> None:
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    for one in (curl, trusting):
        assert stapling(one, None, "--cert-status") == NO_STATUS
        assert stapling(one, later.public_bytes(Encoding.DER), "--cert-status") == NO_STATUS
        assert stapling(one, None) == OK


def test_a_staple_that_is_not_asked_for(curl: Curl, stapling: Stapling) -> None:
    assert stapling(curl, STAPLES["revoked"].der) == OK


def test_a_staple_counts_where_nothing_else_does(full: Curl, stapling: Stapling) -> None:
    """Whoever turns checks off, and asks for this one, has this one."""
    assert stapling(full, STAPLES["revoked"].der, "-k", "--cert-status") == NO_STATUS


@pytest.mark.parametrize("sent", [True, False])
def test_a_staple_of_an_issuer_that_is_not_sent(curl: Curl, stapling: Stapling, sent: bool) -> None:
    """It is looked for in the chain alone, as upstream has it: not among those who are believed."""
    leaf = server_of(ROOT, address=HOST)
    staple = Staple(about=leaf, by=ROOT, issuer=ROOT, shown=False).der
    chain = [ROOT] if sent else []
    code = OK if sent else NO_STATUS
    assert stapling(curl, staple, "--cert-status", leaf=leaf, chain=chain) == code


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_does_not_go_round_a_staple(
    curl: Curl, stapling: Stapling, tmp_path: Path, version: str
) -> None:
    before = ("--ssl-sessions", str(tmp_path / "sessions"), "--tls-max", version)
    staple = STAPLES["revoked"].der
    assert stapling(curl, staple, *before, before=before) == OK
    assert stapling(curl, staple, "--cert-status", *before, before=before) == NO_STATUS


# Revoked certificates, long chains


def test_a_list_of_revoked_certificates_of_an_anchors(
    trusting: Curl, servers: Servers, tmp_path: Path
) -> None:
    port = servers.tls(context(tmp_path, LEAF, BETWEEN)).port
    path = tmp_path / "crl.pem"
    for gone, code in (
        ((), OK),
        ((LEAF,), UNTRUSTED),
    ):
        path.write_bytes(revoked(BETWEEN, *gone) + revoked(ROOT))
        done = trusting("--crlfile", path, f"https://{HOST}:{port}/status/200")
        assert done.code == code, done.err
    path.write_bytes(revoked(BETWEEN) + revoked(ROOT, BETWEEN))
    assert trusting("--crlfile", path, f"https://{HOST}:{port}/").code == UNTRUSTED


@pytest.mark.parametrize("count", [9, 90])
def test_long_chains(
    curl: Curl, trusting: Curl, servers: Servers, tmp_path: Path, count: int
) -> None:
    chain = [ROOT]
    for number in range(count):
        chain.insert(0, Authority.make("Between", str(number), by=chain[0]))
    leaf = server_of(chain[0], address=HOST)
    for version in (TLS_1_2, TLS_1_3):
        port = servers.tls(context(tmp_path, leaf, *chain[:-1], version=version)).port
        for one in (curl, trusting):
            done = one(f"https://{HOST}:{port}/status/200")
            assert (done.code, done.out) == (OK, "ok"), done.err
    # One that is missing is missed.
    port = servers.tls(context(tmp_path, leaf, *chain[1:-1])).port
    assert curl(f"https://{HOST}:{port}/").code == UNTRUSTED


def test_long_chains_over_quic(full: Curl, authority: CA, ca: str) -> None:
    """More than a server may send to an address that nobody has proven."""
    signer = authority
    for _ in range(9):
        signer = signer.create_child_ca()
    with quic_server(signer.issue_cert(HOST)) as server:
        done = full("--http3-only", "--cacert", ca, f"https://{HOST}:{server.port}/status/200")
    assert (done.code, done.out) == (OK, "ok"), done.err


EDWARDS: dict[str, Callable[[], Key]] = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.mark.parametrize("kind", EDWARDS)
def test_keys_of_edwards_curves(curl: Curl, servers: Servers, tmp_path: Path, kind: str) -> None:
    """The server's and the client's: mbedTLS has none of them."""
    between = Authority.make("Between", by=ROOT)
    leaf = server_of(between, address=HOST, key=EDWARDS[kind]())
    client = Authority.make("Client", by=ROOT, key=EDWARDS[kind](), extensions=())
    own = tmp_path / "own.pem"
    own.write_bytes(client.key_pem + client.pem)
    for version in (TLS_1_2, TLS_1_3):
        wants = context(tmp_path, leaf, between, version=version)
        wants.verify_mode = ssl.CERT_REQUIRED
        wants.load_verify_locations(cadata=ROOT.pem.decode())
        port = servers.tls(wants).port
        done = curl("--cert", own, f"https://{HOST}:{port}/status/200")
        assert (done.code, done.out) == (OK, "ok"), done.err


def test_a_short_key_is_refused(curl: Curl, servers: Servers, tmp_path: Path) -> None:
    """1024 bits of RSA, which nobody signs any more."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    leaf = server_of(ROOT, address=HOST, key=key)
    shown = tmp_path / "weak.pem"
    shown.write_bytes(leaf.key_pem + leaf.pem)
    weak = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    weak.set_ciphers("ALL:@SECLEVEL=0")
    weak.load_cert_chain(shown)
    done = curl(f"https://{HOST}:{servers.tls(weak).port}/status/200")
    assert done.code == UNTRUSTED
    assert "key too weak" in done.err


# Client certificates


def encrypted(kind: str) -> KeySerializationEncryption:
    """How the writers of PKCS#12 files encrypt: today's, and those of Windows and Java for long."""
    form = PrivateFormat.PKCS12.encryption_builder()
    if kind == "AES":
        form = form.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        form = form.hmac_hash(hashes.SHA256())
    else:
        form = form.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        form = form.hmac_hash(hashes.SHA1())
    return form.build(PASSWORD.encode())


def openssl(*words: str | Path) -> None:
    command: list[str | Path] = [program("openssl"), *words]
    subprocess.run(command, check=True, capture_output=True)


Wanting = Callable[..., str]


@pytest.fixture
def wanting(servers: Servers, tmp_path: Path) -> Wanting:
    """The URL of a server that wants a client's certificate, of those that `ROOT` vouches for."""

    def start(version: ssl.TLSVersion = TLS_1_3) -> str:
        wants = context(tmp_path, LEAF, BETWEEN, version=version)
        wants.verify_mode = ssl.CERT_REQUIRED
        wants.load_verify_locations(cadata=ROOT.pem.decode())
        return f"https://{HOST}:{servers.tls(wants).port}/status/200"

    return start


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_a_clients_certificate(
    curl: Curl, wanting: Wanting, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    url = wanting(version)
    own, stranger = tmp_path / "own.pem", tmp_path / "stranger.pem"
    own.write_bytes(CLIENT.key_pem + CLIENT.pem)
    other = Authority.make("Client", by=Authority.make("Stranger"), extensions=())
    stranger.write_bytes(other.key_pem + other.pem)
    done = curl("--cert", own, url)
    assert (done.code, done.out) == (OK, "ok"), done.err
    # In TLS 1.3 a client is done before the server has looked at it, and may be sending.
    refused = {HANDSHAKE} if version == TLS_1_2 else {SENDING_FAILED, RECEIVING_FAILED}
    for words in ((), ("--cert", stranger)):
        done = curl(*words, url)
        assert done.code in refused, done.err
        assert done.out == ""


def test_a_clients_certificate_in_der(curl: Curl, wanting: Wanting, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.der", tmp_path / "key.der"
    cert.write_bytes(CLIENT.certificate.public_bytes(Encoding.DER))
    key.write_bytes(CLIENT.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    words = ("--cert-type", "DER", "--cert", cert, "--key-type", "DER", "--key", key)
    assert curl(*words, wanting()).code == OK


def test_a_clients_certificate_after_the_handshake(curl: Curl, tmp_path: Path) -> None:
    """TLS 1.3: a server may ask once it knows what for."""
    own = tmp_path / "own.pem"
    own.write_bytes(CLIENT.key_pem + CLIENT.pem)
    wants = context(tmp_path, LEAF, BETWEEN)
    wants.verify_mode = ssl.CERT_REQUIRED
    wants.post_handshake_auth = True
    wants.load_verify_locations(cadata=ROOT.pem.decode())
    shown: list[bytes | None] = []

    def talk(connection: socket.socket, over: threading.Event) -> None:
        with wants.wrap_socket(connection, server_side=True) as session:
            for _ in range(2):
                session.recv(65536)
                shown.append(session.getpeercert(binary_form=True))
                if len(shown) == 1:
                    session.verify_client_post_handshake()
                session.sendall(HEAD + b"received")
            over.wait(30)

    with raw_server(talk) as port:
        url = f"https://{HOST}:{port}/"
        done = curl("--cert", own, url, url)
    assert (done.code, done.out) == (OK, "received" * 2), done.err
    assert shown == [None, CLIENT.certificate.public_bytes(Encoding.DER)]


@pytest.mark.parametrize("kind", ["AES", "3DES"])
def test_pkcs12(curl: Curl, wanting: Wanting, tmp_path: Path, kind: str) -> None:
    """With an intermediate in it, of which the server has only the root."""
    between = Authority.make("Clients", by=ROOT)
    own = Authority.make("Client", by=between, extensions=())
    path = tmp_path / "client.p12"
    cas = [between.certificate]
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"me", own.key, own.certificate, cas, encrypted(kind))
    )
    url, words = wanting(), ("--cert-type", "P12", "--cert")
    done = curl(*words, f"{path}:{PASSWORD}", url)
    assert (done.code, done.out) == (OK, "ok"), done.err
    assert curl(*words, path, "--pass", PASSWORD, url).code == OK
    for password in ("", ":wrong"):
        done = curl(*words, f"{path}{password}", url)
        assert (done.code, done.out) == (NO_CERTIFICATE, "")
        assert "PKCS12" in done.err


def test_pkcs12_without_a_password(curl: Curl, wanting: Wanting, tmp_path: Path) -> None:
    path = tmp_path / "client.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            None, CLIENT.key, CLIENT.certificate, None, NoEncryption()
        )
    )
    assert curl("--cert-type", "P12", "--cert", path, wanting()).code == OK


def test_pkcs12_of_rc2_is_not_read(curl: Curl, wanting: Wanting, tmp_path: Path) -> None:
    """A cipher of 40 bits, which certificates in such files once had."""
    pem, path = tmp_path / "client.pem", tmp_path / "client.p12"
    pem.write_bytes(CLIENT.key_pem + CLIENT.pem)
    words = ("pkcs12", "-export", "-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-in", pem)
    openssl(*words, "-passout", f"pass:{PASSWORD}", "-out", path)
    done = curl("--cert-type", "P12", "--cert", f"{path}:{PASSWORD}", wanting())
    assert (done.code, done.out) == (NO_CERTIFICATE, ""), done.err


KEYS: dict[str, tuple[int, tuple[str, ...]]] = {
    "AES-256": (OK, ("pkcs8", "-topk8", "-v2", "aes-256-cbc")),
    "AES-128, HMAC with SHA-1": (
        OK,
        ("pkcs8", "-topk8", "-v2", "aes128", "-v2prf", "hmacWithSHA1"),
    ),
    "3DES": (OK, ("pkcs8", "-topk8", "-v2", "des3")),
    "PKCS#12's 3DES": (OK, ("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES")),
    "the older form, AES": (OK, ("ec", "-aes256")),
    "the older form, 3DES": (OK, ("ec", "-des3")),
    "scrypt, which is not in here": (BAD_KEY, ("pkcs8", "-topk8", "-scrypt")),
}


@pytest.mark.parametrize("kind", KEYS)
def test_encrypted_keys(curl: Curl, wanting: Wanting, tmp_path: Path, kind: str) -> None:
    code, words = KEYS[kind]
    plain, key, cert = tmp_path / "plain.pem", tmp_path / "key.pem", tmp_path / "cert.pem"
    plain.write_bytes(CLIENT.key_pem)
    cert.write_bytes(CLIENT.pem)
    openssl(*words, "-in", plain, "-out", key, "-passout", f"pass:{PASSWORD}")
    assert b"ENCRYPTED" in key.read_bytes()
    url = wanting()
    done = curl("--cert", cert, "--key", key, "--pass", PASSWORD, url)
    assert done.code == code, done.err
    for wrong in (("--pass", "wrong"), ()):
        done = curl("--cert", cert, "--key", key, *wrong, url)
        assert (done.code, done.out) == (BAD_KEY, "")


# What it offers


Offered = Callable[..., Hello]


@pytest.fixture
def offered(full: Curl, authority: CA, ca: str) -> Offered:
    """The ClientHello of a run, of which the server makes use."""

    def run(*words: str, group: int = X25519, name: str = HOST) -> Hello:
        hellos: list[Hello] = []

        def talk(session: Session) -> None:
            assert session.receive()[1].startswith(b"GET / ")
            hellos.append(session.hello)
            session.send(DATA, HEAD + b"received")

        leaf = authority.issue_cert(HOST, "localhost")
        with Talker.serving(leaf, talk, group=group) as server:
            done = full("--cacert", ca, *words, f"https://{name}:{server.port}/")
        assert (done.code, done.out) == (OK, "received"), done.err
        return hellos[0]

    return run


@pytest.mark.parametrize("group", [X25519MLKEM768, X25519])
def test_the_key_exchange_is_safe_from_quantum_computers(offered: Offered, group: int) -> None:
    """ML-KEM comes first, with a key; so does X25519, so that nobody has to ask a second time."""
    hello = offered(group=group)
    assert hello.groups[0] == X25519MLKEM768
    assert {group: len(key) for group, key in hello.shares.items()} == {
        X25519MLKEM768: 1184 + 32,
        X25519: 32,
    }
    assert hello.shares[X25519MLKEM768][-32:] != bytes(32)


def test_a_server_that_asks_for_x25519(full: Curl, authority: CA, ca: str, tmp_path: Path) -> None:
    """HelloRetryRequest: of the groups only the first has a key here."""
    leaf = authority.issue_cert(HOST).private_key_and_cert_chain_pem.bytes()
    words = ("--curves", "X25519MLKEM768:X25519")
    options = ("-tls1_3", "-groups", "X25519", "-www", "-msg")
    with openssl_server(leaf, tmp_path, *options) as (url, server):
        done = full("--cacert", ca, *words, url)
        server.kill()
        assert server.stdout is not None
        log = server.stdout.read()
    assert done.code == OK, done.err
    assert log.count(b", ClientHello") == 2
    assert log.count(b", ServerHello") == 2


def test_nothing_old_is_offered(offered: Offered) -> None:
    hello = offered(name="localhost")
    assert hello.versions == [0x0304, 0x0303]
    assert hello.suites[:3] == [0x1302, 0x1303, 0x1301]
    no_hash_of_today = {0x0201, 0x0202, 0x0203}  # SHA-1 with RSA, DSA, ECDSA
    assert not no_hash_of_today & set(hello.signatures)
    assert b"localhost" in hello.extensions[SERVER_NAME]


def test_an_address_is_no_name(offered: Offered) -> None:
    assert SERVER_NAME not in offered().extensions


def test_curves_and_signatures_are_chosen(offered: Offered) -> None:
    hello = offered("--curves", "X25519:P-256", "--sigalgs", "ECDSA+SHA256")
    assert hello.groups == [X25519, 0x17]
    assert list(hello.shares) == [X25519]
    assert hello.signatures == [0x0403]


VERSIONS = {
    # What is asked of curl, what the server speaks, and what comes of it.
    (("--tlsv1.3",), TLS_1_3): OK,
    (("--tlsv1.3",), TLS_1_2): HANDSHAKE,
    (("--tls-max", "1.2"), TLS_1_2): OK,
    (("--tls-max", "1.2"), TLS_1_3): HANDSHAKE,
    (("--tlsv1.2",), TLS_1_2): OK,
    (("--tlsv1.2",), TLS_1_3): OK,
}


@pytest.mark.parametrize(("words", "version"), VERSIONS)
def test_one_version_alone(
    curl: Curl, servers: Servers, tmp_path: Path, words: tuple[str, ...], version: ssl.TLSVersion
) -> None:
    port = servers.tls(context(tmp_path, LEAF, BETWEEN, version=version)).port
    done = curl(*words, f"https://{HOST}:{port}/status/200")
    assert done.code == VERSIONS[words, version], done.err


@pytest.mark.parametrize(
    "cipher",
    [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ],
)
def test_ciphers_of_tls_1_2(curl: Curl, tmp_path: Path, cipher: str) -> None:
    with counting(context(tmp_path, LEAF, BETWEEN, version=TLS_1_2)) as server:
        assert curl("--ciphers", cipher, server.url).code == OK
    assert server.ciphers == [cipher]


@pytest.mark.parametrize(
    "cipher", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
)
def test_ciphers_of_tls_1_3(curl: Curl, tmp_path: Path, cipher: str) -> None:
    with counting(context(tmp_path, LEAF, BETWEEN)) as server:
        assert curl("--tls13-ciphers", cipher, server.url).code == OK
    assert server.ciphers == [cipher]


WORDS = {
    "--ciphers": ["RC4-SHA", "DES-CBC3-SHA", "none-such"],
    "--tls13-ciphers": ["none-such"],
    "--curves": ["none-such"],
    "--sigalgs": ["none-such"],
}


@pytest.mark.parametrize(
    ("option", "name"), [(option, name) for option, names in WORDS.items() for name in names]
)
def test_what_is_not_there_is_an_error(
    curl: Curl, servers: Servers, tmp_path: Path, option: str, name: str
) -> None:
    port = servers.tls(context(tmp_path, LEAF, BETWEEN)).port
    assert curl(option, name, f"https://{HOST}:{port}/").code == BAD_CIPHER


def test_nothing_is_sent_without_encryption(curl: Curl, servers: Servers, tmp_path: Path) -> None:
    """OpenSSL knows ciphers that are none, and does not use them, even when it is told to."""
    name = "ECDHE-ECDSA-NULL-SHA"
    willing = context(tmp_path, LEAF, BETWEEN, version=TLS_1_2)
    willing.set_ciphers(f"{name}:@SECLEVEL=0")
    port = servers.tls(willing).port
    old = ssl.create_default_context(cadata=ROOT.pem.decode())
    old.set_ciphers(f"{name}:@SECLEVEL=0")
    with (
        socket.create_connection((HOST, port), timeout=5) as connection,
        old.wrap_socket(connection, server_hostname=HOST) as session,
    ):
        assert (session.cipher() or ("",))[0] == name, "the server does it"
    done = curl("--ciphers", name, f"https://{HOST}:{port}/status/200")
    assert (done.code, done.out) == (HANDSHAKE, ""), done.err


# Pinned keys


def test_a_pinned_key(curl: Curl, full: Curl, servers: Servers, tmp_path: Path) -> None:
    url = f"https://{HOST}:{servers.tls(context(tmp_path, LEAF, BETWEEN)).port}/status/200"

    def pins(of: Authority) -> list[str]:
        der, pem = (
            of.key.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
            for form in (Encoding.DER, Encoding.PEM)
        )
        paths = [tmp_path / f"{of.certificate.serial_number}{name}" for name in (".der", ".pem")]
        for path, data in zip(paths, (der, pem), strict=True):
            path.write_bytes(data)
        digest = base64.b64encode(hashlib.sha256(der).digest()).decode()
        return [f"sha256//{digest}", *map(str, paths)]

    for pin in pins(LEAF):
        assert curl("--pinnedpubkey", pin, url).code == OK
        assert full("--pinnedpubkey", pin, url).code == UNTRUSTED
        assert full("-k", "--pinnedpubkey", pin, url).code == OK
    for pin in pins(BETWEEN):  # the issuer's is not the server's
        assert curl("--pinnedpubkey", pin, url).code == WRONG_PIN
        assert full("-k", "--pinnedpubkey", pin, url).code == WRONG_PIN
    both = ";".join(pins(one)[0] for one in (BETWEEN, LEAF))
    assert curl("--pinnedpubkey", both, url).code == OK


# Sessions that outlive a run


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_a_session_in_a_file(curl: Curl, tmp_path: Path, version: ssl.TLSVersion) -> None:
    kept = tmp_path / "sessions"
    with counting(context(tmp_path, LEAF, BETWEEN, version=version)) as server:
        for _ in range(3):
            assert curl("--ssl-sessions", kept, server.url).code == OK
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert server.resumed == [False, True, True]
        assert curl(server.url).code == OK
        assert server.resumed[3:] == [False]
    assert HOST.encode() not in kept.read_bytes(), "who was asked is not written down"


def test_a_session_is_for_who_gave_it(curl: Curl, tmp_path: Path) -> None:
    kept = tmp_path / "sessions"
    first, second = (counting(context(tmp_path, LEAF, BETWEEN)) for _ in range(2))
    with first as one, second as other:
        assert curl("--ssl-sessions", kept, one.url).code == OK
        assert curl("--ssl-sessions", kept, other.url).code == OK
        assert curl("--ssl-sessions", kept, one.url).code == OK
    assert (one.resumed, other.resumed) == ([False, True], [False])


def test_a_session_does_not_go_round_a_check(curl: Curl, full: Curl, tmp_path: Path) -> None:
    """Whoever got one unchecked has it checked: it is not taken."""
    kept = tmp_path / "sessions"
    with counting(context(tmp_path, LEAF, BETWEEN)) as server:
        assert full("-k", "--ssl-sessions", kept, server.url).code == OK
        assert full("-k", "--ssl-sessions", kept, server.url).code == OK
        assert curl("--ssl-sessions", kept, server.url).code == OK
    assert server.resumed == [False, True, False]


def test_a_file_that_holds_no_sessions(curl: Curl, tmp_path: Path) -> None:
    kept = tmp_path / "sessions"
    kept.write_bytes(b"\0\xffno session\nno:session\n" * 9)
    with counting(context(tmp_path, LEAF, BETWEEN)) as server:
        done = curl("--ssl-sessions", kept, server.url)
        assert (done.code, done.out) == (OK, "resuming"), done.err
        assert curl("--ssl-sessions", kept, server.url).code == OK
    assert server.resumed == [False, True]


# Early data: a request in the first datagram, which whoever kept it can send again


@dataclass(frozen=True, kw_only=True)
class Early:
    """`openssl s_server`, which takes early data, and is answered for here."""

    url: str
    server: "subprocess.Popen[bytes]"
    told: list[bytes] = field(default_factory=list)

    @classmethod
    @contextmanager
    def serving(cls, directory: Path, connections: int) -> Iterator[Self]:
        """Serve so many connections. A session says which protocol it is for: there is no early data for another."""
        chain = directory / "chain.pem"
        chain.write_bytes(BETWEEN.pem)
        options = ("-tls1_3", "-early_data", "-alpn", "http/1.1", "-naccept", str(connections))
        leaf = LEAF.key_pem + LEAF.pem
        with openssl_server(leaf, directory, *options, "-cert_chain", str(chain)) as (url, server):
            yield cls(url=url, server=server)

    def answer(self, curl: Curl, *words: str | Path) -> int:
        """How many bytes of a run were early data; negative, where they were not taken."""
        assert self.server.stdin is not None
        heard = b""
        with curl.start("-w", " %{tls_earlydata}", *words) as client:
            try:
                while b"\r\n\r\n" not in heard.partition(b"GET /")[2]:
                    heard += self._read()
                self.server.stdin.write(HEAD + b"received")
                self.server.stdin.flush()
                out, err = client.communicate(timeout=60)
            finally:
                client.kill()
        self.told.append(heard)
        assert client.returncode == OK, err
        said, early = out.decode().split()
        assert said == "received"
        return int(early)

    def all_told(self) -> bytes:
        """What the server printed, once its last connection has ended."""
        while data := self._read():
            self.told.append(data)
        return b"".join(self.told)

    def _read(self) -> bytes:
        # Requests come at once, what the server says of them when it pleases.
        assert self.server.stdout is not None
        ready, _, _ = select.select([self.server.stdout], [], [], 40)
        assert ready, self.told
        return os.read(self.server.stdout.fileno(), 65536)


def test_early_data(curl: Curl, tmp_path: Path) -> None:
    kept = ("--ssl-sessions", tmp_path / "sessions")
    with Early.serving(tmp_path, 4) as server:
        assert server.answer(curl, *kept, "--tls-earlydata", server.url) == 0
        # Not unless it is asked for; and a session is for those who ask for the same.
        assert server.answer(curl, *kept, server.url) == 0
        assert server.answer(curl, *kept, server.url) == 0
        early = server.answer(curl, *kept, "--tls-earlydata", server.url)
        told = server.all_told()
    assert early > len("GET / HTTP/1.1")
    assert told.count(b"Early data received") == 1
    assert told.count(b"GET / ") == 4


def test_early_data_that_a_server_does_not_take(curl: Curl, tmp_path: Path) -> None:
    """Another one at the same address, which knows nothing of the session: the request is sent again."""
    words = ("--ssl-sessions", tmp_path / "sessions", "--tls-earlydata")
    with Early.serving(tmp_path, 1) as server:
        assert server.answer(curl, *words, server.url) == 0
    with Early.serving(tmp_path, 1) as other:
        first, second = (urlsplit(one.url).netloc for one in (server, other))
        there = ("--connect-to", f"{first}:{second}")
        assert other.answer(curl, *words, *there, server.url) < 0
        told = other.all_told()
    assert b"Early data received" not in told
    assert told.count(b"GET / ") == 1


def test_early_data_over_quic(full: Curl, authority: CA, ca: str, tmp_path: Path) -> None:
    with quic_server(authority.issue_cert(HOST)) as server:
        url = f"https://{HOST}:{server.port}/status/200"
        words = ("--http3-only", "--cacert", ca, "--ssl-sessions", tmp_path / "sessions")
        for more in ((), (), ("--tls-earlydata",), ("--tls-earlydata",)):
            done = full(*words, *more, url)
            assert (done.code, done.out) == (OK, "ok"), done.err
    assert server.resumed == [False, True, False, True]
    assert server.early == [False, False, False, True]
    assert len(server.asked) == 4


# The anchors inside, over QUIC


def test_the_anchors_count_over_quic(full: Curl, trusting: Curl, tmp_path: Path) -> None:
    """One of ours is among them in one file, and not in the other."""
    for chain, leaf in (((BETWEEN,), LEAF), ((), server_of(ROOT, address=HOST))):
        shown = LeafCert(leaf.key_pem, leaf.pem, [one.pem for one in chain])
        with quic_server(shown) as server:
            words = ("--http3-only", f"https://{HOST}:{server.port}/status/200")
            done = trusting(*words)
            assert (done.code, done.out) == (OK, "ok"), done.err
            assert full(*words).code == UNTRUSTED
            asked = len(server.asked)
            assert full("-k", *words).code == OK
            assert (asked, len(server.asked)) == (1, 2)


def test_what_is_revoked_counts_over_quic(curl: Curl, trusting: Curl, tmp_path: Path) -> None:
    path = tmp_path / "crl.pem"
    with quic_server(LeafCert(LEAF.key_pem, LEAF.pem, [BETWEEN.pem])) as server:
        words = ("--http3-only", f"https://{HOST}:{server.port}/status/200")
        for one in (curl, trusting):
            assert one("--cert-status", *words).code == NO_STATUS  # the server has none
            for gone, code in (((), OK), ((LEAF,), UNTRUSTED)):
                path.write_bytes(revoked(BETWEEN, *gone) + revoked(ROOT))
                done = one("--crlfile", path, *words)
                assert done.code == code, done.err
