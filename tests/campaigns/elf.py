"""Mutated ELF files through the verdict: it always comes, soon, and is never "ok" for what a kernel would load badly.

The judge is independent: it reads program headers with ``struct``, by the layout of the file's machine. One case in
two hundred changes a real program, Debian's busybox-static; where that is missing, these are "not run" and the run is
not whole. Left out, since the verdict does not promise it yet: files whose class or byte order no Linux of their
machine has (Linux reads them by the machine alone), and files packed by UPX, whose packed bytes are not looked into.
"""

import json
import random
import resource
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.campaigns.campaign import Campaign, Case, NotRun, Run, Violation
from tests.fixtures.make_elf import GOOD, PIE, Machine, fixtures
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
    3: {(1, "<")},
    21: {(2, "<"), (2, ">")},
    22: {(2, ">"), (1, ">")},
    40: {(1, "<"), (1, ">")},
    62: {(2, "<"), (1, "<")},
    183: {(2, "<"), (2, ">")},
    243: {(2, "<"), (1, "<")},
    258: {(2, "<"), (1, "<")},
}
"""Classes and byte orders that a Linux loads, by e_machine: 386, PPC64, S390, ARM, x86-64 (and x32), AArch64, RISC-V,
LoongArch."""
OTHERS = {
    "ppc64le": Machine(
        number=21, bits=64, order="<", exit=bytes.fromhex("00006038 01000038 02000044")
    ),
    "arm": Machine(number=40, bits=32, order="<", exit=bytes.fromhex("0000a0e3 0170a0e3 000000ef")),
    "riscv64": Machine(
        number=243, bits=64, order="<", exit=bytes.fromhex("01459308 d0057300 0000")
    ),
    "loong64": Machine(
        number=258, bits=64, order="<", exit=bytes.fromhex("04008003 0b748103 00002b00")
    ),
}
"""Machines that the fixtures have not, and their code for ``exit(0)``."""
REAL = Path("/bin/busybox")
REAL_SHARE = 0.005


def headers(content: bytes) -> tuple[int, str, int, int, int] | None:
    """Class, byte order, e_phoff, e_phentsize, e_phnum as this machine's kernel reads them; None: it never would."""
    if len(content) < 64 or content[:4] != b"\x7fELF":
        return None
    bits, order = content[4], {1: "<", 2: ">"}.get(content[5], "")
    (machine,) = struct.unpack_from(order + "H", content, 18)
    if (bits, order) not in LAYOUTS.get(machine, ()):
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
        if kind == 2 and 1 in tags(content, at, bits, order):
            return "a library (by its own start-up code)"
    return ""


def tags(content: bytes, at: int, bits: int, order: str) -> list[int]:
    """The tags of the dynamic entries of the program header there, up to DT_NULL."""
    wide = bits == 2
    field, where, length, size = ("Q", at + 8, at + 32, 16) if wide else ("I", at + 4, at + 16, 8)
    (begin,) = struct.unpack_from(order + field, content, where)
    (long,) = struct.unpack_from(order + field, content, length)
    found: list[int] = []
    for place in range(begin, min(begin + long, len(content)) - size + 1, size):
        (tag,) = struct.unpack_from(order + field, content, place)
        if not tag:
            break
        found.append(tag)
    return found


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
        if chance.random() < 0.5 and read and read[4]:
            change_structure(chance, content, read)
            continue
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


Read = tuple[int, str, int, int, int]


def change_structure(chance: random.Random, content: bytearray, read: Read) -> None:
    """Change one field of a program header, a section header or a dynamic entry; the rest stays a good file."""
    bits, order, offset, size, count = read
    word = "Q" if bits == 2 else "I"
    width = struct.calcsize(word)
    at = offset + size * chance.randrange(count)
    first = at + (8 if bits == 2 else 4)  # p_offset; p_vaddr, p_paddr, p_filesz and p_memsz follow
    (begin,) = struct.unpack_from(order + word, content, first)
    (length,) = struct.unpack_from(order + word, content, first + 3 * width)
    (kind,) = struct.unpack_from(order + "I", content, at)
    field, layout, value = at, "I", chance.choice((0, 4, 6, 7, 0x6474E550, 0x70000001, 0x65041580))
    match chance.randrange(6):
        case 0:  # the flags
            field, value = at + (4 if bits == 2 else 24), chance.choice((4, 5, 6, 7, 0xFFF00005))
        case 1:  # one of its numbers, a little or wholly
            field, layout = first + width * chance.randrange(5), word
            (value,) = struct.unpack_from(order + word, content, field)
            value += chance.choice((-0x1000, -8, -1, 1, 8, 0x1000, 0x10000))
        case 2 if kind == 2 and length >= 2 * width:  # a tag or a value of the dynamic segment
            place = begin + width * chance.randrange(min(length // width, 64))
            field, layout = place, word
            value = chance.choice((0, 1, 5, 10, 14, 15, 29, 30, 0x6FFFFFFB, 0x08000000, *EXTREMES))
        case 3 | 4:  # a field of a section header
            (table,) = struct.unpack_from(order + word, content, 40 if bits == 2 else 32)
            each, sections = struct.unpack_from(order + "HH", content, 58 if bits == 2 else 46)
            if sections and each >= 40:
                field = table + each * chance.randrange(sections) + 4 * chance.randrange(10)
                value = chance.choice((0, 1, 2, 3, 6, 8, 11, 0x7FFFFFFF, 0xFFFFFFFF))
        case _:
            pass
    if field + 8 <= len(content):
        limit = 1 << 8 * struct.calcsize(layout)
        struct.pack_into(order + layout, content, field, value % limit)


def made() -> dict[str, bytes]:
    """Files to begin with: the fixtures, every other machine, and a large program with much in it."""
    bases = {name: it for name, it in fixtures().items() if it[:4] == b"\x7fELF"}
    for name, machine in OTHERS.items():
        program = replace(GOOD, machine=machine)
        bases[f"good-{name}"] = program.build()
        bases[f"good-{name}-static-pie"] = replace(PIE, machine=machine).build()
        bases[f"interpreter-{name}"] = replace(program, interpreter="/lib/ld.so.1").build()
    text = random.Random("large").choices(b"abcdefghijklmnopqrstuvwxyz /.%\0", k=1 << 16)
    entries = tuple((0x6FFFFEF5 + at % 8, at) for at in range(40))
    bases["good-large"] = replace(
        PIE, strings=bytes(text), dynamic=(*PIE.dynamic, *entries)
    ).build()
    return bases


@contextmanager
def opened() -> Iterator[Run]:
    bases = made()
    names, good = sorted(bases), sorted(name for name in bases if name.startswith("good"))
    real = REAL.read_bytes() if REAL.is_file() else b""
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
        name = case.random.choice(good if case.random.random() < 0.7 else names)
        content = bytearray(bases[name])
        if case.random.random() < REAL_SHARE:
            if not (real[:4] == b"\x7fELF" and headers(real) and not badly_loaded(real)):
                msg = f"no static program at {REAL} (Debian: busybox-static)"
                raise NotRun(msg)
            name, content = str(REAL), bytearray(real)
        elif case.random.random() < 0.1 and len(content) >= 64:
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
            msg = f'{name}: "ok", and a kernel would load {loaded}: {content[:4096].hex()}'
            raise Violation(msg)
        return "ok" if verdict else "refused" if verdict.facts else "unreadable"

    yield run


CAMPAIGN = Campaign(
    name="elf",
    purpose="Mutated ELF files: a verdict always, soon, and never ok for what asks for a loader or maps writable code.",
    cases=100_000,
    open=opened,
    rooms=("verify", "core"),
)
