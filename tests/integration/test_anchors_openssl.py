"""The trust anchors by OpenSSL: it believes whom mbedTLS believes, and nobody else."""

import datetime
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from tests.anchors import AnchorTools
from tests.built import Built
from tests.integration.authorities import (
    DAY,
    HOST,
    KEY_KINDS,
    NOW,
    Authority,
    basic,
    make_key,
    pem_of,
)

pytestmark = pytest.mark.builds

CHECK = Path(__file__).parents[1] / "fixtures" / "anchors_openssl_check.c"
BELIEVED = "believed"
NO_ISSUER = "unable to get local issuer certificate"
SELF_SIGNED = "self-signed certificate"
EACH = "-"

RECIPE = """
name = "openssl-anchors"
kind = "program"
summary = "Tests of the trust anchors by OpenSSL."
homepage = "docs/curl.md"
update = { frozen = "a test" }
local = "none"

[[releases]]
version = "1"
date = 2026-01-01
licence = "Apache-2.0"

[variants.check]
summary = "what OpenSSL makes of the anchors"
needs = ["musl", "openssl", "cacert:lookup"]
[variants.check.expect]
max_size = 4_000_000

[[smoke]]
args = []
code = 2
"""

BUILD = """#!/bin/sh
set -eu
cc -std=c11 $CFLAGS "-I$NEED_OPENSSL/include" "-I$NEED_CACERT_LOOKUP" $LDFLAGS "$RECIPE/anchors_openssl_check.c" \\
    "$NEED_CACERT_LOOKUP/anchors_openssl.c" "$NEED_OPENSSL/lib/libssl.a" "$NEED_OPENSSL/lib/libcrypto.a" -o "$OUT/check"
"""

Verify = Callable[..., str]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built in the user's own cache."""
    directory = tmp_path_factory.mktemp("openssl")
    recipe = directory / "recipes" / "openssl-anchors"
    recipe.mkdir(parents=True)
    (directory / "none").mkdir()
    (recipe / "recipe.toml").write_text(RECIPE)
    (recipe / "build.sh").write_text(BUILD)
    shutil.copy(CHECK, recipe)
    product = "openssl-anchors:check"
    return Built.once(directory, product, recipes=str(recipe.parent)).file(product)


@pytest.fixture
def verify(check: Path, anchor_tools: AnchorTools, tmp_path: Path) -> Verify:
    """What is said of a chain, with these roots among the real ones."""

    def run(*chain: x509.Certificate, roots: tuple[Authority, ...] = (), host: str = HOST) -> str:
        pem = anchor_tools.pem + b"".join(root.pem for root in roots)
        (tmp_path / "anchors").write_bytes(anchor_tools.encode(pem))
        (tmp_path / "chain").write_bytes(pem_of(*chain))
        words: list[str | Path] = [check, tmp_path / "anchors", tmp_path / "chain", host]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            words, capture_output=True, check=False, timeout=60, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        said: str = done.stdout.strip()
        return said

    return run


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_each_of_the_real_ones(verify: Verify, anchor_tools: AnchorTools) -> None:
    roots = x509.load_pem_x509_certificates(anchor_tools.pem)
    assert len(roots) > 100
    assert verify(*roots, host=EACH).splitlines() == [BELIEVED] * len(roots)
    named = [Authority.make(name=root.subject) for root in roots]
    said = verify(*(one.certificate for one in named), host=EACH).splitlines()
    assert said == [SELF_SIGNED] * len(roots)
    said = verify(*(one.leaf() for one in named), host=EACH).splitlines()
    assert said == [NO_ISSUER] * len(roots)


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_kind_of_key(verify: Verify, kind: str) -> None:
    root = Authority.make("Root", kind, key=make_key(kind))
    between = Authority.make("Between", kind, by=root)
    chain = (between.leaf(), between.certificate)
    assert verify(root.leaf(), roots=(root,)) == BELIEVED
    assert verify(*chain, roots=(root,)) == BELIEVED
    assert verify(*chain, root.certificate, roots=(root,)) == BELIEVED
    assert verify(*chain) == NO_ISSUER
    assert verify(root.leaf("other.example"), roots=(root,)) == "hostname mismatch"


def test_a_root_that_is_not_there(verify: Verify) -> None:
    root = Authority.make("Root")
    said = verify(root.leaf(), root.certificate)
    assert said == "self-signed certificate in certificate chain"


def test_who_only_has_the_name_of_one(verify: Verify) -> None:
    root = Authority.make("Root")
    stranger = Authority.make(name=root.name)
    assert verify(stranger.leaf(), roots=(root,)) == NO_ISSUER
    assert verify(stranger.leaf(), stranger.certificate, roots=(root,)) != BELIEVED


