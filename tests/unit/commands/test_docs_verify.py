"""What docs/verifying.md says of `inv verify --json` is what it prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from commands.docs_verify import FACTS, REPORT, VERDICT, verify_blocks
from tests.fixtures.make_elf import DIRECTORY
from verify.facts import Depth
from verify.reports.report import Judged, Report
from verify.rules import Look, verify_file
from verify.verdict import Policy

NESTED = ("protection", "about", "place")


def keys(facts: Mapping[str, Any]) -> Iterator[str]:
    for key, value in facts.items():
        if key in NESTED:
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key


def test_every_key_is_documented_and_no_other() -> None:
    verdict = verify_file(DIRECTORY / "good-amd64", Policy(), Look(depth=Depth.ALL))
    made: dict[str, Any] = Report(policy="static", judged=(Judged(verdict=verdict),)).as_dict()
    assert list(made) == list(REPORT)
    (first,) = made["verdicts"]
    assert list(first) == list(VERDICT)
    assert list(keys(first["facts"])) == list(FACTS)


def test_every_policy_and_rule_has_a_row() -> None:
    blocks = verify_blocks()
    assert set(blocks) == {"rules", "policies", "report", "facts"}
    assert "| `static` | `hardened` |" not in blocks["policies"]
    assert blocks["rules"].splitlines()[0] == "| rule | `hardened` | `minimal` | `static` | why |"
