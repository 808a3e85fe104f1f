"""`inv audit`: which known vulnerabilities concern what is linked into the products."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from audit.databases import Database, from_file, look_up, over_network
from audit.report import AuditReport, Finding, make_report
from audit.severity import Severity
from audit.subject import Subject, joined, subject_of
from commands.release_inputs import ReleaseInputs
from console.table import table
from core.errors import UsageError
from core.files import Place, disk_errors
from core.retry import ClientOptions
from core.suggest import suggestion
from flow.context import Context
from publish.trust.components import linked
from recipes.load import find_product, list_products
from recipes.model import Unaffected
from records.audit import AuditRecord, Known, Looked, remember_audit


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One run over some products."""

    context: Context
    options: ClientOptions = field(default_factory=ClientOptions)

    def run(
        self, words: Sequence[str], *, databases: Sequence[str] = (), threshold: str = ""
    ) -> AuditReport:
        """Look up what is linked into the products called ``words`` (``curl:https``, ``curl:https@8.21.0``), or all.

        ``databases`` are files to look into instead of the network. Raises UsageError, SourceError and PublishError.
        """
        limit = read_threshold(threshold)
        subjects = joined(self._linked(words))
        return make_report(look_up(self.databases(databases), subjects), limit)

    def databases(self, files: Sequence[str]) -> tuple[Database, ...]:
        """Return those files, or the ones on the network. Raises as `run`."""
        if files:
            return tuple(from_file(Path(file)) for file in files)
        if self.context.settings.flag("offline"):
            msg = "Databases of vulnerabilities cannot be asked offline."
            raise UsageError(msg, next="name a downloaded one: --database FILE; see docs/audit.md")
        return over_network(replace(self.options, cancel=self.context.cancel))

    def _linked(
        self, words: Sequence[str]
    ) -> Iterator[tuple[Subject, str, tuple[Unaffected, ...]]]:
        recipes, wheels = self.context.recipes, ReleaseInputs(context=self.context).wheels
        names = list(words) or [product.name for product in list_products(recipes)]
        for word in names:
            name, _, version = word.partition("@")
            product = find_product(name, recipes)
            versions = {recipe.name: recipe.releases[0].version for recipe in recipes.values()}
            if version:
                if product.recipe.release(version) is None:
                    pinned = [release.version for release in product.recipe.releases]
                    msg = (
                        f"{product.name} is not pinned at '{version}'.{suggestion(version, pinned)}"
                    )
                    raise UsageError(msg, next=f"choose one of: {', '.join(pinned)}")
                versions[product.recipe.name] = version
            # Packed files carry the packer's stub besides: that is looked up too.
            for component in linked(product, versions, recipes, wheels, packed=True):
                subject = subject_of(component, recipes.get(component.name))
                yield subject, product.name, component.unaffected


def remember(context: Context, report: AuditReport) -> None:
    """Keep what `inv report` shows of it, beside what was built. Raises StorageError."""
    record = AuditRecord(
        when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        threshold=report.threshold.value,
        databases=tuple(report.looked.asked),
        blind=report.blind,
        components=tuple(
            Looked(
                name=it.name,
                version=it.version,
                products=tuple(it.products),
                named=it not in report.looked.unknown,
            )
            for it in report.looked.subjects
        ),
        known=tuple(
            Known(
                id=it.id,
                component=it.subject.name,
                severity=it.severity.value,
                counts=it in report.refused,
                products=it.products,
            )
            for it in report.findings
            if it.products
        ),
    )
    with disk_errors(context.artifacts, Place.ARTIFACTS):
        remember_audit(context.artifacts, record)


def read_threshold(text: str) -> Severity:
    """Return the severity that a user names; medium without one. Raises UsageError."""
    try:
        return Severity(text or Severity.MEDIUM)
    except ValueError:
        names = [it.value for it in Severity if it is not Severity.UNKNOWN]
        msg = f"'{text}' is no severity.{suggestion(text, names)}"
        raise UsageError(msg, next=f"choose one of: {', '.join(names)}") from None


def audit_text(report: AuditReport) -> str:
    """What a run ends with."""
    lines = []
    if report.findings:
        head = ("severity", "vulnerability", "component", "fixed in", "products", "what")
        lines += [table(head, [_row(finding) for finding in report.findings]), ""]
    lines += [
        f"not affected: {finding.id} in {product}: {why}"
        for finding in report.findings
        for product, why in finding.excused
    ]
    looked = report.looked
    lines += [f"could not ask {name}: {reason}" for name, reason in looked.failed.items()]
    if looked.unknown:
        names = ", ".join(subject.slug for subject in looked.unknown)
        lines.append(f"known to no database that was asked: {names}")
    asked = ", ".join(looked.asked) or "nobody"
    lines.append(
        f"{len(looked.subjects)} components, {len(report.findings)} known vulnerabilities, "
        f"{len(report.refused)} of {report.threshold.value} severity or worse; asked: {asked}"
    )
    return "\n".join(lines)


def _row(finding: Finding) -> tuple[str, ...]:
    products = ", ".join(finding.products) or "none: not affected"
    what = finding.summary if len(finding.summary) <= 80 else f"{finding.summary[:79]}…"
    slug = f"{finding.subject.name} {finding.subject.version}"
    return finding.severity.value, finding.id, slug, finding.fixed or "-", products, what
