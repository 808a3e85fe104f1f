from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import Usage
from probe.values import (
    base64_text,
    decode_text,
    encode_text,
    parse_count,
    parse_escapes,
    parse_seconds,
    parse_size,
    parse_status,
)
from probe.version import VERSION


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3),
        ("3s", 3),
        ("500ms", 0.5),
        ("1m", 60),
        ("1.5s", 1.5),
        ("1m30s", 90),
        ("0", 0),
        ("1h", 3600),
    ],
)
def test_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1x", "1e9", "nan", "1.2.3s", "٣", "1m30", "9999999999h", "1 s"]
)
def test_no_seconds(text: str) -> None:
    with pytest.raises(Usage):
        parse_seconds(text)


@given(st.lists(st.tuples(st.integers(100, 999), st.integers(0, 300)), min_size=1))
def test_status_ranges(pairs: list[tuple[int, int]]) -> None:
    ranges = [(low, min(low + span, 999)) for low, span in pairs]
    text = ", ".join(f"{low}-{high}" if low != high else str(low) for low, high in ranges)
    assert parse_status(text) == ranges


@given(st.text(alphabet="0123456789-,x ٣", max_size=12))
def test_status_is_ranges_or_usage(text: str) -> None:
    try:
        ranges = parse_status(text)
    except Usage:
        return
    assert ranges
    assert all(100 <= low <= high <= 999 for low, high in ranges)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("64k", 65536), ("1MiB", 1 << 20), ("2m", 2 << 20)]
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text, 1 << 30) == size


@given(st.text(max_size=8))
def test_numbers_are_in_range_or_usage(text: str) -> None:
    for parse in (lambda t: parse_count(t, 0, 100), lambda t: parse_size(t, 100), parse_seconds):
        try:
            assert 0 <= parse(text) <= 366 * 86400
        except Usage:
            continue


@given(st.binary())
def test_escapes_can_write_every_byte(data: bytes) -> None:
    assert parse_escapes("".join(f"\\x{byte:02x}" for byte in data)) == data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"a\r\nb", b"a\r\nb"),
        (r"\\", b"\\"),
        (r"\\x41\x41", b"\\x41A"),
        (r"\\\\n\n", b"\\\\n\n"),
        ("é", "é".encode()),
    ],
)
def test_escapes(text: str, data: bytes) -> None:
    assert parse_escapes(text) == data


@given(st.text(max_size=9))
def test_escapes_end_in_bytes_or_usage(text: str) -> None:
    try:
        parse_escapes(decode_text(text.encode("utf-8", "replace")))
    except Usage:
        assert "\\" in text


@given(st.binary())
def test_bytes_and_texts(data: bytes) -> None:
    assert encode_text(decode_text(data)) == data
    assert base64_text(data) == base64.b64encode(data).decode()


def test_version_is_the_projects() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert f'\nversion = "{VERSION}"\n' in pyproject.read_text()
