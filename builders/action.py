"""A step as data: all that whoever runs it is told, here or on another machine. No path of this machine is in it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final

from builders.environment import environment, need_directory
from builders.key import PACK_SCRIPT
from builders.memory import Load
from builders.plan import Stage, Step
from builders.sources.entry import canonical
from builders.sources.shared import AnyCache
from builders.toolchain import Toolchain
from builders.tree import pack_files
from core.files import SHA256, Place, disk_errors

VERSION: Final = 1

LARGEST: Final = 1 << 20
"""Bytes: a step with every switch and need that there is has a hundredth."""

ROOT: Final = PurePosixPath("/@ROOT@")
TOOLS: Final = PurePosixPath("/@TOOLS@")
"""What stands in an action's environment for the step's own directory and for the toolchain."""

LONGEST: Final = 1e6
"""Seconds that a step may be given."""
LATEST: Final = 1 << 40
"""Seconds since 1970, far from any release."""

_NAME = re.compile(r"[ -~]{1,300}")
_SCRIPT = re.compile(r"[a-z]{1,20}\.sh")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,200}")
_PLACE = re.compile(r"recipe|src|needs/[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}")


class NoActionError(ValueError):
    """What was to be read is no action: damaged, of another version, or made to do harm."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A release's source: bytes in the cache, unpacked where the step runs."""

    sha256: str
    filename: str
    epoch: int
    """Seconds since 1970: the time of everything in it."""
    unused: tuple[str, ...] = ()
    """Directories at its top that are left out."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One step. Read it with `read` when it comes from elsewhere."""

    key: str
    """The sha256 of all that can change its result: see `builders.key`."""
    name: str
    """What people call it."""
    script: str
    """What runs, in the tree ``recipe``."""
    seconds: float
    """When it is ended."""
    memory: int
    """Bytes that its largest program takes."""
    parallel: bool
    """True when it runs as many compilers at a time as `JOBS` says."""
    env: Mapping[str, str]
    """Its environment without JOBS, which is of where it runs; `ROOT` and `TOOLS` are left open."""
    trees: Mapping[str, str]
    """Where a directory lies for the step, and the sha256 of its tar (see `builders.tree`)."""
    source: Archive | None
    toolchain: str
    """The digest of the one toolchain that may run it."""

    @property
    def slug(self) -> str:
        """Its name where a file is to have it."""
        return re.sub(r"[^A-Za-z0-9_.@+-]", "-", self.name)

    @property
    def load(self) -> Load:
        """What it takes of the memory of where it runs."""
        return Load(program=self.memory, parallel=self.parallel)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The sha256 of all that must be in the cache for it."""
        source = (self.source.sha256,) if self.source else ()
        return (*self.trees.values(), *source)

    def environment(self, root: PurePosixPath, tools: PurePosixPath, jobs: int) -> dict[str, str]:
        """Return the whole environment where the step's directory and the toolchain lie there."""
        filled = {
            name: value.replace(str(ROOT), str(root)).replace(str(TOOLS), str(tools))
            for name, value in self.env.items()
        }
        return {**filled, "JOBS": str(jobs)}

    def json(self) -> bytes:
        """The one spelling of it."""
        return canonical({"version": VERSION, **asdict(self)})

    @classmethod
    def read(cls, data: bytes) -> "Action":
        """Undo `json`. Raises NoActionError, with a reason, for anything that a client of ours does not write."""
        if len(data) > LARGEST:
            msg = f"it is larger than {LARGEST:,} bytes"
            raise NoActionError(msg)
        try:
            table = json.loads(data)
        except (ValueError, RecursionError) as error:
            msg = f"it is no JSON: {error}"
            raise NoActionError(msg) from error
        found = dict(_fields(table, cls, also=frozenset({"version"})))
        if found.pop("version") != VERSION:
            msg = "it is of another version"
            raise NoActionError(msg)
        if found["source"] is not None:
            source = dict(_fields(found["source"], Archive))
            unused = source.pop("unused")
            if not isinstance(unused, list):
                msg = "its 'unused' is no list"
                raise NoActionError(msg)
            found["source"] = Archive(**source, unused=tuple(unused))
        action = cls(**found)
        for name, good in _looks(action):
            if not good:
                msg = f"its '{name}' is none"
                raise NoActionError(msg)
        return action


