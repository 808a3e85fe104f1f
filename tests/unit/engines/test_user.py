"""Who a step is."""

import os
from pathlib import Path

import pytest

from builders.engines.user import UNUSED, give, has_capability, step_user


def test_an_ordinary_user_has_nobody_else_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert step_user() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_step_of_roots_is_nobody_that_anybody_knows() -> None:
    users = {step_user() for _ in range(50)}
    assert users.isdisjoint({None, 0, os.getuid()})
    assert all(any(user in ids for ids in UNUSED) for user in users)
    assert len(users) > 40  # each its own: they could not even signal each other


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_all_of_a_directory_is_given_and_nothing_behind_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    box = tmp_path / "box"
    (box / "a/b").mkdir(parents=True)
    (box / "a/b/file").touch()
    (box / "a/link").symlink_to(outside)
    (box / "file-link").symlink_to(outside / "file")
    give(box, 12345)
    owners = {path.lstat().st_uid for path in (box, *box.rglob("*"))}
    assert owners == {12345}
    assert {path.lstat().st_uid for path in (outside, outside / "file")} == {0}


def test_no_capability_is_made_up() -> None:
    assert not has_capability(63)
