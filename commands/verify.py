"""`inv verify`: judges any files, built here or anywhere, with `commands.verify_release` for whole releases."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from core.errors import UsageError
from core.files import disk_errors, write_file
from core.processes import in_processes
from core.target import Target
from flow.context import Context
from flow.judge import judge_file
from verify.facts import Depth
from verify.inputs.archive import Scratch
from verify.inputs.folder import DirectoryRoot, folder_batch
from verify.inputs.open import is_layout_directory, open_layout, open_path, spool
from verify.inputs.subject import Batch, Subject
from verify.loader import Loader
from verify.policy import DEFAULT, find_policy
from verify.reports.junit import junit
from verify.reports.report import Judged, Report
from verify.reports.sarif import sarif
from verify.rules import Look, refused
from verify.verdict import Policy, Verdict

STANDARD_INPUT = "-"
MANY = 16
"""So many files are judged in several processes, and by their headers first."""


@dataclass(frozen=True, kw_only=True)
class VerifyRequest:
    """What is to be judged, and by what."""

    paths: tuple[str, ...]
    """Files, directories, ``oci://`` images, and ``-``."""
    target: Target | None = None
    """The platform that files must be for; of images, only this platform is looked at."""
    policy: Policy
    recursive: bool = False
    root: Path | None = None
    """The root file system that the files are in: what they need is looked up there."""
    insecure: bool = False
    thorough: bool = False
    """All facts of each file are wanted."""

    @classmethod
    def of(
        cls,
        paths: Sequence[str],
        *,
        target: str = "",
        policy: str = "",
        recursive: bool = False,
        root: str = "",
        insecure: bool = False,
        thorough: bool = False,
    ) -> "VerifyRequest":
        """Read the words of a command line. Raises UsageError, and RecipeError for a wrong policy file."""
        if root and not Path(root).is_dir():
            msg = f"'{root}' is no directory."
            raise UsageError(msg, next="name the root file system that the files are in")
        return cls(
            paths=tuple(paths),
            target=Target.parse(target) if target else None,
            policy=find_policy(policy or DEFAULT),
            recursive=recursive,
            root=Path(root) if root else None,
            insecure=insecure,
            thorough=thorough,
        )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One file, with all that its verdict depends on."""

    subject: Subject
    policy: Policy
    depth: Depth
    batch: int


def judge(context: Context, request: VerifyRequest, *, source: BinaryIO | None = None) -> Report:
    """Judge everything that was asked for; ``source`` is standard input.

    Raises UsageError for an image's name that is none, PublishError for a registry that fails.
    """
    with context.cache.scratch() as directory:
        batches = list(_batches(context, request, directory, source or sys.stdin.buffer))
        loaders = _loaders(request, batches)
        count = sum(len(batch.subjects) for batch in batches)
        tasks = [
            _Task(
                subject=subject,
                policy=replace(request.policy, target=request.target or batch.target),
                depth=_depth(request, count),
                batch=number,
            )
            for number, batch in enumerate(batches)
            for subject in batch.subjects
        ]

        def work(task: _Task) -> Judged:
            verdict = _judge(context, task, loaders[task.batch], request.root)
            batch = batches[task.batch]
            judged = Judged(verdict=verdict, image=batch.image, platform=batch.platform)
            return judged if request.thorough or count < MANY else judged.light()

        judged = in_processes(work, tasks, jobs=context.jobs, cancel=context.cancel)
    return Report(
        policy=request.policy.name,
        judged=tuple(judged),
        others=sum(batch.others for batch in batches),
        notes=tuple(note for batch in batches for note in batch.notes),
    )


def write_report(report: Report, path: str, kind: str, *, version: str) -> None:
    """Write a report as a file. Raises StorageError."""
    with disk_errors(Path(path)):
        write_file(Path(path), f"{as_text(report, kind, version=version)}\n".encode())


def as_text(report: Report, kind: str, *, version: str) -> str:
    """Return a report as ``sarif`` or ``junit``."""
    return (
        json.dumps(sarif(report, version=version), indent=2) if kind == "sarif" else junit(report)
    )


def _depth(request: VerifyRequest, count: int) -> Depth:
    if request.thorough:
        return Depth.ALL
    return Depth.HEADERS if count >= MANY else Depth.BYTES


def _judge(context: Context, task: _Task, loader: Loader | None, root: Path | None) -> Verdict:
    subject = task.subject
    if subject.problem:
        return replace(refused(subject.path, subject.problem), label=subject.label)
    where = subject.where or (_inside(subject.path, root) if root else "")
    look = Look(
        depth=task.depth,
        rights=subject.rights,
        place=(lambda facts: loader.place(facts, where)) if loader and where else None,
    )
    verdict = judge_file(context, subject.path, task.policy, look)
    return replace(verdict, label=subject.label)


def _inside(path: Path, root: Path) -> str:
    """Return a file's absolute path in its root; empty when it is in another place."""
    try:
        return f"/{path.resolve().relative_to(root.resolve()).as_posix()}"
    except (ValueError, OSError, RuntimeError):
        return ""


def _loaders(request: VerifyRequest, batches: Sequence[Batch]) -> list[Loader | None]:
    own = Loader(root=DirectoryRoot(directory=request.root)) if request.root else None
    return [batch.loader or own for batch in batches]


def _batches(
    context: Context, request: VerifyRequest, directory: Path, source: BinaryIO
) -> Iterator[Batch]:
    """Yield what is to be judged; a path that names one file stands with its neighbours in one batch."""
    for number, path in enumerate(request.paths):
        with _scratch(directory / str(number)) as scratch:
            yield from _batches_of(context, request, path, scratch, source)


@contextmanager
def _scratch(directory: Path) -> Iterator[Scratch]:
    with disk_errors(directory.parent):
        directory.mkdir(parents=True)
    yield Scratch(directory=directory)


def _batches_of(
    context: Context, request: VerifyRequest, path: str, scratch: Scratch, source: BinaryIO
) -> Iterator[Batch]:
    platform = request.target.value if request.target else ""
    if path.startswith("oci://"):
        # What no other input needs takes a part of a second to import.
        from flow.foreign import fetch_image  # noqa: PLC0415
        from publish.registry.client import DEFAULTS  # noqa: PLC0415
        from publish.registry.reference import Reference  # noqa: PLC0415

        reference = Reference.parse(path, insecure=request.insecure)
        layout = scratch.directory / "layout"
        fetch_image(
            reference,
            layout,
            platform=platform,
            options=replace(DEFAULTS, cancel=context.cancel),
            progress=context.report.progress("copy"),
        )
        yield from open_layout(layout, scratch, name=path, platform=platform)
    elif path == STANDARD_INPUT:
        file = spool(source, scratch)
        yield from open_path(file, scratch, name="(standard input)", platform=platform)
    elif Path(path).is_dir():
        if is_layout_directory(Path(path)):
            yield from open_layout(Path(path), scratch, platform=platform)
        elif request.recursive:
            yield folder_batch(Path(path))
        else:
            note = f"{path} is a directory: inv verify --recursive judges what is below it"
            yield Batch(subjects=(Subject(path=Path(path)),), notes=(note,))
    else:
        yield from open_path(Path(path), scratch, platform=platform)
