"""What bubblewrap does, with the kernel alone: a new root out of binds, then one program in it that may do no more.

Runs as a program of its own inside fresh namespaces, made by unshare(1), with the rights to mount in them. Its words
are the file with the plan, then the program. Needs Linux 5.12 (mount_setattr). Imports nothing but the standard
library: this is run without our path. And little of that, so no pathlib: programs are tried out by the hundred, and a
run is over in less time than those imports take.
"""
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH120, PTH123, PTH211

import ctypes
import json
import os
import signal
import sys
import warnings  # noqa: F401 - `os.execvpe` imports it, and then the library is out of sight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FAILED = 125
"""Exit code when the program was not started."""

# https://man7.org/linux/man-pages/man2/mount.2.html, mount_setattr.2, prctl.2, capget.2
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 2, 4, 8, 4096, 16384
MNT_DETACH = 2
SYS_MOUNT_SETATTR = 442  # the same on every machine
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522
HIGHEST_CAPABILITY = 63
INSTRUCTION = 8
"""Bytes of one instruction of a filter (struct sock_filter)."""

DEVICES = ("null", "zero", "full", "random", "urandom")
CONTROLS = ("sys", "sysrq-trigger", "irq", "bus")
"""Parts of /proc that steer the machine."""

libc = ctypes.CDLL(None, use_errno=True)


class Program(ctypes.Structure):
    """struct sock_fprog. Made here, while Python's library is still to be seen: ctypes imports more of it for this."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def call(name: str, *words: object) -> None:
    """Call into libc. Raises OSError."""
    if getattr(libc, name)(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """See mount(2). Raises OSError."""
    words = (source, target, kind, data)
    source_, target_, kind_, data_ = map(os.fsencode, words)
    call("mount", source_, target_, kind_, ctypes.c_ulong(flags), data_)


def set_attributes(target: str, attributes: int, *, recursive: bool = True) -> None:
    """Add to what is mounted at ``target``, and below it: read-only, no set-uid programs, no devices."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    where = os.fsencode(target)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    call("syscall", SYS_MOUNT_SETATTR, AT_FDCWD, where, flags, ctypes.byref(wanted), size)


def bind(source: str, target: str, attributes: int) -> None:
    """Show ``source``, with what is mounted below it, at ``target`` too. Raises OSError."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        make_parent(target)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o644))
    mount(source, target, "", MS_BIND | MS_REC)
    set_attributes(target, attributes)


def make_parent(path: str) -> None:
    """Make the directories above ``path``."""
    os.makedirs(os.path.dirname(path), exist_ok=True)


def make_root(plan: "dict[str, Any]") -> None:
    """Mount everything the program is to see below ``plan["root"]``."""
    root: str = plan["root"]
    mount("fromscratch", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for path, inside, writable in plan["binds"]:
        closed = 0 if writable else ATTR_RDONLY
        bind(path, root + inside, closed | ATTR_NOSUID | ATTR_NODEV)
    for target, inside in plan["links"]:
        make_parent(root + inside)
        os.symlink(target, root + inside)
    if plan["processes"]:
        for name in DEVICES:
            bind(f"/dev/{name}", f"{root}/dev/{name}", ATTR_NOSUID)
        os.symlink("/proc/self/fd", f"{root}/dev/fd")
        os.mkdir(f"{root}/proc")
        mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        for path in (f"{root}/proc/{name}" for name in CONTROLS):
            if os.path.exists(path):
                bind(path, path, ATTR_RDONLY)
    if plan["temporary"]:
        os.mkdir(f"{root}/tmp")
        size = f",size={plan['temporary']}"
        mount("tmp", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777{size}")
    set_attributes(root, ATTR_RDONLY, recursive=False)
    os.chdir(root)
    # The old root comes to lie over the new one, and is taken away: nothing leads back.
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir(plan["directory"])


def read(path: str) -> bytes:
    """The whole of a file."""
    with open(path, "rb") as file:
        return file.read()


def renounce(user: int | None, rules: bytes) -> None:
    """Become ``user``, if one is given, and give up everything that could be used to get out, for ever."""
    for capability in range(HIGHEST_CAPABILITY + 1):
        # EINVAL: this kernel knows no more of them
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    nothing = (ctypes.c_uint32 * 6)()
    call("capset", (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), nothing)
    # A change of user has made the kernel forget it: whoever waits for us takes us along.
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = Program(len(rules) // INSTRUCTION, rules)
    call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


def run(argv: tuple[str, ...], environment: "Mapping[bytes, bytes]") -> int:
    """Run the program and return its exit code, a shell's for one that a signal ended.

    This stays the first process of its namespace: the kernel keeps signals from the first one that it does not handle,
    which no program expects. What others leave behind is waited for, so that it counts as taken by us.
    """
    child = os.fork()
    if child == 0:
        try:
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(file: str, *argv: str) -> int:
    """Isolate, and run the program; see `run`."""
    try:
        plan = json.loads(read(file))
        rules = read(plan["filter"])
        # As we got it: Python itself adds LC_CTYPE (PEP 538).
        words = read("/proc/self/environ").split(b"\0")
        environment = dict(word.partition(b"=")[::2] for word in words if word)
        os.closerange(3, 1 << 16)
        make_root(plan)
        renounce(plan["user"], rules)
    except (OSError, ValueError, KeyError) as error:
        print(f"not isolated: {error}", file=sys.stderr)
        return FAILED
    return run(argv, environment)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
