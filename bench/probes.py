"""One health check by the probe, in each of its forms, beside other programs that do the same, all in one run.

The server is on the loopback interface. It is asked by HTTP; by HTTPS (TLS 1.3, ECDSA P-256), and believed by a file of
authorities, or by the anchors inside, which are exchanged in a copy of the file; and by HTTPS again, and refused, since
nobody whom the program trusts has signed for it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.anchors import trusting
from bench.bars import BARS, PROBES, SMALLER, Measure
from bench.counts import Count, instructions, system_calls
from bench.memory import peak
from bench.report import Figure
from bench.runs import Case, interleaved
from bench.server import serving
from bench.sizes import authorities_in, built
from core.target import Target
from flow.context import ROOT

ROUNDS = 100
CURLS = ("curl:mini", "curl:https")
NOT_BUILT = "it is not built"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A program that does a health check. Empty words: it does none of that kind."""

    name: str
    http: tuple[str, ...] = ()
    https: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    """It believes by the anchors inside."""
    refused: tuple[str, ...] = ()
    """It looks at the certificate, believes none of the authorities that it has by itself, and ends with ``code``."""
    code: int = 1
    says: str = ""
    """What it prints then, so that nothing else that fails is taken for it."""
    plain: Path | None = None
    packed: Path | None = None
    why: str = ""
    """Why it is not there at all."""


def probe_runs(options: argparse.Namespace) -> Iterator[Figure]:
    """Sizes, CPU time, memory and calls of one check by each program there is."""
    with (
        serving() as urls,
        tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory,
    ):
        every = [*ours(urls, Path(directory)), *others(urls, Path(directory))]
        rivals = [rival for rival in every if not rival.why]
        for rival in every:
            if rival.why:
                yield figure(rival, Measure.HTTP, Count(None, rival.why))
            yield from sizes(rival)
        yield from smaller(rivals)
        yield from times(rivals, min(options.rounds, ROUNDS))
        for rival in rivals:
            yield from footprint(rival)


def ours(urls: dict[str, str], directory: Path) -> Iterator[Rival]:
    """The probe in each of its forms, and the curls, as policy built them."""
    http, https = urls["http"], urls["https"]
    files = built((*PROBES, *CURLS))
    for product in PROBES:
        plain, tls = files.get((product, False)), product != "probe:mini"
        if plain is None:
            yield Rival(name=product, why=NOT_BUILT)
            continue
        words = (str(plain), "http")
        copy = directory / product.replace(":", "-")
        trusted = tls and trusting(plain, Path(urls["ca"]), copy)
        yield Rival(
            name=product,
            http=(*words, http),
            https=(*words, https, "--ca-file", urls["ca"]) if tls else (),
            inside=(str(copy), "http", https) if trusted else (),
            refused=(*words, https) if tls else (),
            says="certificate refused",
            plain=plain,
            packed=files.get((product, True)),
        )
        if packed := files.get((product, True)):
            yield Rival(name=f"{product}, packed", http=(str(packed), "http", http))
    python = (sys.executable, "-S", "-m", "probe", "http")
    yield Rival(
        name="python -m probe",
        http=(*python, http),
        https=(*python, https, "--ca-file", urls["ca"]),
    )
    for product in CURLS:
        file, tls = files.get((product, False)), product == "curl:https"
        curl = str(file)
        yield Rival(
            name=product,
            http=(curl, "-sf", http) if file else (),
            https=(curl, "-sf", "--cacert", urls["ca"], https) if file and tls else (),
            refused=(curl, "-sS", https) if file and tls else (),
            code=60,
            says="certificate",
            plain=file,
            packed=files.get((product, True)),
            why="" if file else NOT_BUILT,
        )


def others(urls: dict[str, str], directory: Path) -> Iterator[Rival]:
    """What people use instead, as far as it is there."""
    http, https = urls["http"], urls["https"]
    name, machine_s = "Debian's curl", shutil.which("curl")
    if machine_s:
        words = (machine_s, "-sf", "--cacert", urls["ca"], https)
        refused = (machine_s, "-sS", https)
        get = (machine_s, "-sf", http)
        yield Rival(name=name, http=get, https=words, refused=refused, code=60, says="certificate")
    else:
        yield absent(name, "curl")
    name, machine_s = "busybox wget", shutil.which("busybox")
    if machine_s:
        yield Rival(name=name, http=(machine_s, "wget", "-q", "-O", os.devnull, http))
    else:
        yield absent(name, "busybox-static")
    name = "Go net/http twin"
    if twin := go_twin(directory):
        yield Rival(
            name=name,
            http=(str(twin), http),
            https=(str(twin), https, urls["ca"]),
            refused=(str(twin), https),
            says="certificate signed by unknown authority",
            plain=twin,
        )
    else:
        yield absent(name, "golang-go")


