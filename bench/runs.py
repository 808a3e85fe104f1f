"""CPU and memory of one health check, beside other programs that do the same.

CPU is user + system time of the whole run as the kernel accounts it (wait4), medians of interleaved runs.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.memory import peak
from bench.report import Figure
from bench.server import serving
from bench.sizes import CURLS, PROBES, built

PROBE_ROUNDS = 100


@dataclass(frozen=True, kw_only=True)
class Case:
    """One command line to run again and again."""

    name: str
    words: tuple[str, ...]
    code: int = 0
    must: float | None = None
    aim: float | None = None
    reference: str = ""
    memory: str = ""
    """Reference for its memory."""


MEMORY_BEFORE = {
    ("curl:mini", False): "388, 68 of it dirty",
    ("curl:mini", True): "NRV 388, 384 of it dirty",
    ("curl:https", False): "672, 92 of it dirty",
    ("curl:https", True): "LZMA 752, 748 of it dirty",
}
CPU_BEFORE = {
    ("curl:mini", False): "0.65",
    ("curl:mini", True): "NRV 3.7; LZMA 11.3",
    ("curl:https", False): "0.93",
    ("curl:https", True): "LZMA 22",
}


def cases(urls: dict[str, str]) -> Iterator[Case]:
    """What to run: each file as policy built it, and the machine's own curl beside it."""
    files = built()
    for product, packed in [(product, packed) for product in CURLS for packed in (False, True)]:
        if file := files.get((product, packed)):
            form = "packed" if packed else "plain"
            must, aim = (5.0, None) if packed else (1.2, 0.7)
            yield Case(
                name=f"{product} {form}: GET",
                words=(str(file), "-sf", urls["http"]),
                must=must,
                aim=aim,
                reference=CPU_BEFORE.get((product, packed), ""),
                memory=MEMORY_BEFORE.get((product, packed), ""),
            )
    tls = [
        (f"curl:https {form}", str(files["curl:https", packed]))
        for form, packed in (("plain", False), ("packed", True))
        if ("curl:https", packed) in files
    ]
    own = shutil.which("curl")
    if own:
        yield Case(
            name="the machine's curl: GET",
            words=(own, "-sf", urls["http"]),
            reference="8.6",
            memory="10,548",
        )
        tls.append(("the machine's curl", own))
    for name, program in tls:
        yield Case(
            name=f"{name}: HTTPS GET, --cacert",
            words=(program, "-sf", "--cacert", urls["ca"], urls["https"]),
            reference="mbedTLS 2.8" if "plain" in name else "",
        )
        yield Case(
            name=f"{name}: HTTPS, own CA bundle, refused",
            words=(program, "-sf", urls["https"]),
            code=60,
        )


def runs(options: argparse.Namespace) -> Iterator[Figure]:
    """CPU and memory of one check by curl."""
    with serving() as urls:
        every = list(cases(urls))
        medians = interleaved(every, options.rounds)
        for case in every:
            yield Figure(
                f"{case.name}: CPU",
                "ms",
                medians[case.name],
                must=case.must,
                aim=case.aim,
                reference=case.reference,
            )
        own = medians.get("the machine's curl: GET")
        for product in CURLS:
            for form in ("plain", "packed"):
                mine = medians.get(f"{product} {form}: GET")
                yield Figure(
                    f"{product} {form}: GET, CPU as part of the machine's curl",
                    "ratio",
                    mine / own if mine and own else None,
                    why="this machine has no curl" if not own else "it is not built",
                )
        yield Figure("microcheck: CPU", "ms", None, why="not built here", reference="0.48")
        for case in every:
            if case.code:
                continue
            top = peak(case.words)
            why = "this process may not trace another"
            name, kept = f"{case.name}: peak resident", f"{case.name}: of it not shared"
            yield Figure(name, "kB", top and top[0], why=why, reference=case.memory)
            yield Figure(kept, "kB", top and top[1], why=why)


GO_TWIN = """
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	client := http.Client{Timeout: 3 * time.Second}
	response, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Println("unhealthy:", err)
		os.Exit(1)
	}
	response.Body.Close()
	if response.StatusCode >= 400 {
		fmt.Println("unhealthy:", response.StatusCode)
		os.Exit(1)
	}
	fmt.Println("healthy:", response.StatusCode)
}
"""
"""What a health probe is when it is written in Go and has no options."""

