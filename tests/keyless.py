"""A Sigstore of the tests' own: an authority in Fulcio's shape, a log of its certificates, a log in Rekor's shape.

What it hands out is what GitHub's ``actions/attest`` gets for a public repository: a bundle of version 0.3 with a
signed in-toto statement, a certificate of ten minutes, and an entry of a log with its proofs.
"""

import base64
import hashlib
import json
import re
import shlex
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flow.context import ROOT

ISSUER = "https://token.actions.githubusercontent.com"
SIGNED_AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIFE = timedelta(minutes=10)
"""Of a certificate."""

FULCIO = "1.3.6.1.4.1.57264.1"
TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
"""RFC 6962, 3.3: the promise of a log, inside of the certificate."""

PAYLOAD = "application/vnd.in-toto+json"
PROVENANCE = "https://slsa.dev/provenance/v1"
PAGE = ROOT / "docs" / "releases.md"

Key = ec.EllipticCurvePrivateKey
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """Who signs: what GitHub says in the token of a job."""

    repository: str = "example/fromscratch"
    path: str = ".github/workflows/publish.yml"
    name: str = "publish"
    ref: str = "refs/tags/v1.2.3"
    trigger: str = "push"
    commit: str = "c" * 40
    runner: str = "github-hosted"
    issuer: str = ISSUER

    @property
    def identity(self) -> str:
        return f"https://github.com/{self.repository}/{self.path}@{self.ref}"

    def extensions(self) -> list[x509.UnrecognizedExtension]:
        """https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md: up to 6 bare, from 8 on as UTF8String."""
        home = f"https://github.com/{self.repository}"
        bare = [self.issuer, self.trigger, self.commit, self.name, self.repository, self.ref]
        tagged = {
            8: self.issuer,
            9: self.identity,
            10: self.commit,
            11: self.runner,
            12: home,
            13: self.commit,
            14: self.ref,
            15: "1234",
            16: home.rpartition("/")[0],
            17: "5678",
            18: self.identity,
            19: self.commit,
            20: self.trigger,
            21: f"{home}/actions/runs/1/attempts/1",
            22: "public",
        }
        values = {number: text.encode() for number, text in enumerate(bare, 1)}
        values |= {number: der(0x0C, text.encode()) for number, text in tagged.items()}
        return [
            x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{FULCIO}.{number}"), value)
            for number, value in values.items()
        ]


def der(tag: int, data: bytes) -> bytes:
    """One value of DER."""
    size = len(data)
    if size < 0x80:
        return bytes([tag, size]) + data
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + data


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def public_bytes(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(SHA256()))


