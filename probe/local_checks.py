"""The file and process checks: nothing is connected to."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.files import error_reason, read_bytes, read_file
from probe.kinds import Callable, Steps
from probe.options import Options
from probe.scheduler import Trace
from probe.system import file_status, list_directory, process_id, wall_clock
from probe.values import parse_size, quoted, visible_text

FILE_TYPE_MASK, REGULAR_FILE = 0o170000, 0o100000  # inode(7)
CLOCK_PRECISION = 1.0  # of file systems, which round times, in seconds
LONGEST_COMM = 15  # TASK_COMM_LEN, proc_pid_comm(5)


def prepare_file(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if not options.has("path"):
        msg = "file needs a PATH"
        raise Usage(msg)
    return visible_text(options.data("path")), lambda _: _check_file(options)


def prepare_process(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if options.has("name") == options.has("pid-file"):
        msg = "process needs either a NAME or --pid-file PATH"
        raise Usage(msg)
    if options.has("pid-file"):
        path = options.data("pid-file")
        return visible_text(path), lambda _: _check_pid_file(path)
    name = options.data("name")
    return visible_text(name), lambda trace: _check_process_name(name, trace)


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
            wanted = options.data("contains")
            limit = parse_size(options.text("max-body"), 1 << 40)
            if wanted not in read_bytes(path, limit):
                cut = f" in its first {limit} bytes" if size > limit else ""
                msg = f"{seen}, but does not contain {quoted(wanted[:100])}{cut}"
                raise Unhealthy(msg)
            seen += ", contains as expected"
    except OSError as error:
        raise Unhealthy(error_reason(error)) from None
    return seen


def _process_state(pid: bytes) -> str:
    """Return the state letter of a process, or nothing when it is not there (proc_pid_stat(5))."""
    after_name = read_file(b"/proc/" + pid + b"/stat", 4096).rpartition(b")")[2].split()
    return visible_text(after_name[0]) if after_name else ""


def _judge_process(pid: bytes) -> str:
    """Return what to say about a live process, or raise."""
    state, number = _process_state(pid), pid.decode()
    if not state:
        if not _process_state(b"self"):
            msg = "cannot look: /proc is not mounted here"
            raise Unhealthy(msg)
        msg = f"process {number} is not running"
        raise Unhealthy(msg)
    if state in {"Z", "X", "x"}:
        msg = f"process {number} is a zombie"
        raise Unhealthy(msg)
    return f"process {number} is running"


def _check_pid_file(path: bytes) -> Steps[str]:
    yield from ()
    try:
        pid = read_bytes(path, 64).strip()
    except OSError as error:
        raise Unhealthy(error_reason(error)) from None
    if not pid.isdigit():
        msg = "it does not hold the number of a process"
        raise Unhealthy(msg)
    return _judge_process(pid)


def _check_process_name(wanted: bytes, trace: Trace) -> Steps[str]:
    yield from ()
    try:
        entries = list_directory(b"/proc")
    except OSError:
        entries = []
    own, problem = str(process_id()).encode(), ""
    for pid in entries:
        if not pid.isdigit() or pid == own or not _has_name(pid, wanted):
            continue
        trace.check()
        try:
            return _judge_process(pid)
        except Unhealthy as error:
            problem = str(error)
    if not problem:
        problem = "not running" if own in entries else "cannot look: /proc is not mounted here"
    raise Unhealthy(problem)


def _has_name(pid: bytes, wanted: bytes) -> bool:
    """Tell whether this is the name of the program, with or without its directory, or its comm."""
    directory = b"/proc/" + pid
    program = read_file(directory + b"/cmdline", 4096).split(b"\0")[0]
    if wanted in {program, program.rpartition(b"/")[2]}:
        return True
    comm = read_file(directory + b"/comm", 64).rstrip(b"\n")
    return comm == wanted or (not program and comm == wanted[:LONGEST_COMM])
