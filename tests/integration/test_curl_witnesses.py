"""Every option of curl's tool, in every variant: it changes something that can be seen, or is unknown."""

import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from trustme import CA

from recipes.model import Recipe
from tests.integration.authorities import Authority, make_key
from tests.integration.certificates import HOST, context_of, rehash
from tests.integration.hearing import Ears, Tracer, ears
from tests.integration.real_server import program
from tests.integration.test_curl_options import Option, options, recipe, unserved

__all__ = ["options", "recipe"]  # fixtures

pytestmark = pytest.mark.builds

TABLE = Path(__file__).with_name("curl_witnesses.txt")
SECURE = re.compile(r"\{(?:tls|tls12|tlsh2|tlsname|ftps)\}")
VARIANTS = ("mini", "http", "https", "h2", "full")
WITHOUT_TLS = ("mini", "http")
NEEDLESS = {"insecure"}
"""What is known without TLS: that nobody checks is so."""


Look = Callable[[Path, tuple[str, ...]], frozenset[str]]


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A run, and the same with an option."""

    name: str
    option: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    unseen: str = ""

    @property
    def before(self) -> tuple[str, ...]:
        return self._prefix(self.base)

    @property
    def after(self) -> tuple[str, ...]:
        first, *rest = self.option
        if first.startswith("^"):
            return (first[1:], *rest, *self.before)
        if first.startswith("<"):
            return (self.before[0], first[1:], *rest, *self.before[1:])
        return (*self.before, *self.option)

    def _prefix(self, words: tuple[str, ...]) -> tuple[str, ...]:
        if self.option[0].startswith("^"):
            return ("-sS", "-m", "20", *words)
        return ("-q", *words[1:]) if words[:1] == ("!",) else ("-qsS", "-m", "20", *words)


def witnesses() -> list[Witness]:
    found = []
    for line in TABLE.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        name, option, *rest = (part.strip() for part in line.split("|"))
        if option.startswith("?"):
            found.append(Witness(name=name, unseen=option[1:].strip()))
            continue
        (base,) = rest
        found.append(Witness(name=name, option=tuple(option.split()), base=tuple(base.split())))
    return found


CLIENT = Authority.make("Client")


@pytest.fixture(scope="module")
def words(authority: CA, ca: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What stands for the files that are named."""
    directory = tmp_path_factory.mktemp("keys")
    own, other = CLIENT, make_key()
    plain = (Encoding.PEM, PrivateFormat.PKCS8)
    files = {
        "client": own.pem + own.key_pem,
        "locked": own.pem + own.key.private_bytes(*plain, BestAvailableEncryption(b"sesame")),
        "otherkey": other.private_bytes(*plain, NoEncryption()),
        "cas/root.pem": authority.cert_pem.bytes(),
    }
    (directory / "cas").mkdir()
    for name, data in files.items():
        (directory / name).write_bytes(data)
    rehash(directory / "cas")
    found = {name: str(directory / name) for name in ("client", "locked", "otherkey", "cas")}
    return found | {"ca": ca}


@pytest.fixture(scope="module")
def servers(authority: CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ears]:
    certificate = authority.issue_cert(HOST, "localhost")
    contexts = {name: context_of(certificate) for name in ("tls", "tls12", "tlsh2", "ftps")}
    contexts["tls12"].maximum_version = ssl.TLSVersion.TLSv1_2
    contexts["tls"].set_alpn_protocols(["http/1.1"])
    contexts["tlsh2"].set_alpn_protocols(["h2"])
    for context in contexts.values():  # whoever shows a certificate of his own is welcome
        context.load_verify_locations(cadata=CLIENT.pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
    with ears(contexts, tmp_path_factory.mktemp("ears") / "socket") as servers:
        yield servers


FILES = {
    "up": b"one\ntwo\n",
    "there": b"old",
    "conf": b'user-agent = "conf"\n',
    ".curlrc": b'user-agent = "rc"\n',
    ".netrc": b"machine 127.0.0.1 login user password secret\n",
    "tag": b'"tag"\n',
    "cookies": b"127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t1\n",
}


@pytest.fixture
def look(servers: Ears, words: dict[str, str], tmp_path: Path) -> Look:
    """Run a program with words of the table, and see what it does."""
    directory = tmp_path / "here"
    directory.mkdir()
    tracer = Tracer(strace=program("strace"), directory=directory, ears=servers)
    names = {**words, **servers.names, "dir": str(directory)}
    known = re.compile(r"(?<!\{)\{(" + "|".join(names) + r")\}(?!\})")

    def run(file: Path, line: tuple[str, ...]) -> frozenset[str]:
        return tracer(file, [known.sub(lambda it: names[it[1]], word) for word in line], FILES)

    return run


def difference(look: Look, file: Path, witness: Witness) -> set[str]:
    """What is seen of every run with the option, and of none without it; and the other way round."""
    before = [look(file, witness.before) for _ in range(2)]
    after = [look(file, witness.after) for _ in range(2)]
    more = frozenset.intersection(*after) - frozenset.union(*before)
    less = frozenset.intersection(*before) - frozenset.union(*after)
    return {*more, *less}


def test_every_option_has_a_witness(options: list[Option], recipe: Recipe) -> None:
    """Whoever adds one has looked at what it does here: an option of a new release is not there."""
    served = {option.name for option in options} - (
        unserved(recipe, "h2") & unserved(recipe, "full")
    )
    assert [witness.name for witness in witnesses()] == sorted(served)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_does_not_differ_from_itself(
    look: Look, curls: dict[str, Path], variant: str
) -> None:
    nothing = Witness(name="nothing", option=("--no-include",), base=("{http}/rich",))
    assert difference(look, curls[variant], nothing) == set()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "witness", [one for one in witnesses() if not one.unseen], ids=lambda one: str(one.name)
)
def test_it_is_honoured(
    look: Look,
    curls: dict[str, Path],
    recipe: Recipe,
    witness: Witness,
    variant: str,
) -> None:
    if witness.name in unserved(recipe, variant):
        assert "code: 2" in look(curls[variant], witness.after)
        return
    if variant in WITHOUT_TLS and SECURE.search(" ".join(witness.base)):
        assert witness.name in NEEDLESS
        return
    assert difference(look, curls[variant], witness)
