"""Is one file good, whoever made it? A packed one is judged by what it unpacks to as well."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

from builders.plan import Step, needed_recipes, plan_step
from core.errors import EngineError
from core.process import run_program
from core.target import Target
from flow.context import Context
from recipes.model import Product, Recipe
from verify.facts import Packing
from verify.rules import USUAL, Look, verify_file
from verify.verdict import Policy, Verdict


def judge_file(context: Context, path: Path, policy: Policy, look: Look = USUAL) -> Verdict:
    """Judge one file, a packed one by what it unpacks to as well when UPX can be had."""
    verdict = verify_file(path, policy, look)
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
        if not verify_file(unpacked, policy, look):
            return verdict
    return verify_file(path, replace(policy, unpacked_verified=True), look)


def _upx(context: Context, scratch: Path) -> Path | None:
    """Return UPX: the one that was built here, made to run in ``scratch``, else the machine's."""
    for step in _steps(context, context.recipes["upx"]):
        outcome = context.builder().look_up_whole(step)
        if outcome and (blob := context.cache.blob(outcome.product(step))):
            upx = scratch / "upx"
            shutil.copyfile(blob, upx)
            upx.chmod(0o755)
            return upx
    found = shutil.which("upx")
    return Path(found) if found else None


def _steps(context: Context, tool: Recipe) -> Iterator[Step]:
    """Yield every way to build a tool: with each release of it and of what it needs, newest first."""
    variant, native = tool.variants[0], Target.native()
    parts = needed_recipes([Product(recipe=tool, variant=variant)], context.recipes, pack=False)
    for releases in product(*(part.releases for part in parts)):
        chosen = {part.name: release for part, release in zip(parts, releases, strict=True)}
        yield plan_step(
            tool, variant, native, recipes=context.recipes, releases=chosen, native=native
        )