def absent(name: str, package: str) -> Rival:
    """A program that is not there."""
    return Rival(name=name, why=f"not installed: apt-get install -y {package}")


def go_twin(directory: Path) -> Path | None:
    """The probe's twin in Go, when Go is installed."""
    go = shutil.which("go")
    if go is None:
        return None
    source, program = directory / "main.go", directory / "twin"
    shutil.copyfile(ROOT / "bench" / "twin.go", source)
    words = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), str(source)]
    mine = {"CGO_ENABLED": "0", "GOCACHE": str(directory / "cache"), "GOFLAGS": ""}
    subprocess.run(words, cwd=directory, env={**os.environ, **mine}, check=True)
    return program


def sizes(rival: Rival) -> Iterator[Figure]:
    """Bytes of its files; the authorities inside are counted apart, as who trusts more has more of them."""
    if rival.plain:
        inside = authorities_in(rival.plain.read_bytes())
        yield figure(rival, Measure.PLAIN, Count(rival.plain.stat().st_size - inside))
        yield from [figure(rival, Measure.ANCHORS, Count(inside))] * bool(inside)
    if rival.packed:
        yield figure(rival, Measure.PACKED, Count(rival.packed.stat().st_size))


def smaller(rivals: Sequence[Rival]) -> Iterator[Figure]:
    """Whether the one file is smaller than the other."""
    files = {rival.name: rival.plain for rival in rivals}
    for mine, theirs in SMALLER:
        one, other = files.get(mine), files.get(theirs)
        both = one is not None and other is not None
        yield Figure(
            f"{mine} is smaller than {theirs}",
            "bytes",
            one.stat().st_size if both and one else None,
            must=other.stat().st_size - 1 if both and other else None,
            why=NOT_BUILT,
        )


def times(rivals: Sequence[Rival], rounds: int) -> Iterator[Figure]:
    """Medians of CPU time, all programs in turn."""
    measured: list[tuple[Rival, Measure, Case]] = []
    for rival in rivals:
        checks = {
            Measure.HTTP: Case(name=f"{rival.name}, http", words=rival.http),
            Measure.HTTPS: Case(name=f"{rival.name}, https", words=rival.https),
            Measure.INSIDE: Case(name=f"{rival.name}, inside", words=rival.inside),
            Measure.REFUSED: Case(
                name=f"{rival.name}, refused", words=rival.refused, code=rival.code
            ),
        }
        measured += [(rival, measure, case) for measure, case in checks.items() if case.words]
        if rival.refused:
            refusal(rival)
    medians = interleaved([case for _, _, case in measured], rounds)
    for rival, measure, case in measured:
        yield figure(rival, measure, Count(medians[case.name]))


def refusal(rival: Rival) -> None:
    """Raise RuntimeError when it refuses the server for something else than its certificate."""
    done = subprocess.run(rival.refused, capture_output=True, check=False, text=True)
    if rival.says not in done.stdout + done.stderr:
        msg = f"{rival.name} did not speak of the certificate: {done.stdout}{done.stderr}"
        raise RuntimeError(msg)


def footprint(rival: Rival) -> Iterator[Figure]:
    """Memory, system calls and instructions of one HTTP check."""
    yield figure(rival, Measure.RESIDENT, resident(rival.http))
    if rival.https:
        yield figure(rival, Measure.TLS_RESIDENT, resident(rival.https))
    yield figure(rival, Measure.CALLS, system_calls(rival.http))
    yield figure(rival, Measure.INSTRUCTIONS, instructions(rival.http))


def resident(words: Sequence[str]) -> Count:
    """The most memory that one run has at a time."""
    top = peak(words)
    return Count(top and top[0], "this process may not trace another")


def figure(rival: Rival, measure: Measure, count: Count) -> Figure:
    """A figure with its place in the table, and its bar where the platform is the one that bars are for."""
    bar = BARS.get((rival.name, measure)) if Target.native() is Target.AMD64 else None
    return Figure(
        f"{rival.name}: {measure}",
        measure.unit,
        count.value,
        must=bar.must if bar else None,
        aim=bar.aim if bar else None,
        why=count.why,
        row=rival.name,
        column=measure.head,
    )
