"""Puts together what was recorded of a build; what was not is left open, never guessed."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import RecipeError
from publish.manifest import Artifact
from recipes.model import Recipe
from report.contents import contents
from report.data import BuiltFile, Part, Report, Run, Trouble
from report.previous import Previous
from report.runs import runs, troubles
from report.thin import thinned


def gather(
    directory: Path,
    artifacts: Sequence[Artifact],
    recipes: Mapping[str, Recipe],
    *,
    made: str,
    against: str = "",
    previous: Previous | None = None,
) -> Report:
    """Return what the records in ``directory`` say of the manifest's ``artifacts``.

    ``made`` is the time now, ``previous`` what ``against`` had. Raises RecipeError for a record that is damaged.
    """
    done, bad = read_runs(directory / "timings.json")
    whole = Report(
        made=made,
        against=against,
        files=tuple(_file(it, previous or {}) for it in artifacts),
        trouble=bad,
        runs=done,
        parts=tuple(parts(artifacts, recipes)),
    )
    return replace(whole, fill=thinned(list(contents(directory, artifacts)), whole.targets))


def read_runs(path: Path) -> tuple[tuple[Run, ...], tuple[Trouble, ...]]:
    """Return the runs of a trace and the newest one's troubles; nothing when there is none. Raises RecipeError."""
    try:
        trace = json.loads(path.read_text("utf-8"))
        return runs(trace), troubles(trace)
    except FileNotFoundError:
        return (), ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise RecipeError(msg, next="remove it, then ./inv build … --timings") from error


def _file(artifact: Artifact, previous: Previous) -> BuiltFile:
    return BuiltFile(
        product=artifact.product,
        release=artifact.release,
        target=artifact.target.value,
        packed=artifact.packed,
        path=artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        ok=artifact.verdict.ok,
        findings=tuple(f"{it.rule}: {it.message}" for it in artifact.verdict.findings),
        smoke=artifact.smoke.state,
        smoke_how=artifact.smoke.how,
        engine=artifact.engine,
        isolated=artifact.isolated,
        seconds=artifact.seconds.build,
        reproduced_by=artifact.reproduced_by,
        before=previous.get((artifact.product, artifact.target.value, artifact.packed)),
    )


def parts(artifacts: Iterable[Artifact], recipes: Mapping[str, Recipe]) -> list[Part]:
    """Return every source of the artifacts once, with what today's recipe says of it."""
    artifacts = list(artifacts)
    files = Counter((it.name, it.version, it.sha256) for file in artifacts for it in file.inputs)
    inputs = {(it.name, it.version, it.sha256): it for file in artifacts for it in file.inputs}
    found = []
    for key, source in sorted(inputs.items()):
        recipe = recipes.get(source.name)
        release = recipe.release(source.version) if recipe else None
        same = release is not None and (
            release.source is None or release.source.sha256 == source.sha256
        )
        known: dict[str, Any] = {"date": "", "signature": "not pinned like this any more"}
        if release and same:
            signed = release.signature
            by = f"OpenPGP, by {signed.key}" if signed else release.unsigned or "none"
            known = {"date": release.date.isoformat(), "signature": by}
            if release.source is None:
                known["signature"] = "none: it is a directory of this project"
        found.append(
            Part(
                name=source.name,
                version=source.version,
                licence=source.licence,
                sha256=source.sha256,
                url=source.url,
                files=files[key],
                **known,
            )
        )
    return found
