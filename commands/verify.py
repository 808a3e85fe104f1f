"""`inv verify`: judges any files, built here or anywhere, with `commands.verify_release` for whole releases."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from builders.key import action_key
from builders.plan import Stage, Step
from core.target import Target
from flow.context import Context
from verify.expectations import Expectations
from verify.packing import Packing
from verify.verdict import Verdict, judge_path


def judge_file(context: Context, path: Path, expectations: Expectations) -> Verdict:
    """Judge one file, a packed one by what it unpacks to as well when UPX can be had."""
    verdict = judge_path(path, expectations)
    if verdict.facts is None or verdict.facts.packing is Packing.NONE:
        return verdict
    with context.cache.scratch() as scratch:
        upx = _upx(context, scratch)
        if upx is None:
            return verdict
        unpacked = scratch / "unpacked"
        words = [str(upx), "-q", "-d", "-o", str(unpacked), str(path)]
        try:
            subprocess.run(words, capture_output=True, timeout=120, check=True)
        except subprocess.SubprocessError:
            return verdict  # it says that nobody could look inside
        if not judge_path(unpacked, expectations):
            return verdict
    return judge_path(path, replace(expectations, unpacked_judged=True))


def _upx(context: Context, scratch: Path) -> Path | None:
    """Return UPX: the one that was built here, made to run in ``scratch``, else the machine's."""
    recipe = context.recipes["upx"]
    for release in recipe.releases:
        step = Step(
            stage=Stage.BUILD,
            recipe=recipe,
            release=release,
            variant=recipe.variants[0],
            target=Target.native(),
            needs=(),
        )
        made = context.cache.get_action(action_key(step, {}, context.toolchain))
        if made and (blob := context.cache.blob(made["files"]["upx"])):
            upx = scratch / "upx"
            shutil.copyfile(blob, upx)
            upx.chmod(0o755)
            return upx
    found = shutil.which("upx")
    return Path(found) if found else None
