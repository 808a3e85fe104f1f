"""The rules, in the order in which they are applied: each yields one message for each thing that is wrong.

Its name is the rule's, its docstring says why the rule is there. A check that cannot look says so, and that is a
finding: not knowing is never "good".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from recipes.model import Linkage
from verify.elf_file import MissingFileError, UnreadableFileError
from verify.facts import Depth, ElfFacts, MalformedElfError, NotElfError, Packing, read_facts
from verify.packing import DENSE
from verify.place import Place, Role
from verify.printable import printable
from verify.protection import Position, Protection, Relro
from verify.rights import Rights
from verify.verdict import Finding, Needs, Policy, Severity, State, Verdict

_SHOWN: Final = 5
_SMALLEST_PAGE: Final = 4096

Check = Callable[[ElfFacts, Policy], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row. ``check`` yields a message, without the path, for each thing that is wrong."""

    name: str
    severity: Severity | None
    """Where no policy says otherwise; None: it counts only where a policy names it."""
    explanation: str
    check: Check

    def level(self, policy: Policy) -> Severity | None:
        """How much it counts; None: not at all."""
        return policy.levels.get(self.name, self.severity)


_rules: list[Rule] = []


def _register(severity: Severity | None) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        name = check.__name__.replace("_", "-")
        explanation = check.__doc__ or ""
        _rules.append(Rule(name=name, severity=severity, explanation=explanation, check=check))
        return check

    return register


error, warning = _register(Severity.ERROR), _register(Severity.WARNING)
on_request = _register(None)


