"""What fills each program: put together after it is delivered, from what its link left beside it."""

from builders.environment import need_directory
from builders.plan import Step
from builders.side import MAP, OWNERS
from core.errors import FromscratchError
from core.files import Place, disk_errors
from flow.context import Context
from flow.verification import BuildRun
from publish.manifest import Artifact
from records.place import fill_path, has_fill

FREEZER = "micropython"
"""The recipe whose programs have modules of ours in them as bytecode."""


def record_fills(context: Context, run: BuildRun, artifacts: list[Artifact]) -> None:
    """Keep a record for every plain file whose link left a map, unless there is one of this very file.

    A map that cannot be understood is said, and nothing is kept: the file itself is as good as without.
    """
    plain = {artifact.path: artifact for artifact in artifacts if not artifact.packed}
    for goal in run.goals:
        path = str(goal.product.file_name(goal.release.version, goal.target, packed=False))
        artifact = plain.get(path)
        if artifact is None or has_fill(context.artifacts, _name(artifact), artifact.sha256):
            continue
        with disk_errors(context.artifacts, Place.ARTIFACTS):
            # It is of another file, which is not there any more.
            fill_path(context.artifacts, _name(artifact)).unlink(missing_ok=True)
            files = run.outcomes[goal.build].files
            if MAP in files:
                _record(context, goal.build, artifact, dict(files))


def _name(artifact: Artifact) -> str:
    return artifact.path.rpartition("/")[2]


def _record(context: Context, step: Step, artifact: Artifact, files: dict[str, str]) -> None:
    # A build that changes nothing needs none of it.
    from dataclasses import replace  # noqa: PLC0415

    from records.attribute import attribute, unclaimed  # noqa: PLC0415
    from records.fill import write_fill  # noqa: PLC0415
    from records.frozen import NOTE, check_sizes, claim  # noqa: PLC0415
    from records.link_map import LinkMapError  # noqa: PLC0415

    sides = {name: context.cache.blob(sha256) for name, sha256 in files.items()}
    program = context.blob(artifact.sha256)
    said = sides.get(MAP)
    owners = sides.get(OWNERS)
    if said is None:
        return  # a store has lost it
    frozen = step.recipe.local is not None and FREEZER in dict(step.needs)
    try:
        fill, atoms = attribute(
            program,
            said.read_bytes(),
            owners.read_bytes() if owners else None,
            file=_name(artifact),
            own=step.recipe.name,
            needs={need_directory(name).name: need.recipe.name for name, need in step.needs},
            claim=claim if frozen else unclaimed,
        )
    except (LinkMapError, FromscratchError) as error:
        why = error.what if isinstance(error, FromscratchError) else str(error)
        context.report.warn(
            f"{artifact.path}: what fills it is not recorded: its link's map: {why}"
        )
        return
    if frozen:
        checks = check_sizes(atoms, step.recipe.local_files)
        fill = replace(fill, checks=checks, checks_note=NOTE)
    write_fill(context.artifacts, fill)
