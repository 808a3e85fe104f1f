"""Settings: who wins, and what happens to names and values nobody knows."""

from enum import StrEnum
from pathlib import Path

import pytest

from core.errors import ExitCode, FromscratchError, RecipeError
from core.settings import SETTINGS, Origin, Settings


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"
    AUTO = "auto"


def read(
    directory: Path, *, flag: str | None = None, environment: str = "", file: str = ""
) -> Settings:
    if file:
        (directory / "fromscratch.toml").write_text(file, "utf-8")
    environ = {"FROMSCRATCH_ENGINE": environment} if environment else {}
    return Settings.read({"engine": flag}, environment=environ | {"HOME": "/"}, directory=directory)


@pytest.mark.parametrize(
    ("flag", "environment", "file", "winner"),
    [
        ("a", "b", 'engine = "c"', ("a", Origin.FLAG)),
        (None, "b", 'engine = "c"', ("b", Origin.ENVIRONMENT)),
        ("", "b", 'engine = "c"', ("b", Origin.ENVIRONMENT)),
        (None, "", 'engine = "c"', ("c", Origin.FILE)),
        (None, "", "", ("auto", Origin.DEFAULT)),
    ],
)
def test_flag_beats_environment_beats_file_beats_default(
    tmp_path: Path, flag: str | None, environment: str, file: str, winner: tuple[str, Origin]
) -> None:
    settings = read(tmp_path, flag=flag, environment=environment, file=file)
    assert settings.values["engine"] == winner


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    empty = {setting.variable: "" for setting in SETTINGS}
    settings = Settings.read({}, environment=empty, directory=tmp_path)
    assert settings.values["engine"] == ("auto", Origin.DEFAULT)
    assert {origin for _, origin in settings.values.values()} == {Origin.DEFAULT}
    (tmp_path / "fromscratch.toml").write_text('engine = "host"', "utf-8")
    settings = Settings.read({}, environment=empty, directory=tmp_path)
    assert settings.values["engine"] == ("host", Origin.FILE)


def test_every_setting_has_a_value_and_an_explanation(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert set(settings.values) == {setting.name for setting in SETTINGS}
    assert all(setting.help for setting in SETTINGS)


def test_unknown_names_are_refused_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"'engin' in the environment\. Perhaps you meant 'engine'"
    ):
        Settings.read({}, environment={"FROMSCRATCH_ENGIN": "docker"}, directory=tmp_path)
    with pytest.raises(RecipeError, match=r"'job' in .*fromscratch.toml. Perhaps you meant 'jobs'"):
        read(tmp_path, file="job = 3")


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"fromscratch.toml"):
        read(tmp_path, file="engine = ")


def test_the_file_may_say_it_as_toml_says_it(tmp_path: Path) -> None:
    settings = read(tmp_path, file='jobs = 3\noffline = true\nmirrors = ["file:///a", "file:///b"]')
    assert settings.number("jobs", 1) == 3
    assert settings.flag("offline")
    assert settings["mirrors"] == "file:///a file:///b"


@pytest.mark.parametrize(("text", "on"), [("1", True), ("yes", True), ("0", False), ("OFF", False)])
def test_switches_understand_people(tmp_path: Path, text: str, on: bool) -> None:
    environment = {"FROMSCRATCH_OFFLINE": text}
    assert Settings.read({}, environment=environment, directory=tmp_path).flag("offline") is on


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²"])
def test_a_number_is_a_number_from_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(FromscratchError, match="must be a whole number from 1"):
        Settings.read({"jobs": text}, environment={}, directory=tmp_path).number("jobs", 1)


def test_a_word_out_of_a_set_is_met_with_a_guess(tmp_path: Path) -> None:
    assert read(tmp_path, flag="red").choice("engine", Colour) is Colour.RED
    with pytest.raises(
        FromscratchError, match=r"Unknown engine 'gren'\. Perhaps you meant 'green'"
    ):
        read(tmp_path, flag="gren").choice("engine", Colour)


def test_a_wrong_flag_is_wrong_usage_and_a_wrong_file_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(FromscratchError) as flag:
        read(tmp_path, flag="blue").choice("engine", Colour)
    with pytest.raises(FromscratchError) as environment:
        read(tmp_path, environment="blue").choice("engine", Colour)
    assert flag.value.code == ExitCode.USAGE
    assert environment.value.code == ExitCode.RECIPE
    assert "set by: environment" in environment.value.why


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a, b c", ["a", "b", "c"]),
        ("my own", ["my own"]),
    ],
)
def test_directories_are_several_or_one_with_a_blank_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, names: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my own").mkdir()
    settings = Settings.read({"recipes": text}, environment={}, directory=tmp_path)
    assert settings.directories("recipes") == tuple(tmp_path / name for name in names)


def test_directories_in_a_file_are_a_list(tmp_path: Path) -> None:
    settings = read(tmp_path, file='recipes = ["/a", "/b"]')
    assert settings.directories("recipes") == (Path("/a"), Path("/b"))