PROBE_CPU = {"probe:micro plain": (5.0, 3.0), "probe:nuitka plain": (18.0, 8.0)}
PROBE_MEMORY = {"probe:micro plain": (3.0, 2.4), "probe:nuitka plain": (6.0, 5.0)}


def go_twin(directory: Path) -> Path | None:
    """The probe's twin in Go, when Go is installed."""
    go = shutil.which("go")
    if go is None:
        return None
    source, program = directory / "main.go", directory / "twin"
    source.write_text(GO_TWIN, "utf-8")
    words = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), str(source)]
    mine = {"CGO_ENABLED": "0", "GOCACHE": str(directory / "cache"), "GOFLAGS": ""}
    subprocess.run(words, cwd=directory, env={**os.environ, **mine}, check=True)
    return program


def probe_runs(_: argparse.Namespace) -> Iterator[Figure]:
    """CPU and memory of starting a probe for one local HTTP check, beside others that do the same, in turn."""
    with serving() as urls, tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        url, programs = urls["http"], {}
        for (product, packed), file in built(PROBES).items():
            if product in PROBES:
                programs[f"{product} {'packed' if packed else 'plain'}"] = (str(file), "http", url)
        others: dict[str, tuple[str, ...] | None] = {"Go's net/http twin": None}
        others |= {"the machine's curl": None, "curl:http plain": None}
        if twin := go_twin(Path(directory)):
            others["Go's net/http twin"] = (str(twin), url)
            yield Figure("Go's net/http twin", "bytes", twin.stat().st_size)
        if own := shutil.which("curl"):
            others["the machine's curl"] = (own, "-sf", url)
        if curl := built(("curl:http",)).get(("curl:http", False)):
            others["curl:http plain"] = (str(curl), "-sf", url)
        every = [
            Case(name=name, words=words)
            for name, words in {**programs, **others}.items()
            if words is not None
        ]
        medians = interleaved(every, PROBE_ROUNDS)
        for name in (*sorted(programs), *others):
            must, aim = PROBE_CPU.get(name, (None, None))
            yield Figure(
                f"one HTTP check by {name}: CPU",
                "ms",
                medians.get(name),
                must=must,
                aim=aim,
                why="it is not installed",
            )
        for name in sorted(PROBE_CPU):
            for other in others:
                mine, theirs = medians.get(name), medians.get(other)
                yield Figure(
                    f"one HTTP check by {name}: CPU as part of {other}",
                    "ratio",
                    mine / theirs if mine and theirs else None,
                    # To cost less than Go and than a dynamic curl is what micro is for.
                    aim=1.0 if "micro" in name and other != "curl:http plain" else None,
                    why="it is not installed",
                )
        for case in every:
            must, aim = PROBE_MEMORY.get(case.name, (None, None))
            top = peak(case.words)
            yield Figure(
                f"one HTTP check by {case.name}: peak resident",
                "MB",
                top and top[0] * 1024 / 1e6,
                must=must,
                aim=aim,
                why="this process may not trace another",
            )


def interleaved(cases: Sequence[Case], rounds: int) -> dict[str, float]:
    """Run all cases in turn, so that a busy machine is unfair to none; return medians of CPU time in ms."""
    spent: dict[str, list[float]] = {case.name: [] for case in cases}
    for case in cases:
        spend(case)  # the first run reads the disk
    for _ in range(rounds):
        for case in cases:
            spent[case.name].append(spend(case))
    return {name: statistics.median(times) for name, times in spent.items()}


def spend(case: Case) -> float:
    """Run once; return its CPU time in ms. Raises when it does not end as it should."""
    with open(os.devnull, "wb") as null:  # noqa: PTH123
        pid = os.posix_spawn(
            case.words[0],
            case.words,
            {"PATH": os.defpath},
            file_actions=[(os.POSIX_SPAWN_DUP2, null.fileno(), 1)],
        )
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != case.code:
        msg = f"{' '.join(case.words)} ended with {os.waitstatus_to_exitcode(status)}, not {case.code}"
        raise RuntimeError(msg)
    return (usage.ru_utime + usage.ru_stime) * 1000
