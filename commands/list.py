"""What is there for which target, and in what state: `inv list`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from console.table import table
from core.target import Target
from flow.context import Context
from publish.manifest import Artifact, read_manifest
from recipes.load import list_products
from recipes.model import PackMethod, Product, Recipe, unsupported

FORMS = ("plain", "packed")

WIDTH = 6
"""Of a figure in the matrix: nine targets fit into 100 columns."""


def overview(context: Context) -> list[dict[str, Any]]:
    """Every product with its newest release, and what is built of it for each target."""
    recipes = context.recipes
    built = read_manifest(context.artifacts)
    rows: list[dict[str, Any]] = []
    for product in list_products(recipes):
        release = product.recipe.releases[0].version
        own = [
            artifact
            for artifact in built
            if (artifact.product, artifact.release) == (product.name, release)
        ]
        rows.append(
            {
                "product": product.name,
                "default": product.variant.default,
                "release": release,
                "releases": [pinned.version for pinned in product.recipe.releases],
                "built": " ".join(sorted({artifact.target.value for artifact in own})),
                "summary": product.variant.summary,
                "unsupported": {key.value: why for key, why in product.recipe.unsupported.items()},
                "targets": {at.value: _cell(product, at, own, recipes) for at in Target},
            }
        )
    return rows


def _cell(
    product: Product,
    target: Target,
    built: Iterable[Artifact],
    recipes: Mapping[str, Recipe],
) -> dict[str, Any]:
    """Both forms of a product for one target: what is built, null when nothing is, and why nothing can be."""
    recipe = product.recipe
    reason = unsupported(recipe, product.variant, target, recipes)
    packs = recipe.pack is not PackMethod.NONE
    cell: dict[str, Any] = {
        "unsupported": reason,
        "unpackable": reason or recipe.unpackable.get(target, "" if packs else "never packed"),
        **dict.fromkeys(FORMS),
    }
    for artifact in built:
        if artifact.target == target:
            cell[FORMS[artifact.packed]] = {
                "size": artifact.size,
                "verdict": artifact.verdict.ok,
                "smoke": artifact.smoke.as_dict(),
            }
    return cell


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a user sees first: the products, and below them a matrix of sizes in 1,000 bytes."""
    columns = [at for at in Target if not all(row["targets"][at]["unsupported"] for row in rows)]
    names = [
        (f"{row['product']}{'*' if row['default'] else ''}", row["release"], row["summary"])
        for row in rows
    ]
    lines = [
        [row["product"], form, *(_short(row["targets"][at], form).rjust(WIDTH) for at in columns)]
        for row in rows
        for form in FORMS
    ]
    for line in lines[1::2]:
        line[0] = ""
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
        ]
    )


def _short(cell: Mapping[str, Any], form: str) -> str:
    if cell["unsupported" if form == "plain" else "unpackable"]:
        return "no"
    file = cell[form]
    if file is None:
        return "-"
    good = file["verdict"] and (file["smoke"]["ok"] or not file["smoke"]["ran"])
    mark = "" if good and file["smoke"]["ran"] else "?" if good else "!"
    return f"{file['size'] / 1000:,.0f}{mark}"


def _reasons(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why the matrix says no, each reason once."""
    builds: dict[str, None] = {}
    packs: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        for at, cell in row["targets"].items():
            if cell["unsupported"]:
                builds[cell["unsupported"]] = None
            elif cell["unpackable"]:
                recipe = row["product"].partition(":")[0]
                packs.setdefault((at, cell["unpackable"]), {})[recipe] = None
    lines = [f"no: {reason}" for reason in builds]
    return lines + [
        f"no: {' and '.join(names)} cannot be packed for {at}: {reason}"
        for (at, reason), names in packs.items()
    ]


def details(rows: Iterable[Mapping[str, Any]], targets: Iterable[Target]) -> str:
    """One line for every product, target and form, with its exact size and state, or why there is none."""
    lines = []
    for row in rows:
        for at in targets:
            cell = row["targets"][at]
            for form in FORMS:
                file = cell[form]
                reason = cell["unsupported" if form == "plain" else "unpackable"]
                state = ("-", "-", reason or "not built") if file is None else _state(file)
                size = "-" if file is None else f"{file['size']:,}"
                lines.append((row["product"], at, form, size, *state))
                if cell["unsupported"]:
                    break
    return table(
        ("product", "target", "form", "bytes", "verdict", "smoke", "how, or why not"), lines
    )


def _state(file: Mapping[str, Any]) -> tuple[str, str, str]:
    smoke = file["smoke"]
    tried = ("ok" if smoke["ok"] else "FAILED") if smoke["ran"] else "not run"
    return "ok" if file["verdict"] else "REFUSED", tried, smoke["how"]
