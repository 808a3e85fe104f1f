"""Mutated ELF files through the verdict: it always comes, soon, and is never "ok" for what a kernel would load badly.

The judge is independent: it reads program headers with ``struct``, by the layout of the file's machine. Left out,
since the verdict does not promise it yet: files whose class or byte order contradicts their machine, which Linux
reads by the machine alone, and files packed by UPX, whose packed bytes are not looked into here.
"""

import json
import random
import resource
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.campaigns.campaign import Campaign, Case, Run, Violation
from tests.fixtures.make_elf import fixtures
from verify.rules import verify_file
from verify.verdict import Policy, Verdict

CPU_SECONDS = 2
MEMORY = 100 * 1024
"""How much the process may grow, in KiB."""
POLICY = Policy(packed=False, build_paths=("/build",))
EXTREMES = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0xFF,
    0x1000,
    0xFFFF,
    1 << 31,
    (1 << 32) - 1,
    1 << 63,
    (1 << 64) - 1,
)
TYPES = (0, 1, 2, 3, 4, 6, 7, 0x6474E551, 0x6474E552, 0x6474E553)
LAYOUTS = {
    3: (1, "<"),
    40: (1, "<"),
    62: (2, "<"),
    183: (2, "<"),
    243: (2, "<"),
    258: (2, "<"),
    22: (2, ">"),
}
"""Class and byte order by e_machine: 386, ARM, x86-64, AArch64, RISC-V, LoongArch, S390."""


def headers(content: bytes) -> tuple[int, str, int, int, int] | None:
    """Class, byte order, e_phoff, e_phentsize, e_phnum as this machine's kernel reads them; None: it never would."""
    if len(content) < 64 or content[:4] != b"\x7fELF":
        return None
    bits, order = content[4], {1: "<", 2: ">"}.get(content[5], "")
    (machine,) = struct.unpack_from(order + "H", content, 18)
    if not order or LAYOUTS.get(machine) != (bits, order):
        return None
    (offset,) = struct.unpack_from(
        order + ("I" if bits == 1 else "Q"), content, 28 if bits == 1 else 32
    )
    size, count = struct.unpack_from(order + "HH", content, 42 if bits == 1 else 54)
    if size != (32 if bits == 1 else 56) or offset + size * count > len(content):
        return None
    return bits, order, offset, size, count


def badly_loaded(content: bytes) -> str:
    """What a kernel would do that "ok" denies: empty when nothing, or when it would not load the file."""
    read = headers(content)
    if read is None:
        return ""
    bits, order, offset, size, count = read
    if struct.unpack_from(order + "H", content, 16)[0] not in (2, 3):
        return ""
    for at in range(offset, offset + size * count, size):
        (kind,) = struct.unpack_from(order + "I", content, at)
        (flags,) = struct.unpack_from(order + "I", content, at + (24 if bits == 1 else 4))
        if kind == 3:
            return "an interpreter"
        if kind == 1 and flags & 3 == 3:
            return "memory that is writable and executable"
    return ""


def unread(content: bytes) -> list[int]:
    """Positions that decide nothing: the padding of e_ident, and each p_paddr."""
    positions = list(range(9, 16))
    if read := headers(content):
        bits, _, offset, size, count = read
        start, width = (12, 4) if bits == 1 else (24, 8)
        for at in range(offset, offset + size * count, size):
            positions += range(at + start, at + start + width)
    return positions


def mutate(chance: random.Random, content: bytearray) -> None:
    """Change a few things: bytes, numbers, fields of headers, order of program headers, the end of the file."""
    for _ in range(chance.randint(1, 4)):
        if len(content) < 80:
            return
        read = headers(bytes(content))
        match chance.randrange(8):
            case 0:
                content[chance.randrange(4, len(content))] = chance.randrange(256)
            case 1:
                width = chance.choice((2, 4, 8))
                at = chance.randrange(4, len(content) - width)
                content[at : at + width] = chance.choice(EXTREMES).to_bytes(8, "little")[:width]
            case 2:
                content[chance.randrange(4, 64)] = chance.choice((0, 1, 2, 3, 0x40, 0xFF))
            case 3:
                del content[chance.randrange(4, len(content)) :]
            case 4:
                content += chance.randbytes(chance.randrange(1, 64))
            case 5:
                begin, width = chance.randrange(4, len(content)), chance.randrange(1, 64)
                moved = chance.randrange(4, len(content))
                piece = content[begin : begin + width]
                content[moved : moved + len(piece)] = piece
            case _ if read and read[4]:
                bits, order, offset, size, count = read
                at = offset + size * chance.randrange(count)
                if chance.random() < 0.4:
                    struct.pack_into(order + "I", content, at, chance.choice(TYPES))
                elif chance.random() < 0.5:
                    where = at + (24 if bits == 1 else 4)
                    struct.pack_into(order + "I", content, where, chance.randrange(8))
                else:
                    other = offset + size * chance.randrange(count)
                    content[at : at + size] = content[other : other + size]
            case _:
                pass


@contextmanager
def opened() -> Iterator[Run]:
    bases = {name: it for name, it in fixtures().items() if it[:4] == b"\x7fELF"}
    names = sorted(bases)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def judge(case: Case, content: bytes) -> Verdict:
        file = case.directory / "file"
        file.write_bytes(content)
        began = time.thread_time()
        verdict = verify_file(file, POLICY)
        json.dumps(verdict.as_dict())
        verdict.text()
        took = time.thread_time() - began
        if took > CPU_SECONDS:
            msg = f"the verdict took {took:.1f} s of the processor for {len(content)} B"
            raise Violation(msg)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > grown + MEMORY:
            msg = f"the verdict took over {MEMORY} KiB for {len(content)} B"
            raise Violation(msg)
        return verdict

    def run(case: Case) -> str:
        name = case.random.choice(names)
        content = bytearray(bases[name])
        if case.random.random() < 0.1 and len(content) >= 64:
            for at in case.random.sample(unread(bases[name]), 4):
                content[at] = case.random.randrange(256)
            rules = [
                {finding.rule for finding in judge(case, bytes(it)).findings}
                for it in (bases[name], content)
            ]
            if rules[0] != rules[1]:
                msg = f"{name}: bytes that nothing reads changed {rules[0]} into {rules[1]}"
                raise Violation(msg)
            return "same verdict"
        mutate(case.random, content)
        verdict = judge(case, bytes(content))
        if verdict and (loaded := badly_loaded(bytes(content))):
            msg = f'{name}: "ok", and a kernel would load {loaded}: {content.hex()}'
            raise Violation(msg)
        return "ok" if verdict else "refused" if verdict.facts else "unreadable"

    yield run


CAMPAIGN = Campaign(
    name="elf",
    purpose="Mutated ELF files: a verdict always, soon, and never ok for what asks for a loader or maps writable code.",
    cases=100_000,
    open=opened,
    rooms=("verify",),
)
