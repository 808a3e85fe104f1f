"""Runs an action, here as on any other machine: fills a sandbox from the cache, runs the script, keeps what it made."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

from builders.action import Action
from builders.engines.engine import Command, Engine, Sandbox
from builders.engines.limits import Limits
from builders.engines.log import last_lines
from builders.outcome import FEW, Outcome
from builders.side import settle
from builders.sources.shared import AnyCache
from builders.sources.unpack import unpack
from builders.toolchain import Toolchain
from builders.tree import pack_tree, unpack_tree
from core.cancel import CancelToken
from core.errors import EngineError, LostInputs, StepError
from core.files import Place, disk_errors
from core.remove import remove
from core.visible import visible_line

LOG_LINES = 30
LINE = 240
"""Characters of a log's line that a message shows: a compiler's command line is longer than a screen."""

FULL = 1 << 20
"""Bytes: a disk with less room than this is taken to be full."""


def perform(
    action: Action,
    *,
    cache: AnyCache,
    toolchain: Toolchain,
    engine: Engine,
    stop: CancelToken,
    logs: Path,
    limits: Limits | None = None,
) -> Outcome:
    """Run an action whose inputs are in the cache, and put there what it made; nothing is signed or remembered.

    ``limits`` are those of where it runs, but for the time, which the action says. Raises StepError, with the end of
    the log, when the script fails or an input is missing, Cancelled soon after ``stop`` is set, and EngineError when
    this toolchain is not the action's.
    """
    if toolchain.digest != action.toolchain:
        msg = f"{action.name} is of another toolchain than the one here."
        why = "the two machines have different commits, or different kinds of processors"
        raise EngineError(msg, why=why, next="use the same commit on all of them")
    began = time.monotonic()
    log = log_of(action, logs)
    with disk_errors(log, Place.LOGS):
        log.parent.mkdir(parents=True, exist_ok=True)
        # Never into what lies there: a link would lead elsewhere, a pipe would keep us waiting.
        remove(log)
        log.touch(exist_ok=False)
    limits = replace(limits or Limits(), seconds=action.seconds)
    with (
        disk_errors(cache.root, Place.CACHE),  # all of it lies there
        cache.scratch() as scratch,
        engine.sandbox(stop) as sandbox,
    ):
        _put(action, sandbox, scratch, cache, stop)
        command = Command(
            argv=("sh", "-c", f'umask 022; exec sh "$RECIPE/{action.script}"'),
            env=action.environment(sandbox.root, sandbox.toolchain, os.cpu_count() or 1),
            log=log,
            seconds=limits.seconds,
            limits=limits,
        )
        if code := sandbox.run(command):
            raise _failed(action, code, log)
        made, archive = scratch / "made", scratch / "made.tar"
        sandbox.get(PurePosixPath("out"), made)
        settle(made, root=sandbox.root, toolchain=sandbox.toolchain)
        seconds = round(time.monotonic() - began, 3)
        files = pack_tree(made, archive)
        if not files:
            msg = f"{action.name} ended well but made nothing."
            raise StepError(msg, why=f"{action.script} wrote no file to $OUT")
        few = files if len(files) <= FEW else []
        return Outcome(
            key=action.key,
            output=cache.put_file(archive, move=True),
            files={str(path): cache.put_file(made / path) for path in few},
            engine=engine.name,
            isolated=engine.isolated,
            seconds=seconds,
            cached=False,
            usage=sandbox.usage,
        )


def log_of(action: Action, logs: Path) -> Path:
    """Where the log of an action is."""
    return logs / f"{action.slug}-{action.key[:8]}.log"


def _put(
    action: Action, sandbox: Sandbox, scratch: Path, cache: AnyCache, stop: CancelToken
) -> None:
    for name in ("work", "out"):
        (scratch / "directories" / name).mkdir(parents=True)
        sandbox.put(scratch / "directories" / name, PurePosixPath(name), move=True)
    for place, sha256 in action.trees.items():
        stop.check(action.name)
        unpack_tree(_blob(cache, sha256, f"'{place}' of {action.name}"), scratch / "trees" / place)
        sandbox.put(scratch / "trees" / place, PurePosixPath(place), move=True)
    if source := action.source:
        top = unpack(
            _blob(cache, source.sha256, f"The source {source.filename}"),
            scratch / "source",
            epoch=source.epoch,
            unused=source.unused,
            label=source.filename,
            cancel=stop,
        )
        sandbox.put(top, PurePosixPath("src"), move=True)


def _blob(cache: AnyCache, sha256: str, what: str) -> Path:
    blob = cache.blob(sha256)
    if blob is None:
        msg = f"{what} is not in the cache any more."
        why = "it was removed during the build"
        raise LostInputs(msg, names=[sha256], why=why, next="run again")
    return blob


def _failed(action: Action, code: int, log: Path) -> StepError:
    lines = (visible_line(line.expandtabs())[:LINE] for line in last_lines(log, LOG_LINES))
    tail = "\n".join(f"    {line}" for line in lines)
    msg = f"{action.name} failed with exit code {code}. The end of its log:\n{tail}"
    # Compilers say little about it, and their log did not fit either.
    full = shutil.disk_usage(log.parent).free < FULL
    return StepError(
        msg,
        why=f"the disk is full: {log.parent.parent}" if full else "",
        next=f"read the whole log: {log}",
    )
