"""The trust anchors: all of the bundle is in them, nothing else gets in, and mbedTLS believes whom it should."""

import base64
import datetime
import random
import re
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.anchors import AnchorTools
from tests.integration.authorities import (
    DAY,
    HOST,
    KEY_KINDS,
    NOW,
    Anchor,
    Authority,
    basic,
    make_key,
    pem_of,
)

pytestmark = pytest.mark.builds

UTC = datetime.UTC
UNTRUSTED = "The certificate is not correctly signed by the trusted CA"


def element(data: bytes) -> int:
    """The size of the DER element that ``data`` begins with: X.690, section 8.1."""
    if data[1] < 0x80:
        return 2 + data[1]
    more = data[1] & 0x7F
    return 2 + more + int.from_bytes(data[2 : 2 + more], "big")


def date(data: bytes) -> datetime.datetime:
    return datetime.datetime.strptime(data.hex(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def fnv(name: bytes) -> int:
    """What the format says of its hash."""
    value = 2166136261
    for byte in name.replace(b"\x0c", b"\x13"):
        folded = byte | 0x20 if ord("A") <= byte <= ord("Z") else byte
        value = (value ^ folded) * 16777619 & 0xFFFFFFFF
    return (value >> 16 ^ value) & 0xFFFF


def read(anchors: bytes) -> list[Anchor]:
    """Every anchor, read as recipes/cacert/format.h says, and by nothing of what the programs are made of."""
    assert anchors[:8] == b"ANCHORS\1"
    count = int.from_bytes(anchors[8:10], "big")
    at, found, hashes = 10 + 4 * count, [], []
    for entry in range(10, at, 4):
        record = anchors[at : at + int.from_bytes(anchors[entry + 2 : entry + 4], "big")]
        at += len(record)
        rest = record[14:]
        subject, rest = rest[: element(rest)], rest[element(rest) :]
        key, path = rest[: element(rest)], rest[element(rest) :]
        assert len(path) <= 1
        hashes.append(int.from_bytes(anchors[entry : entry + 2], "big"))
        assert hashes[-1] == fnv(subject)
        found.append(
            Anchor(
                subject=subject,
                key=key,
                first=date(record[:7]),
                last=date(record[7:14]),
                path=path[0] if path else None,
            )
        )
    assert at == len(anchors)
    assert hashes == sorted(hashes)
    return found


def certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


@pytest.fixture(scope="module")
def mozilla(anchor_tools: AnchorTools) -> bytes:
    return anchor_tools.pem


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority.make("Root", "One")


@pytest.fixture(scope="module")
def among(anchor_tools: AnchorTools, mozilla: bytes, root: Authority) -> bytes:
    """A root of ours among the real ones."""
    half = mozilla.index(b"-----BEGIN", len(mozilla) // 2)
    return anchor_tools.encode(mozilla[:half] + root.pem + mozilla[half:])


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
class TestTheRealOnes:
    def test_every_certificate_is_in_field_by_field(
        self, anchor_tools: AnchorTools, mozilla: bytes
    ) -> None:
        bundle = certificates(mozilla)
        assert len(bundle) > 100
        assert sorted(read(anchor_tools.anchors)) == sorted(map(Anchor.of, bundle))

    def test_they_are_small(self, anchor_tools: AnchorTools) -> None:
        assert len(anchor_tools.anchors) <= 70_000

    def test_mbedtls_loads_each_of_them(self, anchor_tools: AnchorTools, mozilla: bytes) -> None:
        assert anchor_tools.matches(anchor_tools.anchors, mozilla) == [(0, 1, 0)] * len(
            certificates(mozilla)
        )

    def test_the_order_of_the_bundle_does_not_matter(
        self, anchor_tools: AnchorTools, mozilla: bytes
    ) -> None:
        blocks = re.findall(rb"-----BEGIN[^-]*-----[^-]*-----END[^-]*-----\n", mozilla)
        random.Random(1).shuffle(blocks)
        assert anchor_tools.encode(b"# a comment\n\n".join(blocks)) == anchor_tools.anchors

    def test_line_ends_do_not_matter(self, anchor_tools: AnchorTools, mozilla: bytes) -> None:
        assert anchor_tools.encode(mozilla.replace(b"\n", b"\r\n")) == anchor_tools.anchors


KEYS = {kind: make_key(kind) for kind in KEY_KINDS}
LETTERS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
NAMES = st.lists(
    st.tuples(
        st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.LOCALITY_NAME]),
        LETTERS.filter(lambda text: len(text.encode()) <= 64),
    ),
    min_size=1,
    max_size=9,
).map(lambda pairs: x509.Name([x509.NameAttribute(kind, text) for kind, text in pairs]))
# Until 2049 as UTCTime, later as GeneralizedTime: https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5
DATES = st.datetimes(
    datetime.datetime(1950, 1, 1), datetime.datetime(9999, 12, 31), timezones=st.just(UTC)
).map(lambda moment: moment.replace(microsecond=0))
PATHS = st.none() | st.integers(0, 127)


@st.composite
def authorities(draw: st.DrawFn) -> Authority:
    first, last = sorted([draw(DATES), draw(DATES)])
    return Authority.make(
        name=draw(NAMES),
        key=KEYS[draw(st.sampled_from(KEY_KINDS))],
        first=first,
        last=last,
        extensions=(basic(path=draw(PATHS)),),
    )


PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@PROPERTY
@given(st.lists(authorities(), min_size=1, max_size=6))
def test_any_authority_comes_out_as_it_went_in(
    anchor_tools: AnchorTools, given: list[Authority]
) -> None:
    unique = list({Anchor.of(one.certificate): one.certificate for one in given}.values())
    anchors = anchor_tools.encode(pem_of(*unique))
    assert sorted(read(anchors)) == sorted(map(Anchor.of, unique))
    found = anchor_tools.matches(anchors, pem_of(*unique))
    assert [(code, same) for code, same, _ in found] == [(0, 1)] * len(unique)


def edit(certificate: x509.Certificate, old: bytes, new: bytes) -> bytes:
    """The certificate with other bytes of the same length, as PEM."""
    der = certificate.public_bytes(Encoding.DER)
    assert old in der
    assert len(old) == len(new)
    return as_pem(der.replace(old, new))


def as_pem(der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n".encode()


def spliced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def limited(*extensions: x509.ExtensionType, critical: bool = False) -> bytes:
    more = [x509.Extension(oid=one.oid, critical=critical, value=one) for one in extensions]
    return Authority.make("Limited", extensions=[basic(), *more]).pem


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def refusals() -> Iterator[tuple[str, bytes, str]]:
    """A name, a bundle that cannot be encoded, and what must be said of it."""
    good = Authority.make("Good", first=datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    pem, begin = good.pem, len("-----BEGIN CERTIFICATE-----\n")
    first = b"\x17\x0d200102030405Z"
    late = Authority.make("Late", last=datetime.datetime(2055, 1, 2, 3, 4, 5, tzinfo=UTC))
    yield "a byte that is no base64", spliced(pem, begin + 5, b"!"), "not base64"
    yield "a line cut off", pem[:begin] + pem[begin + 1 :], "not base64"
    yield "padding in the middle", spliced(pem, begin + 10, b"=="), "not base64"
    yield "no end", pem[: pem.index(b"-----END")], "does not end"
    yield "another end", pem.replace(b"END CERTIFICATE", b"END CERTIFICATES"), "does not end"
    yield "a private key", pem.replace(b"CERTIFICATE", b"PRIVATE KEY"), "is none"
    yield "nothing inside", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "damaged"
    yield "the same twice", pem + good.pem, "is the same anchor as certificate "
    for old, new, why in (
        (first, b"\x17\x0d200102030405+", "not in UTC"),
        (first, b"\x17\x0d2001020304+01", "not in UTC"),
        (first, b"\x17\x0d20010203040 Z", "no date"),
        (first, b"\x17\x0d201302030405Z", "no date"),
        (first, b"\x17\x0d200002030405Z", "no date"),
        (first, b"\x17\x0d210229030405Z", "no date"),
        (first, b"\x17\x0d200100030405Z", "no date"),
        (first, b"\x17\x0d200102240405Z", "no date"),
        (first, b"\x17\x0d200102036005Z", "no date"),
        (first, b"\x17\x0d200102030460Z", "no date"),
        (first, b"\x16\x0d200102030405Z", "no notBefore"),
        (first, b"\x17\x0d480102030405Z", "ends before it begins"),
    ):
        yield f"notBefore {new[2:].decode()}", edit(good.certificate, old, new), why
    for new in (b"\x18\x0f20550102030405+", b"\x18\x0f205501020304+01", b"\x18\x0f2055010203.405Z"):
        pem = edit(late.certificate, b"\x18\x0f20550102030405Z", new)
        yield f"notAfter {new[2:].decode()}", pem, "no date" if b"." in new else "not in UTC"
    yield "no subject", Authority.make(name=x509.Name([])).pem, "no subject"
    yield "a leaf", Authority.make("Leaf", extensions=[basic(ca=False)]).pem, "is no CA"
    yield "no extensions", Authority.make("Bare", extensions=()).pem, "no basic constraints"
    yield "no constraints", Authority.make("Bare", hosts=[HOST], extensions=()).pem, "is no CA"
    yield "a long path", Authority.make("Long", extensions=[basic(path=128)]).pem, "path length"
    yield "may not sign", limited(usage(signs=False), critical=True), "may not sign"
    constraints = x509.NameConstraints([x509.DNSName("example")], None)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    for critical in (True, False):
        yield f"some names {critical}", limited(constraints, critical=critical), "some names"
        yield f"some purposes {critical}", limited(purposes, critical=critical), "some purposes"
    policy = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    yield "policies", limited(policy, critical=True), "critical extension"


@pytest.mark.parametrize(("pem", "why"), [pytest.param(*row, id=name) for name, *row in refusals()])
def test_what_would_weaken_a_check_is_refused(
    anchor_tools: AnchorTools, pem: bytes, why: str
) -> None:
    number = pem.count(b"BEGIN")  # the last one is the one that is wrong
    for place, bundle in ((number, pem), (number + 1, OTHER.pem + pem + OTHER.pem)):
        said = anchor_tools.refusal(bundle)
        assert said.startswith(f"anchors: certificate {place} ")
        assert why in said
        assert said.count("\n") == 1


@pytest.mark.parametrize("pem", [b"", b"# Mozilla\nno certificate\n"])
def test_a_bundle_of_none_is_refused(anchor_tools: AnchorTools, pem: bytes) -> None:
    assert "holds no certificate" in anchor_tools.refusal(pem)


def test_a_bundle_that_is_no_text_is_refused(anchor_tools: AnchorTools) -> None:
    assert "NUL" in anchor_tools.refusal(OTHER.pem + b"\0" + OTHER.pem)


OTHER = Authority.make("Other")


def test_what_is_known_and_harmless_is_taken(anchor_tools: AnchorTools) -> None:
    for pem in (
        limited(usage(signs=True), critical=True),
        limited(usage(signs=True)),
        limited(x509.SubjectKeyIdentifier(b"12345678")),
        limited(x509.PolicyConstraints(require_explicit_policy=None, inhibit_policy_mapping=0)),
    ):
        assert len(read(anchor_tools.encode(pem))) == 1


@PROPERTY
@given(st.data())
def test_a_damaged_bundle_ends_with_a_line(anchor_tools: AnchorTools, data: st.DataObject) -> None:
    der = bytearray(
        data.draw(st.sampled_from([OTHER, LARGE])).certificate.public_bytes(Encoding.DER)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(der) - 1))
        change = data.draw(st.sampled_from(["byte", "cut", "more"]))
        match change:
            case "byte":
                der[at] = data.draw(st.integers(0, 255))
            case "cut" if len(der) > 1:
                del der[at]
            case _:
                der.insert(at, data.draw(st.integers(0, 255)))
    done = anchor_tools.try_to_encode(as_pem(bytes(der)))
    assert done.returncode in {0, 1}
    assert done.stderr.count(b"\n") == done.returncode


LARGE = Authority.make("Large", key=KEYS["RSA-4096"])


@PROPERTY
@given(st.data())
def test_damaged_anchors_are_no_reason_to_believe(
    anchor_tools: AnchorTools, among: bytes, root: Authority, data: st.DataObject
) -> None:
    """They are never damaged: what reads them keeps to their end all the same."""
    end = data.draw(st.integers(0, len(among) - 1))
    stranger = Authority.make(name=root.name)
    cut = among[:end]
    assert anchor_tools.verdict(cut, pem_of(stranger.leaf()), HOST) == UNTRUSTED
    assert anchor_tools.verdict(cut, root.pem, HOST) != "believed"


class TestWhoIsBelieved:
    """Chains that end in a CA that is built in, among the real ones."""

    @pytest.fixture(autouse=True)
    def _tools(self, anchor_tools: AnchorTools, mozilla: bytes, among: bytes) -> None:
        self.tools, self.mozilla, self.among = anchor_tools, mozilla, among

    def with_roots(self, *roots: Authority) -> bytes:
        """Anchors that are these and the real ones."""
        return self.tools.encode(self.mozilla + b"".join(root.pem for root in roots))

    def verdict(self, anchors: bytes, *chain: x509.Certificate, host: str = HOST) -> str:
        return self.tools.verdict(anchors, pem_of(*chain), host)

    def test_who_is_signed_by_one_of_them(self, root: Authority) -> None:
        assert self.verdict(self.among, root.leaf()) == "believed"
        assert self.verdict(self.tools.anchors, root.leaf()) == UNTRUSTED

    @pytest.mark.parametrize("kind", KEY_KINDS)
    def test_every_kind_of_key(self, kind: str) -> None:
        root = Authority.make("Root", kind, key=KEYS[kind])
        between = Authority.make("Between", kind, by=root)
        anchors = self.with_roots(root)
        assert self.verdict(anchors, root.leaf()) == "believed"
        assert self.verdict(anchors, between.leaf(), between.certificate) == "believed"

    def test_the_name_still_counts(self, root: Authority) -> None:
        assert "does not match" in self.verdict(self.among, root.leaf(), host="other.example")

    def test_who_only_has_the_name_of_one(self, root: Authority) -> None:
        stranger = Authority.make(name=root.name)
        assert self.verdict(self.among, stranger.leaf()) == UNTRUSTED
        assert self.verdict(self.among, stranger.leaf(), stranger.certificate) == UNTRUSTED

    def test_the_root_sent_along(self, root: Authority) -> None:
        between = Authority.make("Between", by=root)
        for chain in ([root], [between, root], [root, between]):
            certificates = [one.certificate for one in chain]
            signer = between if between in chain else root
            assert self.verdict(self.among, signer.leaf(), *certificates) == "believed"

    def test_a_server_that_is_a_root(self) -> None:
        server = Authority.make("Server", hosts=[HOST])
        anchors = self.with_roots(server)
        assert self.verdict(anchors, server.certificate) == "believed"
        assert "does not match" in self.verdict(anchors, server.certificate, host="x.example")
        assert self.verdict(self.among, server.certificate) == UNTRUSTED
        same_name = Authority.make(name=server.name, hosts=[HOST])
        assert self.verdict(anchors, same_name.certificate) == UNTRUSTED

    def test_an_intermediate_that_two_have_signed(self, root: Authority) -> None:
        unknown = Authority.make("Unknown", "Root")
        known = Authority.make("Between", "Two", by=root)
        crossed = Authority.make(name=known.name, key=known.key, by=unknown)
        for chain in ([known, crossed], [crossed, known]):
            certificates = [one.certificate for one in chain]
            found = self.verdict(self.among, known.leaf(), *certificates)
            # mbedTLS takes the first that fits, and looks for no other way. It does so with a file of CAs, too.
            assert found == ("believed" if chain[0] is known else UNTRUSTED)

    def test_a_root_that_another_one_has_signed(self, root: Authority) -> None:
        """The chain ends at the first one that is known, as old servers send more than that."""
        unknown = Authority.make("Unknown", "Root")
        crossed = Authority.make(name=root.name, key=root.key, by=unknown)
        chain = [crossed.certificate, unknown.certificate]
        assert self.verdict(self.among, root.leaf(), *chain) == "believed"

    def test_one_name_with_two_keys(self) -> None:
        old, new = (Authority.make("Rolled", "Over") for _ in range(2))
        anchors = self.with_roots(old, new)
        assert self.tools.matches(anchors, old.pem + new.pem) == [(0, 1, 1), (0, 1, 1)]
        for root in (old, new):
            assert self.verdict(anchors, root.leaf()) == "believed"
        assert self.verdict(anchors, Authority.make(name=old.name).leaf()) == UNTRUSTED

    def test_one_key_with_two_dates(self) -> None:
        old = Authority.make("Prolonged", last=NOW - DAY / 2)
        new = Authority.make(name=old.name, key=old.key)
        for roots in ((old, new), (new, old)):
            assert self.verdict(self.with_roots(*roots), new.leaf()) == "believed"
        assert "expired" in self.verdict(self.with_roots(old), new.leaf())

    def test_dates_of_an_anchor(self) -> None:
        expired = Authority.make("Expired", last=NOW - DAY / 2)
        future = Authority.make("Future", first=NOW + DAY)
        assert "expired" in self.verdict(self.with_roots(expired), expired.leaf())
        assert "future" in self.verdict(self.with_roots(future), future.leaf())
        late = Authority.make("Late", last=datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        assert self.verdict(self.with_roots(late), late.leaf()) == "believed"

    def test_an_expired_certificate(self, root: Authority) -> None:
        expired = Authority.make(HOST, by=root, hosts=[HOST], extensions=(), last=NOW - DAY / 2)
        assert "expired" in self.verdict(self.among, expired.certificate)

    @pytest.mark.parametrize("allowed", [0, 1, 127])
    def test_the_length_of_a_path(self, allowed: int) -> None:
        root = Authority.make("Short", str(allowed), extensions=[basic(path=allowed)])
        anchors = self.with_roots(root)
        chain: list[x509.Certificate] = []
        signer = root
        for count in range(4):
            found = self.verdict(anchors, signer.leaf(), *reversed(chain))
            assert found == ("believed" if count <= allowed else UNTRUSTED)
            signer = Authority.make("Between", str(count), by=signer)
            chain.append(signer.certificate)

    @pytest.mark.parametrize("texts", [("Root Zone", "root ZONE"), ("Same", "Same")])
    def test_names_that_mbedtls_takes_for_the_same(self, texts: tuple[str, str]) -> None:
        """An issuer that is spelt a little otherwise than the subject: RFC 5280, section 7.1."""
        utf8, printable = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _type=kind)])
            for text, kind in zip(texts, (_ASN1Type.UTF8String, PRINTABLE), strict=True)
        )
        root = Authority.make(name=utf8)
        other = Authority(name=printable, key=root.key, certificate=root.certificate)
        assert self.verdict(self.with_roots(root), other.leaf()) == "believed"

    def test_a_broken_signature(self, root: Authority) -> None:
        pem = edit(root.leaf(), HOST.encode(), b"app.exampla")
        assert self.tools.verdict(self.among, pem, "app.exampla") == UNTRUSTED


PRINTABLE = _ASN1Type.PrintableString
