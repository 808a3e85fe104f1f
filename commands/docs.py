"""The generated parts of README.md and docs/: tables made from recipes, rules, settings and the manifest, never typed.

A block stands between two HTML comments, each on a line of its own: ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.docs_tables import SHOWN, Make, make_blocks, sizes_of
from core.errors import RecipeError
from core.files import write_file
from core.suggest import suggestion
from publish.manifest import Artifact
from recipes.load import list_products
from recipes.model import Recipe

_MARK = re.compile(r"<!-- ([a-z-]+):(begin|end) -->")


@dataclass(frozen=True, kw_only=True)
class DocsReport:
    """What `rewrite` found: ``stale`` blocks as ``PAGE: NAME``, and ``notes`` on what it could not compare."""

    stale: tuple[str, ...]
    notes: tuple[str, ...]


def rewrite(
    root: Path,
    recipes: Mapping[str, Recipe],
    manifest: Sequence[Artifact],
    *,
    check: bool = False,
) -> DocsReport:
    """Bring README.md and docs/*.md up to date; with ``check`` only say what is stale.

    Raises RecipeError for a page whose marks are wrong.
    """
    records = [
        json.loads(path.read_text("utf-8"))
        for path in sorted((root / "tests" / "campaigns" / "records").glob("*.json"))
    ]
    attacks = root / "tests" / "isolation.json"
    isolation = json.loads(attacks.read_text("utf-8")) if attacks.is_file() else {}
    cases = root / "tests" / "integration" / "tls_answers.toml"
    answers = tomllib.loads(cases.read_text("utf-8"))["answer"] if cases.is_file() else []
    measured = root / "bench" / "figures.json"
    figures = json.loads(measured.read_text("utf-8"))["figures"] if measured.is_file() else []
    built = root / "docs" / "others.toml"
    others = tomllib.loads(built.read_text("utf-8"))["other"] if built.is_file() else []
    blocks = make_blocks(recipes, manifest, records, isolation, answers, figures, others)
    stale: list[str] = []
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        old = path.read_text("utf-8")
        name = path.relative_to(root).as_posix()
        new = fill(old, blocks, where=name)
        if new != old:
            before, after = bodies(old), bodies(new)
            stale += [f"{name}: {block}" for block in after if after[block] != before[block]]
            if not check:
                write_file(path, new.encode())
    missing = [
        product.name for product in list_products(recipes) if not sizes_of(product, manifest)
    ]
    note = f"sizes not compared, since artifacts/ lacks them for {SHOWN}: {', '.join(missing)}"
    return DocsReport(stale=tuple(stale), notes=(note,) if missing else ())


def fill(text: str, blocks: Mapping[str, Make], *, where: str = "page") -> str:
    """Return ``text`` with every marked block made anew. Raises RecipeError for wrong marks."""
    parts: list[str] = []
    position = 0
    for name, begin, end in _marked(text, where):
        if name not in blocks:
            msg = f"{where}: there is no block '{name}'.{suggestion(name, blocks)}"
            raise RecipeError(msg, next=f"known: {', '.join(sorted(blocks))}")
        parts += [text[position:begin], f"\n{blocks[name](text[begin:end].strip())}\n"]
        position = end
    return "".join([*parts, text[position:]])


def bodies(text: str, *, where: str = "page") -> dict[str, str]:
    """Return what stands in each block of a page."""
    return {name: text[begin:end].strip() for name, begin, end in _marked(text, where)}


def _marked(text: str, where: str) -> list[tuple[str, int, int]]:
    """Return (name, begin, end) of what stands between marks. Raises RecipeError."""
    found: list[tuple[str, int, int]] = []
    marks = list(_MARK.finditer(text))
    for begin, end in zip(marks[::2], [*marks[1::2], None], strict=False):
        wrong = end is None or (begin[2], end[2]) != ("begin", "end") or begin[1] != end[1]
        if wrong or end is None or begin[1] in {name for name, _, _ in found}:
            line = text.count("\n", 0, begin.start()) + 1
            msg = f"{where}:{line}: the block '{begin[1]}' is not opened once and closed once."
            raise RecipeError(
                msg, next="write <!-- NAME:begin --> and <!-- NAME:end -->, each once"
            )
        found.append((begin[1], begin.end(), end.start()))
    return found
