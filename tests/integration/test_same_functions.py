"""The probe's readers of foreign bytes mean the same on MicroPython as on CPython, function by function, for any input.

What is frozen runs in the interpreter that its step made; the few things of the system that they use stand beside it.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import probe.condition
import probe.dns
import probe.hpack
import probe.http
import probe.number
import probe.report
import probe.url
import probe.values
from probe.errors import Unhealthy, Usage
from tests.integration.test_micropython import micropython

__all__ = ["micropython"]

pytestmark = pytest.mark.builds

ROOT = Path(__file__).parents[2]

SYSTEM = """
INET, INET6, UNIX, STREAM, DATAGRAM, READABLE, WRITABLE = 2, 10, 1, 1, 2, 1, 4
AGAIN, IN_PROGRESS, REFUSED, NO_ADDRESS, NO_FAMILY = 11, 115, 111, 99, 97
BROKEN_PIPE, RESET, NOT_FOUND = 32, 104, 2
HAS_TLS = HAS_ANCHORS = True


def monotonic():
    return 0.0


def is_utf8(data):
    # Table 3-7 of the Unicode standard: MicroPython's own decoder takes what is too long, and surrogates.
    at = 0
    while at < len(data):
        first = data[at]
        size = 1 if first < 0x80 else 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4
        if first >= 0x80 and not 0xC2 <= first <= 0xF4:
            return False
        rest = data[at + 1 : at + size]
        if len(rest) < size - 1 or not all([0x80 <= byte < 0xC0 for byte in rest]):
            return False
        low = {0xE0: 0xA0, 0xF0: 0x90}.get(first, 0x80)
        high = {0xED: 0x9F, 0xF4: 0x8F}.get(first, 0xBF)
        if rest and not low <= rest[0] <= high:
            return False
        at += size
    return True


def address_text(packed):
    return ".".join([str(byte) for byte in packed])


def missing(*words):
    raise AssertionError("it is of the system")


NAMES = (
    "arguments environment wall_clock random_bytes error_text end process_id is_open open_file read"
    " write close file_status list_directory pack_address interface_index open_socket connect"
    " connection_error receive send wait open_tls digest hmac_rounds"
)
for name in NAMES.split():
    globals()[name] = missing
"""
"""What of the module the functions here need; of addresses those of four bytes."""

SHOW = '''
def show(value):
    """Write a result in a way that no interpreter has its own mind about."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return "text " + show(value.encode())
    if isinstance(value, (bytes, bytearray)):
        return "".join(["%02x" % byte for byte in value])
    if isinstance(value, float):
        return "%.3f" % value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([show(one) for one in value]) + "]"
    if isinstance(value, dict):
        return show(sorted(value.items()))
    names = sorted([name for name in dir(value) if not name.startswith("_")])
    fields = [(name, getattr(value, name)) for name in names]
    return show([(name, field) for name, field in fields if not callable(field)])


def outcome(call, words, refusals):
    """Say what a call returns, or how it refuses."""
    try:
        return show(call(*words))
    except refusals as error:
        return "refused: " + show(str(error))
