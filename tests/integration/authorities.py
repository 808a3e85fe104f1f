"""Certificate authorities of every kind, and chains of them."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

HOST = "app.example"
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)

Key = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
KEY_KINDS = ("P-256", "P-384", "P-521", "RSA-2048", "RSA-4096")


def make_key(kind: str = "P-256") -> Key:
    """A private key of one of `KEY_KINDS`."""
    family, _, bits = kind.partition("-")
    if family == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(bits))
    curve = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "521": ec.SECP521R1()}[bits]
    return ec.generate_private_key(curve)


def name_of(*texts: str) -> x509.Name:
    """An organisation, and a common name where there is a second text."""
    kinds = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    return x509.Name(
        [x509.NameAttribute(kind, text) for kind, text in zip(kinds, texts, strict=False)]
    )


def pem_of(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def basic(*, ca: bool = True, path: int | None = None) -> x509.Extension[x509.BasicConstraints]:
    value = x509.BasicConstraints(ca=ca, path_length=path)
    return x509.Extension(oid=value.oid, critical=True, value=value)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Who can sign: a name, a key, and the certificate that says so."""

    name: x509.Name
    key: Key = field(default_factory=make_key)
    certificate: x509.Certificate

    @classmethod
    def make(
        cls,
        *texts: str,
        name: x509.Name | None = None,
        key: Key | None = None,
        by: Self | None = None,
        first: datetime.datetime = NOW - DAY,
        last: datetime.datetime = NOW + 365 * DAY,
        extensions: Sequence[x509.Extension[x509.ExtensionType]] = (basic(),),
        hosts: Sequence[str] = (),
    ) -> Self:
        """A root; with ``by`` signed by another one; with ``hosts`` a server's certificate as well."""
        key = key or make_key()
        name = name or name_of(*texts)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(by.name if by else name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
        )
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        signed = builder.sign(by.key if by else key, hashes.SHA256())
        return cls(name=name, key=key, certificate=signed)

    def leaf(self, host: str = HOST) -> x509.Certificate:
        """The certificate of a server."""
        return Authority.make(host, by=self, extensions=(), hosts=[host]).certificate

    @property
    def pem(self) -> bytes:
        return pem_of(self.certificate)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def revoked(
    by: Authority,
    *who: Authority,
    key: Authority | None = None,
    last: datetime.datetime = NOW + DAY,
    encoding: Encoding = Encoding.PEM,
) -> bytes:
    """A list of an authority; ``key`` is another's, who signs it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.name)
        .last_update(NOW - 2 * DAY)
        .next_update(last)
    )
    for one in who:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(NOW - DAY).build())
    return builder.sign((key or by).key, hashes.SHA256()).public_bytes(encoding)


@dataclass(frozen=True, kw_only=True, order=True)
class Anchor:
    """What a certificate and an anchor have in common."""

    subject: bytes
    key: bytes
    first: datetime.datetime
    last: datetime.datetime
    path: int | None

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Anchor":
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            path = constraints.value.path_length
        except x509.ExtensionNotFound:
            path = None
        return cls(
            subject=certificate.subject.public_bytes(),
            key=certificate.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            ),
            first=certificate.not_valid_before_utc,
            last=certificate.not_valid_after_utc,
            path=path,
        )


def server_of(
    by: Authority,
    *,
    address: str = "",
    host: str = "",
    common: str = "Server",
    padding: int = 0,
    key: Key | None = None,
) -> Authority:
    """A server's certificate; ``padding`` makes it that many bytes longer."""
    names: list[x509.GeneralName] = []
    if address:
        names.append(x509.IPAddress(ipaddress.ip_address(address)))
    if host:
        names.append(x509.DNSName(host))
    names += [x509.DNSName(f"{number:060}.example") for number in range(padding // 70)]
    alternative = x509.SubjectAlternativeName(names)
    extensions = [x509.Extension(oid=alternative.oid, critical=False, value=alternative)]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])
    return Authority.make(name=name, by=by, key=key, extensions=extensions if names else [])
