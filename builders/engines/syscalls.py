"""The system calls that no step has a use for: mounts, namespaces, tracing, keyrings, kernel programs.

A filter of the kernel (https://docs.kernel.org/userspace-api/seccomp_filter.html) refuses them with an errno, so that a
script which merely asks whether it may goes on. One table for every engine.
"""

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from core.errors import EngineError

REFUSED = {
    "mounts": (
        "mount",
        "umount",
        "umount2",
        "pivot_root",
        "chroot",
        "move_mount",
        "open_tree",
        "open_tree_attr",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "swapon",
        "swapoff",
        "quotactl",
        "quotactl_fd",
    ),
    "namespaces": ("unshare", "setns"),
    "tracing": (
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "process_madvise",
        "pidfd_getfd",
        "kcmp",
        "perf_event_open",
        "lookup_dcookie",
    ),
    "keyrings": ("add_key", "keyctl", "request_key"),
    "kernel": (
        "bpf",
        "userfaultfd",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "init_module",
        "finit_module",
        "create_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "reboot",
        "syslog",
        "acct",
        "settimeofday",
        "clock_settime",
        "clock_adjtime",
        "adjtimex",
        "sethostname",
        "setdomainname",
        "ioperm",
        "iopl",
        "vhangup",
        "nfsservctl",
        "fanotify_init",
        "name_to_handle_at",
        "open_by_handle_at",
    ),
}
"""What is refused whatever its arguments are. libseccomp may be too old to know a name; its kernel is, too."""

NAMESPACES = 0x7E020080
"""CLONE_NEWUSER and the flags of all other namespaces: https://man7.org/linux/man-pages/man2/clone.2.html."""
SET_ID = (0o4000, 0o2000)
SET_MODE = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "creat": 1,
    "mknod": 1,
    "mknodat": 2,
}
"""The calls that give a file its mode, and which of their arguments that is."""
TIOCSTI = 0x5412
FAMILIES = (1, 2, 10, 16)
"""Sockets that may be made: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. AF_VSOCK belongs to no network namespace."""
SECOND_ABIS = {"x86_64": ("X86", "X32"), "aarch64": ("ARM",), "s390x": ("S390",)}
"""What a kernel also takes calls of, under other numbers."""
S390 = ("s390", "s390x")


class Argument(NamedTuple):
    """What one argument of a call must be for a rule to hold: ``value`` under ``mask``, or more than ``above``."""

    place: int
    value: int = 0
    mask: int = 0xFFFFFFFF
    above: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A call that is refused with an errno, when all its arguments are so."""

    name: str
    errno: int = errno.EPERM
    arguments: tuple[Argument, ...] = ()
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """The machines, as Docker calls them, that it is for, and not for."""


def rules() -> Iterator[Rule]:
    """Yield everything that is refused."""
    for names in REFUSED.values():
        yield from (Rule(name=name) for name in names)
    # Their flags lie in memory, where no filter can see them; every libc then asks `clone` and `openat`.
    yield from (Rule(name=name, errno=errno.ENOSYS) for name in ("clone3", "openat2"))
    for bit in (1 << place for place in range(32) if NAMESPACES >> place & 1):
        # Of s390 the arguments come in another order.
        yield Rule(name="clone", arguments=(Argument(0, bit, bit),), never=S390)
        yield Rule(name="clone", arguments=(Argument(1, bit, bit),), only=S390)
    for bit in SET_ID:
        for name, place in SET_MODE.items():
            yield Rule(name=name, arguments=(Argument(place, bit, bit),))
        for name, place in (("open", 1), ("openat", 2)):  # the mode means nothing to what exists
            creates = Argument(place, os.O_CREAT, os.O_CREAT)
            yield Rule(name=name, arguments=(creates, Argument(place + 1, bit, bit)))
    for family in sorted(set(range(max(FAMILIES))) - set(FAMILIES)):
        yield Rule(name="socket", arguments=(Argument(0, family),))
    yield Rule(name="socket", arguments=(Argument(0, above=max(FAMILIES)),))
    # Types what it likes into the terminal of whoever runs the build.
    yield Rule(name="ioctl", arguments=(Argument(1, TIOCSTI),))


def write_filter(path: Path, machine: str) -> None:
    """Write the filter for a ``machine`` (as `os.uname` says it) as the kernel takes it.

    Raises EngineError when libseccomp is not there.
    """
    # Imported here: it looks for its library at once.
    try:
        import pyseccomp  # noqa: PLC0415
    except (RuntimeError, OSError) as error:
        msg = "libseccomp is not installed: a step could not be kept from the kernel."
        raise EngineError(msg, next="apt-get install -y libseccomp2") from error
    filter_ = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    # A tree, not a list: every call of a step passes it.
    filter_.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)
    for abi in SECOND_ABIS.get(machine, ()):
        filter_.add_arch(getattr(pyseccomp.Arch, abi))
    for rule in rules():
        if machine in rule.never or (rule.only and machine not in rule.only):
            continue
        # Minus one is libseccomp's word for a name that it does not know.
        if pyseccomp.resolve_syscall(pyseccomp.system_arch(), rule.name) == -1:
            continue
        conditions = [
            pyseccomp.Arg(each.place, pyseccomp.GT, each.above)
            if each.above is not None
            else pyseccomp.Arg(each.place, pyseccomp.MASKED_EQ, each.mask, each.value)
            for each in rule.arguments
        ]
        filter_.add_rule(pyseccomp.ERRNO(rule.errno), rule.name, *conditions)
    with path.open("wb") as file:
        filter_.export_bpf(file)


def docker_profile() -> str:
    """Return the same as Docker takes it: https://docs.docker.com/engine/security/seccomp/."""
    architectures = [
        {
            "architecture": f"SCMP_ARCH_{main.upper()}",
            "subArchitectures": [f"SCMP_ARCH_{abi}" for abi in abis],
        }
        for main, abis in SECOND_ABIS.items()
    ]
    calls = [
        {
            "names": [rule.name],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": rule.errno,
            "args": [
                {"index": each.place, "value": each.above, "op": "SCMP_CMP_GT"}
                if each.above is not None
                else {
                    "index": each.place,
                    "value": each.mask,
                    "valueTwo": each.value,
                    "op": "SCMP_CMP_MASKED_EQ",
                }
                for each in rule.arguments
            ],
            "includes": {"arches": list(rule.only)} if rule.only else {},
            "excludes": {"arches": list(rule.never)} if rule.never else {},
        }
        for rule in rules()
    ]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "archMap": architectures, "syscalls": calls}
    return json.dumps(profile)