'''

RUN = """
import program

for name, words in {calls!r}:
    print(outcome(getattr(program, name), words, (program.Usage, program.Unhealthy)))
"""

shown: dict[str, Any] = {}
exec(compile(SHOW, "show", "exec"), shown)  # one text for both interpreters


@pytest.fixture(scope="module")
def frozen_program(micropython: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the merged package as it is frozen, and what it needs."""
    directory = tmp_path_factory.mktemp("program")
    words = [sys.executable, "recipes/probe/merge.py", "probe", "system"]
    merged = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    (directory / "program.py").write_bytes(merged)
    (directory / "system.py").write_text(SYSTEM)
    (directory / "interpreter").symlink_to(micropython / "bin/micropython")
    return directory


def on_micropython(directory: Path, calls: list[tuple[str, tuple[Any, ...]]]) -> list[str]:
    script = directory / "run.py"
    script.write_text(SHOW + RUN.format(calls=calls), "utf-8")
    words = [str(directory / "interpreter"), str(script)]
    done = subprocess.run(words, capture_output=True, check=False, text=True, env={}, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def on_cpython(call: Callable[..., Any], words: tuple[Any, ...]) -> str:
    said: str = shown["outcome"](call, words, (Usage, Unhealthy))
    return said


TEXT = st.text(max_size=12)
NUMBERS = st.text("0123456789.-eE+ msdhkKMiB,x", max_size=10) | TEXT
BYTES = st.binary(max_size=40)
PATHS = st.text(r"ab.*\=!<> in", max_size=12).map(str.encode)
JSON_NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
).map(str.encode)
HEADS = st.lists(
    st.sampled_from(
        [b"HTTP/1.1 ", b"200 OK", b"\r\n", b"a: b", b"content-length: ", b"7", b"chunked"]
    )
    | st.binary(max_size=3),
    max_size=9,
).map(b"".join)
QUERY = probe.dns.encode_header(b"id") + probe.dns.encode_question("a.example", 1)
RECORDS = st.lists(
    st.sampled_from(
        [
            b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1",
            b"\xc0\x0c\0\5\0\1\0\0\0\1\0\3\1b\0",
            b"\1b\0\0\1\0\1\0\0\0\1\0\4\x7f\0\0\2",
            b"\xc0\x20",
        ]
    )
    | st.binary(max_size=4),
    max_size=8,
).map(b"".join)
REPLIES = st.builds(
    lambda flags, count, tail: b"id" + flags + bytes([0, 1, 0, count]) + QUERY[8:] + tail,
    st.sampled_from([b"\x81\x80", b"\x83\x80", b"\x01\x80", b"\x81\x83"]),
    st.integers(0, 9),
    RECORDS,
)
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

FUNCTIONS: dict[str, tuple[Callable[..., Any], st.SearchStrategy[tuple[Any, ...]]]] = {
    "parse_seconds": (probe.values.parse_seconds, st.tuples(NUMBERS)),
    "parse_count": (probe.values.parse_count, st.tuples(NUMBERS, st.just(1), st.just(65535))),
    "parse_size": (probe.values.parse_size, st.tuples(NUMBERS, st.just(1 << 40))),
    "parse_status": (probe.values.parse_status, st.tuples(NUMBERS)),
    "parse_escapes": (probe.values.parse_escapes, st.tuples(BYTES)),
    "base64_text": (probe.values.base64_text, st.tuples(BYTES)),
    "base64_bytes": (probe.values.base64_bytes, st.tuples(BYTES | BYTES.map(base64.b64encode))),
    "hexadecimal": (probe.values.hexadecimal, st.tuples(BYTES)),
    "visible_text": (probe.values.visible_text, st.tuples(BYTES)),
    "quoted": (probe.values.quoted, st.tuples(BYTES)),
    "is_token": (probe.values.is_token, st.tuples(BYTES)),
    "is_digits": (probe.values.is_digits, st.tuples(NUMBERS)),
    "lowered": (probe.values.lowered, st.tuples(UNICODE)),
    "has_controls": (probe.values.has_controls, st.tuples(BYTES)),
    "percent_decode": (probe.url.percent_decode, st.tuples(BYTES)),
    "encode_fields": (
        probe.hpack.encode_fields,
        st.tuples(st.lists(st.tuples(BYTES, BYTES), max_size=4)),
    ),
    "huffman_codes": (probe.hpack.huffman_codes, st.just(())),
    "parse_head": (probe.http.parse_head, st.tuples(HEADS | BYTES)),
    "is_json_number": (probe.number.is_json_number, st.tuples(NUMBERS.map(str.encode))),
    "compare_numbers": (probe.number.compare_numbers, st.tuples(JSON_NUMBERS, JSON_NUMBERS)),
    "read_path": (probe.condition.read_path, st.tuples(PATHS | BYTES)),
    "parse_reply": (probe.dns.parse_reply, st.tuples(REPLIES | BYTES, st.just(QUERY))),
    "encode_question": (
        probe.dns.encode_question,
        st.tuples(st.text("ab.-é", max_size=80), st.sampled_from([1, 28])),
    ),
    "printable": (probe.report.printable, st.tuples(UNICODE)),
    "clipped": (probe.report.clipped, st.tuples(UNICODE, st.integers(8, 30))),
    "json_quoted": (probe.report.json_quoted, st.tuples(UNICODE)),
    "duration_text": (probe.report.duration_text, st.tuples(st.floats(0, 1e6))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_function_means_the_same(frozen_program: Path, name: str, data: st.DataObject) -> None:
    function, words = FUNCTIONS[name]
    calls = data.draw(st.lists(words, min_size=1, max_size=30))
    expected = [on_cpython(function, one) for one in calls]
    assert on_micropython(frozen_program, [(name, one) for one in calls]) == expected
