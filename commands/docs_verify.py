"""The tables of docs/verifying.md: policies, rules, and what `inv verify --json` says, as a test holds it to."""

from collections.abc import Mapping
from typing import Final

from commands.markdown import markdown_table
from verify.policy import find_policy, policy_names, summaries
from verify.rules import explain
from verify.verdict import State

REPORT: Final[Mapping[str, str]] = {
    "version": "2; grows when a key changes its meaning or goes, not when one is added",
    "policy": "its name",
    "ok": "true when every file is good",
    "counts": f"how many files by state ({', '.join(f'`{state}`' for state in State)}), and `others`",
    "others": "files of folders and images that are none of ELF",
    "notes": "what was left out, and why",
    "verdicts": "one for each file, see below",
}
"""Keys of the whole, in their order."""

VERDICT: Final[Mapping[str, str]] = {
    "path": "the file; in an archive or image `IMAGE@PLATFORM:/path`",
    "image": "the archive or image that it is in, or null",
    "platform": "`linux/arm64`, or null",
    "ok": "true when no finding is an error",
    "state": "`ok`; `refused`; or nothing was judged: `missing`, `not-elf`, `unreadable`",
    "findings": "`rule`, `severity` (`error` or `warning`) and `message` each",
    "facts": "see below; null when the file could not be read",
}
"""Keys of one verdict, in their order."""

FACTS: Final[Mapping[str, str]] = {
    "path": "as above",
    "size": "bytes",
    "sha256": "of all bytes",
    "machine": "`EM_X86_64` …, as ELF calls it",
    "bits": "32 or 64, as the kernel of that machine reads the file",
    "little_endian": "byte order",
    "os_abi": "`ELFOSABI_SYSV` …",
    "elf_type": "`ET_EXEC`, `ET_DYN` …",
    "entry": "entry point, as the header says it",
    "known_machine": "whether there is a Linux for it",
    "contradictions": "in what the header contradicts itself",
    "code": "address of the first instruction",
    "segments": "the program headers",
    "interpreter": "the loader that it asks for, or null",
    "dynamic_present": "whether there is a dynamic segment",
    "dynamic_problem": "why `needed`, `rpath` and `runpath` cannot be relied on, or null",
    "needed": "libraries that it names",
    "rpath": "DT_RPATH, or null",
    "runpath": "DT_RUNPATH, or null",
    "is_static_pie": "position independent, and needs no loader",
    "stack_executable": "null: PT_GNU_STACK is missing",
    "relro": "whether there is PT_GNU_RELRO",
    "bind_now": "everything that is bound is bound at the start",
    "guard_reads": "how often code reads the stack protector's guard; null where that cannot be seen",
    "section_problem": "why sections cannot be relied on, or null",
    "symbol_table": "whether there is one; null: cannot tell",
    "debug_sections": "their names; null: cannot tell",
    "build_paths": "paths of a build that it names",
    "build_paths_sought": "directories that were looked for, beside the usual ones",
    "packing": "the packer: `none`, `upx`, `damaged` (UPX's marks do not agree), `unknown` (packed by its shape)",
    "packing_signs": "what shows that it is packed without marks",
    "appended": "bytes behind all that headers describe; null: cannot tell",
    "gaps": "bytes before those that nothing accounts for; null: cannot tell",
    "depth": "0: only headers were read, 1: also how dense the bytes are, 2: all bytes, 3: also `about`",
    "protection.position": "`fixed`, `static-pie`, `pie`, `library` or `none`",
    "protection.relro": "`none`, `partial` (without BIND_NOW) or `full`",
    "protection.bind_now": "as above",
    "protection.text_relocations": "code is changed at the start (DT_TEXTREL)",
    "protection.stack_protector": "by `__stack_chk_fail` among the symbols, or reads of the guard in the code; null: "
    "a stripped file does not show it",
    "protection.fortify": "by names as `__memcpy_chk`; null: a stripped static file has none",
    "protection.code_marks": "`IBT`, `SHSTK` (Intel's CET), `BTI`, `PAC`, `GCS` (ARM)",
    "about.build_id": "hex digits, or null",
    "about.comment": "what compilers wrote into `.comment`",
    "about.versions": "`name` and `version` of curl, mbedTLS, OpenSSL, zlib, nghttp2, musl, glibc, Go, rustc, CPython, "
    "MicroPython, BusyBox … that the data names; an empty `version`: it is there, and does not say",
    "about.parts": "each mapped segment: `access` (`r-x`), `file_size`, `mem_size`, `entropy`",
    "about.entropy": "bits a byte of the whole file: 8 is noise, 5 to 6.5 is usual",
    "place.rooted": "whether it was looked at in a root: an image's, or that of `--root`",
    "place.loader_problem": "why the loader in that root will not start it",
    "place.missing": "libraries that are not found in that root",
    "place.rights": "`setuid`, `setgid`, and `capabilities` by name",
}
"""Keys of facts; a dot stands before the key of a nested object, which is null when it was not read."""


def verify_blocks() -> dict[str, str]:
    """Every table of the page, by the name of its block."""
    policies = [find_policy(name) for name in policy_names()]
    keys = [(f"`{key}`", meaning) for key, meaning in REPORT.items()]
    keys += [(f"`verdicts[].{key}`", meaning) for key, meaning in VERDICT.items()]
    return {
        "rules": explain(policies),
        "policies": markdown_table(
            ("policy", "what it asks"), [(f"`{name}`", text) for name, text in summaries().items()]
        ),
        "report": markdown_table(("key", "meaning"), keys),
        "facts": markdown_table(
            ("fact", "meaning"), [(f"`{key}`", meaning) for key, meaning in FACTS.items()]
        ),
    }
