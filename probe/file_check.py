"""The file check: nothing is connected to."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.files import error_reason, read_bytes
from probe.kinds import Callable, Steps
from probe.options import CONTAINS, MAX_BODY, PATH, Check, Options
from probe.scheduler import Trace
from probe.system import file_status, wall_clock
from probe.values import parse_size, quoted, visible_text

CLOCK_PRECISION = 1.0  # of file systems, which round times, in seconds
FILE_TYPE_MASK, REGULAR_FILE = 0o170000, 0o100000  # inode(7)


def prepare_file(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if not options.has("path"):
        msg = "file needs a PATH"
        raise Usage(msg)
    return visible_text(options.data("path")), lambda _: _check_file(options)


def _check_file(options: Options) -> Steps[str]:
    yield from ()
    path = options.data("path")
    seen = "exists"
    try:
        mode, size, changed = file_status(path)
        if options.has("max-age"):
            age = wall_clock() - changed
            if age < -CLOCK_PRECISION:
                msg = f"changed {-age:.0f} s in the future: is the clock right?"
                raise Unhealthy(msg)
            age = max(0.0, age)
            seen = f"changed {age:.0f} s ago"
            if age > options.seconds("max-age"):
                msg = f"{seen}, more than {options.text('max-age')}"
                raise Unhealthy(msg)
        if options.has("contains"):
            if mode & FILE_TYPE_MASK != REGULAR_FILE:
                msg = "is not a regular file"
                raise Unhealthy(msg)
            limit = parse_size(options.text("max-body"), 1 << 40)
            content = read_bytes(path, limit)
            for wanted in options.every("contains"):
                if wanted not in content:
                    cut = f" in its first {limit} bytes" if size > limit else ""
                    msg = f"{seen}, but does not contain {quoted(wanted, 100)}{cut}"
                    raise Unhealthy(msg)
            seen += ", contains as expected"
    except OSError as error:
        raise Unhealthy(error_reason(error)) from None
    return seen


FILE = Check(
    "file",
    "exists, is young enough, contains a text",
    (
        PATH,
        ("max-age", "seconds", "", "changed at most this long ago, such as 60s"),
        CONTAINS,
        MAX_BODY,
    ),
    prepare_file,
)
