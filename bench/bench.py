"""Measures what was built, and the building, beside the figures it must and should reach. Run as ``./inv bench``.

CPU is user + system time of the whole run as the kernel accounts it (wait4), medians of interleaved runs. Memory of a
program is read at its end through ptrace: ``ru_maxrss`` would count this Python, which the child was a copy of.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builders.build import Builder, Outcome
from builders.engines.isolation import find_backend
from builders.plan import Step, needed_recipes, plan, topological_order
from builders.sources.cache import Cache, EntryKind
from builders.sources.fetch import NotCached
from console.table import table
from core.errors import ExitCode, FromscratchError
from core.progress import NullReport
from core.settings import Settings
from core.target import Target
from flow.build import ALL, Pipeline, Request, parse_targets
from flow.context import ROOT
from recipes.model import Recipe

INV = str(ROOT / "inv")
PRODUCTS = ("curl:mini", "curl:http", "curl:https")
PROBES = ("probe:micro", "probe:nuitka")
PROBE_ROUNDS = 100
WARM_ROUNDS = 10
BUILD_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number with its bars. ``must`` and ``aim`` are upper bounds; ``value`` None: not measured."""

    name: str
    unit: str
    value: float | None
    must: float | None = None
    aim: float | None = None
    reference: str = ""
    """What was measured before this project, elsewhere: a hint, not a bar."""
    why: str = ""
    """Why it was not measured."""

    @property
    def state(self) -> str:
        """What the closing column says."""
        if self.value is None:
            return f"not measured: {self.why}"
        if self.must is not None and self.value > self.must:
            return "MISSED"
        if self.aim is not None and self.value > self.aim:
            return "ok, aim missed" if self.must is not None else "aim missed"
        return "ok" if self.must is not None or self.aim is not None else ""


def main() -> int:
    """Measure, print, and return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="inv bench")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(Path(options.serve))
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    # Backend times mean nothing without it.
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before measuring"
    figures: list[Figure] = []
    parts = (
        sizes,
        probe_sizes,
        runs,
        probe_runs,
        warm_builds,
        warm_targets,
        real_build,
        cold_builds,
    )
    for part in parts:
        print(f"measuring {part.__name__.replace('_', ' ')} ...", file=sys.stderr, flush=True)
        for figure in part(options):
            figures.append(figure)
    if options.json:
        rows = [{**asdict(figure), "state": figure.state} for figure in figures]
        print(json.dumps({"version": 1, "machine": machine, "figures": rows}, indent=2))
    else:
        print(f"{show(figures)}\n\n{machine}")
    return int(any(figure.state == "MISSED" for figure in figures))


def show(figures: Sequence[Figure]) -> str:
    """The figures as a table for people."""

    def number(value: float | None, unit: str) -> str:
        if value is None:
            return "-"
        return f"{value:,.0f}" if unit in {"bytes", "kB"} else f"{value:.2f}"

    rows = [
        (
            figure.name,
            number(figure.value, figure.unit),
            figure.unit,
            number(figure.must, figure.unit),
            number(figure.aim, figure.unit),
            figure.state,
            figure.reference,
        )
        for figure in figures
    ]
    return table(("figure", "measured", "unit", "must", "aim", "state", "reference"), rows)


# --- sizes -----------------------------------------------------------------------------------------------------------

SIZE_BARS = {
    "curl:mini": (350_000, 310_000),
    "curl:http": (520_000, 480_000),
    "curl:https": (690_000, 640_000),
}
SIZES_BEFORE = {
    "curl:mini": "gcc LTO 325,384; zig cc 343,872",
    "curl:http": "gcc LTO 496,544; zig cc 514,864",
    "curl:https": "gcc LTO, trimmed mbedTLS 659,968",
}


def sizes(_: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of every curl, and what is left of packing once a registry has compressed the layer."""
    files = built()
    for product in PRODUCTS:
        must, aim = SIZE_BARS[product] if Target.native() is Target.AMD64 else (None, None)
        plain, packed = files.get((product, False)), files.get((product, True))
        if plain is None:
            yield Figure(name=f"{product} plain", unit="bytes", value=None, why="it is not built")
            continue
        size, extra, name = plain.stat().st_size, 0, f"{product} plain"
        if product == "curl:https":
            yield Figure(name=f"{product} plain, all of it", unit="bytes", value=size)
            extra = len(output(plain, "--dump-ca-embed").rstrip(b"\n")) + 1
            name = f"{product} plain, without the CA bundle"
            yield Figure(name=f"{product}: the CA bundle", unit="bytes", value=extra)
        before = SIZES_BEFORE[product]
        yield Figure(
            name=name, unit="bytes", value=size - extra, must=must, aim=aim, reference=before
        )
        yield Figure(name=f"{product} plain, gzipped", unit="bytes", value=gzipped(plain))
        if packed is not None:
            yield Figure(name=f"{product} packed", unit="bytes", value=packed.stat().st_size)
            yield Figure(name=f"{product} packed, gzipped", unit="bytes", value=gzipped(packed))


