from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from probe.report import (
    Mask,
    Outcome,
    clipped,
    json_report,
    output_bytes,
    printable,
    verdict_line,
)

SECRETS = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=3, max_size=9), max_size=4
)
ANY_SECRETS = st.lists(st.text(min_size=3, max_size=9), max_size=4)
LONG = st.text('ab0u\\x"*.\x1b\U00100000é', max_size=900)


def outcomes(texts: list[str]) -> list[Outcome]:
    made = []
    for text in texts:
        outcome = Outcome("http", text)
        outcome.seen = text
        made.append(outcome)
    return made


@given(st.lists(st.text(max_size=900), min_size=1, max_size=16))
def test_one_line_within_the_limit(texts: list[str]) -> None:
    mask = Mask([])
    line = output_bytes(verdict_line(outcomes(texts), mask))
    assert len(line) <= 4096
    assert line.count(b"\n") == 1
    assert line.startswith(b"unhealthy: ")
    report = json_report(outcomes(texts), mask, "")
    assert len(output_bytes(report)) <= 4096
    assert len(json.loads(report)["checks"]) == len(texts)


def is_hidden(secret: str, text: str) -> bool:
    """Whether a text does not tell a secret; one of stars is told by every mask."""
    return secret not in text or not secret.strip("*@")


@given(st.text(), SECRETS)
def test_secrets_are_masked_wherever_they_are(text: str, secrets: list[str]) -> None:
    masked = Mask(secrets).shown("<" + "|".join([*secrets, text]) + ">", 10_000)
    for secret in secrets:
        assert secret not in masked
    assert masked.startswith("<***") if secrets else masked == f"<{printable(text)}>"


@given(st.text() | LONG, SECRETS | ANY_SECRETS, st.integers(8, 400))
def test_no_secret_is_shown_whatever_it_is(text: str, secrets: list[str], limit: int) -> None:
    mask, said = Mask(secrets), "|".join([*secrets, text])
    line, quoted = mask.shown(said, limit), mask.quoted(said, limit)
    assert all(is_hidden(secret, line) and is_hidden(secret, quoted[1:-1]) for secret in secrets)
    assert printable(line) == line
    assert printable(json.loads(quoted)) == json.loads(quoted)


@given(st.text(min_size=1) | LONG.filter(bool), st.data(), st.integers(8, 400))
def test_nor_by_an_escape_or_a_cut_of_ours(text: str, data: st.DataObject, limit: int) -> None:
    """What is shown without secrets holds pieces that the text does not: any of them may be a secret."""
    for spelled in (
        clipped(printable(text), limit),
        Mask([]).quoted(text, limit)[1:-1],
    ):
        start = data.draw(st.integers(0, len(spelled)))
        secret = spelled[start : start + data.draw(st.integers(3, 9))]
        mask = Mask([secret])
        if len(secret) >= 3:
            assert is_hidden(secret, mask.shown(text, limit))
            assert is_hidden(secret, mask.quoted(text, limit)[1:-1])


def test_what_only_looks_like_a_secret_in_our_escapes() -> None:
    assert Mask(["000"]).shown("\U00100000", 99) == "\\u1***00"
    assert json.loads(Mask(["00e"]).quoted("né", 99)) == "n***"
    assert json.loads(Mask(["\\\\u"]).quoted("a\U00100000z", 99)) == "a***u100000z"
    assert Mask(["a***", "xyz"]).shown("axyz", 99) == "***"
    chain = ["abc"] + [f"{chr(letter)}***" for letter in range(ord("z"), ord("c"), -1)]
    assert Mask(chain).shown("x" + "zyxwvutsrqponmlkjihgfed" + "abc", 99) == "***"
    assert Mask(["pw", "pw@"]).shown("u:pw@h pw", 99) == "u:***@h pw"


@given(st.text())
def test_printable_has_no_controls(text: str) -> None:
    shown = printable(text)
    assert all(character >= " " and character != "\x7f" for character in shown)
    shown.encode()


def test_printable_keeps_words() -> None:
    assert printable("Grüße\x1b[2J\n\u202e") == "Grüße\\x1b[2J\\n\\u202e"


@given(st.text(), st.integers(8, 50))
def test_clipped(text: str, limit: int) -> None:
    assert len(clipped(text, limit)) == min(len(text), limit)
