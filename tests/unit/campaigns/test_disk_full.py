"""The campaign's own judge sees what it must see."""

from pathlib import Path

import pytest

from tests.campaigns.campaign import Violation
from tests.campaigns.disk_full import judge_full
from tests.campaigns.yard import PLAIN, End, Ended, Yard

HELP = "FROMSCRATCH_CACHE names another directory"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard.make(tmp_path, cache=tmp_path / "disk" / "it")
    assert yard.build().end is End.DONE
    return yard


def refused(yard: Yard, **changes: str) -> Ended:
    text = f"'{yard.cache}/tmp/x': no space; the disk is full"
    usual = {"text": text, "kind": "StorageError", "next": HELP}
    return Ended(End.REFUSED, **usual | changes)


def test_a_good_error_and_a_good_build_pass(yard: Yard) -> None:
    disk = yard.cache.parent
    judge_full(yard, disk, refused(yard))
    judge_full(yard, disk, yard.build())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"text": "the disk is full"}, "which place"),
        ({"kind": "StepError"}, "which place"),
        ({"next": "FROMSCRATCH_ARTIFACTS"}, "makes room there"),
        ({"next": ""}, "what to do"),
    ],
)
def test_an_error_that_does_not_say_enough_is_seen(
    yard: Yard, changes: dict[str, str], what: str
) -> None:
    with pytest.raises(Violation, match=what):
        judge_full(yard, yard.cache.parent, refused(yard, **changes))


def test_halves_are_seen(yard: Yard) -> None:
    (yard.cache / "tmp" / "left").mkdir()
    with pytest.raises(Violation, match="left behind"):
        judge_full(yard, yard.cache.parent, refused(yard))
    (yard.artifacts / "files" / PLAIN).write_bytes(b"half")
    with pytest.raises(Violation, match="wrong bytes"):
        judge_full(yard, yard.cache.parent, refused(yard))
