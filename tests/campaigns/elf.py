"""Mutated ELF files through the verdict: it always comes, soon, and is never "ok" for what a kernel would load badly.

The judge is independent: a model of Linux's ``binfmt_elf``, which reads program headers with ``struct`` as the kernels
of each machine do, whatever class and byte order the file says that it has. One case in ten hides a mark in the file,
and "ok" is wrong when it stands where nothing is loaded. One case in two hundred changes a real program, Debian's
busybox-static; where that is missing, these are "not run" and the run is not whole. Left out: files with UPX's marks,
which are judged by packing again what they unpack to.
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
from typing import NamedTuple

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


class Kernel(NamedTuple):
    """What the kernels for a machine read: its number, in their byte order; some look at EI_CLASS, none at EI_DATA."""

    machine: int
    order: str
    bits: int
    asks_class: bool = False


KERNELS = (
    Kernel(62, "<", 2),  # x86-64
    Kernel(3, "<", 1),  # 386
    Kernel(6, "<", 1),
    Kernel(62, "<", 1),  # x32, which takes what the 64-bit one does not
    Kernel(183, "<", 2),  # AArch64
    Kernel(183, ">", 2),
    Kernel(40, "<", 1),  # ARM
    Kernel(40, ">", 1),
    Kernel(21, "<", 2),  # PowerPC64
    Kernel(21, ">", 2),
    Kernel(20, ">", 1),
    Kernel(22, ">", 2, asks_class=True),  # s390
    Kernel(22, ">", 1, asks_class=True),
    Kernel(243, "<", 2, asks_class=True),  # RISC-V
    Kernel(243, "<", 1, asks_class=True),
    Kernel(258, "<", 2, asks_class=True),  # LoongArch
    Kernel(258, "<", 1, asks_class=True),
    Kernel(8, "<", 1, asks_class=True),  # MIPS
    Kernel(8, ">", 1, asks_class=True),
    Kernel(8, "<", 2, asks_class=True),
    Kernel(8, ">", 2, asks_class=True),
    Kernel(43, ">", 2),  # SPARC
    Kernel(2, ">", 1),
    Kernel(18, ">", 1),
    Kernel(4, ">", 1),  # 68k
    Kernel(0x9026, "<", 2),  # Alpha
)
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
    """Class, byte order, e_phoff, e_phentsize, e_phnum as the first kernel reads them; None: no kernel would."""
    return next(readings(content), None)


def readings(content: bytes) -> Iterator[tuple[int, str, int, int, int]]:
    """As `headers`, for every kernel that takes the file to be its own."""
    if len(content) < 64 or content[:4] != b"\x7fELF":
        return
    for kernel in KERNELS:
        bits, order = kernel.bits, kernel.order
        (machine,) = struct.unpack_from(order + "H", content, 18)
        if machine != kernel.machine or (kernel.asks_class and content[4] != bits):
            continue
        word, place = ("I", 28) if bits == 1 else ("Q", 32)
        (offset,) = struct.unpack_from(order + word, content, place)
        size, count = struct.unpack_from(order + "HH", content, 42 if bits == 1 else 54)
        if size == (32 if bits == 1 else 56) and offset + size * count <= len(content):
            yield bits, order, offset, size, count


def badly_loaded(content: bytes) -> str:
    """What a kernel would do that "ok" denies: empty when nothing, or when none would load the file."""
    return next(filter(None, (loaded_so(content, read) for read in readings(content))), "")


def loaded_so(content: bytes, read: tuple[int, str, int, int, int]) -> str:
    """What `badly_loaded` says of a kernel that reads the file so."""
    bits, order, offset, size, count = read
    if struct.unpack_from(order + "H", content, 16)[0] not in (2, 3):
        return ""
    mapped: list[tuple[int, int, int]] = []
    for at in range(offset, offset + size * count, size):
        (kind,) = struct.unpack_from(order + "I", content, at)
        (flags,) = struct.unpack_from(order + "I", content, at + (24 if bits == 1 else 4))
        if kind == 3:
            return "an interpreter"
        if kind == 1 and flags & 3 == 3:
            return "memory that is writable and executable"
        if kind == 2 and 1 in tags(content, at, bits, order):
            return "a library (by its own start-up code)"
        if kind == 1:
            begin, length = extent(content, at, bits, order)
            mapped.append((begin, begin + length, flags))
    for number, (begin, end, flags) in enumerate(mapped):
        for other, stop, more in mapped[:number]:
            if begin < stop and other < end and (flags | more) & 3 == 3:
                return "the same bytes as code and as data, as packers do"
    return ""


def extent(content: bytes, at: int, bits: int, order: str) -> tuple[int, int]:
    """p_offset and p_filesz of the program header there."""
    word, first, second = ("I", 4, 16) if bits == 1 else ("Q", 8, 32)
    (begin,) = struct.unpack_from(order + word, content, at + first)
    (length,) = struct.unpack_from(order + word, content, at + second)
    return begin, length


def hidden(content: bytes, mark: bytes) -> bool:
    """Whether ``mark`` stands where nothing is loaded, and in no table of headers."""
    read = headers(content)
    if read is None:
        return False
    bits, order, offset, size, count = read
    (table,) = struct.unpack_from(
        order + ("I" if bits == 1 else "Q"), content, 32 if bits == 1 else 40
    )
    each, sections = struct.unpack_from(order + "HH", content, 46 if bits == 1 else 58)
    spans = [(offset, offset + size * count), (table, table + each * sections), (0, 64)]
    for at in range(offset, offset + size * count, size):
        if struct.unpack_from(order + "I", content, at)[0] == 1:
            begin, length = extent(content, at, bits, order)
            spans.append((begin, begin + length))
    at = content.find(mark)
    while at >= 0:
        if not any(begin < at + len(mark) and at < end for begin, end in spans):
            return True
        at = content.find(mark, at + 1)
    return False


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
    # A table may begin within the header itself.
    return [at for at in positions if at < 16 or at >= 64]


def mutate(chance: random.Random, content: bytearray) -> None:
    """Change a few things: bytes, numbers, fields of headers, order of program headers, the end of the file."""
    for _ in range(chance.randint(1, 4)):
        if len(content) < 80:
            return
        read = headers(bytes(content))
        if chance.random() < 0.5 and read and read[4]:
            change_structure(chance, content, read)
            continue
        match chance.randrange(9):
            case 8:  # what the file says of itself
                match chance.randrange(4):
                    case 0:
                        content[4] = chance.randrange(4)
                    case 1:
                        content[5] = chance.randrange(4)
                    case 2:
                        content[18], content[19] = content[19], content[18]
                    case _:
                        content[18:20] = chance.choice(MACHINES)
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


def hide(chance: random.Random, content: bytearray) -> bytes:
    """Put a mark into the file: over other bytes, in between, or at the end; return it."""
    # Behind a letter the path would be no path, and in a compiler's comment a word like others.
    mark = chance.choice((chance.randbytes(32), b"\0/home/ann/secret/of/34/bytes.key\0"))
    at = chance.randrange(64, len(content)) if len(content) > 64 else len(content)
    match chance.randrange(4):
        case 0:
            content[at : at + len(mark)] = mark
        case 1:
            content += bytes(chance.randrange(200)) + mark + bytes(chance.randrange(200))
        case 2:
            content[at:at] = mark
        case _:  # behind what is loaded, where a page ends
            content += bytes(-len(content) % 0x1000) + mark
    return mark


Read = tuple[int, str, int, int, int]
MACHINES = [
    bytes(sorted((kernel.machine & 255, kernel.machine >> 8), reverse=order))
    for kernel in KERNELS
    for order in (False, True)
]


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
        mark = b""
        if case.random.random() < 0.1:
            mark = hide(case.random, content)
        if not mark or case.random.random() < 0.3:
            mutate(case.random, content)
        verdict = judge(case, bytes(content))
        if verdict and mark and hidden(bytes(content), mark):
            msg = f'{name}: "ok", and {mark!r} is hidden in it: {content[:8192].hex()}'
            raise Violation(msg)
        if verdict and (loaded := badly_loaded(bytes(content))):
            msg = f'{name}: "ok", and a kernel would load {loaded}: {content[:4096].hex()}'
            raise Violation(msg)
        return "ok" if verdict else "refused" if verdict.facts else "unreadable"

    yield run


CAMPAIGN = Campaign(
    name="elf",
    purpose="Mutated ELF files: a verdict always, soon, and never ok for what a kernel loads otherwise, or hides.",
    cases=100_000,
    open=opened,
    rooms=("verify", "core"),
)
