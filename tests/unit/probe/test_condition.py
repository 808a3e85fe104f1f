"""Conditions on JSON: their grammar, and what holds, compared with Python's own numbers and lists."""

from __future__ import annotations

import json
import operator
import tracemalloc
from contextlib import suppress
from decimal import Context, Decimal
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.command import parse_command
from probe.condition import ESCAPED, parse_condition
from probe.errors import Unhealthy, Usage
from probe.json_path import json_mismatch
from probe.number import compare_numbers
from probe.scheduler import Trace

NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)
KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6) | st.text(
    r"ab.=!<>*\ in", min_size=1, max_size=6
)
WORDS = ("in", "exists", "any", "all", "length")
SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
EXACT = Context(prec=200)


def problem(body: str, condition: str) -> str:
    return json_mismatch(body.encode(), condition.encode(), Trace(monotonic() + 60))


def written(key: str) -> str:
    """A key as a part of a path."""
    return "".join("\\" + one if one.encode() in ESCAPED else one for one in key)


# --- grammar ---------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        KEYS.map(lambda key: key.replace("\0", "")).filter(bool) | st.sampled_from(WORDS),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">=", " in ", " exists"]),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from(["", "length "]),
)
@settings(max_examples=1000)
def test_any_key_can_be_written(keys: list[str], sign: str, space: str, quantifier: str) -> None:
    value = "" if sign == " exists" else "5"
    path = ".".join(map(written, keys))
    if sign == " exists":
        quantifier = space = ""
    condition = parse_condition(f"{quantifier}{path}{space}{sign}{space}{value}".encode())
    assert [part.decode() for part in condition.path] == keys
    assert condition.operator == sign.strip()
    assert condition.star == -1
    assert condition.quantifier == quantifier.strip()
    assert condition.values == [value.encode()]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b=1", (["a", "b"], "=", ["1"])),
        ("a = b = c", (["a"], "=", ["b = c"])),
        ("a==b", (["a"], "=", ["=b"])),
        ("a= b ", (["a"], "=", [" b "])),
        ("a = b ", (["a"], "=", ["b"])),
        (r"a\ = b", (["a "], "=", [" b"])),
        (r"a\\ = b", (["a\\"], "=", ["b"])),
        ("a< 5 ", (["a"], "<", ["5"])),
        ("a b=1", (["a b"], "=", ["1"])),
        ("a in b,c", (["a"], "in", ["b", "c"])),
        (r"a in b\,c, d", (["a"], "in", ["b,c", "d"])),
        ("a in=1", (["a in"], "=", ["1"])),
        ("a exists", (["a"], "exists", [""])),
        ("a exists=1", (["a exists"], "=", ["1"])),
        (r"a\ exists=1", (["a exists"], "=", ["1"])),
        ("all in 1", (["all"], "in", ["1"])),
        ("any exists", (["any"], "exists", [""])),
        ("all=1", (["all"], "=", ["1"])),
        ("all =1", (["all"], "=", ["1"])),
        ("length > 1", (["length"], ">", ["1"])),
        (r"\*.a=1", (["*", "a"], "=", ["1"])),
        ("a*.b=1", (["a*", "b"], "=", ["1"])),
        ("a=>1", (["a"], "=", [">1"])),
        ("a=", (["a"], "=", [""])),
    ],
)
def test_how_it_is_read(text: str, parts: tuple[list[str], str, list[str]]) -> None:
    path, sign, values = parts
    condition = parse_condition(text.encode())
    assert [part.decode() for part in condition.path] == path
    assert (condition.operator, [one.decode() for one in condition.values]) == (sign, values)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "write PATH=VALUE") for text in ["a", "=1", " =1", "a!1", "all ", "a in"]),
        *((text, "must be a number") for text in ["a>x", "a<=", "a<1 2", "a>01", "length a=x"]),
        *((text, "must be a number") for text in ["length a exists", "length a in 1,x", "a<NaN"]),
        *((text, "need each other") for text in ["a.*=1", "all a=1", "any a.b=1", "length *=1"]),
        *((text, "one \\* at most") for text in ["all *.*=1"]),
        *((text, "a backslash") for text in [r"a\b=1", "a\\"]),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Usage, match=reason):
        parse_condition(text.encode())
    with pytest.raises(Usage, match=reason):
        parse_command([b"http://h/", b"--json", text.encode()], {})


