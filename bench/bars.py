"""What curl, the probe and their builds must and should not exceed, on linux/amd64: data, by program and measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PROBES = ("probe:mini", "probe:full", "probe:nuitka")
CURLS = ("curl:mini", "curl:http", "curl:https")
LARGE = ("curl:h2", "curl:full")
"""What moves much data, and is compared by that."""


class Measure(StrEnum):
    """What is measured of every program that does a health check."""

    PLAIN = "bytes, plain"
    PACKED = "bytes, packed"
    ANCHORS = "bytes, trust anchors"
    WHOLE = "bytes, plain, trust anchors inside"
    HTTP = "CPU, HTTP check"
    INSTRUCTIONS = "instructions, HTTP check"
    INSIDE_INSTRUCTIONS = "instructions, HTTPS check, anchors inside"
    RESIDENT = "peak RSS, HTTP check"
    TLS_RESIDENT = "peak RSS, HTTPS check, --ca-file"
    CALLS = "system calls, HTTP check"
    HTTPS = "CPU, HTTPS check, --ca-file"
    INSIDE = "CPU, HTTPS check, anchors inside"
    REFUSED = "CPU, HTTPS check, refused"
    OF_PEM = "CPU, HTTPS check, anchors inside, as part of that with a PEM bundle"
    OF_PEM_REFUSED = "CPU, HTTPS check, refused, as part of that with a PEM bundle"
    BULK = "CPU, 300 MB over AES-256-GCM"
    OF_H2 = "CPU, 300 MB over AES-256-GCM, as part of that of curl:h2"
    BUILD = "build, sources and sysroot cached"

    @property
    def head(self) -> str:
        """The head of its column: short."""
        match self:
            case Measure.PLAIN:
                return "plain"
            case Measure.PACKED:
                return "packed"
            case Measure.ANCHORS:
                return "anchors"
            case Measure.WHOLE:
                return "all of it"
            case Measure.HTTP:
                return "HTTP, ms"
            case Measure.HTTPS:
                return "HTTPS, ms"
            case Measure.INSIDE:
                return "HTTPS inside, ms"
            case Measure.REFUSED:
                return "refused, ms"
            case Measure.RESIDENT:
                return "HTTP, kB"
            case Measure.TLS_RESIDENT:
                return "HTTPS, kB"
            case Measure.INSTRUCTIONS:
                return "instructions"
            case Measure.INSIDE_INSTRUCTIONS:
                return "inside, instructions"
            case Measure.OF_PEM:
                return "inside, of PEM"
            case Measure.OF_PEM_REFUSED:
                return "refused, of PEM"
            case Measure.CALLS:
                return "calls"
            case Measure.BULK:
                return "300 MB, ms"
            case Measure.OF_H2:
                return "300 MB, of curl:h2"
            case Measure.BUILD:
                return "build, s"

    @property
    def unit(self) -> str:
        match self:
            case Measure.PLAIN | Measure.PACKED | Measure.ANCHORS | Measure.WHOLE:
                return "bytes"
            case Measure.HTTP | Measure.HTTPS | Measure.INSIDE | Measure.REFUSED | Measure.BULK:
                return "ms"
            case Measure.RESIDENT | Measure.TLS_RESIDENT:
                return "kB"
            case Measure.BUILD:
                return "s"
            case Measure.OF_PEM | Measure.OF_PEM_REFUSED | Measure.OF_H2:
                return "ratio"
            case Measure.INSTRUCTIONS | Measure.INSIDE_INSTRUCTIONS | Measure.CALLS:
                return "count"


@dataclass(frozen=True)
class Bar:
    """Upper bounds in the measure's unit."""

    must: float
    aim: float


BARS: Mapping[tuple[str, Measure], Bar] = {
    ("curl:mini", Measure.PLAIN): Bar(345_000, 310_000),
    ("curl:http", Measure.PLAIN): Bar(500_000, 465_000),
    ("curl:https", Measure.PLAIN): Bar(740_000, 690_000),  # without the anchors
    ("curl:https", Measure.ANCHORS): Bar(90_000, 56_000),
    ("curl:mini", Measure.HTTP): Bar(0.6, 0.4),
    ("curl:https", Measure.OF_PEM): Bar(0.5, 0.4),
    ("curl:https", Measure.OF_PEM_REFUSED): Bar(0.5, 0.4),
    ("curl:full", Measure.WHOLE): Bar(4_000_000, 3_600_000),
    ("curl:full", Measure.OF_H2): Bar(0.2, 0.1),
    ("probe:mini", Measure.PLAIN): Bar(250_000, 220_000),
    ("probe:mini", Measure.PACKED): Bar(130_000, 105_000),
    ("probe:full", Measure.PLAIN): Bar(500_000, 400_000),  # without the anchors
    ("probe:full", Measure.ANCHORS): Bar(70_000, 56_000),
    ("probe:mini", Measure.HTTP): Bar(1.0, 0.6),
    ("probe:full", Measure.HTTPS): Bar(4.0, 2.5),
    ("probe:full", Measure.INSIDE): Bar(4.0, 2.5),
    ("probe:mini", Measure.RESIDENT): Bar(700, 450),
    ("probe:full", Measure.RESIDENT): Bar(900, 500),
    ("probe:full", Measure.TLS_RESIDENT): Bar(900, 500),
    ("probe:mini", Measure.CALLS): Bar(40, 22),
    ("probe:full", Measure.BUILD): Bar(40, 20),
    ("probe:nuitka", Measure.PLAIN): Bar(3_800_000, 2_600_000),
    ("probe:nuitka", Measure.PACKED): Bar(1_400_000, 1_000_000),
    ("probe:nuitka", Measure.HTTP): Bar(18, 8),
    ("probe:nuitka", Measure.RESIDENT): Bar(5859, 4882),  # 6 and 5 MB
}
"""The bars of each program and measure."""

SMALLER = (("probe:mini", "curl:mini"),)
"""The plain file of the first must have fewer bytes than that of the second, of the same run."""


@dataclass(frozen=True, kw_only=True)
class ColdBuild:
    """A build that finds in its cache nothing but sources and what some steps made."""

    name: str
    words: tuple[str, ...]
    """What stands behind `./inv build`."""
    bar: Bar
    """In seconds, on so many cores as CORES says."""
    tools: bool = False
    """What recipes of tools make is there, too."""
    long: bool = False
    """It is measured only when that is asked for."""


CORES = 2
"""Of the machine that the bars of builds are for."""

COLD_BUILDS = (
    ColdBuild(
        name="curl:http and curl:https, packed, only sources cached",
        words=("curl:http", "curl:https"),
        bar=Bar(90, 60),
    ),
    ColdBuild(
        name="curl:http --no-pack, only sources cached",
        words=("curl:http", "--no-pack"),
        bar=Bar(20, 10),
    ),
    ColdBuild(
        name="every curl and probe for every target, sources and tools cached",
        words=(*CURLS, "curl:h2", *PROBES, "--target", "all"),
        bar=Bar(1200, 720),
        tools=True,
        long=True,
    ),
    ColdBuild(
        name="curl:full, sources and tools cached",
        words=("curl:full",),
        bar=Bar(240, 150),
        tools=True,
        long=True,
    ),
)
"""What is built from nothing, and how long that may take."""

SCALE_BARS: Mapping[tuple[int, int], float] = {(1, 8): 0.9, (20, 64): 0.85}
"""By releases and workers: how much of the bound of the speed-up the scheduler must reach at least, on paper."""
