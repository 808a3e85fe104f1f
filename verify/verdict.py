"""What a file should be, and the verdict on it, as a value, as text and as JSON. Reads no file."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from core.target import Target
from recipes.model import Linkage
from verify.printable import printable

if TYPE_CHECKING:
    from verify.facts import ElfFacts


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a file should be, beyond static, stripped and sane: all optional, None demands nothing."""

    target: Target | None = None
    linkage: Linkage | None = None
    max_size: int | None = None
    """Bytes."""
    packed: bool | None = None
    unpacked_verified: bool = False
    """What ``upx -d`` gives back was verified too: only that tells a packed static program from a dynamic one."""
    build_paths: tuple[str, ...] = ()
    """Absolute directories, of four characters or more, that the file must not name; see `verify.build_paths`."""


class Severity(StrEnum):
    """An error makes the verdict bad; a warning is only shown."""

    ERROR = "error"
    WARNING = "warning"


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
    facts: "ElfFacts | None"

    def __bool__(self) -> bool:
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    @property
    def ok(self) -> bool:
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
        facts = self.facts and {**asdict(self.facts), "path": str(self.facts.path)}
        findings = [asdict(finding) for finding in self.findings]
        return {"path": str(self.path), "ok": self.ok, "findings": findings, "facts": facts}
