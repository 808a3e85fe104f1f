"""The rights that a program gives to whoever runs it: setuid, setgid and file capabilities.

https://man7.org/linux/man-pages/man7/capabilities.7.html (File capabilities)
"""

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

XATTR: Final = "security.capability"
_NAMES: Final = """
    chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
""".split()  # noqa: SIM905 - a list of forty quoted words is no easier to read
"""In the order of their numbers: https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/capability.h"""


@dataclass(frozen=True, kw_only=True)
class Rights:
    """``capabilities`` as ``getcap`` names them, permitted and inheritable ones together."""

    setuid: bool = False
    setgid: bool = False
    capabilities: tuple[str, ...] = ()

    @classmethod
    def of(cls, mode: int, capability: bytes = b"") -> "Rights":
        """Read a file's mode and the bytes of its attribute ``security.capability``."""
        return cls(
            setuid=bool(mode & stat.S_ISUID),
            # Without the right to run it, this bit has meant mandatory locks.
            setgid=bool(mode & stat.S_ISGID and mode & stat.S_IXGRP),
            capabilities=capability_names(capability),
        )

    @classmethod
    def of_file(cls, path: Path) -> "Rights":
        """Read what a file of this machine has; nothing where it cannot be asked."""
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):
            return cls()
        try:
            attribute = os.getxattr(path, XATTR)
        except (OSError, ValueError):  # there is none, or the file system knows none
            attribute = b""
        return cls.of(mode, attribute)

    def __bool__(self) -> bool:
        return self.setuid or self.setgid or bool(self.capabilities)


NO_RIGHTS: Final = Rights()


def capability_names(raw: bytes) -> tuple[str, ...]:
    """Return the names of the capabilities in a ``struct vfs_cap_data``; ``unreadable`` when it is none."""
    if not raw:
        return ()
    if len(raw) < 12:
        return ("unreadable",)
    words = struct.unpack_from(f"<{min(len(raw), 20) // 4}I", raw)
    low = words[1] | words[2]
    high = words[3] | words[4] if len(words) >= 5 else 0
    bits = low | high << 32
    return tuple(
        f"cap_{_NAMES[number]}" if number < len(_NAMES) else f"cap_{number}"
        for number in range(64)
        if bits >> number & 1
    )
