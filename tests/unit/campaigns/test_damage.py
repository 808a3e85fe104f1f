"""The campaign's own judges see what they must see."""

import time
from pathlib import Path

import pytest

from core.errors import StorageError
from tests.campaigns.campaign import Violation
from tests.campaigns.damage import (
    DECOY,
    decoy_of,
    judge_decoy,
    judge_error,
    judge_found,
    kinds,
)
from tests.campaigns.yard import (
    PLAIN,
    End,
    Ended,
    Yard,
    in_child,
    judge_names,
    judge_results,
)

DONE = Ended(End.DONE, "")


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard.make(tmp_path)
    judge_results(yard, yard.build())
    judge_names(yard.cache)
    return yard


def test_wrong_bytes_are_seen(yard: Yard) -> None:
    path = yard.artifacts / "files" / PLAIN
    path.write_bytes(b"wrong")
    with pytest.raises(Violation, match="wrong bytes"):
        judge_results(yard, None)
    path.unlink()
    with pytest.raises(Violation, match="says that it is done"):
        judge_results(yard, DONE)
    judge_results(yard, None)


def test_a_file_without_its_row_is_seen(yard: Yard) -> None:
    (yard.artifacts / "manifest.json").unlink()
    with pytest.raises(Violation, match="without its row"):
        judge_results(yard, DONE)
    (yard.artifacts / "manifest.json").write_bytes(b"{")
    with pytest.raises(Violation, match="is not one"):
        judge_results(yard, DONE)


def test_a_wrong_or_half_file_of_the_cache_is_seen(yard: Yard) -> None:
    (blob, *_), (result, *_) = kinds(yard)["blob"], kinds(yard)["ac"]
    data = result.read_bytes()
    result.write_bytes(data[:-9])
    with pytest.raises(Violation, match="half a result"):
        judge_names(yard.cache)
    result.write_bytes(data)
    blob.chmod(0o644)
    blob.write_bytes(b"x")
    with pytest.raises(Violation, match="not what its name says"):
        judge_names(yard.cache)


def test_what_verify_overlooks_is_seen(yard: Yard) -> None:
    blob = kinds(yard)["blob"][0]
    with pytest.raises(Violation, match="did not find"):
        judge_found("blob", [blob], yard.manage("verify"))
    blob.unlink()
    blob.mkdir()
    judge_found("blob", [blob], yard.manage("verify"))


def test_an_error_that_tells_nothing_is_seen(yard: Yard) -> None:
    with pytest.raises(Violation, match="does not say what to do"):
        judge_results(yard, Ended(End.REFUSED, "no", "StorageError", ""))
    with pytest.raises(Violation, match="does not name"):
        judge_error(Ended(End.REFUSED, "somewhere"), yard.cache / "logs", yard)
    judge_error(Ended(End.REFUSED, f"'{yard.cache}': no"), yard.cache / "logs", yard)


def test_a_link_that_was_followed_is_seen(yard: Yard) -> None:
    judge_decoy(yard)
    (decoy_of(yard) / "file").write_bytes(DECOY + b"!")
    with pytest.raises(Violation, match="followed"):
        judge_decoy(yard)


def test_a_child_that_hangs_dies_or_fails_is_seen() -> None:
    def refuse() -> str:
        msg = "no"
        raise StorageError(msg, next="look")

    def divide() -> str:
        return str(1 // 0)

    def sleep() -> str:
        time.sleep(60)
        return ""

    def die() -> str:
        raise SystemExit(3)

    assert in_child(refuse, what="it").next == "look"
    assert in_child(lambda: "x", what="it") == Ended(End.DONE, "x")
    for work in (divide, die):
        with pytest.raises(Violation, match="traceback"):
            in_child(work, what="it")
    with pytest.raises(Violation, match="hangs"):
        in_child(sleep, what="it", seconds=0.2)


def test_every_kind_of_file_is_there_to_be_damaged(yard: Yard) -> None:
    without = {kind for kind, paths in kinds(yard).items() if not paths}
    assert without == {"part", "tmp"}  # the campaign leaves them behind
