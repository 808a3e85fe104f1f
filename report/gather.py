"""Puts together what was recorded of a build; what was not is left open, never guessed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from publish.manifest import Artifact
from recipes.load import list_products
from recipes.model import Recipe
from records.audit import AuditRecord, read_audit
from records.bench import read_bench
from records.rebuilds import Rebuild, read_rebuilds
from records.trace import read_trace
from report.contents import contents
from report.costs import costs
from report.data import Again, Audit, BuiltFile, Part, Report
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
    trace = read_trace(directory)
    rebuilds = read_rebuilds(directory)
    products = {product.name for product in list_products(recipes)}
    products |= {artifact.product for artifact in artifacts}
    whole = Report(
        made=made,
        against=against,
        files=tuple(
            replace(_file(it, previous or {}), again=_again(it, rebuilds)) for it in artifacts
        ),
        trouble=tuple(troubles(trace)) if trace else (),
        runs=runs(trace) if trace else (),
        costs=tuple(costs(read_bench(directory), products)),
        parts=tuple(parts(artifacts, recipes)),
        audit=audited(artifacts, read_audit(directory)),
    )
    return replace(whole, fill=thinned(list(contents(directory, artifacts)), whole.targets))


def audited(artifacts: Sequence[Artifact], record: AuditRecord | None) -> Audit | None:
    """What the last audit says of these very files: of other versions it says nothing."""
    if record is None:
        return None
    products = {artifact.product for artifact in artifacts}
    ours = [it for it in record.components if products & set(it.products)]
    known = [it for it in record.known if products & set(it.products)]
    looked = {(it.name, product): it.version for it in record.components for product in it.products}
    others = [
        artifact.path
        for artifact in artifacts
        for it in artifact.inputs
        if looked.get((it.name, artifact.product), it.version) != it.version
    ]
    unlooked = products - {product for _, product in looked}
    return Audit(
        when=record.when,
        asked=record.databases,
        affecting=len({(it.id, it.component) for it in known}),
        refused=len({(it.id, it.component) for it in known if it.counts}),
        threshold=record.threshold,
        parts=len(ours),
        unnamed=sum(not it.named for it in ours),
        blind=record.blind or bool(others or unlooked),
    )


def _again(artifact: Artifact, rebuilds: Sequence[Rebuild]) -> Again | None:
    """How this very file was built a second time."""
    for rebuild in rebuilds:
        for file in rebuild.files:
            if (file.path, file.sha256[0]) == (artifact.path, artifact.sha256):
                how = ", ".join(f"{name}: {value}" for name, value in rebuild.varied.items())
                return Again(equal=file.equal, when=rebuild.when, how=how)
    return None


def _file(artifact: Artifact, previous: Previous) -> BuiltFile:
    return BuiltFile(
        product=artifact.product,
        release=artifact.release,
        target=artifact.target.value,
        packed=artifact.packed,
        path=artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        gzip=artifact.gzip,
        budget=artifact.budget,
        anchors=artifact.anchors,
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
