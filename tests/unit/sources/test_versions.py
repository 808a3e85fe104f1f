"""Which strings are releases, and which of two is newer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.sources.versions import Version, is_newer, pattern, replaced

RELEASES = st.lists(st.integers(0, 999), min_size=2, max_size=4).map(
    lambda numbers: ".".join(map(str, numbers))
)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "8.23.0~rc3",
            "8.23.0-rc3",
            "8.23.0rc3",
            "1.0b1",
            "1.0a1",
            "1.0.dev3",
            "2.0-beta",
            "1.0-pre1",
        ),
        *(
            "1.0+dfsg",
            "1.0+ds1",
            "1:1.0",
            "1.0-1",
            "v1.0",
            "",
            ".",
            "..",
            "1..2",
            "1.",
            ".1",
            "latest",
        ),
        *(
            "../1.0",
            "1.0/..",
            "1.0\0",
            "1.0\n",
            " 1.0",
            "9" * 13,
            "1.2.3.4.5.6.7",
            "1.0%2e",
            "\u0661.0",
        ),
    ],
)
def test_what_is_no_release(text: str) -> None:
    assert Version.parse(text) is None
    assert not is_newer(text, "0.1")


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        *(("8.21.0", "8.14.1"), ("3.13.15", "3.13.9"), ("10.0", "9.9.9"), ("1.2.1", "1.2")),
        *(("2026.10.19.post1", "2026.10.19"), ("2026.10.20", "2026.10.19.post1"), ("1.1", "1.0.9")),
    ],
)
def test_order(newer: str, older: str) -> None:
    assert is_newer(newer, older)
    assert not is_newer(older, newer)
    assert not is_newer(newer, newer)


def test_zeros_at_the_end_say_nothing() -> None:
    assert not is_newer("4.3.0", "4.3")
    assert not is_newer("4.3", "4.3.0")


def test_a_series_is_not_left() -> None:
    assert is_newer("3.13.16", "3.13.15", series="3.13")
    assert not is_newer("3.14.0", "3.13.15", series="3.13")
    assert not is_newer("3.130.0", "3.13.15", series="3.13")


@given(RELEASES, RELEASES)
def test_one_of_two_is_newer_unless_they_are_equal(one: str, other: str) -> None:
    ways = [is_newer(one, other), is_newer(other, one)]
    assert sum(ways) == (Version.parse(one) != Version.parse(other))


@pytest.mark.parametrize(
    ("text", "old", "new", "wanted"),
    [
        ("curl-8.21.0.tar.gz", "8.21.0", "8.22.0", "curl-8.22.0.tar.gz"),
        (
            "x/curl-8_21_0/curl-8.21.0.tar.gz",
            "8.21.0",
            "8.22.0",
            "x/curl-8_22_0/curl-8.22.0.tar.gz",
        ),
        ("python3.13_3.13.5.orig.tar.xz", "3.13.5", "3.13.15", "python3.13_3.13.15.orig.tar.xz"),
        ("lib1.2_1.2.orig.tar.gz", "1.2", "1.3", "lib1.3_1.3.orig.tar.gz"),
        ("certifi==2026.10.18", "2026.10.18", "2026.10.19.post1", "certifi==2026.10.19.post1"),
        ("a-11.2.tgz a-1.2.3.tgz a-0.1.2", "1.2", "9", "a-11.2.tgz a-1.2.3.tgz a-0.1.2"),
        ("v2/x-2.tar.gz", "2", "3", "v3/x-3.tar.gz"),
    ],
)
def test_a_new_number_in_the_place_of_the_old_one(
    text: str, old: str, new: str, wanted: str
) -> None:
    assert replaced(text, old, new) == wanted


@given(RELEASES, RELEASES)
def test_there_and_back_again(one: str, other: str) -> None:
    name = f"tool-{one}.tar.gz"
    assert replaced(replaced(name, one, other), other, one) == name
    shape = pattern(name, one)
    assert shape is not None
    found = shape.fullmatch(replaced(name, one, other))
    assert found is not None
    assert found[1] == other


def test_a_pattern_takes_no_path() -> None:
    shape = pattern("curl-8.21.0.tar.gz", "8.21.0")
    assert shape is not None
    assert shape.fullmatch("curl-9/../x.tar.gz") is None
    assert shape.fullmatch(f"curl-{'9' * 80}.tar.gz") is None
    assert pattern("curl.tar.gz", "8.21.0") is None
