"""The rules as a table: name, severity, why it matters, and the check."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from verify import checks
from verify.expectations import Expectations, Linkage
from verify.facts import ElfFacts

__all__ = ["READABLE_ELF", "RULES", "Expectations", "Linkage", "Rule", "Severity"]


class Severity(StrEnum):
    """An error makes the verdict bad; a warning is only told."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row. ``check`` yields a message, without the path, for each thing that is wrong."""

    name: str
    severity: Severity = Severity.ERROR
    explanation: str
    check: Callable[[ElfFacts, Expectations], Iterable[str]]


READABLE_ELF: Final = Rule(
    name="readable-elf",
    explanation="What cannot be read as ELF cannot be vouched for.",
    check=checks.readable_elf,
)

RULES: Final = (
    READABLE_ELF,
    Rule(
        name="no-interpreter",
        explanation="An empty image has no dynamic loader: the kernel answers 'no such file'.",
        check=checks.no_interpreter,
    ),
    Rule(
        name="no-needed",
        explanation="An empty image has no shared libraries to load.",
        check=checks.no_needed,
    ),
    Rule(
        name="no-rpath",
        explanation="A static file searches for no libraries; a search path is left over.",
        check=checks.no_rpath,
    ),
    Rule(
        name="elf-type",
        explanation="Only an executable starts; a fixed address or not is the recipe's choice.",
        check=checks.elf_type,
    ),
    Rule(
        name="linux-abi",
        explanation="A file for another system makes that system's calls, and dies on Linux.",
        check=checks.linux_abi,
    ),
    Rule(
        name="machine",
        explanation="A file for another machine ends in 'exec format error' at deployment.",
        check=checks.machine,
    ),
    Rule(
        name="elf-class",
        explanation="The word size is part of the platform's promise.",
        check=checks.elf_class,
    ),
    Rule(
        name="endianness",
        explanation="The byte order is part of the platform's promise.",
        check=checks.endianness,
    ),
    Rule(
        name="segments-inside-file",
        explanation="A segment whose bytes are missing means a truncated file, killed by SIGBUS.",
        check=checks.segments_inside_file,
    ),
    Rule(
        name="loadable-segments",
        explanation="The kernel refuses or mismaps segments that overlap or are badly aligned.",
        check=checks.loadable_segments,
    ),
    Rule(
        name="entry-point",
        explanation="A program that starts where there is no code is killed at once.",
        check=checks.entry_point,
    ),
    Rule(
        name="stack-not-executable",
        explanation="An executable stack turns an overflow into code of the attacker's choice.",
        check=checks.stack_not_executable,
    ),
    Rule(
        name="no-writable-executable-segment",
        explanation="Memory that is writable and executable lets a stray write become code.",
        check=checks.no_writable_executable_segment,
    ),
    Rule(
        name="relro",
        severity=Severity.WARNING,
        explanation="A static-pie relocates its pointers at start, and should then lock them.",
        check=checks.relro,
    ),
    Rule(
        name="no-symbols",
        explanation="Symbols are dead weight in an image; strip before packing.",
        check=checks.no_symbols,
    ),
    Rule(
        name="no-debug",
        explanation="Debug information is dead weight in an image, and names the build's directories.",
        check=checks.no_debug,
    ),
    Rule(
        name="no-build-paths",
        explanation="Paths of the build leak who built where, and make the bytes depend on it.",
        check=checks.no_build_paths,
    ),
    Rule(
        name="no-appended-data",
        explanation="Bytes that no header describes are not the program; nobody checked them.",
        check=checks.no_appended_data,
    ),
    Rule(
        name="packed-as-expected",
        explanation="A file that changed after packing cannot be unpacked and checked any more.",
        check=checks.packed_as_expected,
    ),
    Rule(
        name="packed-contents",
        explanation="UPX hides the loader, libraries and leftovers of what it packed.",
        check=checks.packed_contents,
    ),
    Rule(
        name="size-budget",
        explanation="Small is the point; growth should be a decision.",
        check=checks.size_budget,
    ),
)