def encoded(envelope_type: str, payload: bytes) -> bytes:
    """What of an envelope is signed: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""
    kind = envelope_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def leaf(data: bytes) -> bytes:
    """RFC 6962, 2.1."""
    return hashlib.sha256(b"\0" + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The hash of a tree of at least one leaf."""
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return hashlib.sha256(b"\1" + root(leaves[:middle]) + root(leaves[middle:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1: what proves that a leaf is in the tree."""
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*path(index, leaves[:middle]), root(leaves[middle:])]
    return [*path(index - middle, leaves[middle:]), root(leaves[:middle])]


def split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


@dataclass
class Log:
    """A log in Rekor's shape: others have written into it before, and it is not its first tree."""

    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    leaves: list[bytes] = field(default_factory=lambda: [leaf(bytes([n])) for n in range(5)])
    before: int = 1000
    """Entries of older trees."""
    later: int = 1
    """Entries that come in before a proof is made."""

    @property
    def id(self) -> bytes:
        return hashlib.sha256(public_bytes(self.key)).digest()

    def add(self, body: bytes, at: datetime) -> Json:
        """Take an entry in; return it as a bundle has it, with the promise and the proof."""
        index = len(self.leaves)
        self.leaves += [leaf(body), *(leaf(b"later %d" % n) for n in range(self.later))]
        seconds = int(at.timestamp())
        promised = {
            "body": text(body),
            "integratedTime": seconds,
            "logID": self.id.hex(),
            "logIndex": self.before + index,
        }
        return {
            "logIndex": str(self.before + index),
            "logId": {"keyId": text(self.id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(seconds),
            "inclusionPromise": {"signedEntryTimestamp": text(self.promise(promised))},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": text(root(self.leaves)),
                "treeSize": str(len(self.leaves)),
                "hashes": [text(part) for part in path(index, self.leaves)],
                "checkpoint": {"envelope": self.checkpoint()},
            },
            "canonicalizedBody": text(body),
        }

    def promise(self, entry: Json) -> bytes:
        return sign(self.key, rfc8785.dumps(entry))

    def checkpoint(self) -> str:
        """https://github.com/transparency-dev/formats/blob/main/log/README.md: a signed note about the tree."""
        note = f"log.invalid - 1\n{len(self.leaves)}\n{text(root(self.leaves))}\n"
        signature = self.id[:4] + sign(self.key, note.encode())
        return f"{note}\n\N{EM DASH} log.invalid {text(signature)}\n"


@dataclass
class Sigstore:
    """Everything that signs without a key of one's own, and what a client must know to check it."""

    log: Log = field(default_factory=Log)
    ct_key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    root_key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))

    def __post_init__(self) -> None:
        self.root = self.authority("root", self.root_key, issuer=None, depth=1)
        self.intermediate = self.authority("intermediate", self.key, issuer=self.root, depth=0)

    def authority(
        self, name: str, key: Key, *, issuer: x509.Certificate | None, depth: int
    ) -> x509.Certificate:
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tests.invalid"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        builder = (
            x509.CertificateBuilder(subject_name=subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(SIGNED_AT - timedelta(days=400))
            .not_valid_after(SIGNED_AT + timedelta(days=4000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
            .add_extension(usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if issuer:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            ).add_extension(issued_by(self.root_key), critical=False)
        return builder.sign(self.root_key, SHA384())

    def certificate(
        self, workflow: Workflow, key: Key, begin: datetime = SIGNED_AT
    ) -> x509.Certificate:
        """A certificate for a job, with the promise of the log of certificates in it."""
        builder = (
            x509.CertificateBuilder(subject_name=x509.Name([]))
            .issuer_name(self.intermediate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + LIFE)
            .add_extension(usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(issued_by(self.key), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(workflow.identity)]),
                critical=True,
            )
        )
        for extension in workflow.extensions():
            builder = builder.add_extension(extension, critical=False)
        logged = builder.sign(self.key, SHA384()).tbs_certificate_bytes
        promise = der(0x04, self.ct_promise(logged, begin))
        stamped = builder.add_extension(x509.UnrecognizedExtension(TIMESTAMPS, promise), False)
        return stamped.sign(self.key, SHA384())

    def ct_promise(self, logged: bytes, at: datetime) -> bytes:
        """RFC 6962, 3.2 and 3.3: a list of one signed timestamp, about a certificate that has none yet."""
        head = struct.pack("!B32sQH", 0, self.ct_id, int(at.timestamp() * 1000), 0)
        issuer = hashlib.sha256(public_bytes(self.key)).digest()
        entry = struct.pack("!H32s", 1, issuer) + len(logged).to_bytes(3, "big") + logged
        signed = struct.pack("!BBQ", 0, 0, int(at.timestamp() * 1000)) + entry + b"\0\0"
        signature = sign(self.ct_key, signed)
        one = head + bytes([4, 3]) + struct.pack("!H", len(signature)) + signature
        return struct.pack("!HH", len(one) + 2, len(one)) + one

    @property
    def ct_id(self) -> bytes:
        return hashlib.sha256(public_bytes(self.ct_key)).digest()

    def attest(
        self,
        statement: bytes,
        workflow: Workflow,
        *,
        begin: datetime = SIGNED_AT,
        logged: datetime = SIGNED_AT + timedelta(seconds=3),
    ) -> Json:
        """What a job gets for a statement: a bundle. ``begin`` is that of the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certificate(workflow, key, begin)
        signature = sign(key, encoded(PAYLOAD, statement))
        envelope = {
            "payload": text(statement),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": text(signature), "keyid": ""}],
        }
        entry: Json = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": digest(json.dumps(envelope).encode()),
                "payloadHash": digest(statement),
                "signatures": [
                    {
                        "signature": text(signature),
                        "verifier": text(certificate.public_bytes(Encoding.PEM)),
                    }
                ],
            },
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": text(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self.log.add(rfc8785.dumps(entry), logged)],
                "timestampVerificationData": {"rfc3161Timestamps": []},
            },
            "dsseEnvelope": envelope,
        }

    def trusted_root(self) -> Json:
        """What ``trusted_root.json`` says of the real one."""
        since = {"start": "2021-01-01T00:00:00Z"}

        def log(key: Key, url: str) -> Json:
            public = {
                "rawBytes": text(public_bytes(key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": since,
            }
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": public,
                "logId": {"keyId": text(hashlib.sha256(public_bytes(key)).digest())},
            }

        chain = [
            {"rawBytes": text(certificate.public_bytes(Encoding.DER))}
            for certificate in (self.intermediate, self.root)
        ]
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log.key, "https://log.invalid")],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "tests.invalid", "commonName": "root"},
                    "uri": "https://authority.invalid",
                    "certChain": {"certificates": chain},
                    "validFor": since,
                }
            ],
            "ctlogs": [log(self.ct_key, "https://certificates.invalid")],
            "timestampAuthorities": [],
        }

    def trust_config(self) -> Json:
        """What ``sigstore --trust-config`` wants: the same, and where one would sign."""
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"},
        }


def usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def issued_by(key: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def digest(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def subjects(sums: bytes) -> list[Json]:
    """What the action attests, given ``subject-checksums``: a digest, a space, a flag, a name, on each line.

    https://github.com/actions/attest/blob/main/src/subject.ts
    """
    found = []
    for line in sums.decode().splitlines():
        sha256, _, rest = line.partition(" ")
        assert rest[0] in " *"
        found.append({"name": rest[1:], "digest": {"sha256": sha256}})
    return found


def statement_of(sums: bytes, signer: Workflow) -> bytes:
    """What it then signs: https://actions.github.io/buildtypes/workflow/v1."""
    workflow = {"ref": signer.ref, "repository": f"https://github.com/{signer.repository}"}
    definition = {
        "buildType": "https://actions.github.io/buildtypes/workflow/v1",
        "externalParameters": {"workflow": {**workflow, "path": signer.path}},
    }
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects(sums),
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": definition,
            "runDetails": {"builder": {"id": signer.identity}},
        },
    }
    return json.dumps(statement).encode()


def shown(program: str) -> list[list[str]]:
    """The commands of the page that begin with ``program``, as words."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]
    return [words for words in found if " ".join(words).startswith(program)]
