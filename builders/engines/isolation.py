"""How a program of this machine is isolated without a daemon: by bubblewrap, else by util-linux's unshare.

However it is done, the program has no capability and cannot get one, is not root of this machine, and the kernel
refuses it the calls of `builders.engines.syscalls`. Where that cannot be had, `try_backend` says so.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from builders.engines.syscalls import write_filter
from builders.engines.user import CAP_SYS_ADMIN, has_capability, step_user
from core.errors import EngineError
from core.files import temporary_directory
from core.process import failed, run_program

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""What a step may see of the machine, read-only: programs and their libraries. No /etc, no /home."""

ENCLOSE = Path(__file__).with_name("enclose.py")
MAPPED = 1000
"""The uid and gid that an ordinary user is called inside, whatever they are outside."""
TEMPORARY = 4 << 30
"""Bytes that fit into a step's /tmp, which lies in memory."""


class Backend(StrEnum):
    """The two ways."""

    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"


PROGRAMS = {Backend.BUBBLEWRAP: ("bwrap", "bubblewrap"), Backend.UNSHARE: ("unshare", "util-linux")}
"""The program of each backend, and the package that brings it."""


def backends() -> tuple[Backend, ...]:
    """The backends, better one first.

    Root's first is `unshare`: bubblewrap leaves root all its capabilities, so that it has to be started as somebody
    else, who may not get at root's files.
    """
    both = (Backend.BUBBLEWRAP, Backend.UNSHARE)
    return both if os.geteuid() else both[::-1]


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A file or directory of this machine, seen at ``inside``."""

    path: Path
    inside: PurePosixPath
    writable: bool = False


@dataclass(frozen=True, kw_only=True)
class View:
    """What an isolated program sees and is."""

    binds: Sequence[Bind]
    links: Sequence[tuple[str, str]] = ()
    """(target, name) of each."""
    network: bool = False
    """The machine's network; else none."""
    user: int | None = None
    """uid and gid inside; outside too when root asks, see `step_user`."""
    temporary: bool = True
    """A private /tmp."""
    processes: bool = True
    """A /proc, and the harmless part of /dev."""
    directory: str = "/"
    """Where the program starts."""


def system_binds() -> tuple[list[Bind], list[tuple[str, str]]]:
    """The machine's programs: directories to bind, and links to make (a merged /usr links /bin)."""
    binds: list[Bind] = []
    links: list[tuple[str, str]] = []
    # /usr/bin/awk leads through /etc/alternatives on Debian.
    for name in (*SYSTEM, "/etc/alternatives"):
        path = Path(name)
        if path.is_symlink():
            links.append((str(path.readlink()), name))
        elif path.is_dir():
            binds.append(Bind(path=path, inside=PurePosixPath(name)))
    return binds, links


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """A backend, and ``files``: a directory for what it needs, where the program's user may look."""

    backend: Backend
    files: Path
    machine: str = field(default_factory=lambda: os.uname().machine)

    def command(
        self, argv: Sequence[str], view: View, *, user: int | None, accounted: bool = False
    ) -> list[str]:
        """Return the command line that runs ``argv`` so that it sees ``view``, as ``user``, if root gives it one.

        With ``accounted`` whoever waits for the command line is told by the kernel what all of it took. Raises
        EngineError when the calls of `builders.engines.syscalls` cannot be refused.
        """
        rules = self.files / "syscalls.bpf"
        if not rules.exists():  # one root runs many programs, all behind the same filter
            write_filter(rules, self.machine)
        # Root without the right to mount has it, as anybody has, in a user namespace.
        mounts = (
            user is not None and self.backend is Backend.UNSHARE and has_capability(CAP_SYS_ADMIN)
        )
        words = [] if user is None or mounts else _become(user)
        if self.backend is Backend.BUBBLEWRAP:
            return [*words, *_bubblewrap(argv, view, rules, accounted=accounted)]
        plan = self.files / "plan.json"
        empty = self.files / "empty"
        empty.mkdir(exist_ok=True)
        plan.write_text(_plan(view, empty, rules, user if mounts else None), "utf-8")
        # Nothing outlives us: the kernel ends unshare with us, unshare ends its child.
        words += ["setpriv", "--pdeathsig", "KILL", "unshare"]
        words += ["--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--cgroup"]
        words += [] if view.network else ["--net"]
        if not mounts:
            inside = MAPPED if view.user is None else view.user
            words += ["--user", f"--map-user={inside}", f"--map-group={inside}", "--keep-caps"]
        return [*words, "--", sys.executable, "-I", "-S", "-B", str(ENCLOSE), str(plan), *argv]


