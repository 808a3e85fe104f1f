"""Name constraints of every kind and place.

mbedTLS, in curl:https: whoever has some is refused, and vouches for nobody. OpenSSL, in curl:full: they hold.
"""

import ipaddress
import itertools
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from tests.anchors import AnchorTools
from tests.integration.authorities import Authority, basic, name_of, pem_of
from tests.integration.certificates import HOST
from tests.integration.http_server import Servers, serving

pytestmark = pytest.mark.builds

OK, NO_HANDSHAKE, UNTRUSTED, NO_CAS = 0, 35, 60, 77
NAME = "server.example"

ABOUT: dict[str, tuple[x509.GeneralName, x509.GeneralName]] = {
    # What the server's certificate has, and what it has not.
    "DNS": (x509.DNSName("example"), x509.DNSName("elsewhere")),
    "IP": (
        x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
        x509.IPAddress(ipaddress.ip_network("10.0.0.0/8")),
    ),
    "email": (x509.RFC822Name("example"), x509.RFC822Name("elsewhere")),
    # with a dot: hosts below it
    "URI": (
        x509.UniformResourceIdentifier(".example"),
        x509.UniformResourceIdentifier(".elsewhere"),
    ),
    "directory": (x509.DirectoryName(name_of("Server")), x509.DirectoryName(name_of("Other"))),
}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A constraint on names, and whether the server's certificate keeps it."""

    about: str
    excluded: bool
    kept: bool
    critical: bool

    def __str__(self) -> str:
        words = ("excluded" if self.excluded else "permitted", "kept" if self.kept else "violated")
        return "-".join((self.about, *words, "critical" if self.critical else "uncritical"))

    @property
    def code(self) -> int:
        """What OpenSSL makes of the server."""
        return OK if self.kept else UNTRUSTED

    @property
    def extension(self) -> x509.Extension[x509.NameConstraints]:
        here, elsewhere = ABOUT[self.about]
        trees = [here if self.kept != self.excluded else elsewhere]
        value = x509.NameConstraints(
            permitted_subtrees=None if self.excluded else trees,
            excluded_subtrees=trees if self.excluded else None,
        )
        return x509.Extension(oid=value.oid, critical=self.critical, value=value)


LIMITS = [
    Limit(about=about, excluded=excluded, kept=kept, critical=critical)
    for about in ABOUT
    for excluded, kept, critical in itertools.product((False, True), repeat=3)
]


def leaf(by: Authority) -> Authority:
    """A server's certificate with a name of every kind."""
    names = [
        x509.DNSName(NAME),
        x509.IPAddress(ipaddress.ip_address(HOST)),
        x509.RFC822Name("root@example"),
        x509.UniformResourceIdentifier("https://server.example/"),
    ]
    value = x509.SubjectAlternativeName(names)
    extension = x509.Extension(oid=value.oid, critical=False, value=value)
    return Authority.make("Server", by=by, extensions=[extension])


Ask = Callable[..., int]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture
def ask(servers: Servers, tmp_path: Path) -> Ask:
    """The exit code of a program that is shown a chain, by the server's address."""

    def run(program: Path, leaf: Authority, *chain: Authority, cas: Path | None = None) -> int:
        shown = tmp_path / "shown.pem"
        shown.write_bytes(
            leaf.key_pem + pem_of(leaf.certificate, *(one.certificate for one in chain))
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown)
        words = ("--cacert", cas) if cas else ()
        url = f"https://{HOST}:{servers.tls(context).port}/status/200"
        done = subprocess.run(
            [program, "-qsS", "-m", "20", *words, url],
            capture_output=True,
            check=False,
            env={},
            timeout=60,
            text=True,
        )
        assert (done.stdout == "ok") == (done.returncode == OK), done.stderr
        return done.returncode

    return run


@pytest.fixture(scope="module", params=["https", "full"])
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def curl(curls: dict[str, Path], variant: str) -> Path:
    return curls[variant]


ROOT = Authority.make("Root")


@pytest.fixture(scope="module")
def trusting(
    curl: Path, anchor_tools: AnchorTools, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The finished file with `ROOT` among its anchors."""
    return anchor_tools.trusting(curl, ROOT.pem, tmp_path_factory.mktemp("trusting") / "curl")


def test_without_them_all_is_well(ask: Ask, curl: Path, trusting: Path, tmp_path: Path) -> None:
    cas = tmp_path / "cas.pem"
    cas.write_bytes(ROOT.pem)
    between = Authority.make("Between", by=ROOT)
    assert ask(curl, leaf(between), between, cas=cas) == OK
    assert ask(trusting, leaf(between), between) == OK


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_of_an_intermediate(
    ask: Ask, variant: str, curl: Path, trusting: Path, tmp_path: Path, limit: Limit
) -> None:
    code = NO_HANDSHAKE if variant == "https" else limit.code
    cas = tmp_path / "cas.pem"
    cas.write_bytes(ROOT.pem)
    between = Authority.make("Between", by=ROOT, extensions=[basic(), limit.extension])
    below = Authority.make("Server", "Below", by=between)  # is held to them as well
    for chain in ((between,), (below, between)):
        assert ask(curl, leaf(chain[0]), *chain, cas=cas) == code
        assert ask(trusting, leaf(chain[0]), *chain) == code


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_of_a_root(ask: Ask, variant: str, curl: Path, tmp_path: Path, limit: Limit) -> None:
    """To mbedTLS it is, alone, no list of CAs at all; beside others it is passed over."""
    root = Authority.make("Limited", extensions=[basic(), limit.extension])
    cas = tmp_path / "cas.pem"
    if variant == "full":
        cas.write_bytes(root.pem + ROOT.pem)
        assert ask(curl, leaf(root), cas=cas) == limit.code
        assert ask(curl, leaf(root), root, cas=cas) == limit.code
        return
    for beside, code in ((b"", NO_CAS), (ROOT.pem, UNTRUSTED)):
        cas.write_bytes(root.pem + beside)
        assert ask(curl, leaf(root), cas=cas) == code
        assert ask(curl, leaf(root), root, cas=cas) == (code if not beside else NO_HANDSHAKE)


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_no_anchor_has_them(anchor_tools: AnchorTools, limit: Limit) -> None:
    root = Authority.make("Limited", extensions=[basic(), limit.extension])
    assert "some names" in anchor_tools.refusal(root.pem)