@error
def readable_elf(_facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """What cannot be read as ELF cannot be vouched for."""
    return ()


@error
def consistent_header(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Linux reads a file by its machine alone: one that says something else is read otherwise than it is judged."""
    yield from facts.contradictions


@error
def known_machine(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """How the kernel of an unknown machine reads a file, nobody here can tell."""
    if not facts.known_machine:
        yield f"is for {facts.machine}, which no Linux is known for"


@error
def no_interpreter(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """An empty image has no dynamic loader: the kernel answers 'no such file'."""
    if facts.interpreter is None:
        return
    if policy.needs is Needs.NOTHING or not facts.place.rooted:
        yield f"asks for the loader '{facts.interpreter}'"
    elif facts.place.loader_problem:
        yield f"asks for the loader '{facts.interpreter}', which {facts.place.loader_problem}"


@error
def no_needed(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """An empty image has no shared libraries to load."""
    if facts.dynamic_problem:
        yield f"cannot tell which libraries are needed: {facts.dynamic_problem}"
    if policy.needs is Needs.FOUND and facts.place.rooted:
        if facts.place.missing and facts.role is Role.PROGRAM:
            yield f"needs {_some(facts.place.missing)}, not to be found in its root"
    elif facts.needed:
        yield f"needs {_some(facts.needed)}"


@on_request
def library_needs(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """A library whose own libraries are missing loads only into a program that brings them."""
    if facts.role is Role.LIBRARY and facts.place.rooted and facts.place.missing:
        yield f"needs {_some(facts.place.missing)}, not to be found in its root"


@error
def no_rpath(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """A static file searches for no libraries; a search path is left over."""
    if facts.dynamic_problem:
        yield f"cannot tell whether there is a search path: {facts.dynamic_problem}"
    if facts.rpath is not None:
        yield f"has RPATH '{facts.rpath}'"
    if facts.runpath is not None:
        yield f"has RUNPATH '{facts.runpath}'"


@error
def elf_type(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """Only an executable starts; a fixed address or not is the recipe's choice."""
    fixed = facts.elf_type == "ET_EXEC"
    if policy.needs is Needs.FOUND and facts.position is Position.PIE:
        return
    if not fixed and not facts.is_static_pie:
        kinds = {
            "ET_REL": "an object file",
            "ET_DYN": "a shared library or a dynamic executable",
            "ET_CORE": "a core dump",
        }
        yield f"is {kinds.get(facts.elf_type, facts.elf_type)}, not a static executable"
        return
    if policy.linkage not in (None, Linkage.STATIC if fixed else Linkage.STATIC_PIE):
        yield (
            "has a fixed address, expected static-pie"
            if fixed
            else "is position independent, expected a fixed address"
        )


@error
def linux_abi(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """A file for another system makes that system's calls, and dies on Linux."""
    if facts.os_abi not in ("ELFOSABI_SYSV", "ELFOSABI_LINUX"):
        yield f"is marked as {facts.os_abi}"


@error
def machine(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """A file for another machine ends in 'exec format error' at deployment."""
    if policy.target and facts.machine != policy.target.machine.elf_machine:
        yield f"is for {facts.machine}, expected {policy.target.machine.elf_machine}"


@error
def elf_class(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """The word size is part of the platform's promise."""
    if policy.target and facts.bits != policy.target.machine.bits:
        yield f"has {facts.bits} bits, expected {policy.target.machine.bits}"


@error
def endianness(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """The byte order is part of the platform's promise."""
    if policy.target and facts.little_endian != policy.target.machine.little_endian:
        order = ("little-endian", "big-endian")
        yield "is {}, expected {}".format(*(order if facts.little_endian else reversed(order)))


@error
def segments_inside_file(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """A segment whose bytes are missing means a truncated file, killed by SIGBUS."""
    for s in facts.segments:
        if s.file_size > 0 and s.file_end > facts.size:
            yield f"{s.type} at {s.offset:#x} ends at byte {s.file_end} of {facts.size}"


@error
def loadable_segments(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """The kernel refuses or mismaps segments that overlap or are badly aligned."""
    if not facts.loads:
        yield "has nothing to load"
    for s in facts.segments:
        if s.type == "PT_LOAD" and s.file_size > s.mem_size == 0:
            yield f"PT_LOAD at {s.vaddr:#x}: {s.file_size} B in the file, and none in memory"
    for s in facts.loads:
        where = f"PT_LOAD at {s.vaddr:#x}"
        if s.align & (s.align - 1):
            yield f"{where}: alignment {s.align} is not a power of two"
        elif (s.vaddr - s.offset) % max(s.align, _SMALLEST_PAGE):
            yield f"{where}: address and file offset {s.offset:#x} do not share a page offset"
        if s.file_size > s.mem_size:
            yield f"{where}: {s.file_size} B in the file, {s.mem_size} B in memory"
        if s.vaddr_end > 1 << facts.bits:
            yield f"{where}: ends beyond the address space"
    for before, after in pairwise(facts.loads):
        if after.vaddr < before.vaddr_end:
            yield f"PT_LOAD at {after.vaddr:#x} begins before the last ends, {before.vaddr_end:#x}"


@error
def entry_point(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """A program that starts where there is no code is killed at once."""
    where = f"entry point {facts.entry:#x}"
    if facts.code is None:
        yield f"{where} should be the address of a function descriptor, and there is none"
    elif not any(
        s.executable and s.vaddr <= facts.code < s.vaddr + s.file_size for s in facts.loads
    ):
        described = f" begins at {facts.code:#x}, which" if facts.code != facts.entry else ""
        yield f"{where}{described} lies in no executable segment"


@error
def stack_not_executable(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """An executable stack turns an overflow into code of the attacker's choice."""
    if facts.stack_executable is None:
        yield "PT_GNU_STACK is missing: whether the stack is executable is up to the kernel"
    elif facts.stack_executable:
        yield "PT_GNU_STACK asks for an executable stack"


@error
def no_writable_executable_segment(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Memory that is writable and executable lets a stray write become code."""
    for s in facts.loads:
        if s.writable and s.executable:
            yield f"PT_LOAD at {s.vaddr:#x} is writable and executable"


@warning
def relro(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """A static-pie relocates its pointers at start, and should then lock them."""
    if facts.elf_type == "ET_DYN" and facts.dynamic_present and not facts.relro:
        yield "PT_GNU_RELRO is missing"


@on_request
def full_relro(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Pointers that stay writable are what an attacker overwrites first."""
    if (seen := _plain(facts)) and seen.relro is not Relro.FULL:
        yield f"RELRO is {seen.relro}, expected full"


@on_request
def static_pie(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Code at a fixed address can be aimed at."""
    if facts.position is Position.FIXED and facts.packing is Packing.NONE:
        yield "is loaded at a fixed address"


@on_request
def stack_protector(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Without a guard an overflow of the stack decides where the program goes on."""
    if (seen := _plain(facts)) and seen.stack_protector is False:
        yield "no code reads the stack protector's guard"


@on_request
def stack_protector_seen(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Where the guard is a variable like others, a stripped file does not show whether it is read."""
    if (seen := _plain(facts)) and seen.stack_protector is None:
        yield f"a stripped file for {facts.machine} does not show whether its stack is guarded"


@on_request
def no_text_relocations(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Code that is changed at start must be writable then, and is shared with nobody."""
    if (seen := _plain(facts)) and seen.text_relocations:
        yield "has relocations in its code (DT_TEXTREL)"


@warning
def no_rights(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Setuid, setgid and file capabilities lend rights to whoever runs the file."""
    rights = facts.place.rights
    bits = [name for name, given in (("setuid", rights.setuid), ("setgid", rights.setgid)) if given]
    if rights:
        yield f"is {_some([*bits, *rights.capabilities])}"


@error
def no_symbols(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Symbols are dead weight in an image; strip before packing."""
    if facts.symbol_table is None:
        yield f"cannot tell whether symbols are left: {facts.section_problem}"
    elif facts.symbol_table:
        yield "has a symbol table (.symtab)"


@error
def no_debug(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Debug information is dead weight in an image, and names the build's directories."""
    if facts.debug_sections is None:
        yield f"cannot tell whether debug information is left: {facts.section_problem}"
    elif facts.debug_sections:
        yield f"has debug information: {_some(facts.debug_sections)}"


@error
def no_build_paths(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """Paths of the build leak who built where, and make the bytes depend on it."""
    unsought = [path for path in policy.build_paths if path not in facts.build_paths_sought]
    if unsought:
        yield f"the facts were read without looking for {_some(unsought)}"
    if facts.build_paths:
        yield f"names {_some(facts.build_paths)}"


@error
def no_appended_data(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Bytes that no header describes are not the program; nobody checked them."""
    if facts.appended is None:
        yield f"cannot tell whether data was appended: {facts.section_problem}"
    elif facts.appended:
        yield f"{facts.appended} B follow after all that the headers describe"


@error
def all_bytes_described(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Bytes that are neither loaded nor of a known kind are a payload until somebody says otherwise."""
    if facts.gaps is None:
        yield f"cannot tell what all bytes are: {facts.section_problem}"
    elif facts.gaps:
        yield from map(str, facts.gaps[:_SHOWN])
        if rest := facts.gaps[_SHOWN:]:
            yield f"{len(rest)} more such places, from offset {rest[0].offset:#x} on"


@error
def packed_as_expected(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """A file that changed after packing cannot be unpacked and checked any more."""
    if facts.packing is Packing.DAMAGED:
        yield "one of UPX's two marks is missing or wrong: was it changed after packing?"
    elif facts.packing is Packing.UPX and policy.packed is False:
        yield "is packed by UPX, expected a plain file"
    elif facts.packing is Packing.NONE and policy.packed:
        yield "is not packed, expected a file packed by UPX"


@error
def packed_contents(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """Packing hides the loader, libraries and leftovers of what was packed; its headers say nothing of it."""
    if facts.packing is Packing.UNKNOWN:
        if not _dense_data_alone(facts):
            signs = ", and ".join(facts.packing_signs)
            yield f"is packed by something we cannot vouch for: {signs}"
    elif facts.packing is not Packing.NONE and not policy.unpacked_verified:
        yield "cannot see inside the packing: verify what 'upx -d' gives back as well"


@error
def no_dense_data(facts: ElfFacts, _policy: Policy) -> Iterable[str]:
    """Much that is compressed may be a program for a small one to unpack; where it is data, the policy says so."""
    if _dense_data_alone(facts):
        yield (
            "may be packed by something we cannot vouch for: most of it is compressed or encrypted"
            ' data (if it is to be: a policy with no-dense-data = "warning")'
        )


@error
def size_budget(facts: ElfFacts, policy: Policy) -> Iterable[str]:
    """Small is the point; growth should be a decision."""
    if policy.max_size is not None and facts.size > policy.max_size:
        over = facts.size - policy.max_size
        yield f"{facts.size} B are {over} B more than the budget of {policy.max_size} B"


def _plain(facts: ElfFacts) -> Protection | None:
    """Return what protects a file that is not packed: of a packed one, what it unpacks to is judged."""
    return facts.protection if facts.packing is Packing.NONE else None


def _dense_data_alone(facts: ElfFacts) -> bool:
    """Nothing else shows that it is packed, and its code is none of it."""
    return facts.packing_signs == (DENSE.meaning,)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + rest


RULES: Final = tuple(_rules)
OF_BYTES: Final = frozenset(
    {
        "full-relro",
        "stack-protector",
        "stack-protector-seen",
        "no-text-relocations",
        "no-build-paths",
        "no-appended-data",
        "all-bytes-described",
    }
)
"""Rules on what only a search through the file's bytes can tell."""
OF_LIBRARIES: Final = frozenset({"library-needs"})
"""Rules on libraries that stand where programs find them. Nothing starts those."""


def verify_facts(facts: ElfFacts, policy: Policy) -> Verdict:
    """Return what all rules say, not only the first that complains.

    A library in a root is judged as one when the policy lets programs need it. Facts of headers alone are judged by
    the rules on headers alone: good is only what was read as deep as the policy needs, see `verify_file`.
    """
    rules = RULES
    if policy.needs is Needs.FOUND and facts.place.rooted and facts.role is not Role.PROGRAM:
        rules = tuple(rule for rule in RULES if rule.name in OF_LIBRARIES)
    if facts.depth < Depth.BYTES:
        rules = tuple(rule for rule in rules if rule.name not in OF_BYTES)
    findings = tuple(
        Finding(rule=rule.name, severity=level, message=message)
        for rule in rules
        if (level := rule.level(policy))
        for message in rule.check(facts, policy)
    )
    return Verdict(path=facts.path, findings=findings, facts=facts)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a file is looked at."""

    depth: Depth = Depth.BYTES
    """HEADERS: bytes are searched only where headers leave a file good and the policy asks for more."""
    rights: Rights | None = None
    """Those of the file where it belongs; None: those that this machine's file has."""
    place: Callable[[ElfFacts], Place] | None = None
    """Says what the file's root has for it; None: it is in an empty one."""


USUAL: Final = Look()


def verify_file(path: Path, policy: Policy, look: Look = USUAL) -> Verdict:
    """Return the verdict on whatever ``path`` names; what is no readable ELF file has one finding.

    Raises RecipeError for a policy that cannot be checked on any file.
    """
    try:
        facts = read_facts(path, build_paths=policy.build_paths, depth=look.depth)
        rights = Rights.of_file(path) if look.rights is None else look.rights
        if look.place or rights:
            place = look.place(facts) if look.place else facts.place
            facts = replace(facts, place=replace(place, rights=rights))
        verdict = verify_facts(facts, policy)
        if verdict and look.depth < (depth := _needed_depth(policy, facts)):
            searched = read_facts(path, build_paths=policy.build_paths, depth=depth)
            verdict = verify_facts(replace(searched, place=facts.place), policy)
    except (NotElfError, MalformedElfError) as error:
        what = error.what.removeprefix(f"{printable(str(path))}: ").rstrip(".")
        message = f"{what} ({error.why})" if error.why else what
        return replace(refused(path, message), unjudged=_unjudged(error))
    return verdict


def refused(path: Path, message: str) -> Verdict:
    """Return the verdict on what could not be read, for this reason."""
    finding = Finding(rule=RULES[0].name, severity=Severity.ERROR, message=message)
    return Verdict(path=path, findings=(finding,), facts=None)


def _needed_depth(policy: Policy, facts: ElfFacts) -> Depth:
    """Return how deep a file must be looked into before it may be called good."""
    if policy.needs is Needs.FOUND and facts.place.rooted and facts.role is not Role.PROGRAM:
        return Depth.HEADERS
    if any(rule.level(policy) for rule in RULES if rule.name in OF_BYTES):
        return Depth.BYTES
    # What says that it needs nothing may be packed, and need anything: only how dense it is tells.
    return Depth.SHAPE if facts.interpreter is None else Depth.HEADERS


def _unjudged(error: NotElfError | MalformedElfError) -> State | None:
    """Say why there was nothing to judge; a damaged ELF file is one that is refused."""
    match error:
        case MissingFileError():
            return State.MISSING
        case UnreadableFileError():
            return State.UNREADABLE
        case NotElfError():
            return State.NOT_ELF
        case _:
            return None


def explain(policies: Iterable[Policy] = (Policy(),)) -> str:
    """Return all rules as a Markdown table, in the order in which they are applied, with how much each counts."""
    policies = tuple(policies)
    head = "| rule |" + "".join(f" `{policy.name}` |" for policy in policies) + " why |"
    rows = [
        f"| `{rule.name}` |"
        + "".join(f" {rule.level(policy) or '-'} |" for policy in policies)
        + f" {rule.explanation} |"
        for rule in RULES
    ]
    return "\n".join([head, "|---" * (len(policies) + 2) + "|", *rows])
