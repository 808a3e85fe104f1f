"""Hostile servers against every check that talks to one: the exit code is right, soon, and never a traceback.

The judge is how an answer was made (see ``tests/campaigns/talks``): healthy or unhealthy by construction, or one whose
bytes were changed at random, which may be either. Every ``REAL``-th case runs ``python -m probe``, with little address
space; the others run it here, where a wrong turn is seen as the exception it is. Frozen files: see ``probe_frozen``.

Left out: TLS, names that need DNS, and redirects to other places than the server itself, since a changed ``Location``
could lead the probe to somebody else's server.
"""

import json
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from flow.context import ROOT
from probe.cli import run as probe
from probe.report import MOST_OUTPUT_BYTES, output_bytes
from tests.behaviour.servers import serving
from tests.campaigns.campaign import Campaign, Case, Run, Violation
from tests.campaigns.talks.make import make_talk
from tests.campaigns.talks.talk import End, Talk, filled
from tests.campaigns.talks.wire import PLAIN, Wire

GRACE = 5.0
"""Seconds that a check may last beyond its timeout."""
MEMORY = 64 * 1024
"""How much this process may grow, in KiB; the servers are in it too."""
REAL = 40
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
OUTPUTS = ("", "", "--verbose", "--json-output", "--quiet")


class Ended(NamedTuple):
    """What the probe did."""

    code: int
    output: bytes
    seconds: float


Runner = Callable[[list[str], float], Ended]
"""Runs the probe with these words for at most so many seconds. Raises Violation."""


