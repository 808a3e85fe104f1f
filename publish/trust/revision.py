"""Which state of this project makes a release: what git says of it, what its files are, and what somebody claims."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import EngineError, PublishError
from core.process import run_program
from recipes.model import Recipe

SOURCES = (
    "builders",
    "commands",
    "core",
    "flow",
    "probe",
    "publish",
    "recipes",
    "requirements.txt",
    "tasks.py",
    "verify",
)
"""What can change a release."""

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHOWN = 5
SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What made a release. Nothing here is guessed: what cannot be known is ''."""

    commit: str = ""
    """The commit that is checked out; '' outside a checkout of this project."""
    tree: str
    """sha256 over names and contents of all that can change a release: the same for a clone and for a tarball."""
    changed: tuple[str, ...] = ()
    """The files that are not as in that commit."""
    claimed: str = ""
    """What the setting `revision` says, which nobody has checked."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Recipes that lie outside of this project, which no commit of it can speak for: tree digests by name."""

    @classmethod
    def of(
        cls, root: Path, recipes: Mapping[str, Recipe] | None = None, *, claimed: str = ""
    ) -> "Revision":
        """Look at the project in ``root``. Raises PublishError when git cannot say what was changed in a checkout."""
        elsewhere = {
            recipe.name: tree_digest(recipe.directory.parent, [recipe.directory.name])
            for recipe in (recipes or {}).values()
            if not recipe.directory.resolve().is_relative_to(root.resolve())
        }
        commit = ""
        changed: tuple[str, ...] = ()
        if (root / ".git").exists():
            commit, changed = _checkout(root)
        return cls(
            commit=commit,
            tree=tree_digest(root, SOURCES),
            changed=changed,
            claimed=claimed,
            elsewhere=elsewhere,
        )

    @property
    def dirty(self) -> bool:
        return bool(self.changed)

    def require_clean(self) -> None:
        """Raise PublishError naming what was changed since the commit."""
        if self.dirty:
            more = f" and {len(self.changed) - SHOWN} more" if len(self.changed) > SHOWN else ""
            names = ", ".join(self.changed[:SHOWN])
            msg = f"This tree is not the commit {self.commit[:12]}: {names}{more}"
            raise PublishError(
                msg,
                why="files were changed or added since, and a release names the commit that it was made from",
                next="git commit or git stash, then again; or --allow-dirty, which marks the release as such",
            )


def tree_digest(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 over paths and contents of files and of directories' files, but for bytecode."""
    digest = hashlib.sha256()
    for path in sorted(_files(root, names)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _files(root: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        top = root / name
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _checkout(root: Path) -> tuple[str, tuple[str, ...]]:
    """Return the commit, and what differs from it. Raises PublishError."""
    # Whoever calls us from a hook has variables that lead git elsewhere; ours may hold a key.
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("GIT_", "FROMSCRATCH_"))
    }
    with tempfile.TemporaryDirectory(prefix="fromscratch-") as directory:
        # An index of our own, made of the commit: the user's may be told to overlook changes (--assume-unchanged).
        environment["GIT_INDEX_FILE"] = str(Path(directory) / "index")

        def git(*words: str) -> str:
            done = run_program(
                ["git", "-c", "core.fsmonitor=false", "-C", str(root), *words],
                seconds=SECONDS,
                package="git",
                purpose="name the commit",
                environment=environment,
            )
            return done.stdout

        try:
            top = Path(git("rev-parse", "--show-toplevel").rstrip("\n"))
            commit = git("rev-parse", "--verify", "HEAD^{commit}").strip()
            git("read-tree", "HEAD")
            status = ("status", "--porcelain=v1", "-z", "--no-renames")
            said = git(*status, "--untracked-files=no").split("\0")
            # A new file changes a release only where it is read: a release may lie in the tree itself.
            new = ("--untracked-files=all", "--ignored=matching", "--", *SOURCES)
            said += git(*status, *new).split("\0")
        except EngineError as error:
            msg = f"git cannot say what this tree is: {error.what}"
            why = "the directory belongs to another user, or its .git is damaged"
            next = "mend that (git status must work here), or publish from a tarball: it names no commit"
            raise PublishError(msg, why=why, next=next) from error
    if top.resolve() != root.resolve() or not COMMIT.fullmatch(commit):
        msg = f"git takes {top} for the top of this project, not {root}."
        raise PublishError(msg, next="publish from a checkout of this project, or from a tarball")
    changed = {line[3:] for line in said if line and "__pycache__" not in line.split("/")}
    return commit, tuple(sorted(name for name in changed if not name.endswith(".pyc")))
