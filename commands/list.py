"""What is there for which target, and in what state: `inv list`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from commands.renames import describe_renamed
from console.table import table
from core.target import Target
from flow.context import Context
from publish.manifest import Artifact, read_manifest
from recipes.load import list_products
from recipes.model import PackMethod, Product, Recipe, unsupported
from recipes.renames import renames

FORMS = ("plain", "packed")
"""By whether a file is packed."""

WIDTH = 6
"""Of a figure in the matrix: nine targets fit into 100 columns."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A product for one target: what is built, by form, and why a form cannot be."""

    reasons: dict[str, str]
    built: dict[str, Artifact] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        files = {
            form: {
                "size": artifact.size,
                "verdict": artifact.verdict.ok,
                "smoke": artifact.smoke.as_dict(),
            }
            for form, artifact in self.built.items()
        }
        why = {"unsupported": self.reasons["plain"], "unpackable": self.reasons["packed"]}
        return {**why, **dict.fromkeys(FORMS), **files}


@dataclass(frozen=True, kw_only=True)
class ProductRow:
    """A product with its newest release, and what is built of that for each target."""

    product: Product
    cells: Mapping[Target, Cell]

    @property
    def release(self) -> str:
        return self.product.recipe.releases[0].version

    def as_dict(self) -> dict[str, object]:
        """For ``--json``."""
        recipe = self.product.recipe
        return {
            "product": self.product.name,
            "default": self.product.variant.default,
            "release": self.release,
            "releases": [pinned.version for pinned in recipe.releases],
            "built": " ".join(sorted(at.value for at, cell in self.cells.items() if cell.built)),
            "summary": self.product.variant.summary,
            "unsupported": {target.value: why for target, why in recipe.unsupported.items()},
            "unhardened": {measure.value: why for measure, why in recipe.unhardened.items()},
            "targets": {at.value: cell.as_dict() for at, cell in self.cells.items()},
        }


def overview(context: Context) -> list[ProductRow]:
    """Every product, and what is built of its newest release for each target."""
    rows = [
        ProductRow(
            product=product, cells={at: _cell(product, at, context.recipes) for at in Target}
        )
        for product in list_products(context.recipes)
    ]
    known = {(row.product.name, row.release): row for row in rows}
    for artifact in read_manifest(context.artifacts):
        if row := known.get((artifact.product, artifact.release)):
            cell = row.cells[artifact.target]
            cell.built[FORMS[artifact.packed]] = artifact
            cell.reasons["packed"] = cell.reasons["packed"] or artifact.not_packed
    return rows


def _cell(product: Product, target: Target, recipes: Mapping[str, Recipe]) -> Cell:
    recipe = product.recipe
    reason = unsupported(recipe, product.variant, target, recipes)
    never = "never packed" if recipe.pack is PackMethod.NONE else ""
    return Cell(reasons={"plain": reason, "packed": reason or recipe.unpackable.get(target, never)})


def summary(rows: Sequence[ProductRow]) -> str:
    """What a user sees first: the products, and below them a matrix of sizes in 1,000 bytes."""
    columns = [at for at in Target if not all(row.cells[at].reasons["plain"] for row in rows)]
    names = [
        (
            f"{row.product.name}{'*' if row.product.variant.default else ''}",
            row.release,
            row.product.variant.summary,
        )
        for row in rows
    ]
    lines = [
        [
            "" if form == "packed" else row.product.name,
            form,
            *(_short(row.cells[at], form).rjust(WIDTH) for at in columns),
        ]
        for row in rows
        for form in FORMS
    ]
    return "\n".join(
        [
            table(("product", "release", "what"), names),
            "\n* part of `inv build` without a product. Also: NAME@VERSION for an older pinned release.\n",
            table(
                ("1,000 bytes", "", *(at.removeprefix("linux/").rjust(WIDTH) for at in columns)),
                lines,
            ),
            "\nA figure: built, verdict and smoke run ok; with ? the smoke run could not be made, with ! something"
            "\nfailed. -: not built. no: cannot be. Exact sizes: inv list --target all (or linux/arm64, ...)",
            *_reasons(rows),
            *(f"renamed: {describe_renamed(renamed)}" for renamed in renames(_recipes(rows))),
        ]
    )


def _short(cell: Cell, form: str) -> str:
    if cell.reasons[form]:
        return "no"
    if not (artifact := cell.built.get(form)):
        return "-"
    smoke = artifact.smoke
    good = artifact.verdict.ok and (smoke.ok or not smoke.ran)
    mark = "" if good and smoke.ran else "?" if good else "!"
    return f"{artifact.size / 1000:,.0f}{mark}"


def _reasons(rows: Sequence[ProductRow]) -> list[str]:
    """Why the matrix says no, and what is not done for a program's safety: each reason once."""
    builds: dict[str, None] = {}
    packs: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        for at, cell in row.cells.items():
            if cell.reasons["plain"]:
                builds[cell.reasons["plain"]] = None
            elif why := cell.reasons["packed"]:
                packs.setdefault((at, why), {})[row.product.recipe.name] = None
    lines = [f"no: {reason}" for reason in builds]
    lines += [
        f"no: {' and '.join(names)} cannot be packed for {at}: {reason}"
        for (at, reason), names in packs.items()
    ]
    return lines + [
        f"not hardened: {name} has no {measure}: {why}"
        for name, recipe in _recipes(rows).items()
        for measure, why in recipe.unhardened.items()
    ]


def _recipes(rows: Iterable[ProductRow]) -> dict[str, Recipe]:
    return {row.product.recipe.name: row.product.recipe for row in rows}


def details(rows: Iterable[ProductRow], targets: Iterable[Target]) -> str:
    """One line for every product, target and form, with its exact size and state, or why there is none."""
    lines = []
    for row in rows:
        for at in targets:
            cell = row.cells[at]
            for form in FORMS[:1] if cell.reasons["plain"] else FORMS:
                state = ("-", "-", "-", cell.reasons[form] or "not built")
                if artifact := cell.built.get(form):
                    state = _state(artifact)
                lines.append((row.product.name, at, form, *state))
    return table(
        ("product", "target", "form", "bytes", "verdict", "smoke", "how, or why not"), lines
    )


def _state(artifact: Artifact) -> tuple[str, str, str, str]:
    smoke = artifact.smoke
    tried = ("ok" if smoke.ok else "FAILED") if smoke.ran else "not run"
    return f"{artifact.size:,}", "ok" if artifact.verdict.ok else "REFUSED", tried, smoke.how
