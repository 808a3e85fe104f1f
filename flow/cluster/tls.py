"""Who may take part: an authority of the cluster's own, and a certificate for each kind of part.

What is signed by the authority is let in, whatever its name: a client's certificate lets its holder run any code on
every worker, so it is worth the workers' keys.
"""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from core.errors import StorageError, UsageError
from core.files import Place, disk_errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder

AUTHORITY: Final = "authority"
DAYS: Final = 3650
"""How long a certificate holds: a cluster's keys are renewed by removing the directory."""


class Part(StrEnum):
    """What has a certificate of its own."""

    SCHEDULER = "scheduler"
    WORKER = "worker"
    CLIENT = "client"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """A directory with the authority's certificate, and the keys of the parts that are here."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / f"{AUTHORITY}.pem"

    @property
    def ca_key(self) -> Path:
        """Needed only where certificates are made."""
        return self.directory / f"{AUTHORITY}.key"

    def certificate(self, part: Part) -> Path:
        return self.directory / f"{part}.pem"

    def key(self, part: Part) -> Path:
        return self.directory / f"{part}.key"

    def files(self, part: Part) -> tuple[Path, Path, Path]:
        """What that part's machine needs: nothing else of the directory may go there."""
        return self.ca, self.certificate(part), self.key(part)

    def make(self) -> bool:
        """Make whatever is missing; return whether anything was. Raises StorageError."""
        with disk_errors(self.directory, Place.KEPT):
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = False
            if not self.ca.exists():
                if self.ca_key.exists():
                    msg = f"{self.ca_key} has no certificate beside it."
                    raise StorageError(msg, next=f"remove {self.directory}, and make all keys anew")
                _make_authority(self.ca, self.ca_key)
                made = True
            for part in Part:
                if not self.certificate(part).exists() and self.ca_key.exists():
                    _make_part(self, part)
                    made = True
            return made

    def security(self, part: Part) -> Any:
        """Return what Dask wants to know: everybody proves who they are. Raises UsageError when a file is missing."""
        for path in self.files(part):
            if not path.is_file():
                msg = f"{path} is missing: without it nobody takes part in a cluster."
                next = f"inv cluster keys makes it where the scheduler runs; copy it to {self.directory}"
                raise UsageError(msg, next=next)
        from distributed.security import Security  # noqa: PLC0415 - an extra

        ca, certificate, key = map(str, self.files(part))
        pairs = {
            f"tls_{one}_{half}": path
            for one in Part
            for half, path in (("cert", certificate), ("key", key))
        }
        return Security(tls_ca_file=ca, require_encryption=True, **pairs)


def check_address(text: str) -> str:
    """Return an address as Dask takes it. Raises UsageError for none, and for one that is open to everybody."""
    parts = urlsplit(text)
    try:
        whole = parts.scheme in {"tls", "tcp"} and parts.hostname and parts.port is not None
    except ValueError:
        whole = False
    if not whole or parts.path not in {"", "/"} or "@" in parts.netloc or parts.query:
        msg = f"'{text}' is no address of a cluster."
        raise UsageError(msg, next="name it as tls://HOST:8786")
    if parts.scheme == "tcp" and not is_loopback(parts.hostname or ""):
        msg = f"'{text}' would let everybody who reaches it run anything."
        why = "without TLS nobody proves who they are"
        raise UsageError(msg, why=why, next=f"tls://{parts.netloc}; inv cluster keys")
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str) -> bool:
    """True for this machine by a name that no other machine can have."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _make_authority(certificate: Path, secret: Path) -> None:
    from cryptography import x509  # noqa: PLC0415 - slow, and only for this

    key = _new_key()
    builder = _builder("fromscratch cluster", key, "fromscratch cluster")
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    _write(secret, _secret(key), mode=0o600)
    _write(certificate, _pem(_signed(builder, key)), mode=0o644)


def _make_part(keys: Keys, part: Part) -> None:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    signer: Any = load_pem_private_key(keys.ca_key.read_bytes(), password=None)
    key = _new_key()
    builder = _builder(f"fromscratch {part}", key, "fromscratch cluster")
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(part)]), critical=False)
        .add_extension(issuer, critical=False)
    )
    _write(keys.key(part), _secret(key), mode=0o600)
    _write(keys.certificate(part), _pem(_signed(builder, signer)), mode=0o644)


def _builder(name: str, key: "EllipticCurvePrivateKey", issuer: str) -> "CertificateBuilder":
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    signs = name == issuer
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _new_key() -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    return ec.generate_private_key(ec.SECP256R1())


def _signed(builder: "CertificateBuilder", key: "EllipticCurvePrivateKey") -> "Certificate":
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    return builder.sign(key, hashes.SHA256())


def _pem(certificate: "Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    return certificate.public_bytes(Encoding.PEM)


def _secret(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file that nobody else could read at any moment. Raises OSError, also when it is there."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(number, "wb") as file:
        file.write(data)
