"""Runs the cases of a campaign, in one process or several, and counts what came of them."""

import multiprocessing
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from tests.campaigns.campaign import Campaign, Case, NotRun, Outcome, Run, Violation

BATCH = 0.2
"""Seconds between two reports of a job: a campaign may have thousands of cases a second."""

PATIENCE = 10.0
"""Seconds that an interrupted job has to tidy up, before it is killed."""


class Result(NamedTuple):
    """What came of one case; ``violation`` is empty when all held."""

    number: int
    outcome: Outcome
    violation: str = ""


@dataclass(kw_only=True)
class Tally:
    """What came of a campaign, so far."""

    campaign: Campaign
    seed: int
    planned: int
    done: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[Result] = field(default_factory=list)
    not_run: str = ""
    interrupted: bool = False
    seconds: float = 0

    @property
    def whole(self) -> bool:
        """Whether every case of a full run was run here, none of them left out."""
        left_out = any(outcome.startswith("not run") for outcome in self.outcomes)
        return self.done == self.campaign.cases and not (
            left_out or self.not_run or self.interrupted
        )

    def add(self, result: Result) -> None:
        self.done += 1
        if result.violation:
            self.violations.append(result)
        outcome = "VIOLATION" if result.violation else result.outcome
        self.outcomes.update({outcome: 1} if isinstance(outcome, str) else outcome)


Report = Callable[[Tally, Result | None], None]
"""Told of every result, and (None) that time has passed."""


def run_campaign(
    campaign: Campaign, *, seed: int, seconds: float, case: int | None, jobs: int, report: Report
) -> Tally:
    """Run all cases, or one, for at most ``seconds`` (0: until all are done); Ctrl-C ends with what was counted."""
    numbers = range(campaign.cases) if case is None else range(case, case + 1)
    tally = Tally(campaign=campaign, seed=seed, planned=len(numbers))
    begun = time.monotonic()
    until = begun + seconds if seconds else float("inf")
    alone = jobs == 1 or len(numbers) == 1
    results = (
        _results(campaign, seed, numbers, until)
        if alone
        else _spread(campaign, seed, [numbers[job::jobs] for job in range(jobs)], until)
    )
    try:
        for result in results:
            tally.add(result)
            report(tally, result)
    except NotRun as why:
        tally.not_run = str(why)
    except KeyboardInterrupt:
        tally.interrupted = True
    finally:
        results.close()
    tally.seconds = time.monotonic() - begun
    return tally


def _results(
    campaign: Campaign, seed: int, numbers: range, until: float
) -> Generator[Result, None, None]:
    with campaign.open() as run:
        for number in numbers:
            if time.monotonic() >= until:
                return
            yield run_case(campaign, run, seed, number)


def run_case(campaign: Campaign, run: Run, seed: int, number: int) -> Result:
    """Run one case; an exception that it does not expect is a violation too."""
    chance = random.Random(f"{campaign.name} {seed} {number}")
    with tempfile.TemporaryDirectory(prefix="campaign.", ignore_cleanup_errors=True) as directory:
        try:
            outcome = run(Case(seed, number, chance, Path(directory)))
        except Violation as violation:
            return Result(number, "", str(violation) or "violated")
        except NotRun as why:
            return Result(number, f"not run: {why}")
        except Exception:
            return Result(number, "", f"unexpected: {traceback.format_exc().rstrip()}")
    return Result(number, outcome)


def _spread(
    campaign: Campaign, seed: int, shares: list[range], until: float
) -> Generator[Result, None, None]:
    fork = multiprocessing.get_context("fork")
    jobs, pipes = [], []
    try:
        for share in shares:
            ours, theirs = fork.Pipe(duplex=False)
            job = fork.Process(target=_job, args=(theirs, campaign, seed, share, until))
            job.start()
            theirs.close()
            jobs.append(job)
            pipes.append(ours)
        ended = 0
        while pipes:
            for pipe in wait(pipes):
                assert isinstance(pipe, Connection)
                try:
                    message = pipe.recv()
                except EOFError:
                    pipes.remove(pipe)
                    continue
                if isinstance(message, str):
                    raise NotRun(message)
                ended += message is None
                yield from message or ()
        if ended != len(shares):
            msg = "a job of the campaign died before its cases were done"
            raise RuntimeError(msg)
    finally:
        for job in jobs:
            if (
                pipes and job.is_alive() and job.pid is not None
            ):  # else all have ended by themselves
                os.kill(job.pid, signal.SIGINT)
        for job in jobs:
            job.join(PATIENCE)
            if job.is_alive():
                job.kill()
                job.join()
        for pipe in pipes:
            pipe.close()


def _job(pipe: Connection, campaign: Campaign, seed: int, share: range, until: float) -> None:
    os.setpgid(0, 0)  # a terminal's Ctrl-C comes once, from the parent
    signal.signal(signal.SIGINT, signal.default_int_handler)
    batch: list[Result] = []
    sent = time.monotonic()
    try:
        for result in _results(campaign, seed, share, until):
            batch.append(result)
            if time.monotonic() - sent >= BATCH:
                pipe.send(batch)
                batch, sent = [], time.monotonic()
        pipe.send(batch)
        pipe.send(None)
    except NotRun as why:
        pipe.send(str(why))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to end
        pipe.close()
