"""The whole run on one screen: options, checks, verdict, exit code."""

from __future__ import annotations

from probe.command import parse_command
from probe.errors import Unhealthy, Usage
from probe.options import Options
from probe.report import (
    LONGEST_SEEN,
    Mask,
    Outcome,
    json_report,
    output_bytes,
    verbose_text,
    verdict_line,
)
from probe.scheduler import Trace, run_tasks, with_retries
from probe.system import arguments, environment, is_open, monotonic, write
from probe.usage import asked_text

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
    text = asked_text(argv)
    if text:
        return 0, text
    secrets: list[str] = []
    try:
        checks = parse_command(argv, environ, secrets)
        outcomes = run_checks(checks, started)
    except Usage as error:
        mask = Mask(secrets)
        if b"--json-output" in argv or b"PROBE_JSON_OUTPUT" in environ:
            return 1, json_report([], mask, f"bad usage: {error}")
        return 1, f"unhealthy: bad usage: {mask.shown(str(error), LONGEST_SEEN)}"
    code = 0 if all(outcome.healthy for outcome in outcomes) else 1
    return code, _text(checks, outcomes)


def run_checks(checks: list[Options], started: float) -> list[Outcome]:
    """Run all checks side by side and say how each ended; raises Usage."""
    common = checks[0]
    deadline = started + common.seconds("timeout")
    retries, interval = common.count("retries"), common.seconds("interval")
    outcomes, traces, tasks = [], [], []
    for options in checks:
        target, start = options.check.prepare(options)
        trace = Trace(deadline, common.flag("verbose"))
        outcomes.append(Outcome(options.check.name, target))
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
    mask = Mask(common.secrets)
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
