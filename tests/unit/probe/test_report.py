from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from probe.report import (
    Outcome,
    clipped,
    json_report,
    masker,
    output_bytes,
    printable,
    verdict_line,
)

SECRETS = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=3, max_size=9), max_size=4
)


def outcomes(texts: list[str]) -> list[Outcome]:
    made = []
    for text in texts:
        outcome = Outcome("http", text)
        outcome.seen = text
        made.append(outcome)
    return made


@given(st.lists(st.text(max_size=900), min_size=1, max_size=16))
def test_one_line_within_the_limit(texts: list[str]) -> None:
    mask = masker([])
    line = output_bytes(verdict_line(outcomes(texts), mask))
    assert len(line) <= 4096
    assert line.count(b"\n") == 1
    assert line.startswith(b"unhealthy: ")
    report = json_report(outcomes(texts), mask, "")
    assert len(output_bytes(report)) <= 4096
    assert len(json.loads(report)["checks"]) == len(texts)


@given(st.text(), SECRETS)
def test_secrets_are_masked_wherever_they_are(text: str, secrets: list[str]) -> None:
    masked = masker(secrets)("<" + "|".join([*secrets, text]) + ">")
    for secret in secrets:
        assert secret not in masked.replace("***", "")


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
