from __future__ import annotations

import base64
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import Usage
from probe.system import is_utf8
from probe.values import (
    base64_bytes,
    base64_text,
    decode_text,
    hexadecimal,
    is_ascii,
    is_token,
    lowered,
    parse_count,
    parse_escapes,
    parse_seconds,
    parse_size,
    parse_status,
    quoted,
    visible_text,
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
    assert parse_escapes("".join(f"\\x{byte:02x}" for byte in data).encode()) == data


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
    assert parse_escapes(text.encode()) == data


@given(st.text(max_size=9).map(str.encode) | st.binary(max_size=9))
def test_escapes_end_in_bytes_or_usage(data: bytes) -> None:
    try:
        parse_escapes(data)
    except Usage:
        assert b"\\" in data


@given(st.binary())
def test_base64(data: bytes) -> None:
    assert base64_text(data) == base64.b64encode(data).decode()
    assert base64_bytes(base64.b64encode(data)) == data
    assert hexadecimal(data) == data.hex().encode()


@given(st.binary() | st.text("AZaz09+/= \n", max_size=12).map(str.encode))
def test_what_is_no_base64(data: bytes) -> None:
    # By RFC 4648, 4: CPython's own decoder takes padding behind whole groups, too, or does not, by its version.
    groups = rb"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
    expected = base64.b64decode(data) if re.fullmatch(groups, data) else b""
    assert base64_bytes(data) == expected


@pytest.mark.parametrize("data", [b"////=", b"////==", b"=", b"====", b"//=", b"/==="])
def test_padding_where_none_belongs(data: bytes) -> None:
    assert base64_bytes(data) == b""


# What stands at the bounds of UTF-8: shortest and longest forms, surrogates, beyond the last character.
PIECES = st.sampled_from(
    [
        *(bytes([byte]) for byte in range(0x7E, 0x100)),
        *(b"\xc0\x80", b"\xc1\xbf", b"\xc2\x80", b"\xdf\xbf", b"\xe0\x9f\xbf", b"\xe0\xa0\x80"),
        *(b"\xed\x9f\xbf", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"\xf0\x8f\xbf\xbf"),
        *(b"\xf0\x90\x80\x80", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"),
        b"\xf8\x88\x80\x80\x80",
    ]
)
ALMOST_UTF8 = st.lists(PIECES | st.text(max_size=2).map(str.encode), max_size=5).map(b"".join)


@given(ALMOST_UTF8 | st.binary(max_size=6))
def test_utf8_is_told_as_the_standard_library_does(data: bytes) -> None:
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_utf8(data) == valid


@given(ALMOST_UTF8 | st.binary(max_size=9))
def test_bytes_are_visible(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    escaped = [f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text]
    assert visible_text(data) == "".join(escaped)
    assert quoted(data) == f"'{visible_text(data)}'"
    try:
        assert decode_text(data) == text == visible_text(data)
    except Usage:
        assert visible_text(data) != text


@given(st.binary(max_size=60), st.integers(1, 12))
def test_quoted_shows_the_beginning(data: bytes, limit: int) -> None:
    data = data.replace(b"@", b"")
    assert quoted(data, limit) == f"'{visible_text(data)[:limit]}'"


@given(st.text(":/@aé", max_size=40), st.integers(0, 2000), st.integers(10, 100))
def test_quoted_hides_a_password_whose_end_is_not_shown(end: str, size: int, limit: int) -> None:
    shown = quoted(b"redis://user:" + b"p" * size + b"@host" + end.encode(), limit)
    assert len(shown) <= limit + 2
    assert "p" not in shown


@given(st.text(max_size=9))
def test_only_ascii_has_a_lower_case(text: str) -> None:
    assert lowered(text) == "".join(c.lower() if c.isascii() else c for c in text)
    assert is_ascii(text) == text.isascii()


@given(st.text(st.characters(codec="latin-1"), max_size=9))
def test_tokens(text: str) -> None:
    known = set("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits)
    assert is_token(text.encode("latin-1")) == (bool(text) and set(text) <= known)


def test_version_is_the_projects() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert f'\nversion = "{VERSION}"\n' in pyproject.read_text()
