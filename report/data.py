"""All that the page shows, as values: docs/schema/report.json is their shape. Sizes in bytes, times in seconds."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Before:
    """The same file of an earlier release."""

    release: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Again:
    """How a file was built a second time."""

    equal: bool
    when: str
    how: str


@dataclass(frozen=True, kw_only=True)
class BuiltFile:
    """One file that was delivered. What is None was not recorded."""

    product: str
    release: str
    target: str
    packed: bool
    path: str
    sha256: str
    size: int
    gzip: int | None = None
    budget: int | None = None
    """The most that its verdict allows, trust anchors included."""
    anchors: int | None = None
    """Bytes of trust anchors inside."""
    ok: bool
    findings: tuple[str, ...] = ()
    smoke: str
    """ok, FAILED or not run"""
    smoke_how: str
    engine: str
    isolated: bool
    seconds: float
    again: Again | None = None
    reproduced_by: tuple[str, ...] = ()
    """The ids of other builders' keys that signed for the same bytes."""
    before: Before | None = None

    @property
    def change(self) -> int | None:
        """Bytes more than before."""
        return self.size - self.before.size if self.before else None


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A file that was refused, or a step that failed, in the newest run: it is not among the files."""

    name: str
    product: str
    target: str
    what: str
    """refused, smoke run failed, step failed"""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Something with a size inside something with a size; the pieces' sizes add up to it."""

    name: str
    size: int
    note: str = ""
    pieces: tuple["Piece", ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What the bytes of a plain file are."""

    product: str
    release: str
    target: str
    size: int
    libraries: tuple[Piece, ...]
    """Libraries, their objects, and of those the largest functions and data."""
    unowned: tuple[Piece, ...]
    """What belongs to no library: each with the reason."""
    checks: tuple[Piece, ...] = ()
    """Of the probe: its checks, which are inside of the above."""
    checks_note: str = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that was done, or was found done."""

    name: str
    kind: str
    """fetch, build, pack, verdict or smoke"""
    lane: str
    began: float
    """Seconds since its run began."""
    seconds: float
    """What it took; of a cached one, what it took when it was made."""
    cached: bool
    failed: bool = False
    critical: bool = False
    """On the longest chain of things that waited for each other."""
    cpu: float | None = None
    memory: int | None = None
    """Bytes at the worst moment."""

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, and what it did itself."""

    when: str
    cores: int | None
    jobs: int | None
    seconds: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one start of a program costs, beside its size; what is None was not measured."""

    name: str
    ours: bool
    size: int | None
    cpu: float | None
    """Milliseconds."""
    memory: float | None
    """kB that are not shared."""
    when: str
    machine: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A source that went into the files."""

    name: str
    version: str
    licence: str
    sha256: str
    url: str
    """Where its bytes came from; empty for a directory of the project."""
    date: str
    """The day of its release; empty when its recipe does not know it any more."""
    signature: str
    """Whose signature was checked when it was pinned, or why none."""
    files: int
    """Of how many files it is a part."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What databases of vulnerabilities knew."""

    when: str
    asked: tuple[str, ...]
    affecting: int
    """Known ones that concern a product."""
    refused: int
    """Those that are as bad as the threshold, or worse."""
    threshold: str
    parts: int
    """Components of the products that are there, which were asked about."""
    unnamed: int
    """Those of them that no database could name: nothing is known of them."""
    blind: bool
    """Somebody could not be looked up."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole."""

    made: str
    against: str = ""
    """What the sizes are compared with."""
    files: tuple[BuiltFile, ...]
    trouble: tuple[Trouble, ...] = ()
    fill: tuple[Fill, ...] = ()
    runs: tuple[Run, ...] = ()
    costs: tuple[Cost, ...] = ()
    parts: tuple[Part, ...] = ()
    audit: Audit | None = None

    def as_dict(self) -> dict[str, Any]:
        """See docs/schema/report.json."""
        return {"version": VERSION, **asdict(self)}

    @property
    def plain(self) -> tuple[BuiltFile, ...]:
        return tuple(file for file in self.files if not file.packed)

    def packed(self, file: BuiltFile) -> BuiltFile | None:
        """The packed form of a plain file."""
        same = (file.product, file.release, file.target)
        forms = (it for it in self.files if (it.product, it.release, it.target) == same)
        return next((it for it in forms if it.packed), None)

    @property
    def products(self) -> tuple[str, ...]:
        """Those that were built, or should have been; a program's variants by their size."""
        sizes: dict[str, list[int]] = {}
        for file in self.plain:
            sizes.setdefault(file.product, []).append(file.size)
        names = {*sizes, *(it.product for it in self.trouble if it.product)}

        def order(name: str) -> tuple[str, int, str]:
            found = sorted(sizes.get(name, [0]))
            return name.partition(":")[0], found[len(found) // 2], name

        return tuple(sorted(names, key=order))

    @property
    def targets(self) -> tuple[str, ...]:
        """Those that something was built for, or should have been."""
        return _in_order(
            [*(it.target for it in self.files), *(it.target for it in self.trouble if it.target)]
        )


def _in_order(targets: Iterable[str]) -> tuple[str, ...]:
    first = {"linux/amd64": 0, "linux/arm64": 1}
    return tuple(sorted(set(targets), key=lambda name: (first.get(name, 2), name)))