def test_a_server_that_is_a_root(verify: Verify) -> None:
    server = Authority.make("Server", hosts=[HOST])
    assert verify(server.certificate, roots=(server,)) == BELIEVED
    assert verify(server.certificate) == SELF_SIGNED
    same_name = Authority.make(name=server.name, hosts=[HOST])
    assert verify(same_name.certificate, roots=(server,)) == SELF_SIGNED
    prolonged = Authority.make(name=server.name, key=server.key, hosts=[HOST])
    old = Authority.make(name=server.name, key=server.key, last=NOW - DAY / 2)
    assert verify(prolonged.certificate, roots=(old,)) != BELIEVED


def test_the_dates_of_an_anchor(verify: Verify) -> None:
    old = Authority.make("Prolonged", last=NOW - DAY / 2)
    new = Authority.make(name=old.name, key=old.key)
    for roots in ((old, new), (new, old)):
        assert verify(new.leaf(), roots=roots) == BELIEVED
    assert verify(new.leaf(), roots=(old,)) == "certificate has expired"
    future = Authority.make("Future", first=NOW + DAY)
    assert verify(future.leaf(), roots=(future,)) == "certificate is not yet valid"
    last = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    late = Authority.make("Late", last=last)
    assert verify(late.leaf(), roots=(late,)) == BELIEVED


def test_one_name_with_two_keys(verify: Verify) -> None:
    roots = tuple(Authority.make("Rolled", "Over") for _ in range(2))
    for root in roots:
        assert verify(root.leaf(), roots=roots) == BELIEVED
    assert verify(Authority.make(name=roots[0].name).leaf(), roots=roots) == NO_ISSUER


def test_a_root_that_another_one_has_signed(verify: Verify) -> None:
    root, unknown = Authority.make("Root"), Authority.make("Unknown")
    crossed = Authority.make(name=root.name, key=root.key, by=unknown)
    chain = (root.leaf(), crossed.certificate, unknown.certificate)
    assert verify(*chain, roots=(root,)) == BELIEVED


@pytest.mark.parametrize("allowed", [0, 1, 127])
def test_the_length_of_a_path(verify: Verify, allowed: int) -> None:
    root = signer = Authority.make("Short", str(allowed), extensions=[basic(path=allowed)])
    chain: list[x509.Certificate] = []
    for count in range(4):
        said = verify(signer.leaf(), *reversed(chain), roots=(root,))
        assert said == (BELIEVED if count <= allowed else "path length constraint exceeded")
        signer = Authority.make("Between", str(count), by=signer)
        chain.append(signer.certificate)


def test_a_key_identifier_and_a_serial_number_do_not_count(verify: Verify) -> None:
    """An anchor has neither: an intermediate that names them is believed for its signature."""
    root = Authority.make("Root")
    issuer = x509.AuthorityKeyIdentifier(
        key_identifier=b"key",
        authority_cert_issuer=[x509.DirectoryName(root.name)],
        authority_cert_serial_number=root.certificate.serial_number,
    )
    named = x509.Extension(oid=issuer.oid, critical=False, value=issuer)
    between = Authority.make("Between", by=root, extensions=[basic(), named])
    assert verify(between.leaf(), between.certificate, roots=(root,)) == BELIEVED


def test_limits_of_an_intermediate(verify: Verify) -> None:
    root = Authority.make("Root")
    for name, said in (("example", BELIEVED), ("elsewhere", "permitted subtree violation")):
        trees = x509.NameConstraints(
            permitted_subtrees=[x509.DNSName(name)], excluded_subtrees=None
        )
        limit = x509.Extension(oid=trees.oid, critical=True, value=trees)
        between = Authority.make("Between", by=root, extensions=[basic(), limit])
        assert verify(between.leaf(), between.certificate, roots=(root,)) == said


def test_names_that_are_the_same_by_their_letters(verify: Verify) -> None:
    utf8, printable = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _type=kind)])
        for text, kind in (
            ("Root Zone", _ASN1Type.UTF8String),
            ("root ZONE", _ASN1Type.PrintableString),
        )
    )
    root = Authority.make(name=utf8)
    other = Authority(name=printable, key=root.key, certificate=root.certificate)
    assert verify(other.leaf(), roots=(root,)) == BELIEVED


def test_an_expired_certificate(verify: Verify) -> None:
    root = Authority.make("Root")
    expired = Authority.make(HOST, by=root, hosts=[HOST], extensions=(), last=NOW - DAY / 2)
    assert verify(expired.certificate, roots=(root,)) == "certificate has expired"
