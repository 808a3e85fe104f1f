"""Run as ``./inv test --campaign [NAME]``."""

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from core.errors import ExitCode
from tests.campaigns.campaign import Campaign, find_campaigns
from tests.campaigns.record import RECORDS, write_record
from tests.campaigns.runner import Result, Tally, run_campaign


class Printer:
    """Says how far a campaign is: on one line of a terminal, else a line every ``pause`` seconds."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.terminal = out.isatty()
        self.pause = 0.2 if self.terminal else 15.0
        self.said = time.monotonic()

    def __call__(self, tally: Tally, result: Result | None) -> None:
        if result and result.violation:
            self._clear()
            print(f"VIOLATION: {result.violation}\n  again: {again(tally, result)}", file=self.out)
        if time.monotonic() - self.said >= self.pause:
            self.said = time.monotonic()
            line = f"{tally.campaign.name}: {tally.done:,} of {tally.planned:,} ({counts(tally)})"
            if self.terminal:
                self._clear()
                self.out.write(line[:118])
                self.out.flush()
            else:
                print(line, file=self.out, flush=True)

    def end(self, tally: Tally) -> None:
        """Print the counts."""
        self._clear()
        print(summary(tally), file=self.out, flush=True)

    def _clear(self) -> None:
        if self.terminal:
            self.out.write("\r\x1b[K")


def again(tally: Tally, result: Result) -> str:
    """The command that runs one case again."""
    return f"./inv test --campaign {tally.campaign.name} --seed {tally.seed} --case {result.number}"


def counts(tally: Tally) -> str:
    """Cases by outcome, the most frequent first."""
    return ", ".join(f"{count:,} {outcome}" for outcome, count in tally.outcomes.most_common())


def summary(tally: Tally) -> str:
    """One line on what came of a campaign."""
    name = tally.campaign.name
    if tally.not_run:
        return f"{name}: not run: {tally.not_run}"
    ended = f"{tally.done:,} cases"
    if tally.done < tally.planned:
        how = "interrupted" if tally.interrupted else "stopped"
        ended = f"{how} after {tally.done:,} of {tally.planned:,} cases"
    violations = f"{len(tally.violations):,} violations"
    return f"{name}: {ended} in {tally.seconds:.0f} s, {violations}; {counts(tally)}"


def left_out(tallies: Sequence[Tally]) -> str:
    """What could not be run here, in lines that close the output: it must not be taken for passed. Empty: nothing."""
    lines = [f"  {it.campaign.name}: all of it: {it.not_run}" for it in tallies if it.not_run]
    for tally in tallies:
        for outcome, count in sorted(tally.outcomes.items()):
            if outcome.startswith("not run"):
                lines.append(f"  {tally.campaign.name}: {count:,} cases: {outcome[9:]}")
    return "\n".join(["NOT RUN here, so nothing is known of it:", *lines]) if lines else ""


def main(
    words: Sequence[str] | None = None,
    known: Mapping[str, Campaign] | None = None,
    records: Path = RECORDS,
) -> int:
    """Run campaigns; return 1 when one was violated, 130 when interrupted."""
    known = find_campaigns() if known is None else known
    listing = "\n".join(f"  {it.name}: {it.purpose} ({it.cases:,} cases)" for it in known.values())
    parser = argparse.ArgumentParser(
        prog="inv test --campaign",
        epilog=f"campaigns:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", help="which (default: all); list: show them")
    parser.add_argument("--minutes", type=float, default=0, help="at most, for each campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="only this case of one campaign")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="cases at a time")
    parser.add_argument("--record", action="store_true", help="write whole runs down for the docs")
    options = parser.parse_args(words)
    if options.name == ["list"]:
        print(listing)
        return ExitCode.DONE
    for name in options.name:
        if name not in known:
            parser.error(f"there is no campaign '{name}'; there are: {', '.join(known)}")
    if options.case is not None and len(options.name) != 1:
        parser.error("--case needs the name of one campaign")
    if options.minutes < 0 or (options.case or 0) < 0:
        parser.error("--minutes and --case are not negative")
    tallies: list[Tally] = []
    for campaign in [known[name] for name in options.name] or known.values():
        printer = Printer(sys.stdout)
        tally = run_campaign(
            campaign,
            seed=options.seed,
            seconds=options.minutes * 60,
            case=options.case,
            jobs=options.jobs,
            report=printer,
        )
        printer.end(tally)
        tallies.append(tally)
        if tally.interrupted:
            break
        if options.record and tally.whole:
            print(f"recorded in {write_record(tally, records)}")
        elif options.record:
            print(f"not recorded: {campaign.name} was not run whole")
    if lines := left_out(tallies):
        print(lines, flush=True)
    if tallies[-1].interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.REFUSED if any(tally.violations for tally in tallies) else ExitCode.DONE


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
