"""OpenPGP keys of the tests' own, made while they run."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pysequoia import Cert, SignatureMode, Tsk, sign


@dataclass(frozen=True)
class Signer:
    """Somebody who signs releases."""

    key: Tsk
    made: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def new(cls, name: str = "upstream") -> "Signer":
        return cls(Tsk.generate(f"{name} <{name}@tests.invalid>"))

    @property
    def certificate(self) -> Cert:
        return self.key.extract_certificate()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint.upper()

    def sign(self, data: bytes) -> bytes:
        return bytes(sign(self.key.signer(), data, mode=SignatureMode.DETACHED))

    def revoked(self) -> Cert:
        return self.certificate.merge(
            Cert.from_bytes(
                bytes(self.certificate) + bytes(self.certificate.revoke(self.key.certifier()))
            )
        )

    def expired(self) -> Cert:
        # Sequoia dates a new key a minute back. Its life ends here a second later, so it was over
        # before anything could be signed, however long ago that was.
        ended = self.made - timedelta(seconds=59)
        return self.certificate.set_expiration(ended, self.key.certifier())


def write_keys(path: Path, *certificates: Cert) -> Path:
    """Write an ``upstream.asc``."""
    path.write_text("".join(map(str, certificates)), "utf-8")
    return path