PROBE_BARS = {
    ("probe:micro", False): (1_900_000, 1_300_000),
    ("probe:micro", True): (720_000, 500_000),
    ("probe:nuitka", False): (3_800_000, 2_600_000),
    ("probe:nuitka", True): (1_400_000, 1_000_000),
}


def probe_sizes(_: argparse.Namespace) -> Iterator[Figure]:
    """Bytes of every probe."""
    files = built(PROBES)
    for (product, packed), bars in PROBE_BARS.items():
        must, aim = bars if Target.native() is Target.AMD64 else (None, None)
        file, name = files.get((product, packed)), f"{product} {'packed' if packed else 'plain'}"
        if file is None:
            yield Figure(name=name, unit="bytes", value=None, why="it is not built")
            continue
        size, extra = file.stat().st_size, 0
        if product == "probe:nuitka" and packed:
            name += ", with the CA bundle"  # nobody can tell which of its bytes are the bundle's
        elif product == "probe:nuitka":
            yield Figure(name=f"{name}, all of it", unit="bytes", value=size)
            name, extra = f"{name}, without the CA bundle", bundle_in(file.read_bytes())
            yield Figure(name=f"{product}: the CA bundle", unit="bytes", value=extra)
        yield Figure(name=name, unit="bytes", value=size - extra, must=must, aim=aim)


def bundle_in(data: bytes) -> int:
    """How many bytes lie from the first certificate to the end of the last."""
    end = b"-----END CERTIFICATE-----\n"
    first = data.find(b"-----BEGIN CERTIFICATE-----\n")
    return data.rfind(end) + len(end) - first if first >= 0 else 0


def built(products: Sequence[str] = PRODUCTS) -> dict[tuple[str, bool], Path]:
    """Every product for this machine in artifacts/, by name and whether it is packed; built when missing."""
    subprocess.run([INV, "build", *products], stdout=subprocess.DEVNULL, check=True)
    pipeline = make_pipeline()
    target = Target.native().value
    newest = {name: recipe.releases[0].version for name, recipe in pipeline.recipes.items()}
    return {
        (str(entry["product"]), bool(entry["packed"])): pipeline.artifacts / str(entry["path"])
        for entry in pipeline.manifest()
        if entry["target"] == target
        and entry["release"] == newest[str(entry["product"]).partition(":")[0]]
    }


def gzipped(file: Path) -> int:
    """What a registry or its client makes of a layer with this file."""
    return len(zlib.compress(file.read_bytes(), 6))


def output(program: Path, *args: str) -> bytes:
    """What a program prints."""
    return subprocess.run([program, *args], capture_output=True, check=True).stdout


# --- runs ------------------------------------------------------------------------------------------------------------


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


def cases(places: dict[str, str]) -> Iterator[Case]:
    """What to run: each file as policy built it, and the machine's own curl beside it."""
    files = built()
    for product, packed in [(product, packed) for product in PRODUCTS for packed in (False, True)]:
        if file := files.get((product, packed)):
            form = "packed" if packed else "plain"
            must, aim = (5.0, None) if packed else (1.2, 0.7)
            yield Case(
                name=f"{product} {form}: GET",
                words=(str(file), "-sf", places["http"]),
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
            words=(own, "-sf", places["http"]),
            reference="8.6",
            memory="10,548",
        )
        tls.append(("the machine's curl", own))
    for name, program in tls:
        yield Case(
            name=f"{name}: HTTPS GET, --cacert",
            words=(program, "-sf", "--cacert", places["ca"], places["https"]),
            reference="mbedTLS 2.8" if "plain" in name else "",
        )
        yield Case(
            name=f"{name}: HTTPS, own CA bundle, refused",
            words=(program, "-sf", places["https"]),
            code=60,
        )