def _become(user: int) -> list[str]:
    """The words that make a program be ``user``, without root's groups and capabilities."""
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*words, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]


def _bubblewrap(argv: Sequence[str], view: View, rules: Path, *, accounted: bool) -> list[str]:
    # By name: `--unshare-all` goes on without a user namespace where there can be none, with all our capabilities.
    words = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts"]
    words += ["--unshare-cgroup-try", *([] if view.network else ["--unshare-net"])]
    words += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--seccomp", "9"]
    if accounted:
        # Bubblewrap's own first process outlives the one that waits for it, so that nobody inherits its figures.
        words.append("--as-pid-1")
    inside = str(MAPPED if view.user is None else view.user)
    words += ["--uid", inside, "--gid", inside]
    for bind in view.binds:
        words += ["--bind" if bind.writable else "--ro-bind", str(bind.path), str(bind.inside)]
    for target, name in view.links:
        words += ["--symlink", target, name]
    if view.processes:
        words += ["--proc", "/proc", "--dev", "/dev"]
    if view.temporary:
        words += ["--size", str(TEMPORARY), "--tmpfs", "/tmp"]
    words += ["--remount-ro", "/", "--chdir", view.directory, "--", *argv]
    return ["sh", "-c", 'exec bwrap "$@" 9<"$0"', str(rules), *words]


def _plan(view: View, root: Path, rules: Path, user: int | None) -> str:
    """What `builders.engines.enclose` is told."""
    return json.dumps(
        {
            "root": str(root),
            "binds": [(str(bind.path), str(bind.inside), bind.writable) for bind in view.binds],
            "links": list(view.links),
            "processes": view.processes,
            "temporary": TEMPORARY if view.temporary else 0,
            "directory": view.directory,
            "filter": str(rules),
            "user": user,
        }
    )


def try_backend(backend: Backend, scratch: Path, *, needed: Sequence[Path] = ()) -> str:
    """Return '' when ``backend`` isolates here, else why not: the only reliable way to know is to try.

    ``needed`` is what has to be seen inside beside the machine's programs.
    """
    program, package = PROGRAMS[backend]
    if shutil.which(program) is None:
        return f"'{program}' is not installed (apt-get install -y {package})"
    binds, links = system_binds()
    binds += [
        Bind(path=path, inside=PurePosixPath(f"/needed/{number}"))
        for number, path in enumerate(needed)
    ]
    try:
        user = step_user()
        with temporary_directory(scratch, prefix="try-") as files:
            files.chmod(0o711)
            isolation = Isolation(backend=backend, files=files)
            argv = isolation.command(
                ["cat", "/proc/self/status"], View(binds=binds, links=links), user=user
            )
            done = run_program(
                argv, seconds=20, package=package, purpose="isolate steps", check=False
            )
    except EngineError as error:
        return f"{error.what} ({error.next})" if error.next else error.what
    if done.returncode == 0:
        return _powers(done.stdout)
    reason = failed(done, lines=1).what
    return (
        f"'{program}' is there but may not make namespaces: {reason} "
        "(Ubuntu >= 24.04: sysctl kernel.apparmor_restrict_unprivileged_userns=0; "
        "Debian: sysctl kernel.unprivileged_userns_clone=1; in a container: --security-opt "
        "seccomp=unconfined)"
    )


def _powers(status: str) -> str:
    """Say what a program that shows this /proc/self/status may do that it must not; '' for nothing."""
    has = {
        name: value.split()
        for name, _, value in (line.partition(":") for line in status.splitlines())
    }
    powers = [
        name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(has[name][0], 16)
    ]
    powers += ["uid 0"] if "0" in has["Uid"] else []
    powers += [] if has["NoNewPrivs"] == ["1"] else ["new privileges"]
    powers += [] if has["Seccomp"] == ["2"] else ["every system call"]
    return f"a step would keep: {', '.join(powers)}" if powers else ""


def find_backend(scratch: Path, *, needed: Sequence[Path] = ()) -> Backend:
    """Return the best backend that works here; see `try_backend`. Raises EngineError with the reasons of all."""
    reasons: list[str] = []
    for backend in backends():
        reason = try_backend(backend, scratch, needed=needed)
        if not reason:
            return backend
        reasons.append(reason)
    msg = "No sandbox works here: " + "; ".join(reasons)
    raise EngineError(msg, next="apt-get install -y bubblewrap, or --engine host")
