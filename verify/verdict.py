"""What a file should be, and the verdict on it, as a value, as text and as JSON. Reads no file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from core.target import Target
from recipes.model import Linkage
from verify.printable import printable

if TYPE_CHECKING:
    from verify.facts import ElfFacts


class Severity(StrEnum):
    """An error makes the verdict bad; a warning is only shown."""

    ERROR = "error"
    WARNING = "warning"


class Needs(StrEnum):
    """What a file may need of the root that it is in."""

    NOTHING = "nothing"
    """It starts in an empty image."""
    FOUND = "found"
    """What is there: its loader and libraries are looked up. A file without a root is in an empty one."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a file should be. Without more it is `static`: static, stripped and sane; None demands nothing."""

    name: str = "static"
    needs: Needs = Needs.NOTHING
    levels: Mapping[str, Severity | None] = field(default_factory=dict)
    """By name of a rule, where it counts otherwise than by itself; None: not at all."""
    target: Target | None = None
    linkage: Linkage | None = None
    max_size: int | None = None
    """Bytes."""
    packed: bool | None = None
    unpacked_verified: bool = False
    """What ``upx -d`` gives back was verified too: only that tells a packed static program from a dynamic one."""
    build_paths: tuple[str, ...] = ()
    """Absolute directories, of four characters or more, that the file must not name; see `verify.build_paths`."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong with a file, and the rule that says so."""

    rule: str
    severity: Severity
    message: str


class State(StrEnum):
    """How the judgement of a file ended."""

    OK = "ok"
    REFUSED = "refused"
    MISSING = "missing"
    """There is no such file."""
    NOT_ELF = "not-elf"
    """A directory, a device, a script, data: nothing to judge."""
    UNREADABLE = "unreadable"
    """Nobody could look."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Truthy when no finding is an error. ``facts`` is None when the file could not be read."""

    path: Path
    findings: tuple[Finding, ...]
    facts: "ElfFacts | None"
    unjudged: State | None = None
    """Why there was nothing to judge, if so."""
    label: str = ""
    """What the file is called, when that is not its path: a file of an archive or image."""

    def __bool__(self) -> bool:
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    @property
    def ok(self) -> bool:
        return bool(self)

    @property
    def state(self) -> State:
        """How it ended; what could not be judged is not ok, and was not refused."""
        return self.unjudged or (State.OK if self else State.REFUSED)

    @property
    def name(self) -> str:
        """What the file is called, not yet fit for a terminal."""
        return self.label or str(self.path)

    def text(self) -> str:
        """Return one line per finding, each beginning with the path, and a last "ok" when it is."""
        path = printable(self.name)
        lines = [f"{path}: {f.severity} [{f.rule}]: {f.message}" for f in self.findings]
        if self:
            lines.append(f"{path}: ok")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return what ``--json`` prints; ``facts`` is null when the file could not be read."""
        facts = self.facts and {**asdict(self.facts), "path": self.name}
        findings = [asdict(finding) for finding in self.findings]
        return {
            "path": self.name,
            "ok": self.ok,
            "state": self.state.value,
            "findings": findings,
            "facts": facts,
        }
