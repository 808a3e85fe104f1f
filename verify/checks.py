"""The functions behind the rules: each yields one message for each thing that is wrong.

A check that cannot look says so, and that is a finding: not knowing is never "good".
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final, assert_never

from verify.expectations import Expectations, Linkage
from verify.facts import ElfFacts
from verify.packing import Packing

_SHOWN: Final = 5
_SMALLEST_PAGE: Final = 4096


def readable_elf(_facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield nothing: who has facts could read the file. ``judge_path`` fills it in otherwise."""
    return ()


def no_interpreter(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield the PT_INTERP of a dynamic file."""
    if facts.interpreter is not None:
        yield f"asks for the loader '{facts.interpreter}'"


def no_needed(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield the libraries of a dynamic file."""
    if facts.dynamic_problem:
        yield f"cannot tell which libraries are needed: {facts.dynamic_problem}"
    if facts.needed:
        yield f"needs {_some(facts.needed)}"


def no_rpath(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield the library search paths."""
    if facts.dynamic_problem:
        yield f"cannot tell whether there is a search path: {facts.dynamic_problem}"
    if facts.rpath is not None:
        yield f"has RPATH '{facts.rpath}'"
    if facts.runpath is not None:
        yield f"has RUNPATH '{facts.runpath}'"


def elf_type(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield a type that is not executable, or not the executable kind that was expected."""
    fixed = facts.elf_type == "ET_EXEC"
    if not fixed and not facts.is_static_pie:
        kinds = {
            "ET_REL": "an object file",
            "ET_DYN": "a shared library or a dynamic executable",
            "ET_CORE": "a core dump",
        }
        yield f"is {kinds.get(facts.elf_type, facts.elf_type)}, not a static executable"
        return
    match expected.linkage:
        case None:
            return
        case Linkage.STATIC:
            if not fixed:
                yield "is position independent, expected a fixed address"
        case Linkage.STATIC_PIE:
            if fixed:
                yield "has a fixed address, expected static-pie"
        case _:
            assert_never(expected.linkage)


def linux_abi(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield an operating system that is not Linux; UPX marks some packed files as GNU/Linux."""
    if facts.os_abi not in ("ELFOSABI_SYSV", "ELFOSABI_LINUX"):
        yield f"is marked as {facts.os_abi}"


def machine(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield a machine that is not the target's."""
    if expected.target and facts.machine != expected.target.machine.elf_machine:
        yield f"is for {facts.machine}, expected {expected.target.machine.elf_machine}"


def elf_class(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield a word size that is not the target's."""
    if expected.target and facts.bits != expected.target.machine.bits:
        yield f"has {facts.bits} bits, expected {expected.target.machine.bits}"


def endianness(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield a byte order that is not the target's."""
    if expected.target and facts.little_endian != expected.target.machine.little_endian:
        order = _order(expected.target.machine.little_endian)
        yield f"is {_order(facts.little_endian)}, expected {order}"


def segments_inside_file(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield segments whose bytes the file does not have."""
    for s in facts.segments:
        if s.file_size > 0 and s.file_end > facts.size:
            yield f"{s.type} at {s.offset:#x} ends at byte {s.file_end} of {facts.size}"


def loadable_segments(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield what keeps the kernel from mapping the file as it says."""
    if not facts.loads:
        yield "has nothing to load"
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


def entry_point(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield an entry point where no code of the file is."""
    if not any(
        s.executable and s.vaddr <= facts.entry < s.vaddr + s.file_size for s in facts.loads
    ):
        yield f"entry point {facts.entry:#x} lies in no executable segment"


def stack_not_executable(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield a stack that is executable, or may be."""
    match facts.stack_executable:
        case True:
            yield "PT_GNU_STACK asks for an executable stack"
        case None:
            yield "PT_GNU_STACK is missing: whether the stack is executable is up to the kernel"
        case False:
            return


def no_writable_executable_segment(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield segments that are both; what UPX writes has none either (4.2.4: RW, R-X, stack RW)."""
    for s in facts.loads:
        if s.writable and s.executable:
            yield f"PT_LOAD at {s.vaddr:#x} is writable and executable"


def relro(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield a file that relocates itself and leaves the result writable."""
    if facts.elf_type == "ET_DYN" and facts.dynamic_present and not facts.relro:
        yield "PT_GNU_RELRO is missing"


def no_symbols(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield a symbol table."""
    if facts.symbol_table is None:
        yield f"cannot tell whether symbols are left: {facts.section_problem}"
    elif facts.symbol_table:
        yield "has a symbol table (.symtab)"


def no_debug(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield debug information."""
    if facts.debug_sections is None:
        yield f"cannot tell whether debug information is left: {facts.section_problem}"
    elif facts.debug_sections:
        yield f"has debug information: {_some(facts.debug_sections)}"


def no_build_paths(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield paths of the building machine."""
    unsought = [path for path in expected.build_paths if path not in facts.build_paths_sought]
    if unsought:
        yield f"the facts were read without looking for {_some(unsought)}"
    if facts.build_paths:
        yield f"names {_some(facts.build_paths)}"


def no_appended_data(facts: ElfFacts, _expected: Expectations) -> Iterable[str]:
    """Yield bytes that no header describes."""
    if facts.appended is None:
        yield f"cannot tell whether data was appended: {facts.section_problem}"
    elif facts.appended:
        yield f"{facts.appended} B follow after all that the headers describe"


def packed_as_expected(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield a damaged packing, or a packing that is not the expected one."""
    match facts.packing:
        case Packing.DAMAGED:
            yield "one of UPX's two marks is missing or wrong: was it changed after packing?"
        case Packing.UPX:
            if expected.packed is False:
                yield "is packed by UPX, expected a plain file"
        case Packing.NONE:
            if expected.packed:
                yield "is not packed, expected a file packed by UPX"
        case _:
            assert_never(facts.packing)


def packed_contents(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield a packed file of which only the wrapping was seen.

    Measured with UPX 4.2.4: of a dynamic program the packed file has no PT_INTERP and no PT_DYNAMIC
    either, and runs, since the stub loads the interpreter.
    """
    if facts.packing is not Packing.NONE and not expected.unpacked_judged:
        yield "cannot see inside the packing: judge what 'upx -d' gives back as well"


def size_budget(facts: ElfFacts, expected: Expectations) -> Iterable[str]:
    """Yield a size over budget."""
    if expected.max_size is not None and facts.size > expected.max_size:
        over = facts.size - expected.max_size
        yield f"{facts.size} B are {over} B more than the budget of {expected.max_size} B"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + rest


def _order(little_endian: bool) -> str:
    return "little-endian" if little_endian else "big-endian"
