"""Another authority in the place of those that a finished program trusts, so that a server of ours is believed by it.

The form is that of ``recipes/cacert/format.h``; what follows the last record in it means nothing.
"""

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from bench.sizes import ANCHORS, anchors_in


def trusting(program: Path, certificate: Path, copy: Path) -> bool:
    """Write ``copy``, a program that trusts nobody but the authority; False when it has no anchors to be exchanged."""
    data = program.read_bytes()
    _, size = anchors_in(data)
    new = encode(certificate.read_bytes())
    places = [
        place
        for place in range(len(data))
        if size
        and data.startswith(ANCHORS, place)
        and anchors_in(data[place : place + size]).size == size
    ]
    if not places or len(new) > size:
        return False
    (place,) = places
    copy.write_bytes(data[:place] + new.ljust(size, b"\0") + data[place + size :])
    copy.chmod(0o755)
    return True


def encode(pem: bytes) -> bytes:
    """The anchors of one authority."""
    certificate = load_pem_x509_certificate(pem)
    subject = certificate.subject.public_bytes()
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    dates = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    record = b"".join(bytes.fromhex(f"{date:%Y%m%d%H%M%S}") for date in dates) + subject + key
    index = hash_name(subject).to_bytes(2, "big") + len(record).to_bytes(2, "big")
    return ANCHORS + (1).to_bytes(2, "big") + index + record


def hash_name(name: bytes) -> int:
    """FNV-1a of a name in DER, folded to 16 bits; letters without their case, and strings of one kind."""
    value = 2166136261
    for byte in name:
        if ord("A") <= byte <= ord("Z"):
            byte |= 0x20  # noqa: PLW2901
        elif byte == 0x0C:
            byte = 0x13  # noqa: PLW2901
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return (value >> 16 ^ value) & 0xFFFF
