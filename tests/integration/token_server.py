"""Hands out tokens that Debian's docker-registry believes: https://distribution.github.io/distribution/spec/auth/jwt/."""

import base64
import contextlib
import datetime
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.registry_server import IDENTITY, PASSWORD, USER, login_of

SERVICE, ISSUER = "registry of the tests", "tests"


@dataclass(kw_only=True)
class TokenService:
    """Who may do what: everybody may pull, the user may push as well."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    seconds: int = 300
    """How long a token is good for."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and scope of each request."""
    realm: str = ""

    def config(self, directory: Path) -> str:
        """What the registry must be told."""
        bundle = directory / "tokens.pem"
        bundle.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        words = f'realm: "{self.realm}", service: "{SERVICE}", issuer: "{ISSUER}"'
        return f'auth: {{token: {{{words}, rootcertbundle: "{bundle}"}}}}'

    def token(self, scope: str, *, known: bool) -> str:
        """A token for as much of ``scope`` as may be."""
        access = []
        for word in filter(None, scope.split(" ")):
            kind, _, rest = word.partition(":")
            name, _, actions = rest.rpartition(":")
            granted = [it for it in actions.split(",") if known or it == "pull"]
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": USER if known else "",
            "aud": SERVICE,
            "exp": now + self.seconds,
            "nbf": now - 5,
            "iat": now,
            "jti": f"{len(self.asked)}",
            "access": access,
        }
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        numbers = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(32, "big") for number in numbers)
        return f"{signed}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: TokenService


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        header = self.headers.get("Authorization", "")
        if header and header != f"Basic {login_of(USER, PASSWORD)}":
            self._answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
            return
        self._hand_out("GET", asked, known=bool(header), name="token")

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        asked = parse_qs(self.rfile.read(size).decode())
        if asked.get("refresh_token") != [IDENTITY]:
            self._answer(401, {"error": "invalid_grant"})
            return
        self._hand_out("POST", asked, known=True, name="access_token")

    def _hand_out(
        self, method: str, asked: dict[str, list[str]], *, known: bool, name: str
    ) -> None:
        service = self.server.service
        scope = " ".join(asked.get("scope", []))
        assert asked.get("service") == [SERVICE]
        service.asked.append((method, scope))
        self._answer(200, {name: service.token(scope, known=known), "expires_in": service.seconds})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def token_service() -> Iterator[TokenService]:
    """Serve tokens on this machine until the end of the block."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    service = TokenService(certificate=certificate, key=key)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.service = service
        service.realm = f"http://127.0.0.1:{server.server_address[1]}/token"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield service
        finally:
            server.shutdown()
