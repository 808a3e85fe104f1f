"""The tables of README.md and docs/: made from recipes, rules, settings and the manifest, never typed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from builders.toolchain import Toolchain
from commands import docs_figures
from commands.docs_curl import answers, beside, options
from commands.docs_probe import probe_blocks
from commands.docs_verify import verify_blocks
from commands.markdown import markdown_row, markdown_table
from core.errors import ExitCode
from core.settings import FILE, SETTINGS
from core.target import Target
from publish.manifest import Artifact
from recipes.images import ImageRecipe, load_images
from recipes.load import HERE, list_products
from recipes.model import Product, Recipe, SmokeTest, unsupported

Make = Callable[[str], str]
"""Makes a block's text from its old text: a row that cannot be made now is kept."""

SHOWN = Target.AMD64
"""The platform of the sizes table: what else was built on this machine must not change it."""

IMAGE_HEAD = ("image", "also, with `--latest`", "what is in it", "run as")

CODES: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.REFUSED: "a file failed verification or a smoke run, a test failed, a bar of `bench` was missed, "
    "`bump --check` found a pin that would move",
    ExitCode.USAGE: "the command line asks for something that does not exist, `verify` for a file that is missing "
    "or no ELF file",
    ExitCode.RECIPE: "a recipe or a setting is wrong, or a directory that one names cannot be used: "
    "full, read-only, not yours",
    ExitCode.SOURCE: "a source could not be had, or is not what was pinned",
    ExitCode.STEP: "a build step failed; the message names its log",
    ExitCode.ENGINE: "no engine or tool to work with",
    ExitCode.PUBLISH: "publishing failed",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM",
}


def make_blocks(
    recipes: Mapping[str, Recipe],
    manifest: Sequence[Artifact],
    records: Sequence[Mapping[str, Any]] = (),
    attacks: Mapping[str, Mapping[str, str]] | None = None,
    answered: Sequence[Mapping[str, str | int]] = (),
    figures: Sequence[Mapping[str, Any]] = (),
    others: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Make]:
    """Every block there is, by name."""
    curl = recipes["curl"]
    return {
        "sizes": lambda old: sizes(list_products(recipes), manifest, old),
        "result": lambda old: result(list_products(recipes), manifest, old),
        "matrix": lambda old: matrix(list_products(recipes), recipes, manifest, old),
        "dockerfile": lambda _: dockerfile(curl),
        "settings": lambda _: settings(),
        "exit-codes": lambda _: exit_codes(),
        "variants": lambda _: variants(curl),
        "switches": lambda _: switches(curl),
        "options": lambda _: options(curl),
        "answers": lambda _: answers(answered),
        "beside": lambda _: beside(curl, others),
        "trials": lambda _: trials(curl),
        "targets": lambda _: targets(curl),
        "licences": lambda _: licences(recipes),
        "hardening": lambda _: hardening(recipes, Toolchain.installed(HERE)),
        "campaigns": lambda _: campaigns(records),
        "isolation": lambda _: isolation(attacks or {}),
        "images": lambda _: markdown_table(IMAGE_HEAD, image_rows(load_images(recipes), recipes)),
        "bars": lambda _: docs_figures.bars(figures),
        "programs": lambda _: docs_figures.programs(figures),
        "machines": lambda _: docs_figures.machines(figures),
        **{name: partial(_made, text) for name, text in verify_blocks().items()},
        **probe_blocks(),
    }


def _made(text: str, _old: str) -> str:
    return text


def sizes(products: Iterable[Product], manifest: Sequence[Artifact], old: str = "") -> str:
    """Bytes of the newest release of each product, plain and packed; a product that is not built keeps its row."""
    kept = {line.split("`")[1]: line for line in old.splitlines() if line.startswith("| `")}
    head = markdown_table(("product", "release", "plain", "packed", "what it is"), [])
    rows = []
    for product in products:
        entries = sizes_of(product, manifest)
        if entries:
            cells = [f"{entries[form]:,}" if form in entries else "-" for form in (False, True)]
            release = product.recipe.releases[0].version
            rows.append(
                markdown_row((f"`{product.name}`", release, *cells, product.variant.summary))
            )
        elif product.name in kept:
            rows.append(kept[product.name])
    return "\n".join([head, *rows])


