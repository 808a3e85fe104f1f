"""A run says once how many results it did not believe, and why; and the settings say whom it believes."""

from pathlib import Path

import pytest

from builders.sources.cache import Cache
from commands.command import command
from core.builder_keys import BuilderKeys


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuilderKeys:
    """Who filled the cache that the settings name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FROMSCRATCH_BUILDER_KEY", str(tmp_path / "own.key"))
    monkeypatch.setenv("FROMSCRATCH_CACHE", str(tmp_path / "a cache"))
    keys = BuilderKeys(path=tmp_path / "some where" / "builder.key")
    for name in ("one", "two"):
        Cache(tmp_path / "a cache", keys=keys).put_action(name, {})
    return keys


def test_results_that_are_not_believed_are_said_once(
    stranger: BuilderKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stranger.path.is_file()
    with command() as context:
        for _ in range(2):
            for name in ("one", "two"):
                assert context.cache.get_action(name) is None
    said = capsys.readouterr().err
    assert said.count("not signed by a trusted builder") == 1
    assert "2 results" in said
    assert "older version" in said


def test_who_is_named_is_believed_whatever_the_name_of_the_file(
    stranger: BuilderKeys, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROMSCRATCH_TRUSTED_BUILDERS", str(stranger.path.with_suffix(".pub")))
    with command() as context:
        assert context.cache.get_action("one") == {}
    assert "not signed" not in capsys.readouterr().err