def make_action(
    step: Step,
    inputs: Mapping[str, str],
    *,
    key: str,
    toolchain: Toolchain,
    cache: AnyCache,
    seconds: float,
) -> Action:
    """Return a step as data, once the trees of its recipe and of a local source are in the cache.

    ``inputs`` are the outputs of what the step needs, by the names of `Step.needs`.
    """
    variables = environment(step, toolchain, inputs, root=ROOT, tools=TOOLS)
    recipe = step.recipe
    trees = {str(need_directory(name)): output for name, output in inputs.items()}
    source = None
    if step.stage is Stage.PACK:
        trees["recipe"] = _tree(cache, {PurePosixPath(PACK_SCRIPT.name): PACK_SCRIPT})
    else:
        # Without what is no part of the key; see `Recipe.files`.
        below = {PurePosixPath(path.relative_to(recipe.directory)): path for path in recipe.files}
        trees["recipe"] = _tree(cache, below)
        if step.release.source:
            source = Archive(
                sha256=step.release.source.sha256,
                filename=step.release.source.filename,
                epoch=step.release.epoch,
                unused=recipe.unused,
            )
        elif recipe.local:
            modules = recipe.local_files
            below = {PurePosixPath(path.relative_to(recipe.local)): path for path in modules}
            trees["src"] = _tree(cache, below)
    load = Load.of(step)
    return Action(
        key=key,
        name=step.name,
        script=f"{step.stage.value}.sh",
        seconds=seconds,
        memory=load.program,
        parallel=load.parallel,
        env=variables,
        trees=trees,
        source=source,
        toolchain=toolchain.digest,
    )


def _tree(cache: AnyCache, files: Mapping[PurePosixPath, Path]) -> str:
    with disk_errors(cache.root, Place.CACHE), cache.scratch() as scratch:
        archive = scratch / "tree.tar"
        pack_files(files, archive)
        return cache.put_file(archive, move=True)


def _fields(table: object, cls: type[Any], *, also: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a table that has all fields of ``cls``, and no others but ``also``."""
    names = {field.name for field in fields(cls)} | also
    if not isinstance(table, dict) or table.keys() != names:
        msg = f"it has not the fields {', '.join(sorted(names))}, and no others"
        raise NoActionError(msg)
    return table


def _looks(action: Action) -> Iterator[tuple[str, bool]]:
    """Yield each field with whether it may be so: a worker is told nothing else before it believes the rest."""
    yield "key", _matches(SHA256, action.key)
    yield "name", _matches(_NAME, action.name)
    yield "script", _matches(_SCRIPT, action.script)
    yield "seconds", _within(action.seconds, 0, LONGEST, int | float)
    yield "memory", _within(action.memory, 0, 1 << 50, int)
    yield "parallel", isinstance(action.parallel, bool)
    yield "toolchain", _matches(SHA256, action.toolchain)
    yield "env", _texts(action.env) and "JOBS" not in action.env
    yield "env", all(map(_VARIABLE.fullmatch, action.env))
    yield "env", not any("\0" in value for value in action.env.values())
    yield "trees", _texts(action.trees) and "recipe" in action.trees
    yield "trees", all(map(_PLACE.fullmatch, action.trees))
    yield "trees", all(map(SHA256.fullmatch, action.trees.values()))
    if source := action.source:
        yield "source", _matches(SHA256, source.sha256) and "src" not in action.trees
        yield "source", all(map(_is_plain, (source.filename, *source.unused)))
        yield "source", _within(source.epoch, 0, LATEST, int)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _within(value: Any, least: float, most: float, kind: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return bool(least <= value <= most)  # false of what is not a number, too


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_plain(name: object) -> bool:
    """True for a name that is a file's, in whatever directory."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and "/" not in name
        and name not in {"", ".", ".."}
        and len(name) < 256
    )