def speak(talk: Talk) -> Callable[[socket.socket], None]:
    """What the server does with a connection: each step after the first waits for words of the client."""

    def handle(connection: socket.socket) -> None:
        asked = b""
        for number, planned in enumerate(talk.steps):
            if number:
                asked = connection.recv(65536)
                if not asked:
                    return
            step = filled(talk.check, planned, asked)
            if not talk.pause:
                connection.sendall(step)
                continue
            for start in range(0, len(step), talk.piece):
                connection.sendall(step[start : start + talk.piece])
                threading.Event().wait(talk.pause)
        match talk.end:
            case End.CLOSE if isinstance(connection, ssl.SSLSocket):
                connection.unwrap()
            case End.CLOSE:
                connection.shutdown(socket.SHUT_WR)
            case End.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            case End.FLOOD:
                while True:
                    connection.sendall(talk.flood)
            case End.SILENCE:
                pass
        while connection.recv(65536):
            pass

    return handle


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise a Violation in what runs longer: a probe that hangs must not hang the campaign."""

    def late(_: int, __: object) -> None:
        msg = f"the probe did not end within {seconds:.2f} s"
        raise Violation(msg)

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_here(words: list[str], limit: float) -> Ended:
    """Run the probe in this process, its standard output kept."""
    began = time.monotonic()
    with alarm(limit):
        code, text = probe([word.encode() for word in words], {})
    return Ended(code, output_bytes(text) if text else b"", time.monotonic() - began)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A probe that is a process of its own, killed when it does not end."""

    command: tuple[str, ...]
    memory: int
    """Bytes of address space that it gets; 0: as much as it wants."""

    def __call__(self, words: list[str], limit: float) -> Ended:
        began = time.monotonic()
        with subprocess.Popen(
            [*self.command, *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONMALLOC": "malloc"},
        ) as process:
            if self.memory:
                resource.prlimit(process.pid, resource.RLIMIT_AS, (self.memory, self.memory))
            try:
                output, errors = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.kill()
                msg = f"the probe did not end within {limit:.2f} s"
                raise Violation(msg) from None
            finally:
                if process.poll() is None:
                    process.kill()
        if errors:
            msg = f"it wrote to its standard error: {errors.decode(errors='replace')[-2000:]}"
            raise Violation(msg)
        return Ended(process.returncode, output, time.monotonic() - began)


PYTHON = Program(command=(sys.executable, "-m", "probe"), memory=96 << 20)


def obeyed(character: str) -> bool:
    """Whether a terminal does something else than show it: controls, line ends, surrogates, directions."""
    kind = unicodedata.category(character)
    return kind in {"Cc", "Zl", "Zp", "Cs"} or unicodedata.bidirectional(character) in DIRECTIONS


def check_output(ended: Ended, form: str) -> None:
    """Raise Violation for a code or output that the contract does not have (docs/probe.md)."""
    if ended.code not in {0, 1}:
        msg = f"exit code {ended.code}"
        raise Violation(msg)
    if form == "--quiet":
        if ended.output:
            msg = f"--quiet, and it said {ended.output!r}"
            raise Violation(msg)
        return
    text = ended.output.decode()
    if not text.endswith("\n") or len(ended.output) > MOST_OUTPUT_BYTES + 1:
        msg = f"output without an end, or too long ({len(ended.output)} B)"
        raise Violation(msg)
    lines = text[:-1].split("\n")
    if (len(lines) > 1 and form != "--verbose") or any(map(obeyed, "".join(lines))):
        msg = f"more than a line, or what a terminal obeys: {text!r}"
        raise Violation(msg)
    if "internal error" in text or "Traceback" in text:
        msg = f"the probe's own error: {text}"
        raise Violation(msg)
    if form == "--json-output":
        healthy = json.loads(text)["healthy"]
    else:
        healthy = text.startswith("healthy: ")
        if not healthy and not text.startswith("unhealthy: "):
            msg = f"no verdict: {text!r}"
            raise Violation(msg)
    if healthy != (ended.code == 0):
        msg = f"exit code {ended.code}, and it said {text!r}"
        raise Violation(msg)


def run_talk(talk: Talk, form: str, *, run: Runner = run_here, wire: Wire = PLAIN) -> str:
    """Run one check against one server; return the outcome, or raise Violation."""
    if not wire.whole and talk.healthy:
        talk = replace(talk, what=f"{talk.what}, changed below TLS", healthy=None)
    with serving(wire.dress(speak(talk))) as server:
        words = [talk.check, server.address]
        if talk.check == "http":
            words[1] = f"http{'s' if wire.secure else ''}://{server.address}/health"
        elif wire.secure:
            words += ["--tls"]
        words += [*wire.words, *talk.words, f"--timeout={int(talk.timeout * 1000)}ms"]
        words += [form] if form else []
        ended = run(words, talk.timeout + GRACE)
    check_output(ended, form)
    told = f"{talk.what}: exit code {ended.code}: {ended.output!r}; words {words!r}; server {talk!r:.3000}"
    if talk.healthy is not None and talk.healthy != (ended.code == 0):
        msg = f"{'healthy' if talk.healthy else 'unhealthy'} by construction, but {told}"
        raise Violation(msg)
    if ended.seconds > talk.timeout + GRACE:
        msg = f"it took {ended.seconds:.1f} s with a timeout of {talk.timeout} s: {told}"
        raise Violation(msg)
    if talk.healthy is None:
        return "changed and healthy" if ended.code == 0 else "changed and unhealthy"
    return "healthy" if talk.healthy else "unhealthy"


@contextmanager
def attack(choose: Callable[[Case, Talk], tuple[Runner, Wire]]) -> Iterator[Run]:
    """Each case: a server by chance, and the probe and the wire that ``choose`` says."""
    at_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(case: Case) -> str:
        talk = make_talk(case.random)
        form = case.random.choice(OUTPUTS)
        runner, wire = choose(case, talk)
        outcome = run_talk(talk, form, run=runner, wire=wire)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > at_first + MEMORY:
            msg = f"this process grew by more than {MEMORY} KiB: {talk.check}, {talk.what}"
            raise Violation(msg)
        return outcome

    yield run


CAMPAIGN = Campaign(
    name="probe-servers",
    purpose="Hostile servers: exit code 0 for all that is healthy and nothing else, in time, in bounded memory.",
    cases=10_000,
    open=lambda: attack(lambda case, _: (run_here if case.number % REAL else PYTHON, PLAIN)),
    rooms=("probe",),
)
