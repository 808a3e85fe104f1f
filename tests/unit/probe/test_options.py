from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.checks import CHECKS
from probe.cli import run
from probe.command import parse_command
from probe.errors import Usage
from probe.options import COMMON_OPTIONS, NO_CHECK, find_option
from probe.report import output_bytes
from probe.usage import help_text

ROWS = [row for rows in (COMMON_OPTIONS, *(check.options for check in CHECKS)) for row in rows]
NAMES = sorted({row[0] for row in ROWS} | {"and", "help", "version"})
WORDS = st.one_of(
    st.sampled_from(
        [
            *(check.name for check in CHECKS),
            "--and",
            "--",
            "-",
            "-4",
            "-U",
            "-code",
            "127.0.0.1:1",
            "/none",
            "help",
        ]
    ),
    st.sampled_from(
        ["http://127.0.0.1:1/", "http://user:pw@[::1]:1/?token=x", "1ms", "true", "a=b", "a: b"]
    ),
    st.sampled_from([f"--{name}" for name in NAMES]),
    st.sampled_from([f"--{name}-env=A" for name in NAMES]),
    st.builds("--{}={}".format, st.sampled_from(NAMES), st.text(max_size=5)),
    st.text(max_size=10),
).map(str.encode) | st.binary(max_size=10)
ARGV = st.lists(WORDS, max_size=8)
ENVIRON = st.dictionaries(
    st.sampled_from(
        [b"A", *(f"PROBE_{n.upper().replace('-', '_')}".encode() for n in NAMES), b"PROBE_X"]
    ),
    st.binary(max_size=5).map(lambda data: data.replace(b"\0", b"")),
    max_size=4,
)


@given(ARGV, ENVIRON)
@settings(max_examples=1000)
def test_any_command_line_is_understood_or_refused(
    argv: list[bytes], environ: dict[bytes, bytes]
) -> None:
    try:
        for options in parse_command(argv, environ):
            options.check.prepare(options)
    except Usage:
        return


@given(st.lists(st.text(max_size=12).map(str.encode) | st.binary(max_size=12), max_size=3))
def test_any_words_exit_1_with_one_line(words: list[bytes]) -> None:
    code, text = run([b"file", b"/none", *words], {})
    data = output_bytes(text)
    assert (
        (code, data.count(b"\n"), data[-1:]) == (1, 1, b"\n")
        or b"--help" in words
        or b"-h" in words
    )
    assert len(data) <= 4096


def test_header_values_may_hold_colons() -> None:
    [options] = parse_command([b"http://h/", b"--header", b"X-Time: 12:30:01", b"-H", b"a:b:c"], {})
    assert options.pairs("header") == [("X-Time", b"12:30:01"), ("a", b"b:c")]


def test_headers_from_the_environment_are_lines() -> None:
    [options] = parse_command([b"http://h/"], {b"PROBE_HEADER": b"A: 1\nB: 2\n"})
    assert options.pairs("header") == [("A", b"1"), ("B", b"2")]


def test_the_command_line_wins_over_the_environment() -> None:
    environ = {b"PROBE_STATUS": b"204", b"PROBE_TIMEOUT": b"9s", b"PROBE_HEADER": b"A: 1"}
    [options] = parse_command([b"http://h/", b"--status", b"200", b"-header", b"B: 2"], environ)
    assert options.text("status") == "200"
    assert options.seconds("timeout") == 9
    assert options.pairs("header") == [("B", b"2")]


def test_empty_variables_are_as_good_as_none() -> None:
    [options] = parse_command([b"http://h/"], {b"PROBE_STATUS": b"", b"PROBE_INSECURE": b"no"})
    assert options.text("status") == "200-399"
    assert not options.flag("insecure")


def test_common_options_hold_for_all_checks() -> None:
    checks = parse_command(b"tcp h:1 --timeout 1s --and tcp h:2 --retries 3".split(), {})
    assert [options.seconds("timeout") for options in checks] == [1, 1]
    assert [options.count("retries") for options in checks] == [3, 3]


def test_a_value_may_begin_with_a_dash() -> None:
    [options] = parse_command(b"tcp h:1 --send -x --expect=--and".split(), {})
    assert (options.data("send"), options.data("expect")) == (b"-x", b"--and")


def test_an_option_of_another_check_is_refused() -> None:
    with pytest.raises(Usage, match="--status is an option of http, not of tcp"):
        parse_command(b"tcp h:1 --status 200".split(), {})


@pytest.mark.parametrize("check", [one.name for one in CHECKS if find_option("key", one.options)])
def test_a_key_is_of_no_use_without_its_certificate(check: str) -> None:
    for argv, environ in (
        ([b"--key", b"/key"], {}),
        ([], {b"PROBE_KEY": b"/key"}),
        ([b"--key", b"/key", b"--and", b"http", b"http://x", b"--cert", b"/cert"], {}),
    ):
        with pytest.raises(Usage, match="--key needs --cert"):
            parse_command([check.encode(), *argv], environ)
    words: list[bytes] = [check.encode(), b"--key", b"/key"]
    (options,) = parse_command(words, {b"PROBE_CERT": b"/cert"})
    assert (options.data("key"), options.data("cert")) == (b"/key", b"/cert")


def test_a_name_has_one_kind() -> None:
    """So that a command line can be read before it is known which check it is of."""
    assert len({row[0] for row in ROWS}) == len({row[:2] for row in ROWS})


def test_help_knows_every_check_and_option() -> None:
    for check in CHECKS:
        text = help_text(check)
        assert all(f"--{name} " in text for name, _, _, _ in check.options)
        assert len(text) < 4096
        assert max(map(len, text.splitlines())) <= 100
        assert f"  {check.name} " in help_text(NO_CHECK)
    assert len(help_text(NO_CHECK)) < 4096


def test_each_part_of_a_secret_header_is_a_secret() -> None:
    """A server may tell one cookie alone, or the token without its scheme."""
    words = [b"http", b"http://h/", b"--header", b"Cookie: id=first1; theme=second2;third=a=b3"]
    secrets: list[str] = []
    parse_command([*words, b"--header", b"Authorization: Bearer fourth4"], {}, secrets)
    assert {"first1", "second2", "a=b3", "fourth4"} <= set(secrets)
    assert "id=first1; theme=second2;third=a=b3" in secrets
