"""How a program of this machine is isolated without a daemon: by bubblewrap, else by util-linux's unshare."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from core.errors import EngineError, ProgramError
from core.process import failed, run_program

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""What a step may see of the machine, read-only: programs and their libraries. No /etc, no /home."""

SCRIPT = Path(__file__).parent / "namespaces.sh"


class Backend(StrEnum):
    """The two ways, better one first."""

    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"


PROGRAMS = {Backend.BUBBLEWRAP: ("bwrap", "bubblewrap"), Backend.UNSHARE: ("unshare", "util-linux")}
"""The program of each backend, and the package that brings it."""


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A file or directory of this machine, seen at ``inside``."""

    path: Path
    inside: PurePosixPath
    writable: bool = False


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


def make_empty(scratch: Path) -> Path:
    """Return an empty directory below ``scratch``, for a new root to be mounted on."""
    empty = scratch / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    return empty


def sandbox_command(
    backend: Backend,
    argv: Sequence[str],
    *,
    binds: Sequence[Bind],
    links: Sequence[tuple[str, str]] = (),
    network: bool = False,
    user: int | None = None,
    temporary: bool = True,
    processes: bool = True,
    accounted: bool = False,
    cwd: str = "/",
    empty: Path,
) -> list[str]:
    """Return the command line that runs ``argv`` isolated.

    ``empty`` is an empty directory to mount the new root on (unshare only). ``user`` is the uid and gid
    inside. ``temporary`` gives a private /tmp, ``processes`` a /proc and /dev.
    With ``accounted`` whoever waits for the command line is told by the kernel what all of it took.
    """
    if backend is Backend.BUBBLEWRAP:
        words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
        if network:
            words.append("--share-net")
        if accounted:
            # Bubblewrap's own first process outlives the one that waits for it, so that nobody inherits its figures.
            words.append("--as-pid-1")
        if user is not None:
            words += ["--uid", str(user), "--gid", str(user)]
        for bind in binds:
            words += ["--bind" if bind.writable else "--ro-bind", str(bind.path), str(bind.inside)]
        for target, name in links:
            words += ["--symlink", target, name]
        if processes:
            words += ["--proc", "/proc", "--dev", "/dev"]
        if temporary:
            words += ["--tmpfs", "/tmp"]
        return [*words, "--remount-ro", "/", "--chdir", cwd, "--", *argv]
    # Nothing outlives us: the kernel ends unshare with us, unshare ends its child.
    words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--user", "--map-root-user"]
    words += ["--mount", "--pid", "--fork", "--kill-child"]
    words += ["--ipc", "--uts", *([] if network else ["--net"])]
    words += ["sh", str(SCRIPT), str(empty)]
    for bind in binds:
        words.append(f"{'rw' if bind.writable else 'ro'}:{bind.inside}:{bind.path}")
    words += [f"ln:{name}:{target}" for target, name in links]
    if processes:
        words += [f"rw:/dev/{name}:/dev/{name}" for name in ("null", "zero", "random", "urandom")]
    inside = "; ".join(
        [
            *(["mkdir -p $0/proc", "mount -t proc proc $0/proc"] if processes else []),
            *(["mkdir -p $0/tmp", "mount -t tmpfs tmp $0/tmp"] if temporary else []),
            "mount -o remount,bind,ro $0",
            "exec unshare --user "
            + (f"--map-user={user} --map-group={user} " if user is not None else "--map-root-user ")
            + f'--root="$0" --wd={cwd} -- "$@"',
        ]
    )
    return [*words, "--", "sh", "-ec", inside, str(empty), *argv]


def try_backend(backend: Backend, scratch: Path) -> str:
    """Return '' when ``backend`` works here, else why not: the only reliable way to know is to try."""
    program, package = PROGRAMS[backend]
    if shutil.which(program) is None:
        return f"'{program}' is not installed (apt-get install -y {package})"
    binds, links = system_binds()
    empty = make_empty(scratch)
    argv = sandbox_command(backend, ["true"], binds=binds, links=links, empty=empty)
    try:
        done = run_program(argv, seconds=20, package=package, purpose="isolate steps", check=False)
    except ProgramError as error:
        return error.what
    if done.returncode == 0:
        return ""
    reason = failed(done, lines=1).what
    return (
        f"'{program}' is there but may not make namespaces: {reason} "
        "(Ubuntu >= 24.04: sysctl kernel.apparmor_restrict_unprivileged_userns=0; "
        "Debian: sysctl kernel.unprivileged_userns_clone=1; in a container: --security-opt "
        "seccomp=unconfined)"
    )


def find_backend(scratch: Path) -> Backend:
    """Return the best backend that works here. Raises EngineError with the reasons of all."""
    reasons: list[str] = []
    for backend in Backend:
        reason = try_backend(backend, scratch)
        if not reason:
            return backend
        reasons.append(reason)
    msg = "No sandbox works here: " + "; ".join(reasons)
    raise EngineError(msg, next="apt-get install -y bubblewrap, or --engine host")
