"""The unix check: connect to a socket of this machine, and perhaps exchange a few bytes."""

from __future__ import annotations

from probe.address import unix_address
from probe.converse import CONVERSE_OPTIONS, converse
from probe.errors import Usage
from probe.kinds import Callable, Steps
from probe.options import PATH, URL_OPTION, Check, Options
from probe.scheduler import Trace
from probe.stream import open_stream


def prepare_unix(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if not options.has("path"):
        msg = "unix needs the PATH of a socket"
        raise Usage(msg)
    return unix_address(options.data("path"))[4], lambda trace: _check_unix(options, trace)


def _check_unix(options: Options, trace: Trace) -> Steps[str]:
    stream = yield from open_stream([unix_address(options.data("path"))], trace)
    return (yield from converse(stream, options))


UNIX_CHECK = Check(
    "unix",
    "connect to a Unix socket (@NAME: an abstract one)",
    (PATH, URL_OPTION) + CONVERSE_OPTIONS,
    prepare_unix,
    schemes=(("unix", "", ""),),
)
