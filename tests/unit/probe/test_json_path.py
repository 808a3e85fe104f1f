from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.errors import Unhealthy
from probe.json_path import JsonScanner, json_mismatch, json_string
from probe.report import json_quoted
from probe.scheduler import Trace

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["a", "b", "0", "x.y"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
MISSING = object()


def scan(data: bytes, path: list[str]) -> Any:
    scanner = JsonScanner(data, [part.encode() for part in path], Trace(monotonic() + 5))
    scanner.scan()
    return json.loads(data[scanner.start : scanner.end]) if scanner.found else MISSING


def reach(value: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part in map(str, range(len(value))):
            value = value[int(part)]
        else:
            return MISSING
    return value


@given(JSON, st.lists(KEYS, max_size=3), st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=300)
def test_finds_what_the_standard_library_finds(
    value: Any, path: list[str], ascii_: bool, indent: int | None
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_, indent=indent).encode()
    assert scan(data, path) == reach(value, path)


@given(
    st.text('{}[]",:\\u0123abtrue-.eE+ \n', max_size=24)
    | st.binary(max_size=12).map(lambda b: b.decode("latin-1"))
)
@settings(max_examples=500)
def test_accepts_what_the_standard_library_accepts(text: str) -> None:
    data = text.encode("latin-1")
    try:
        json.loads(data.decode(), parse_constant=lambda word: pytest.fail(word) if word else None)
        valid = True
    except (ValueError, RecursionError, pytest.fail.Exception):
        valid = False
    try:
        scan(data, [])
        accepted = True
    except Unhealthy:
        accepted = False
    assert accepted == valid


def test_the_last_of_equal_keys_counts() -> None:
    assert scan(b'{"a": {"b": 1}, "a": {"b": 2}}', ["a", "b"]) == 2
    assert scan(b'{"a": {"b": 1}, "a": 3}', ["a", "b"]) is MISSING
    assert scan(b'{"a": {"b": 1}, "a": {}}', ["a", "b"]) is MISSING


@pytest.mark.parametrize(
    ("body", "expectation", "problem"),
    [
        (b'{"a": "x=y"}', "a=x=y", ""),
        (b'{"a": "1"}', "a=1", ""),
        (b'{"a": 1}', "a=1.0", ""),
        (b'{"a": 1}', 'a="1"', 'json a is 1, not "1"'),
        (b'{"a": "1"}', 'a="1"', ""),
        (b'{"x.y": null}', r"x\.y=null", ""),
        (b'{"a": ""}', "a=", ""),
        (b"[]", "0=1", "json 0 is not there"),
    ],
)
def test_mismatch(body: bytes, expectation: str, problem: str) -> None:
    assert json_mismatch(body, expectation.encode(), Trace(monotonic() + 5)) == problem


def test_flat_memory_and_bounded_depth() -> None:
    with pytest.raises(Unhealthy, match="deep"):
        scan(b"[" * 1000, [])
    assert scan(b"[" + b"[]," * 50000 + b"1]", ["50000"]) == 1


def test_the_deadline_holds_while_scanning() -> None:
    with pytest.raises(Unhealthy, match="timeout"):
        JsonScanner(b"[" + b"1," * 500000 + b"1]", [], Trace(monotonic() + 0.02)).scan()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_strings(text: str) -> None:
    assert json.loads(json_quoted(text)) == text
    assert json_string(json.dumps(text).encode()) == text.encode()


@pytest.mark.parametrize("digits", [1, 399, 400, 401, 5000])
@pytest.mark.parametrize("junk", ["x", "e", ".", "-", "1x", "e1e1"])
def test_a_long_number_is_read_to_its_end(digits: int, junk: str) -> None:
    token = "1" * digits + junk
    for text in (f'{{"a": {token}}}', f'{{"b": {token}, "a": 1}}'):
        with pytest.raises(Unhealthy, match="not JSON"):
            json_mismatch(text.encode(), b"a=1", Trace(monotonic() + 60))


@given(st.integers().filter(bool), st.integers(0, 30), st.integers(-20, 20))
def test_numbers_are_equal_as_numbers(number: int, zeros: int, power: int) -> None:
    texts = [
        f"{number}e{power}",
        f"{number}{'0' * zeros}E{power - zeros}",
        f"{number}.{'0' * (zeros + 1)}e{power:+}",
    ]
    for one in texts:
        for other in texts:
            assert json_says(one, other), (one, other)
        assert json_says(one, f"{number + 1}e{power}") is False
        assert json_says(one, f"{number * 10 + 1}e{power - 1}") is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("9007199254740993", "9007199254740992"),
        ("1e999999", "2e999999"),
        ("1e-999999", "0"),
        ("1" * 401, "1" * 400 + "2"),
    ],
)
def test_numbers_that_floats_cannot_tell_apart_are_not_equal(one: str, other: str) -> None:
    assert json_says(one, one)
    assert not json_says(one, other)