def result(products: Iterable[Product], manifest: Sequence[Artifact], old: str) -> str:
    """What a build has printed, with the bytes of today; its seconds are those of another day."""
    found = {product.name: sizes_of(product, manifest) for product in products}

    def row(line: str) -> str:
        product, *words = line.split() or [""]
        if product not in found:
            return line
        _, _, old_size, form = words[:4]
        size = found[product].get(form == "upx")
        return line.replace(old_size, f"{size:,}".rjust(len(old_size)), 1) if size else line

    return "\n".join(map(row, old.splitlines()))


def matrix(
    products: Iterable[Product],
    recipes: Mapping[str, Recipe],
    manifest: Sequence[Artifact],
    old: str = "",
) -> str:
    """Bytes of every product, plain and packed, for every target; what is not built keeps its cell."""
    products = list(products)
    heads = [f"`{product.name}` {product.recipe.releases[0].version}" for product in products]
    known = _cells(old)
    rows = []
    for target in Target:
        cells = []
        for product, head in zip(products, heads, strict=True):
            sizes = sizes_of(product, manifest, target)
            shown = " / ".join(f"{sizes[form]:,}" for form in (False, True) if form in sizes)
            if unsupported(product.recipe, product.variant, target, recipes):
                shown = "no"
            cells.append(shown or known.get((f"`{target}`", head), "-"))
        rows.append((f"`{target}`", *cells))
    return markdown_table(("target", *heads), rows)


def _cells(table: str) -> dict[tuple[str, str], str]:
    """A table as text, by the first cell of the row and the head of the column."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    return {
        (row[0], head): cell
        for row in rows[2:]
        for head, cell in zip(rows[0][1:], row[1:], strict=True)
    }


def dockerfile(curl: Recipe) -> str:
    """An image from scratch that checks its own health."""
    products = list_products({curl.name: curl})
    first = next(product for product in products if product.variant.default)
    path = first.file_name(curl.releases[0].version, SHOWN, packed=False)
    return f"""```dockerfile
FROM scratch
COPY my-server /my-server
COPY artifacts/{path} /curl
HEALTHCHECK --interval=30s --timeout=3s CMD ["/curl", "-sf", "http://127.0.0.1:8080/health"]
ENTRYPOINT ["/my-server"]
```"""


def settings() -> str:
    """Every setting under its three names."""
    rows = [
        (f"`{it.variable}`", f"`{it.name}`", f"`{it.default}`" if it.default else "", it.help)
        for it in SETTINGS
    ]
    return markdown_table(("environment variable", f"key in `{FILE}`", "default", "what"), rows)


def exit_codes() -> str:
    """Every exit code of ``inv``."""
    rows = [(str(int(code)), code.name.lower(), CODES[code]) for code in ExitCode]
    return markdown_table(("code", "name", "meaning"), rows)


def variants(curl: Recipe) -> str:
    """What each variant can and must not do: enforced by every build."""
    rows = []
    for variant in curl.variants:
        expect = variant.expect
        if expect is not None:
            words = (expect.protocols, expect.features, expect.forbidden)
            budget = f"{expect.max_size:,}"
            rows.append((f"`{curl.name}:{variant.name}`", budget, *map(", ".join, words)))
    return markdown_table(("variant", "budget, bytes", "protocols", "features", "must lack"), rows)


def switches(curl: Recipe) -> str:
    """Every switch of curl's build, and what each variant sets it to."""
    names = sorted({name for variant in curl.variants for name in variant.switches})
    rows = [
        (f"`{name}`", *(variant.switches.get(name, "") for variant in curl.variants))
        for name in names
    ]
    return markdown_table(("switch", *(f"`{variant.name}`" for variant in curl.variants)), rows)


def trials(curl: Recipe) -> str:
    """Every smoke run of a finished curl."""

    def row(trial: SmokeTest) -> tuple[str, str, str, str]:
        only = ", ".join(f"`{name}`" for name in trial.variants) or "all"
        printed = f"`{trial.stdout.strip()}`" if trial.stdout else ""
        return (f"`curl {' '.join(trial.args)}`", only, str(trial.code), printed)

    return markdown_table(("run", "variants", "exit code", "prints"), map(row, curl.smoke))


