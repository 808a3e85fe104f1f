"""`inv verify`: judges any files, built here or anywhere, with `commands.verify_release` for whole releases."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from builders.key import action_key
from core.errors import EngineError
from core.process import run_program
from core.target import Target
from flow.build import lone_step
from flow.context import Context
from verify.facts import Packing
from verify.rules import verify_file
from verify.verdict import Policy, Verdict


def judge_files(context: Context, paths: Iterable[str], target: str) -> Sequence[Verdict]:
    """Judge files; ``target`` names the platform that they must be for, if any. Raises UsageError."""
    policy = Policy(target=Target.parse(target) if target else None)
    return [judge_file(context, Path(path), policy) for path in paths]


def judge_file(context: Context, path: Path, policy: Policy) -> Verdict:
    """Judge one file, a packed one by what it unpacks to as well when UPX can be had."""
    verdict = verify_file(path, policy)
    if verdict.facts is None or verdict.facts.packing is Packing.NONE:
        return verdict
    with context.cache.scratch() as scratch:
        upx = _upx(context, scratch)
        if upx is None:
            return verdict
        unpacked = scratch / "unpacked"
        words = [str(upx), "-q", "-d", "-o", str(unpacked), str(path)]
        try:
            run_program(words, seconds=120, package="upx-ucl", purpose="unpack what is packed")
        except EngineError:
            return verdict  # it says that nobody could look inside
        if not verify_file(unpacked, policy):
            return verdict
    return verify_file(path, replace(policy, unpacked_verified=True))


def _upx(context: Context, scratch: Path) -> Path | None:
    """Return UPX: the one that was built here, made to run in ``scratch``, else the machine's."""
    recipe = context.recipes["upx"]
    for release in recipe.releases:
        key = action_key(lone_step(recipe, release), {}, context.toolchain)
        made = context.cache.get_action(key)
        files = made.get("files") if made else None
        named = files.get("upx") if isinstance(files, dict) else None
        if isinstance(named, str) and (blob := context.cache.blob(named)):
            upx = scratch / "upx"
            shutil.copyfile(blob, upx)
            upx.chmod(0o755)
            return upx
    found = shutil.which("upx")
    return Path(found) if found else None
