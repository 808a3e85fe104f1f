"""The process check: what /proc tells."""

from __future__ import annotations

from probe.errors import Unhealthy, Usage
from probe.files import error_reason, read_bytes, read_file
from probe.kinds import Callable, Steps
from probe.options import Check, Options
from probe.scheduler import Trace
from probe.system import list_directory, process_id
from probe.values import visible_text

LONGEST_COMM = 15  # TASK_COMM_LEN, proc_pid_comm(5)


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
        pid = read_bytes(path, 64).partition(b"\n")[0].strip()  # postmaster.pid has more lines
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


PROCESS = Check(
    "process",
    "runs and is no zombie (needs /proc)",
    (
        ("name", "bytes", "", "name or path of the program"),
        ("pid-file", "bytes", "", "file that holds the number of the process"),
    ),
    prepare_process,
    exclusive=(("name", "pid-file"),),
)