@given(st.text("ab.=!<>*\\ in,exists10", max_size=14) | st.text(max_size=9))
@settings(max_examples=1000)
def test_anything_is_a_condition_or_usage(text: str) -> None:
    try:
        condition = parse_condition(text.encode())
    except Usage:
        return
    assert (condition.star >= 0) == (condition.quantifier in {"any", "all"})
    assert condition.values
    assert condition.shown in text.encode()


def test_one_condition_a_line_in_the_environment() -> None:
    [options] = parse_command([b"http://h/"], {b"PROBE_JSON": b"a>1\nb in c,d"})
    assert options.every("json") == [b"a>1", b"b in c,d"]


# --- what holds ------------------------------------------------------------------------------------------------------


@given(NUMBERS, NUMBERS)
@settings(max_examples=1000)
def test_numbers_are_compared_exactly(one: str, other: str) -> None:
    left, right = Decimal(one), Decimal(other)
    assert compare_numbers(one.encode(), other.encode()) == int(EXACT.compare(left, right))


@given(NUMBERS, NUMBERS | st.none(), st.sampled_from(sorted(SIGNS)))
@settings(max_examples=300)
def test_operators(one: str, other: str | None, sign: str) -> None:
    other = one if other is None else other
    holds = SIGNS[sign](EXACT.compare(Decimal(one), Decimal(other)), 0)
    assert (problem(f'{{"a": {one}}}', f"a {sign} {other}") == "") == holds


@pytest.mark.parametrize("sign", sorted(SIGNS))
def test_beyond_what_floats_can_tell(sign: str) -> None:
    larger, smaller = "9007199254740993", "9007199254740992"
    assert (not problem(f'{{"a": {larger}}}', f"a{sign}{smaller}")) == (sign in {"!=", ">", ">="})
    assert (not problem(f'{{"a": {smaller}}}', f"a{sign}{larger}")) == (sign in {"!=", "<", "<="})


@pytest.mark.parametrize(
    ("body", "condition", "says"),
    [
        ('{"a": "ok"}', "a in up,ok", ""),
        ('{"a": 1.0}', "a in 0,1", ""),
        ('{"a": "x,y"}', r"a in z,x\,y", ""),
        ('{"a": "no"}', "a in up, ok", 'json a is "no", not in up, ok'),
        ('{"a": null}', "a exists", ""),
        ('{"b": 1}', "a exists", "json a is not there"),
        ('{"a": "ok"}', "a != no", ""),
        ('{"a": "no"}', "a!=no", 'json a is "no", not != no'),
        ('{"b": 1}', "a != no", "json a is not there"),
        ('{"a": [ ]}', "a != []", "json a is [ ], which only its length can be compared of"),
        ('{"a": {}}', "a!=x", "json a is {}, which only its length can be compared of"),
        ('{"a": "5"}', "a > 4", 'json a is "5", which is no number'),
        ('{"a": true}', "a < 4", "json a is true, which is no number"),
        ('{"a": 5}', "a<5", "json a is 5, not < 5"),
        ('{"a": 5}', "a<=5", ""),
        ('{"a": [1,2]}', "length a = 2", ""),
        ('{"a": [1,[2,3,4]]}', "length a > 2", "json length a is 2, not > 2"),
        ('{"a": {"x": 1}}', "length a in 1,2", ""),
        ('{"a": []}', "length a = 0", ""),
        ('{"a": "xyz"}', "length a = 3", 'json length a is "xyz", which has no length'),
        ('{"a": [1], "a": [1,2]}', "length a = 2", ""),
        ('{"a": [1,2], "a": 3}', "length a = 2", "json length a is 3, which has no length"),
    ],
)
def test_what_it_says(body: str, condition: str, says: str) -> None:
    assert problem(body, condition) == says