def runs(options: argparse.Namespace) -> Iterator[Figure]:
    """CPU and memory of one check, all cases in turn so that a busy machine is unfair to none."""
    with serving() as places:
        every = list(cases(places))
        spent: dict[str, list[float]] = {case.name: [] for case in every}
        for case in every:
            spend(case)  # the first run reads the disk
        for _ in range(options.rounds):
            for case in every:
                spent[case.name].append(spend(case))
        medians = {name: statistics.median(times) for name, times in spent.items()}
        for case in every:
            yield Figure(
                name=f"{case.name}: CPU",
                unit="ms",
                value=medians[case.name],
                must=case.must,
                aim=case.aim,
                reference=case.reference,
            )
        own = medians.get("the machine's curl: GET")
        for product in PRODUCTS:
            for form in ("plain", "packed"):
                mine = medians.get(f"{product} {form}: GET")
                yield Figure(
                    name=f"{product} {form}: GET, CPU as part of the machine's curl",
                    unit="ratio",
                    value=mine / own if mine and own else None,
                    why="this machine has no curl" if not own else "it is not built",
                )
        yield Figure(
            name="microcheck: CPU", unit="ms", value=None, why="not built here", reference="0.48"
        )
        for case in every:
            if case.code:
                continue
            top = peak(case.words)
            why = "this process may not trace another"
            name, kept = f"{case.name}: peak resident", f"{case.name}: of it not shared"
            yield Figure(name=name, unit="kB", value=top and top[0], why=why, reference=case.memory)
            yield Figure(name=kept, unit="kB", value=top and top[1], why=why)


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
    with serving() as places, tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        url, programs = places["http"], {}
        for (product, packed), file in built(PROBES).items():
            if product in PROBES:
                programs[f"{product} {'packed' if packed else 'plain'}"] = (str(file), "http", url)
        others: dict[str, tuple[str, ...] | None] = {"Go's net/http twin": None}
        others |= {"the machine's curl": None, "curl:http plain": None}
        if twin := go_twin(Path(directory)):
            others["Go's net/http twin"] = (str(twin), url)
            yield Figure(name="Go's net/http twin", unit="bytes", value=twin.stat().st_size)
        if own := shutil.which("curl"):
            others["the machine's curl"] = (own, "-sf", url)
        if curl := built(("curl:http",)).get(("curl:http", False)):
            others["curl:http plain"] = (str(curl), "-sf", url)
        every = [
            Case(name=name, words=words)
            for name, words in {**programs, **others}.items()
            if words is not None
        ]
        for case in every:
            spend(case)  # the first run reads the disk
        spent: dict[str, list[float]] = {case.name: [] for case in every}
        for _round in range(PROBE_ROUNDS):
            for case in every:
                spent[case.name].append(spend(case))
        medians = {name: statistics.median(times) for name, times in spent.items()}
        for name in (*sorted(programs), *others):
            must, aim = PROBE_CPU.get(name, (None, None))
            yield Figure(
                name=f"one HTTP check by {name}: CPU",
                unit="ms",
                value=medians.get(name),
                must=must,
                aim=aim,
                why="it is not installed",
            )
        for name in sorted(PROBE_CPU):
            for other in others:
                mine, theirs = medians.get(name), medians.get(other)
                yield Figure(
                    name=f"one HTTP check by {name}: CPU as part of {other}",
                    unit="ratio",
                    value=mine / theirs if mine and theirs else None,
                    # To cost less than Go and than a dynamic curl is what micro is for.
                    aim=1.0 if "micro" in name and other != "curl:http plain" else None,
                    why="it is not installed",
                )
        for case in every:
            must, aim = PROBE_MEMORY.get(case.name, (None, None))
            top = peak(case.words)
            yield Figure(
                name=f"one HTTP check by {case.name}: peak resident",
                unit="MB",
                value=top and top[0] * 1024 / 1e6,
                must=must,
                aim=aim,
                why="this process may not trace another",
            )


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


TRACEME, CONT, SETOPTIONS = 0, 7, 0x4200
TRACEEXIT, EXITKILL, EVENT_EXIT = 0x40, 0x100000, 6
"""https://man7.org/linux/man-pages/man2/ptrace.2.html"""