def json_says(text: str, expected: str) -> bool:
    trace = Trace(monotonic() + 60)
    body = f'{{"a": {text}}}'.encode()
    return not json_mismatch(body, f"a={expected}".encode(), trace)


@pytest.mark.parametrize("escape", ["n", '"', "\\", "u0041"])
def test_a_string_of_escapes_is_cut_off_by_the_deadline(escape: str) -> None:
    body = b'"' + f"\\{escape}".encode() * 2000 + b'"'
    with pytest.raises(Unhealthy, match="timeout"):
        JsonScanner(body, [], Trace(0)).scan()


LONG = 200_000
LONG_TEXTS = {
    "escapes": b'"' + rb"\n" * (LONG // 2) + b'"',
    "units": b'"' + rb"\u00e9" * (LONG // 6) + b'"',
    "backslashes": b'"' + rb"\\" * (LONG // 2) + b'"',
    "letters": b'"' + b"x" * LONG + b'"',
    "emoji": b'"x' + "\U0001f600".encode() * (LONG // 4) + b'"',
    "digits": b"1" * LONG,
    "zeros behind a point": b"1." + b"0" * LONG,
    "an exponent": b"1e" + b"0" * LONG + b"1",
    "blanks": b" " * LONG + b"1",
    "items": b"[" + b"1," * (LONG // 2) + b"1]",
    "keys": b"{" + rb'"\u0061":1,' * (LONG // 11) + b'"b":1}',
    "empty strings": b"[" + b'"",' * (LONG // 3) + b"1]",
}


@pytest.mark.parametrize("name", list(LONG_TEXTS))
@pytest.mark.parametrize("form", ['{"a":%s}', '{"b":%s,"a":1}', '{%s:1,"a":1}', "[%s]"])
def test_a_long_text_takes_no_memory_and_is_cut_off_by_the_deadline(name: str, form: str) -> None:
    long = LONG_TEXTS[name]
    body = form.encode().replace(b"%s", long)
    tracemalloc.start()
    try:
        with suppress(Unhealthy):
            json_mismatch(body, b"a=1", Trace(monotonic() + 600))
        highest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert highest < 60_000
    with pytest.raises(Unhealthy, match=r"timeout|not JSON"):
        json_mismatch(body, b"a=1", Trace(0))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.integers(0, 2))
def test_a_text_is_found_however_it_is_written(text: str, form: int) -> None:
    units = text.encode("utf-16-be")
    escaped = "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    written = (json.dumps(text), json.dumps(text, ensure_ascii=False), f'"{escaped}"')[form]
    trace = Trace(monotonic() + 60)
    assert not json_mismatch(f'{{"k": {written}}}'.encode(), b"k=" + text.encode(), trace)
    assert scan(f'{{{written}: 7, "{escaped}z": 8}}'.encode(), [text]) == 7