def test_a_number_that_is_too_long_is_not_taken_for_another_one() -> None:
    long = "1" * 500
    for sign in ("!=", "<", ">=", "<="):
        assert "too long to be compared" in problem(f'{{"a": {long}}}', f"a{sign}2")
    assert problem(f'{{"a": {long}}}', f"a={long}") == ""
    assert problem(f'{{"a": {long}}}', f"a in 1,{long}") == ""


MEMBERS = st.lists(
    st.sampled_from([{"v": 1}, {"v": 2}, {"v": "1"}, {}, {"w": 1}, 3, [1]]), max_size=4
)


@given(MEMBERS, st.booleans(), st.sampled_from(["any", "all"]), st.sampled_from(["=1", ">1"]))
@settings(max_examples=300)
def test_any_and_all(members: list[Any], keyed: bool, quantifier: str, rest: str) -> None:
    """Of the items of a list, or of the members of an object; no member at all is nothing that holds."""
    inner: Any = {str(number): one for number, one in enumerate(members)} if keyed else members
    body = json.dumps({"before": [{"v": 1}], "x": {"y": inner}, "y": [{"v": 9}]})
    wanted: tuple[Any, ...] = (1, "1") if rest == "=1" else (2,)
    values = [one.get("v") if isinstance(one, dict) else None for one in members]
    holds = [value in wanted for value in values]
    expected = any(holds) if quantifier == "any" else bool(holds) and all(holds)
    assert (problem(body, f"{quantifier} x.y.*.v{rest}") == "") == expected
    assert (problem(json.dumps(inner), f"{quantifier} *.v{rest}") == "") == expected


@pytest.mark.parametrize(
    ("body", "condition", "says"),
    [
        ('{"c": {"a": {"s": "UP"}, "b": {"s": "DOWN"}}}', "any c.*.s=UP", ""),
        (
            '{"c": {"a": {"s": "UP"}, "b": {"s": "DOWN"}}}',
            "all c.*.s=UP",
            'json all c.*.s holds for 1 of 2: one is "DOWN", not UP',
        ),
        (
            '{"c": [{"s": 1}, {}]}',
            "all c.*.s=1",
            "json all c.*.s holds for 1 of 2: one is not there",
        ),
        ('{"c": []}', "all c.*.s=1", "json all c.*.s is not there"),
        ("{}", "any c.*=1", "json any c.* is not there"),
        ('{"c": 1}', "any c.*=1", "json any c.* is not there"),
        ('{"c": [1], "c": 1}', "any c.*=1", "json any c.* is not there"),
        ('{"c": [1], "c": []}', "all c.*=1", "json all c.* is not there"),
        ('{"c": [2], "c": [1]}', "all c.*=1", ""),
        (
            '{"c": [{"s": 1, "s": 2}]}',
            "any c.*.s=1",
            "json any c.*.s holds for 0 of 1: one is 2, not 1",
        ),
        ('{"c": [[1, 2], [1]]}', "all c.*.0=1", ""),
        ('{"c": [null]}', "all c.* exists", ""),
    ],
)
def test_what_any_and_all_say(body: str, condition: str, says: str) -> None:
    assert problem(body, condition) == says


MANY = 20_000


@pytest.mark.parametrize(
    "condition", ["all a.*>0", "any a.*.x in 1,2", "length a=1", "all a.* exists"]
)
@pytest.mark.parametrize("item", ["1", '{"x":3}', '"\\u0041"', "[1,2]"])
def test_many_members_take_no_memory_and_are_cut_off_by_the_deadline(
    condition: str, item: str
) -> None:
    body = ('{"a":[' + f"{item}," * MANY + f"{item}]}}").encode()
    tracemalloc.start()
    try:
        with suppress(Unhealthy):
            json_mismatch(body, condition.encode(), Trace(monotonic() + 600))
        highest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert highest < 60_000
    with pytest.raises(Unhealthy, match="timeout"):
        json_mismatch(body, condition.encode(), Trace(0))
