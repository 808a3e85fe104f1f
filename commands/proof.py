"""Prove files again, built here or anywhere: `inv verify` and `inv smoke`."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builders.key import action_key
from builders.plan import Stage, Step
from core.errors import UsageError
from core.target import Target
from flow.context import Context
from recipes.load import find_product
from verify.facts import Packing
from verify.rules import verify_file
from verify.servers import serving
from verify.smoke import Smoke, smoke
from verify.verdict import Policy, Verdict


def verify_files(context: Context, paths: Sequence[Path], policy: Policy) -> list[Verdict]:
    """Verifier any files. A packed one is judged by what it unpacks to as well, when UPX can be had."""
    return [judge_file(context, path, policy) for path in paths]


def judge_file(context: Context, path: Path, policy: Policy) -> Verdict:
    """Verifier one file, a packed one by what it unpacks to as well."""
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
            subprocess.run(words, capture_output=True, timeout=120, check=True)
        except subprocess.SubprocessError:
            return verdict  # it says that nobody could look inside
        if not verify_file(unpacked, policy):
            return verdict
    return verify_file(path, replace(policy, unpacked_verified=True))


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


def smoke_artifacts(context: Context) -> list[tuple[str, Smoke]]:
    """Try out every file of the manifest again; nothing remembered is believed."""
    results: list[tuple[str, Smoke]] = []
    with serving() as servers:
        for entry in context.manifest():
            path = str(entry["path"])
            try:
                product = find_product(str(entry["product"]), context.recipes)
            except UsageError as error:
                # Built from a directory that is not named this time.
                results.append((path, Smoke.not_run(f"{error.what} Is --recipes missing?")))
                continue
            release = product.recipe.release(str(entry["release"]))
            place = context.smoke_environment(Target.parse(str(entry["target"])))
            if release is None:
                results.append((path, Smoke.not_run("this release is no longer in the recipe")))
            elif isinstance(place, str):
                results.append((path, Smoke.not_run(place)))
            else:
                file = context.artifacts / path
                results.append((path, smoke(file, product, release, place, servers)))
    return results
