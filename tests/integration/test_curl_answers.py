"""What curl answers to what real TLS asks: every row of tls_answers.toml, by both libraries, beside Debian's curl."""

import ssl
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from tests.integration.authorities import (
    DAY,
    NOW,
    Authority,
    make_key,
    pem_of,
    revoked,
    server_of,
)
from tests.integration.certificates import HOST
from tests.integration.http_server import Servers, serving
from tests.integration.real_server import program

pytestmark = pytest.mark.builds

ANSWERS = Path(__file__).with_name("tls_answers.toml")
PASSWORD = "sesame"


@dataclass(frozen=True, kw_only=True)
class Answer:
    case: str
    asked: str
    code: int
    full: int
    debian: int


def answers() -> list[Answer]:
    rows = tomllib.loads(ANSWERS.read_text("utf-8"))["answer"]
    return [Answer(**{"full": row["code"], "debian": row["code"], **row}) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Call:
    """The words and the environment of a run."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a case is made of: a directory, servers, a root that is believed."""

    directory: Path
    servers: Servers
    root: Authority = field(default_factory=lambda: Authority.make("Root"))

    def file(self, name: str, data: bytes) -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def leaf(self, by: Authority | None = None) -> Authority:
        """Of the server, for its address."""
        return server_of(by or self.root, address=HOST)

    def call(
        self,
        leaf: Authority,
        *chain: Authority,
        words: tuple[str, ...] = (),
        clients: Authority | None = None,
    ) -> Call:
        """A server that shows a chain; ``clients`` have to show a certificate that it signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown = pem_of(leaf.certificate, *(one.certificate for one in chain))
        context.load_cert_chain(self.file("server.pem", leaf.key_pem + shown))
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=clients.pem.decode())
        url = f"https://{HOST}:{self.servers.tls(context).port}/status/200"
        return Call(words=("--cacert", self.file("root.pem", self.root.pem), *words, url))


def constrained(bench: Bench, host: str, *, critical: bool = True) -> Call:
    """Below an intermediate that may only sign names below ``host``, a server with a name."""
    value = x509.NameConstraints(permitted_subtrees=[x509.DNSName(host)], excluded_subtrees=None)
    limit = x509.Extension(oid=value.oid, critical=critical, value=value)
    ca = x509.BasicConstraints(ca=True, path_length=None)
    basic = x509.Extension(oid=ca.oid, critical=True, value=ca)
    between = Authority.make("Limited", by=bench.root, extensions=[basic, limit])
    call = bench.call(server_of(between, host="a.example"), between)
    *words, url = call.words
    port = url.split(":")[2].partition("/")[0]
    url = url.replace(HOST, "a.example")
    return Call(words=(*words, "--resolve", f"a.example:{port}:{HOST}", url))


def crl(*, encoding: Encoding = Encoding.PEM, **case: bool) -> Callable[[Bench], Call]:
    """A server below an intermediate, and what is revoked: each of ``case`` is something that is wrong.

    In DER, which holds one list, there is no intermediate.
    """

    def make(bench: Bench) -> Call:
        der = encoding is Encoding.DER
        between = bench.root if der else Authority.make("Between", by=bench.root)
        leaf = bench.leaf(between)
        stranger = Authority.make("Stranger")
        last = NOW - DAY if case.get("expired") else NOW + DAY
        lists = [
            revoked(
                stranger if case.get("other") else between,
                *([leaf] if case.get("leaf") else []),
                key=stranger if case.get("forged") else None,
                last=last,
                encoding=encoding,
            )
        ]
        if not der:
            lists.append(revoked(bench.root, *([between] if case.get("between") else [])))
        path = bench.file("crl", b"no list" if case.get("none") else b"".join(lists))
        return bench.call(leaf, *([] if der else [between]), words=("--crlfile", path))

    return make


def client(
    form: PrivateFormat = PrivateFormat.PKCS8,
    *,
    secret: bool = False,
    one_file: bool = False,
    other: bool = False,
    missing: bool = False,
    kind: str = "P-256",
    words: tuple[str, ...] = (),
    password: str = "",
) -> Callable[[Bench], Call]:
    """A server that wants a client's certificate, and where the client has its key."""

    def make(bench: Bench) -> Call:
        own = Authority.make("Client", by=bench.root, key=make_key(kind), extensions=())
        key = Authority.make("Other").key if other else own.key
        encryption = BestAvailableEncryption(PASSWORD.encode()) if secret else NoEncryption()
        text = key.private_bytes(Encoding.PEM, form, encryption)
        cert = bench.file("client.pem", own.pem + (text if one_file else b""))
        named = () if one_file or missing else ("--key", bench.file("key.pem", text))
        cert += f":{password}" if password else ""
        options = ("--cert", cert, *named, *words)
        return bench.call(bench.leaf(), clients=bench.root, words=options)

    return make


def bundled(bench: Bench) -> Call:
    own = Authority.make("Client", by=bench.root, extensions=())
    encryption = BestAvailableEncryption(PASSWORD.encode())
    data = pkcs12.serialize_key_and_certificates(b"x", own.key, own.certificate, None, encryption)
    cert = bench.file("client.p12", data)
    options = ("--cert", f"{cert}:{PASSWORD}", "--cert-type", "P12")
    return bench.call(bench.leaf(), clients=bench.root, words=options)


def long_chain(bench: Bench, count: int, padding: int = 0) -> tuple[Authority, list[Authority]]:
    """A server's certificate and the intermediates above it, in order."""
    chain = [bench.root]
    for number in range(count):
        chain.insert(0, Authority.make("Between", str(number), by=chain[0]))
    return server_of(chain[0], address=HOST, padding=padding), chain[:-1]


def many(bench: Bench) -> Call:
    leaf, chain = long_chain(bench, 20)
    return bench.call(leaf, *chain)


def large(bench: Bench) -> Call:
    leaf, chain = long_chain(bench, 1, padding=40_000)
    return bench.call(leaf, *chain)


def reverse(bench: Bench) -> Call:
    leaf, chain = long_chain(bench, 4)
    return bench.call(leaf, *reversed(chain))


def shuffled(bench: Bench) -> Call:
    leaf, (one, two, three) = long_chain(bench, 3)
    return bench.call(leaf, two, Authority.make("Stranger"), three, one)


def circular(bench: Bench) -> Call:
    one = Authority.make("One")
    two = Authority.make("Two", by=one)
    back = Authority.make(name=one.name, key=one.key, by=two)
    return bench.call(bench.leaf(two), two, back)


def curve(kind: str, *, ca: bool = False) -> Callable[[Bench], Call]:
    """A server whose key, or whose CAs' keys, are of a curve."""

    def make(bench: Bench) -> Call:
        own = "P-256" if ca else kind
        root = Authority.make("Root", kind, key=make_key(kind)) if ca else bench.root
        between = Authority.make("Between", by=root, key=make_key(kind if ca else "P-256"))
        leaf = server_of(between, address=HOST, key=make_key(own))
        return replace(bench, root=root).call(leaf, between)

    return make


def named(*, address: str = "", host: str = "", common: str = "Server") -> Callable[[Bench], Call]:
    return lambda bench: bench.call(
        server_of(bench.root, address=address, host=host, common=common)
    )


def directories(bench: Bench) -> Call:
    call = bench.call(bench.leaf())
    for name in ("empty", "full"):
        (bench.directory / name).mkdir()
    bench.file("full/root.pem", bench.root.pem)
    subprocess.run(["openssl", "rehash", bench.directory / "full"], check=True)  # for OpenSSL
    places = [str(bench.directory / name) for name in ("empty", "none", "full")]
    return Call(words=call.words[2:], variables={"SSL_CERT_DIR": ":".join(places)})


OLD = PrivateFormat.TraditionalOpenSSL
CASES: Mapping[str, Callable[[Bench], Call]] = {
    "crl-clean": crl(),
    "crl-revoked": crl(leaf=True),
    "crl-revoked-intermediate": crl(between=True),
    "crl-der": crl(encoding=Encoding.DER),
    "crl-der-revoked": crl(leaf=True, encoding=Encoding.DER),
    "crl-of-another": crl(other=True),
    "crl-expired": crl(expired=True),
    "crl-forged": crl(forged=True),
    "crl-none": crl(none=True),
    "key-in-one-file": client(one_file=True),
    "key-encrypted": client(secret=True, password=PASSWORD),
    "key-encrypted-pass": client(secret=True, words=("--pass", PASSWORD)),
    "key-encrypted-old": client(OLD, secret=True, password=PASSWORD),
    "key-wrong-password": client(secret=True, password="wrong"),
    "key-no-password": client(secret=True),
    "key-of-another": client(other=True),
    "key-missing": client(missing=True),
    "key-of-p384": client(kind="P-384"),
    "key-of-p521": client(kind="P-521"),
    "pkcs12": bundled,
    "pkcs12-that-is-none": client(words=("--cert-type", "P12")),
    "key-type-unknown": client(words=("--key-type", "ENG")),
    "certificates-large": large,
    "intermediates-many": many,
    "chain-reversed": reverse,
    "chain-shuffled": shuffled,
    "chain-circular": circular,
    "key-p384": curve("P-384"),
    "key-p521": curve("P-521"),
    "key-rsa-4096": curve("RSA-4096"),
    "ca-p384": curve("P-384", ca=True),
    "ca-p521": curve("P-521", ca=True),
    "address": named(address=HOST),
    "address-as-name": named(host=HOST),
    "address-as-wildcard": named(host="*.0.0.1"),
    "address-as-common-wildcard": named(common="*.0.0.1"),
    "constraint-violated": lambda bench: constrained(bench, "b.example"),
    "constraint-kept": lambda bench: constrained(bench, "a.example"),
    "constraint-not-critical": lambda bench: constrained(bench, "b.example", critical=False),
    "directories": directories,
}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


def run(command: str | Path, call: Call) -> tuple[int, str]:
    done = subprocess.run(
        [command, "-qsS", "-m", "20", *call.words],
        capture_output=True,
        check=False,
        env=dict(call.variables),
        stdin=subprocess.DEVNULL,
        timeout=60,
        text=True,
    )
    assert (done.stdout == "ok") == (done.returncode == 0), done.stderr
    return done.returncode, done.stderr


def test_every_row_has_a_case() -> None:
    rows = [answer.case for answer in answers()]
    assert sorted(rows) == sorted(CASES)


@pytest.mark.parametrize("answer", answers(), ids=lambda answer: str(answer.case))
@pytest.mark.parametrize("variant", ["https", "h2", "full"])
def test_answer(
    answer: Answer, variant: str, curls: dict[str, Path], servers: Servers, tmp_path: Path
) -> None:
    call = CASES[answer.case](Bench(directory=tmp_path, servers=servers))
    code, said = run(curls[variant], call)
    assert code == (answer.full if variant == "full" else answer.code), said


@pytest.mark.parametrize("answer", answers(), ids=lambda answer: str(answer.case))
def test_the_measure(answer: Answer, servers: Servers, tmp_path: Path) -> None:
    """What Debian's curl answers: not ours to change, but what ours is compared with."""
    debians = program("curl")
    call = CASES[answer.case](Bench(directory=tmp_path, servers=servers))
    code, said = run(debians, call)
    assert code == answer.debian, said
