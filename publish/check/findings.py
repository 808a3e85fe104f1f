"""What a check found, as values: never a traceback, and never only the first of several."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verify.printable import printable
from verify.verdict import Policy, Verdict

Verifier = Callable[[Path, Policy], Verdict]
"""Judges a file, a packed one by what it unpacks to. `verify.rules.verify_file` refuses packed ones."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong, and with which file."""

    path: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Truthy when nothing is wrong."""

    label: str
    """What was checked: a directory, or an image."""
    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    """All that was looked at."""
    signer: str
    """Id of the key whose signature holds; '' when it is not signed, or no signature could be checked."""
    pinned: bool
    """The key was given from outside. A key that came with the release proves only that it is whole."""
    notes: tuple[str, ...]
    """What a reader should know."""

    def __bool__(self) -> bool:
        return not self.findings

    def text(self) -> str:
        """One line for each finding and note, and a last one that says how it ended."""
        label = printable(self.label)
        lines = [f"{printable(one.path)}: {printable(one.what)}" for one in self.findings]
        lines += [f"note: {printable(note)}" for note in self.notes]
        end = f"{len(self.findings)} findings" if self.findings else f"ok, {len(self.files)} files"
        return "\n".join([*lines, f"{label}: {end}"])

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "path": self.label,
            "ok": bool(self),
            "findings": [{"path": one.path, "what": one.what} for one in self.findings],
            "files": list(self.files),
            "signer": self.signer,
            "pinned": self.pinned,
            "notes": list(self.notes),
        }