def targets(curl: Recipe) -> str:
    """Every platform, and whether curl is built and packed for it."""
    rows = []
    for target in Target:
        builds = f"no: {curl.unsupported[target]}" if target in curl.unsupported else "yes"
        packs = "" if target in curl.unsupported else curl.unpackable.get(target, "yes")
        machine = target.machine
        rows.append((f"`{target}`", builds, packs, f"`{machine.triple}`", machine.cpu))
    return markdown_table(("target", "built", "packed", "triple", "CPU"), rows)


def hardening(recipes: Mapping[str, Recipe], toolchain: Toolchain) -> str:
    """What is done for safety, and where it is not, with the reason."""
    rows = []
    for measure, flags in toolchain.hardening.items():
        without: dict[str, list[str]] = {}
        for target, why in flags.unsupported.items():
            without.setdefault(why, []).append(f"`{target}`")
        for recipe in recipes.values():
            if measure in recipe.unhardened:
                without.setdefault(recipe.unhardened[measure], []).append(recipe.name)
        gaps = "; ".join(f"{', '.join(names)}: {why}" for why, names in without.items())
        rows.append((f"`{measure}`", flags.summary, gaps))
    return markdown_table(("measure", "what it does", "where not, and why"), rows)


def licences(recipes: Mapping[str, Recipe]) -> str:
    """The licence of the newest release of every source."""
    rows = [
        (recipe.name, recipe.kind.value, recipe.releases[0].version, recipe.releases[0].licence)
        for recipe in recipes.values()
    ]
    return markdown_table(("source", "kind", "release", "licence (SPDX)"), rows)


def campaigns(records: Iterable[Mapping[str, Any]]) -> str:
    """The last whole run of every campaign, as tests/campaigns/records/ has it."""
    rows = []
    for record in records:
        outcomes = sorted(record["outcomes"].items(), key=lambda outcome: -outcome[1])
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes)
        figures = (f"{record['cases']:,}", f"{record['violations']:,}", counts)
        run = (f"{record['seconds']:,}", str(record["seed"]), record["date"])
        rows.append(
            (f"`{record['name']}`", record["purpose"], *figures, *run, f"`{record['code'][:12]}`")
        )
    head = ("campaign", "attacks, and what must hold", "cases", "violations", "outcomes")
    return markdown_table((*head, "seconds", "seed", "date", "code"), rows)


def isolation(attacks: Mapping[str, Mapping[str, str]]) -> str:
    """What became of each attack from inside a step, by engine, as tests/isolation.json has it."""
    names = dict.fromkeys(name for outcomes in attacks.values() for name in outcomes)
    rows = [
        (name, *(outcomes.get(name, "not tried") for outcomes in attacks.values()))
        for name in names
    ]
    return markdown_table(("attack", *attacks), rows)


def image_rows(
    images: Iterable[ImageRecipe], recipes: Mapping[str, Recipe]
) -> list[tuple[str, str, str, str]]:
    """Every image, with the newest release of what is in it."""
    rows = []
    newest = {name: recipe.releases[0].version for name, recipe in recipes.items()}
    for image in images:
        command = " ".join((*image.entrypoint, *image.command))
        rows.append(
            (
                f"`{image.name}:{image.tagged(newest, packed=image.packed)}`",
                ", ".join(f"`{tag}`" for tag in image.moved(packed=image.packed)),
                ", ".join(f"{content.product} at `{content.path}`" for content in image.contents),
                f"`{command}`" if command else "",
            )
        )
    return rows


def sizes_of(
    product: Product, manifest: Iterable[Artifact], target: Target = SHOWN
) -> dict[bool, int]:
    """Bytes of a product's newest release by whether it is packed; empty when it is not built."""
    release = product.recipe.releases[0].version
    return {
        artifact.packed: artifact.size
        for artifact in manifest
        if (artifact.product, artifact.release, artifact.target) == (product.name, release, target)
    }
