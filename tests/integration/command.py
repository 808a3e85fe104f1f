"""./inv as a process of its own, started as a user starts it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended. Standard output is for results, standard error for how it came along."""

    code: int
    stdout: str
    stderr: str

    @property
    def started(self) -> list[str]:
        """The steps that really ran."""
        lines = self.stderr.splitlines()
        return [line.split(maxsplit=1)[1] for line in lines if line.startswith("start ")]


@dataclass(frozen=True, kw_only=True)
class Inv:
    """The command with its settings. Nothing of the caller's settings leaks in, but which engine there is."""

    directory: Path
    """Where it is called from."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """``cache`` is FROMSCRATCH_CACHE."""
    words: tuple[str, ...] = (str(ROOT / "inv"),)
    """What comes before the task: the command, and what it is wrapped into."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *args: str | Path, seconds: float = SECONDS) -> Done:
        """Run to the end. Whatever happens, nobody is shown a traceback."""
        with self.start(*args) as process:
            return finish(process, seconds=seconds)

    def start(self, *args: str | Path) -> "subprocess.Popen[str]":
        """Run at the head of a process group, as a shell would."""
        return subprocess.Popen(
            [*self.words, *map(str, args)],
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def set(self, **settings: str | Path) -> "Inv":
        """The same with more settings."""
        texts = {name: str(value) for name, value in settings.items()}
        return replace(self, settings={**self.settings, **texts})

    def unpacked(self, directory: Path) -> "Inv":
        """The same from a copy of this project in ``directory``, as out of a tarball.

        A release names the commit that it was made from, and the tree that is being tested may be none.
        """
        unneeded = shutil.ignore_patterns(".*", "__pycache__", "artifacts", "tests")
        shutil.copytree(ROOT, directory, ignore=unneeded)
        return replace(self, words=(sys.executable, str(directory / "tasks.py")))

    def wrapped(self, *words: str) -> "Inv":
        """The same, inside of another command."""
        return replace(self, words=(*words, *self.words))

    def environ(self, **environment: str) -> "Inv":
        """The same with more environment."""
        return replace(self, environment={**self.environment, **environment})

    def _environment(self) -> dict[str, str]:
        mine = {
            name: value for name, value in os.environ.items() if not name.startswith("FROMSCRATCH_")
        }
        theirs = {f"FROMSCRATCH_{name.upper()}": value for name, value in self.settings.items()}
        return {**mine, **theirs, **self.environment}


def finish(process: "subprocess.Popen[str]", *, seconds: float = SECONDS) -> Done:
    """Wait for the end; a process that does not come to it is killed."""
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Traceback" not in stdout + stderr, stderr
    return Done(code=process.returncode, stdout=stdout, stderr=stderr)


def listed(directory: Path) -> list[str]:
    """Every file below ``directory``."""
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


def by_path(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The manifest's sha256 of each file."""
    return {entry["path"]: entry["sha256"] for entry in entries}
