"""All verdicts of one run, with what was asked and what was passed over: as text and as JSON."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from core.errors import ExitCode
from verify.about import About
from verify.facts import Depth, ElfFacts
from verify.printable import printable
from verify.protection import Protection
from verify.verdict import State, Verdict

VERSION: Final = 2
"""Of the JSON, see docs/verifying.md."""
_WORDS: Final[Mapping[State, str]] = {
    State.OK: "ok",
    State.REFUSED: "refused",
    State.MISSING: "missing",
    State.NOT_ELF: "not ELF",
    State.UNREADABLE: "unreadable",
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict, and the image that the file is in."""

    verdict: Verdict
    image: str = ""
    platform: str = ""
    by_headers: bool = False
    """Nothing but headers was read, though a whole verdict would be on all bytes."""

    def light(self) -> "Judged":
        """Return it without facts, which text does not show: thousands of them come from other processes."""
        facts = self.verdict.facts
        return replace(
            self,
            verdict=replace(self.verdict, facts=None),
            by_headers=facts is not None and facts.depth < Depth.BYTES,
        )

    def as_dict(self) -> dict[str, object]:
        """What ``--json`` says of one file."""
        made = self.verdict.as_dict()
        where = {"image": self.image or None, "platform": self.platform or None}
        return {"path": made.pop("path"), **where, **made}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that one run found. True when there is something, and all of it is good."""

    policy: str
    judged: tuple[Judged, ...]
    others: int = 0
    """Files of folders and images that are none of ELF."""
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.code is ExitCode.DONE

    @property
    def code(self) -> ExitCode:
        """1 when a file was refused, else 2 when one could not be judged: it is not there, or no ELF file."""
        states = {one.verdict.state for one in self.judged}
        if State.REFUSED in states:
            return ExitCode.REFUSED
        return ExitCode.USAGE if states - {State.OK} else ExitCode.DONE

    @property
    def counts(self) -> dict[str, int]:
        """How many files ended how, by `State`; those that were passed over are ``others``."""
        found = Counter(one.verdict.state for one in self.judged)
        return {state.value: found[state] for state in State} | {"others": self.others}

    def text(self, *, facts: bool = False) -> str:
        """A line for each finding and each good file, with ``facts`` what is known of each, and a closing count."""
        lines = []
        for one in self.judged:
            lines.append(one.verdict.text())
            if facts and one.verdict.facts:
                lines += [f"  {line}" for line in describe(one.verdict.facts)]
        lines += [f"note: {printable(note)}" for note in self.notes]
        return "\n".join([*lines, self.closing()])

    def closing(self) -> str:
        """How many files there were, and how they ended."""
        count = len(self.judged)
        found = self.counts
        ends = ", ".join(f"{found[state]:,} {_WORDS[state]}" for state in State if found[state])
        passed = f"; {self.others:,} others, which are no ELF files" if self.others else ""
        unsearched = sum(
            1
            for one in self.judged
            if one.verdict.state is State.REFUSED and (one.by_headers or _shallow(one.verdict))
        )
        short = (
            f" ({unsearched:,} by headers alone: their bytes were not searched)"
            if unsearched
            else ""
        )
        return f"{count:,} {'file' if count == 1 else 'files'}: {ends or 'none'}{short}{passed}"

    def as_dict(self) -> dict[str, object]:
        """What ``--json`` prints."""
        return {
            "version": VERSION,
            "policy": self.policy,
            "ok": bool(self),
            "counts": self.counts,
            "others": self.others,
            "notes": list(self.notes),
            "verdicts": [one.as_dict() for one in self.judged],
        }


def _shallow(verdict: Verdict) -> bool:
    return verdict.facts is not None and verdict.facts.depth < Depth.BYTES


def describe(facts: ElfFacts) -> list[str]:
    """Return lines of what is known of a file, for people."""
    order = "little" if facts.little_endian else "big"
    rights = facts.place.rights
    bits = [name for name, given in (("setuid", rights.setuid), ("setgid", rights.setgid)) if given]
    lines = [
        f"machine      {facts.machine}, {facts.bits} bits, {order}-endian, {facts.size:,} B",
        f"needs        {', '.join([*filter(None, [facts.interpreter]), *facts.needed]) or 'nothing'}",
        f"rights       {', '.join([*bits, *rights.capabilities]) or 'none'}",
        f"packer       {facts.packing}",
    ]
    if facts.protection:
        lines += _protection(facts.protection, facts.guard_reads)
    if facts.about:
        lines += _about(facts.about)
    return lines


def _protection(protection: Protection, guard_reads: int | None) -> list[str]:
    reads = f", {guard_reads:,} reads of the guard" if guard_reads else ""
    now = "BIND_NOW" if protection.bind_now else "no BIND_NOW"
    return [
        f"position     {protection.position}",
        f"RELRO        {protection.relro}, {now}",
        f"stack guard  {_known(protection.stack_protector)}{reads}",
        f"fortify      {_known(protection.fortify)}",
        f"text relocs  {_known(protection.text_relocations)}",
        f"code marks   {', '.join(protection.code_marks) or 'none'}",
    ]


def _about(about: About) -> list[str]:
    lines = [f"build-id     {about.build_id or 'none'}"]
    lines += [f"comment      {text}" for text in about.comment]
    lines += [
        f"version      {version.name} {version.version or '(not said)'}"
        for version in about.versions
    ]
    lines += [
        f"segment      {part.access} {part.file_size:,} B, {part.mem_size:,} B in memory, "
        f"entropy {part.entropy:.2f}"
        for part in about.parts
    ]
    return [*lines, f"entropy      {about.entropy:.2f} bits a byte"]


def _known(value: bool | None) -> str:
    return "not to be seen" if value is None else "yes" if value else "no"
