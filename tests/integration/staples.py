"""What servers may say of whether their certificates are revoked, and what curl answers."""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.curls import OK
from tests.integration.authorities import DAY, NOW, Authority, server_of
from tests.integration.certificates import HOST

NO_STATUS = 91
ROOT = Authority.make("Root")
BETWEEN = Authority.make("Between", by=ROOT)
LEAF = server_of(BETWEEN, address=HOST)
CLIENT = Authority.make("Client", by=ROOT, extensions=())


@dataclass(frozen=True, kw_only=True)
class Staple:
    """What a server says of its certificate, and who says it."""

    code: int = NO_STATUS
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    about: Authority = LEAF
    issuer: Authority = BETWEEN
    by: Authority = BETWEEN
    shown: bool = True
    """Whether the answer brings its signer's certificate along."""
    first: datetime.datetime = NOW - DAY
    last: datetime.datetime = NOW + DAY

    @property
    def der(self) -> bytes:
        gone = self.status is ocsp.OCSPCertStatus.REVOKED
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                self.about.certificate,
                self.issuer.certificate,
                hashes.SHA1(),  # by which clients look
                self.status,
                self.first,
                self.last,
                NOW - DAY if gone else None,
                x509.ReasonFlags.key_compromise if gone else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.NAME, self.by.certificate)
        )
        if self.shown:
            builder = builder.certificates([self.by.certificate])
        response = builder.sign(self.by.key, hashes.SHA256())
        return response.public_bytes(Encoding.DER)


def responder(by: Authority, *purposes: x509.ObjectIdentifier) -> Authority:
    """Who answers for an authority."""
    value = x509.ExtendedKeyUsage(purposes)
    extension = x509.Extension(oid=value.oid, critical=False, value=value)
    return Authority.make("Responder", by=by, extensions=[extension])


STAPLES = {
    "good": Staple(code=OK),
    "good, and no more": Staple(code=OK, shown=False),
    "good, by a delegate": Staple(code=OK, by=responder(BETWEEN, ExtendedKeyUsageOID.OCSP_SIGNING)),
    "revoked": Staple(status=ocsp.OCSPCertStatus.REVOKED),
    "unknown": Staple(status=ocsp.OCSPCertStatus.UNKNOWN),
    "out of date": Staple(last=NOW - DAY / 2),
    "of tomorrow": Staple(first=NOW + DAY / 2),
    "about another": Staple(about=server_of(BETWEEN, address=HOST)),
    "forged": Staple(by=Authority.make(name=BETWEEN.name), shown=False),
    "forged, with a certificate": Staple(by=Authority.make(name=BETWEEN.name)),
    "by a server": Staple(by=responder(BETWEEN, ExtendedKeyUsageOID.SERVER_AUTH)),
    "by a stranger's delegate": Staple(
        by=responder(Authority.make("Stranger"), ExtendedKeyUsageOID.OCSP_SIGNING)
    ),
}
