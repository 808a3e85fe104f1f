"""Signatures: only a good one, by the very key of the recipe, counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pysequoia import Cert

from builders.sources.client import MirrorError
from builders.sources.signature import BadSignatureError, check_signature
from core.errors import ExitCode
from tests.keys import Signer, write_keys

DATA = b"an archive\n" * 1000


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.new()


def check(
    directory: Path,
    signature: bytes,
    fingerprint: str,
    *certificates: Cert,
    data: bytes = DATA,
) -> datetime:
    file = directory / "archive.tar.gz"
    file.write_bytes(data)
    keys = write_keys(directory / "upstream.asc", *certificates)
    return check_signature(file, signature, keys, fingerprint, subject="curl 9.0")


def refusal(directory: Path, signature: bytes, fingerprint: str, *certificates: Cert) -> str:
    with pytest.raises(
        BadSignatureError, match=r"The signature of curl 9\.0 is not good"
    ) as caught:
        check(directory, signature, fingerprint, *certificates)
    assert caught.value.code is ExitCode.SOURCE
    return caught.value.what


def test_a_good_signature_tells_when_it_was_made(tmp_path: Path, signer: Signer) -> None:
    made = check(tmp_path, signer.sign(DATA), signer.fingerprint, signer.certificate)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=5)


def test_the_key_is_found_among_others(tmp_path: Path, signer: Signer) -> None:
    others = [Signer.new(name).certificate for name in ("one", "two")]
    check(tmp_path, signer.sign(DATA), signer.fingerprint, *others, signer.certificate)


def test_one_bit_more_is_bad(tmp_path: Path, signer: Signer) -> None:
    reason = refusal(tmp_path, signer.sign(DATA + b"x"), signer.fingerprint, signer.certificate)
    assert "it is not of this file" in reason


def test_another_signer_is_bad_even_when_the_file_has_its_key(
    tmp_path: Path, signer: Signer
) -> None:
    other = Signer.new("mallory")
    signature = other.sign(DATA)
    for certificates in ([signer.certificate], [other.certificate, signer.certificate]):
        reason = refusal(tmp_path, signature, signer.fingerprint, *certificates)
        assert "not by the recipe's key" in reason


def test_a_revoked_key_is_bad(tmp_path: Path, signer: Signer) -> None:
    assert "was revoked" in refusal(
        tmp_path, signer.sign(DATA), signer.fingerprint, signer.revoked()
    )


def test_a_key_that_had_expired_is_bad(tmp_path: Path, signer: Signer) -> None:
    reason = refusal(tmp_path, signer.sign(DATA), signer.fingerprint, signer.expired())
    assert "after the key in upstream.asc expired" in reason


@pytest.mark.parametrize("garbage", [b"", b"\0" * 50, b"<html>404</html>", b"-----BEGIN PGP"])
def test_what_is_no_signature_is_bad(tmp_path: Path, signer: Signer, garbage: bytes) -> None:
    assert "no OpenPGP signature" in refusal(
        tmp_path, garbage, signer.fingerprint, signer.certificate
    )


def test_a_key_in_place_of_a_signature_is_bad(tmp_path: Path, signer: Signer) -> None:
    refusal(tmp_path, bytes(signer.certificate), signer.fingerprint, signer.certificate)


def test_without_the_recipes_key_nothing_can_be_judged(tmp_path: Path, signer: Signer) -> None:
    other = Signer.new("other")
    with pytest.raises(MirrorError, match="does not hold the key"):
        check(tmp_path, signer.sign(DATA), signer.fingerprint, other.certificate)
    file = tmp_path / "archive.tar.gz"
    with pytest.raises(MirrorError, match=r"there is no none\.asc beside the recipe"):
        check_signature(
            file, signer.sign(DATA), tmp_path / "none.asc", signer.fingerprint, subject="curl"
        )
    (tmp_path / "bad.asc").write_text("hello")
    with pytest.raises(MirrorError, match="holds no OpenPGP key"):
        check_signature(
            file, signer.sign(DATA), tmp_path / "bad.asc", signer.fingerprint, subject="curl"
        )
