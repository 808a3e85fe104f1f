"""The verdict: facts against rules, as a value, as text and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verify.expectations import Expectations
from verify.facts import ElfFacts, MalformedElfError, NotElfError, read_facts
from verify.printable import printable
from verify.rules import READABLE_ELF, RULES, Severity


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong with a file, and the rule that says so."""

    rule: str
    severity: Severity
    message: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Truthy when no finding is an error. ``facts`` is None when the file could not be read."""

    path: Path
    findings: tuple[Finding, ...]
    facts: ElfFacts | None

    def __bool__(self) -> bool:
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    @property
    def ok(self) -> bool:
        """The same as truth, for where a name reads better."""
        return bool(self)

    def text(self) -> str:
        """Return one line per finding, each beginning with the path, and a last "ok" when it is."""
        path = printable(str(self.path))
        lines = [f"{path}: {f.severity} [{f.rule}]: {f.message}" for f in self.findings]
        if self:
            lines.append(f"{path}: ok")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return what ``--json`` prints; ``facts`` is null when the file could not be read."""
        return {
            "path": str(self.path),
            "ok": self.ok,
            "findings": [
                {"rule": f.rule, "severity": f.severity.value, "message": f.message}
                for f in self.findings
            ],
            "facts": _facts_as_dict(self.facts) if self.facts else None,
        }


def judge(facts: ElfFacts, expectations: Expectations) -> Verdict:
    """Return what all rules say, not only the first that complains."""
    findings = tuple(
        Finding(rule=rule.name, severity=rule.severity, message=message)
        for rule in RULES
        for message in rule.check(facts, expectations)
    )
    return Verdict(path=facts.path, findings=findings, facts=facts)


def judge_path(path: Path, expectations: Expectations) -> Verdict:
    """Return the verdict on whatever ``path`` names; what is no readable ELF file has one finding.

    Raises RecipeError for expectations that cannot be checked on any file.
    """
    try:
        facts = read_facts(path, build_paths=expectations.build_paths)
    except (NotElfError, MalformedElfError) as error:
        what = error.what.removeprefix(f"{printable(str(path))}: ").rstrip(".")
        message = f"{what} ({error.why})" if error.why else what
        finding = Finding(rule=READABLE_ELF.name, severity=READABLE_ELF.severity, message=message)
        return Verdict(path=path, findings=(finding,), facts=None)
    return judge(facts, expectations)


def explain() -> str:
    """Return all rules as a Markdown table, in the order in which they are applied."""
    rows = [f"| `{rule.name}` | {rule.severity} | {rule.explanation} |" for rule in RULES]
    return "\n".join(["| rule | severity | why |", "|---|---|---|", *rows])


def _facts_as_dict(facts: ElfFacts) -> Mapping[str, Any]:
    return {**asdict(facts), "path": str(facts.path), "packing": facts.packing.value}
