"""What a check found, as values: never a traceback, and never only the first of several."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.signing import PublicKey
from core.target import Target
from publish.trust.comment import Comment
from verify.printable import printable
from verify.verdict import Policy, Severity, Verdict

VerifyFile = Callable[[Path, Policy], Verdict]
"""Judges a file, a packed one by what it unpacks to. `verify.rules.verify_file` refuses packed ones."""


@dataclass(frozen=True, kw_only=True)
class ReleaseFinding:
    """Something that is wrong, and with which file."""

    path: str
    what: str


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """Truthy when nothing is wrong."""

    label: str
    """What was checked: a directory, or an image."""
    findings: tuple[ReleaseFinding, ...]
    files: tuple[str, ...]
    """All that was looked at."""
    signer: str
    """Id of the key whose signature holds; '' when it is not signed, or no signature could be checked."""
    pinned: bool
    """The key was given from outside. A key that came with the release proves only that it is whole."""
    notes: tuple[str, ...]
    """What a reader should know."""
    about: Comment = field(default_factory=Comment)
    """What the signature says that it is: version and date."""
    signers: tuple[str, ...] = ()
    """Ids of all keys that were asked for and whose signatures hold."""

    def __bool__(self) -> bool:
        return not self.findings

    def text(self) -> str:
        """One line for each finding and note, and a last one that says how it ended."""
        lines = [f"{printable(it.path)}: {printable(it.what)}" for it in self.findings]
        lines += [f"note: {printable(note)}" for note in self.notes]
        if self.about.version:
            lines.append(
                f"signed as {printable(self.about.version)}, of {printable(self.about.date)}"
            )
        end = f"{len(self.findings)} findings" if self.findings else f"ok, {len(self.files)} files"
        return "\n".join([*lines, f"{printable(self.label)}: {end}"])

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "path": self.label,
            "ok": bool(self),
            "findings": [{"path": it.path, "what": it.what} for it in self.findings],
            "files": list(self.files),
            "signer": self.signer,
            "pinned": self.pinned,
            "notes": list(self.notes),
            "signers": list(self.signers),
            "version": self.about.version,
            "date": self.about.date,
        }


@dataclass(kw_only=True)
class Check:
    """A check as it goes along."""

    given: PublicKey | None
    """The key that the caller believes."""
    judge: VerifyFile
    findings: list[ReleaseFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    signer: str = ""
    signers: list[str] = field(default_factory=list)
    about: Comment = field(default_factory=Comment)

    def found(self, path: str, what: str) -> None:
        self.findings.append(ReleaseFinding(path=path, what=what))

    def verdict(self, name: str, path: Path, target: Target) -> Verdict:
        """Judge a program, and write down what is wrong with it. Raises OSError."""
        verdict = self.judge(path, Policy(target=target))
        for finding in verdict.findings:
            if finding.severity is Severity.ERROR:
                self.found(name, f"{finding.rule}: {finding.message}")
        return verdict

    def result(self, label: str, files: list[str]) -> CheckResult:
        return CheckResult(
            label=label,
            findings=tuple(dict.fromkeys(self.findings)),
            files=tuple(files),
            signer=self.signer,
            pinned=self.given is not None and bool(self.signer),
            notes=tuple(self.notes),
            about=self.about,
            signers=tuple(self.signers),
        )
