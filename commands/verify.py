"""`inv verify`: judges any files, built here or anywhere, with `commands.verify_release` for whole releases."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from core.target import Target
from flow.context import Context
from flow.judge import judge_file
from verify.verdict import Policy, Verdict


def judge_files(context: Context, paths: Iterable[str], target: str) -> Sequence[Verdict]:
    """Judge files; ``target`` names the platform that they must be for, if any. Raises UsageError."""
    policy = Policy(target=Target.parse(target) if target else None)
    return [judge_file(context, Path(path), policy) for path in paths]
