"""The key under which a step's result is remembered: the sha256 of everything that can change it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from builders.environment import environment
from builders.plan import Stage, Step
from builders.toolchain import Toolchain
from recipes.model import Recipe, Release

FORMAT = 2
"""Part of every key: raised when the meaning of a step changes without its inputs."""

PACK_SCRIPT = Path(__file__).parent / "packing" / "pack.sh"


def action_key(step: Step, inputs: Mapping[str, str], toolchain: Toolchain) -> str:
    """Return the sha256 of everything that can change the step's result.

    ``inputs`` maps the names of `Step.needs` to the sha256 of what those steps made: a rebuilt
    dependency with the same bytes changes nothing. The engine is no part of it: all engines make the
    same bytes.
    """
    facts = {
        "format": FORMAT,
        "stage": step.stage,
        "recipe": step.recipe.name,
        "version": step.release.version,
        "epoch": step.release.epoch,
        "source": source_digest(step.recipe, step.release),
        "target": step.target,
        "inputs": dict(inputs),
        "toolchain": toolchain.digest,
    }
    match step.stage:
        case Stage.BUILD | Stage.CHECKS:
            # All that reaches the script: switches, flags of the target and the toolchain, versions.
            facts["environment"] = environment(step, toolchain, inputs)
            facts["files"] = [
                [path.relative_to(step.recipe.directory).as_posix(), _sha256(path.read_bytes())]
                for path in step.recipe.files
            ]
            if step.recipe.unused:
                facts["unused"] = sorted(step.recipe.unused)
        case Stage.PACK:
            facts["method"] = step.recipe.pack
            facts["script"] = _sha256(PACK_SCRIPT.read_bytes())
            del facts["source"], facts["toolchain"]
    return _sha256(json.dumps(facts, sort_keys=True).encode())


def source_digest(recipe: Recipe, release: Release) -> str:
    """The sha256 of a release's source: of the download, or over names and contents of a local directory."""
    if release.source:
        return release.source.sha256
    digest = hashlib.sha256()
    for path in recipe.local_files:
        content = path.read_bytes()
        digest.update(
            f"{path.relative_to(recipe.local or path)} {len(content)}\n".encode() + content
        )
    return digest.hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
