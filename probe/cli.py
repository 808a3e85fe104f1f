"""The whole run on one screen: options, checks, verdict, exit code."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.grpc_check import prepare_grpc
from probe.http_check import prepare_http
from probe.local_checks import prepare_file, prepare_process
from probe.options import Options, parse_command
from probe.report import (
    LONGEST_SEEN,
    Outcome,
    clipped,
    json_report,
    masker,
    output_bytes,
    verbose_text,
    verdict_line,
)
from probe.scheduler import Trace, run_tasks, with_retries
from probe.server_checks import prepare_server
from probe.socket_checks import prepare_tcp, prepare_unix
from probe.system import arguments, environment, is_open, monotonic, write
from probe.usage import help_text
from probe.version import VERSION

PREPARE = {
    "http": prepare_http,
    "tcp": prepare_tcp,
    "unix": prepare_unix,
    "grpc": prepare_grpc,
    "redis": prepare_server,
    "postgres": prepare_server,
    "mysql": prepare_server,
    "memcached": prepare_server,
    "amqp": prepare_server,
    "file": prepare_file,
    "process": prepare_process,
}
STANDARD_OUTPUT = 1


def main() -> int:
    """Run, print, and return the exit code: 0 healthy, 1 everything else. Nothing is raised."""
    # When it is closed, a socket may take its number, and must not get our line.
    can_print = is_open(STANDARD_OUTPUT)
    try:
        code, text = run(arguments(), environment())
    except KeyboardInterrupt:
        code, text = 1, "unhealthy: interrupted"
    except BaseException as error:
        code, text = 1, f"unhealthy: internal error: {type(error).__name__}"
    if text and can_print:
        _print(output_bytes(text))
    return code


def run(argv: list[bytes], environ: dict[bytes, bytes]) -> tuple[int, str]:
    """Return the exit code and what to print."""
    started = monotonic()
    checks: list[Options] = []
    try:
        checks = parse_command(argv, environ)
        if checks[0].has("help"):
            return 0, help_text(checks[0].check)
        if checks[0].has("version"):
            return 0, f"probe {VERSION}"
        outcomes = run_checks(checks, started)
    except Usage as error:
        mask = masker([secret for options in checks for secret in options.secrets])
        if b"--json-output" in argv or b"PROBE_JSON_OUTPUT" in environ:
            return 1, json_report([], mask, f"bad usage: {error}")
        return 1, f"unhealthy: bad usage: {clipped(mask(str(error)), LONGEST_SEEN)}"
    code = 0 if all(outcome.healthy for outcome in outcomes) else 1
    return code, _text(checks, outcomes)


def run_checks(checks: list[Options], started: float) -> list[Outcome]:
    """Run all checks side by side and say how each ended; raises Usage."""
    common = checks[0]
    deadline = started + common.seconds("timeout")
    retries, interval = common.count("retries"), common.seconds("interval")
    outcomes, traces, tasks = [], [], []
    for options in checks:
        target, start = PREPARE[options.check](options)
        trace = Trace(deadline, common.flag("verbose"))
        outcomes.append(Outcome(options.check, target))
        traces.append(trace)
        tasks.append(with_retries(start, trace, retries, interval))
    results = run_tasks(tasks, deadline)
    for outcome, trace, (result, ended) in zip(outcomes, traces, results):
        if isinstance(result, Usage):
            raise result
        outcome.healthy = isinstance(result, str)
        outcome.seen = _seen(result, trace)
        outcome.seconds = ended - started
        outcome.attempts = trace.attempts
        outcome.notes = trace.notes
    return outcomes


def _seen(result: str | Exception | None, trace: Trace) -> str:
    if result is None:
        return trace.timeout_text()
    if isinstance(result, (str, Unhealthy)):
        return str(result)
    if isinstance(result, MemoryError):
        return "there is too little memory for it"
    return f"internal error: {type(result).__name__}: {result}"


def _text(checks: list[Options], outcomes: list[Outcome]) -> str:
    common = checks[0]
    if common.flag("quiet"):
        return ""
    mask = masker([secret for options in checks for secret in options.secrets])
    if common.flag("json-output"):
        return json_report(outcomes, mask, "")
    if common.flag("verbose"):
        return verbose_text(outcomes, mask)
    return verdict_line(outcomes, mask)


def _print(data: bytes) -> None:
    """Write what can be written: a reader that is gone does not change the verdict."""
    while data:
        try:
            data = data[write(STANDARD_OUTPUT, data) :]
        except OSError:
            return
