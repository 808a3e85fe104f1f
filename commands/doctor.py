"""`inv doctor`: everything that a bug report should say about this machine."""

import shutil
from typing import Any

from builders.engines.choose import find_emulator
from builders.sources.shared import SharedCache
from console.table import table
from core.errors import EngineError, FromscratchError
from core.settings import SETTINGS
from core.target import Target
from flow.context import Context

TOOLS = (
    ("docker", "docker.io", "looking at what the docker engine does"),
    ("bwrap", "bubblewrap", "the sandbox engine"),
    ("unshare", "util-linux", "the sandbox engine without bubblewrap"),
    ("mmdebstrap", "mmdebstrap", "the base of the docker engine's builder image"),
    ("apt-get", "apt", "finding a Debian mirror"),
)
"""Programs, the packages that bring them, and what for."""


def examine(context: Context, *, deep: bool = False) -> dict[str, Any]:
    """Look at engines, tools, settings, the cache and mirrors; return what ``--json`` prints.

    With ``deep`` every file of the toolchain is hashed, else only those that changed their looks.
    """
    candidates = list(context.chooser.candidates())
    tools = [
        {
            "name": name,
            "path": shutil.which(name),
            "install": f"apt-get install -y {package}",
            "purpose": purpose,
        }
        for name, package, purpose in TOOLS
    ]
    foreign = [target for target in Target if not target.runs_natively]
    missing = [target for target in foreign if find_emulator(target) is None]
    tools.append(
        {
            "name": "qemu-user",
            "path": None if missing else "yes",
            "install": "apt-get install -y qemu-user-static",
            "purpose": f"smoke runs for {' '.join(missing or foreign)}",
        }
    )
    return {
        "engines": [engine._asdict() for engine in candidates],
        "auto": next(engine.name for engine in candidates if engine.works),
        "tools": tools,
        "settings": [
            {
                "name": setting.variable,
                "value": setting.redacted(context.settings[setting.name]),
                "origin": context.settings.values[setting.name][1].value,
                "help": setting.help,
            }
            for setting in SETTINGS
        ],
        "toolchain": toolchain(context, deep=deep),
        "cache": str(context.cache_directory),
        "store": store(context),
        "debian": list(context.mirrors.debian()),
    }


def toolchain(context: Context, *, deep: bool) -> str:
    """Say whether the toolchain is what was installed."""
    try:
        count = context.check_toolchain(deep=deep)
    except EngineError as error:
        return f"{error.what} ({error.next})"
    return f"{count:,} files as they were installed"


def store(context: Context) -> str:
    """Say whether the store that the settings name answers."""
    try:
        if not isinstance(cache := context.cache, SharedCache):
            return "none"
        cache.store.has("0" * 64)
    except FromscratchError as error:
        return f"{error.what} ({error.next})"
    return f"{cache.store} answers{', and is only read' if cache.read_only else ''}"


def describe(report: dict[str, Any]) -> str:
    """Return the same for people."""
    engines = [(e["name"], "yes" if e["works"] else "no", e["reason"]) for e in report["engines"]]
    tools = [(t["name"], t["path"] or f"no: {t['install']}", t["purpose"]) for t in report["tools"]]
    settings = [(s["name"], s["value"] or "-", s["origin"], s["help"]) for s in report["settings"]]
    debian = ", ".join(report["debian"]) or "none (set FROMSCRATCH_DEBIAN_MIRROR)"
    parts = [
        table(("engine", "works", "why"), engines),
        f"'auto' would use: {report['auto']}",
        table(("tool", "found", "for"), tools),
        table(("setting", "value", "from", "what"), settings),
        f"toolchain: {report['toolchain']}",
        f"cache: {report['cache']}\nstore: {report['store']}\nDebian mirrors: {debian}",
    ]
    return "\n\n".join(parts)