def peak(words: Sequence[str]) -> tuple[float, float] | None:
    """Run once, stop it at its very end; return (peak resident, what of it is not the file's) in kB."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace.restype = ctypes.c_long
    pid = os.fork()
    if not pid:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if ptrace(TRACEME, 0, None, None) == 0:
                os.execve(words[0], list(words), {"PATH": os.defpath})
        finally:
            os._exit(127)
    found: tuple[float, float] | None = None
    _, status = os.waitpid(pid, 0)
    if os.WIFSTOPPED(status):
        ptrace(SETOPTIONS, pid, None, TRACEEXIT | EXITKILL)
        passed = 0
        while os.WIFSTOPPED(status):
            if status >> 8 == signal.SIGTRAP | EVENT_EXIT << 8:
                # Pages of the file are shared by all who run it; they only ever get more.
                shared = memory(pid, "smaps_rollup", "Rss") - memory(
                    pid, "smaps_rollup", "Anonymous"
                )
                highest = memory(pid, "status", "VmHWM")
                found = (highest, max(0.0, highest - shared))
            ptrace(CONT, pid, None, passed)
            _, status = os.waitpid(pid, 0)
            stopped = os.WSTOPSIG(status) if os.WIFSTOPPED(status) else 0
            passed = 0 if stopped in {signal.SIGTRAP, 0} else stopped
    return found


def memory(pid: int, file: str, key: str) -> float:
    """One line of /proc/PID/FILE, in kB."""
    for line in Path(f"/proc/{pid}/{file}").read_text("ascii").splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1])
    msg = f"/proc/{pid}/{file} has no {key}"
    raise RuntimeError(msg)


# --- the server, a process of its own so that it costs the measured ones nothing -----------------------------


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Run the servers until the block is left; they also end with this process, whose pipe they read."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.bench", "--serve", directory],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                msg = "the loopback server did not start"
                raise RuntimeError(msg)
            yield json.loads(line)
        finally:
            process.kill()
            process.communicate()


def serve(directory: Path) -> int:
    """Response 200 on two loopback ports, without and with TLS, until standard input ends."""
    import trustme  # noqa: PLC0415

    authority = trustme.CA()
    ca = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    places = {"ca": str(ca)}
    for scheme, wrap in (("http", None), ("https", context)):
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        places[scheme] = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/health"
        threading.Thread(target=answer, args=(listener, wrap), daemon=True).start()
    print(json.dumps(places), flush=True)
    sys.stdin.buffer.read()
    return 0


def answer(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    """One connection after the other: the runs come one by one."""
    while True:
        connection, _ = listener.accept()
        try:
            connection.settimeout(10)
            with (
                context.wrap_socket(connection, server_side=True)
                if context
                else connection as stream
            ):
                request = b""
                while b"\r\n\r\n" not in request and (piece := stream.recv(4096)):
                    request += piece
                stream.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                )
        except OSError:
            pass  # a client that refuses our certificate


# --- builds ----------------------------------------------------------------------------------------------------------


def make_pipeline(**flags: str) -> Pipeline:
    """The pipeline as `./inv` would set it up."""
    return Pipeline(settings=Settings.read(flags), report=NullReport())


def warm_builds(_: argparse.Namespace) -> Iterator[Figure]:
    """`./inv build` when nothing changed."""
    times = []
    for round_ in range(WARM_ROUNDS + 1):
        began = time.monotonic()
        subprocess.run([INV, "build"], stdout=subprocess.DEVNULL, check=True)
        if round_:
            times.append(time.monotonic() - began)
    name = "`./inv build`, nothing changed: wall"
    yield Figure(name=name, unit="s", value=statistics.median(times), must=0.6, aim=0.3)


def warm_targets(_: argparse.Namespace) -> Iterator[Figure]:
    """The same for every target at once whose files are all built."""
    targets = cached_targets(make_pipeline(offline="1"))
    every = len(targets) == len(parse_targets(ALL))
    words = [INV, "build", "--offline", "--target", ALL if every else ",".join(targets)]
    times: list[float] = []
    for round_ in range(WARM_ROUNDS + 1 if targets else 0):
        began = time.monotonic()
        subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        if round_:
            times.append(time.monotonic() - began)
    yield Figure(
        name=f"`./inv build` for {len(targets)} targets, nothing changed: wall",
        unit="s",
        value=statistics.median(times) if times else None,
        must=1.0,
        why="no target is built whole",
    )


def cached_targets(pipeline: Pipeline) -> list[str]:
    """Return the targets for which every step of every default product is in the cache.

    All of them, or only those that every product supports: what `./inv build --target` takes.
    """
    products, _ = pipeline.select(())
    builder = Builder(
        cache=pipeline.cache,
        toolchain=pipeline.toolchain,
        engine=pipeline.engine,
        report=pipeline.report,
        logs=pipeline.cache_directory / "logs",
    )
    found: list[tuple[str, bool]] = []
    with suppress(NotCached):
        sources = pipeline.fetch(needed_recipes(products, pipeline.recipes), {})
        releases = {name: release for name, (release, _) in sources.items()}
        for target in parse_targets(ALL):
            request = Request(targets=(target,), everywhere=True)
            goals = plan(
                pipeline.combine(products, request),
                pipeline.recipes,
                releases,
                native=Target.native(),
            )
            outcomes: dict[Step, Outcome] = {}
            for step in topological_order(goals):
                inputs = {name: outcomes[need] for name, need in step.needs}
                outcome = builder.look_up(step, inputs)
                if outcome is None:
                    break
                outcomes[step] = outcome
            else:
                found.append((target.value, len(goals) == len(products)))
    if len(found) == len(parse_targets(ALL)):
        return [name for name, _ in found]
    return [name for name, whole in found if whole]


def real_build(options: argparse.Namespace) -> Iterator[Figure]:
    """`./inv build curl:http` in the sandbox with sources, sysroot and packer cached, and nothing of curl."""
    backend = "`./inv build curl:http --engine sandbox`, step cache empty: wall"
    resident = "the same: peak resident of the pipeline's own process"
    why = "--quick" if options.quick else no_sandbox()
    value: tuple[float, float] | None = None
    if not why:
        with ExitStack() as stack:
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="fromscratch-bench-"))
            )
            pipeline = make_pipeline()
            seed(pipeline.cache, Cache(directory / "cache"), pipeline.recipes)
            value = timed_build(directory)
    before = "CMake and Ninja alone 6-12"
    yield Figure(
        name=backend, unit="s", value=value and value[0], must=25, aim=15, reference=before, why=why
    )
    yield Figure(name=resident, unit="MB", value=value and value[1], must=120, why=why)


def no_sandbox() -> str:
    """Why the sandbox does not work here; empty when it does."""
    try:
        find_backend(make_pipeline().chooser.scratch)
    except FromscratchError as error:
        return error.what
    return ""


def cold_builds(options: argparse.Namespace) -> Iterator[Figure]:
    """`./inv build` of each probe in the sandbox with the sources cached, and nothing else."""
    why = "only with --cold" if not options.cold else no_sandbox()
    for product in PROBES:
        seconds: float | None = None
        if not why:
            with tempfile.TemporaryDirectory(prefix="fromscratch-bench-") as name:
                pipeline = make_pipeline()
                seed(pipeline.cache, Cache(Path(name) / "cache"), pipeline.recipes, steps=())
                seconds, _ = timed_build(Path(name), product)
        yield Figure(
            name=f"`./inv build {product} --engine sandbox`, only sources cached: wall",
            unit="s",
            value=seconds,
            must=240,
            aim=120,
            why=why,
        )


def seed(
    old: Cache,
    new: Cache,
    recipes: Mapping[str, Recipe],
    *,
    steps: tuple[str, ...] = ("musl ", "upx "),
) -> None:
    """Copy the sources and what ``steps`` made; nothing of curl, no remembered proof."""
    for entry in old.entries():
        value: dict[str, Any] | None = None
        if entry.kind is EntryKind.ACTION:
            value = old.get_action(entry.name)
        if value is None:
            continue
        blobs: list[str] = []
        if str(value.get("step", "")).startswith(steps):
            blobs = [value["output"], *value["files"].values()]
        elif "url" not in value:
            continue
        for sha256 in blobs:
            if blob := old.blob(sha256):
                new.put_file(blob)
        new.put_action(entry.name, value)
    for recipe in recipes.values():
        for release in recipe.releases:
            if release.source and (blob := old.blob(release.source.sha256)):
                new.put_file(blob)


def timed_build(directory: Path, product: str = "curl:http") -> tuple[float, float]:
    """Return (seconds, MB) of one real build into ``directory``. `inv` replaces itself by Python: one process id."""
    environment = {
        **os.environ,
        "FROMSCRATCH_CACHE": str(directory / "cache"),
        "FROMSCRATCH_ARTIFACTS": str(directory / "artifacts"),
    }
    log = directory / "log"
    began = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [INV, "build", product, "--engine", "sandbox", "--offline"],
            env=environment,
            stdout=file,
            stderr=file,
        )
        highest = 0.0
        try:
            # The mark only ever rises, and is only gone with the process: the last look is the peak.
            while process.poll() is None and time.monotonic() - began < BUILD_SECONDS:
                with suppress(OSError, RuntimeError):  # it ended between the two looks
                    highest = max(highest, memory(process.pid, "status", "VmHWM"))
                time.sleep(0.02)
            seconds = time.monotonic() - began
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
    if process.returncode:
        msg = f"the timed build ended with {process.returncode}:\n{log.read_text('utf-8', 'replace')[-2000:]}"
        raise RuntimeError(msg)
    return seconds, highest / 1024


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.CalledProcessError, FromscratchError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ExitCode.STEP)
