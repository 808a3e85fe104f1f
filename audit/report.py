"""What all databases together say: each vulnerability once, judged against a threshold, as text and as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from audit.advisory import Advisory, loose_version
from audit.databases import LookUp
from audit.severity import Severity
from audit.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One vulnerability of one component."""

    id: str
    """Its CVE number, where it has one."""
    aliases: tuple[str, ...]
    subject: Subject
    severity: Severity
    summary: str
    fixed: str
    sources: tuple[str, ...]
    excused: tuple[tuple[str, str], ...] = ()
    """Products that it does not concern, with the reason."""

    @property
    def products(self) -> tuple[str, ...]:
        """Those that it concerns."""
        excused = dict(self.excused)
        return tuple(product for product in self.subject.products if product not in excused)

    @property
    def state(self) -> str:
        return "affected" if self.products else "not affected"

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "aliases": list(self.aliases),
            "component": self.subject.name,
            "version": self.subject.version,
            "severity": self.severity.value,
            "state": self.state,
            "products": list(self.products),
            "excused": dict(self.excused),
            "fixed": self.fixed or None,
            "summary": self.summary,
            "sources": list(self.sources),
        }


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """The outcome; truthy when nothing that is as bad as the threshold concerns a product."""

    looked: LookUp
    findings: tuple[Finding, ...]
    threshold: Severity

    @property
    def refused(self) -> tuple[Finding, ...]:
        return tuple(
            it for it in self.findings if it.products and it.severity.reaches(self.threshold)
        )

    def __bool__(self) -> bool:
        return not self.refused

    @property
    def blind(self) -> bool:
        """A database failed, and somebody was not looked up because of that: then nothing can be said."""
        return bool(self.looked.failed) and bool(self.looked.unknown or not self.looked.asked)

    def as_dict(self) -> dict[str, Any]:
        """See docs/audit.md."""
        return {
            "version": 1,
            "ok": bool(self) and not self.blind,
            "threshold": self.threshold.value,
            "databases": list(self.looked.asked),
            "failed": self.looked.failed,
            "components": [
                {"name": it.name, "version": it.version, "products": list(it.products)}
                for it in self.looked.subjects
            ],
            "not_looked_up": [it.slug for it in self.looked.unknown],
            "findings": [finding.as_dict() for finding in self.findings],
        }


def make_report(looked: LookUp, threshold: Severity) -> AuditReport:
    """Return what the databases say, each vulnerability of a component once: under its CVE number if it has one."""
    findings = []
    for subject in looked.subjects:
        groups: list[list[Advisory]] = []
        for advisory in looked.advisories:
            if advisory.subject.slug != subject.slug:
                continue
            same = [group for group in groups if any(advisory.names & it.names for it in group)]
            groups = [group for group in groups if group not in same]
            groups.append([*(it for group in same for it in group), advisory])
        findings += [_finding(subject, group) for group in groups]
    order = sorted(findings, key=lambda it: (-it.severity.rank, it.subject.name, it.id))
    return AuditReport(looked=looked, findings=tuple(order), threshold=threshold)


def fixed_between(looked: LookUp, old: Subject, new: Subject) -> tuple[str, ...]:
    """Return what is known of ``old`` and no more of ``new``, which are two versions of one component."""
    report = make_report(looked, Severity.LOW)

    def names(subject: Subject) -> set[str]:
        return {it.id for it in report.findings if it.subject.slug == subject.slug}

    return tuple(sorted(names(old) - names(new)))


def _finding(subject: Subject, group: Iterable[Advisory]) -> Finding:
    advisories = list(group)
    names = sorted({name for advisory in advisories for name in advisory.names})
    number = next((name for name in names if name.startswith("CVE-")), names[0])
    judged = [it.severity for it in advisories if it.severity is not Severity.UNKNOWN]
    fixes = [it.fixed for it in advisories if it.fixed]
    return Finding(
        id=number,
        aliases=tuple(name for name in names if name != number),
        subject=subject,
        severity=max(judged, key=lambda it: it.rank, default=Severity.UNKNOWN),
        summary=next((it.summary for it in advisories if it.summary), ""),
        fixed=min(fixes, key=_by_version) if fixes else "",
        sources=tuple(dict.fromkeys(it.source for it in advisories)),
        excused=tuple(
            (product, f"{entry.why}: {entry.detail}")
            for product, entry in subject.excused
            if entry.id in names
        ),
    )


def _by_version(text: str) -> tuple[int, ...]:
    version = loose_version(text)
    return version.numbers if version else ()
