"""Certificates, good and bad, and what a TLS server makes of them."""

import datetime
import ipaddress
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from trustme import CA, LeafCert

from tests.integration.real_server import program

HOST = "127.0.0.1"
DAY = datetime.timedelta(days=1)


def rehash(directory: Path) -> None:
    """Give the certificates of a directory the names by which OpenSSL looks there; mbedTLS reads every file."""
    subprocess.run([program("openssl"), "rehash", directory], check=True, capture_output=True)


def context_of(certificate: LeafCert, *versions: ssl.TLSVersion) -> ssl.SSLContext:
    """A server's context; ``versions`` are the oldest and the newest it speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if versions:
        context.minimum_version, context.maximum_version = versions
    certificate.configure_cert(context)
    return context


@contextmanager
def outdated() -> Iterator[None]:
    """Python warns of TLS 1.0 and 1.1; a test that must offer them knows."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="ssl.TLSVersion.TLSv1", category=DeprecationWarning
        )
        yield


def outdated_context(certificate: LeafCert) -> ssl.SSLContext:
    """A server that speaks nothing newer than TLS 1.1."""
    with outdated():
        context = context_of(certificate, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")  # SHA-1 signatures, without which there is no TLS 1.1
    return context


def expired(authority: CA) -> LeafCert:
    return authority.issue_cert(HOST, not_after=datetime.datetime.now(datetime.UTC) - DAY)


def not_yet(authority: CA) -> LeafCert:
    now = datetime.datetime.now(datetime.UTC)
    return authority.issue_cert(HOST, not_before=now + DAY, not_after=now + 2 * DAY)


def self_signed(directory: Path) -> ssl.SSLContext:
    """A server whose certificate is for the right host, and signed by nobody but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alone")])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "alone.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
