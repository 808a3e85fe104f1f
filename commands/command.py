"""What every command begins and ends with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.progress import make_report
from core.settings import Settings
from flow.context import Context


@contextmanager
def command(*, timings: str | bool = "", **flags: str | bool) -> Iterator[Context]:
    """Lend a command its context, by these flags and all other settings; at the end the display is put away.

    With ``timings`` what was done is written, also when it failed: to that file, or (True) to where it is usual.
    """
    settings = Settings.read({name: str(value) for name, value in flags.items() if value})
    context = Context(settings=settings, report=make_report())
    try:
        yield context
    finally:
        if strangers := context.local.strangers:
            count = "1 result" if len(strangers) == 1 else f"{len(strangers)} results"
            verb = "is" if len(strangers) == 1 else "are"
            context.report.warn(
                f"{count} in the cache {verb} not signed by a trusted builder "
                "(an older version's, altered, or somebody else's): not used"
            )
        for line in context.faults():
            context.report.warn(line)
        context.report.close()
        if timings:
            context.write_timings(Path(timings) if isinstance(timings, str) else None)
