"""The pages tell the truth: generated blocks are fresh, commands and links exist, every key is documented."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands.docs import bodies, fill, rewrite
from commands.docs_figures import bars, machines, programs
from commands.docs_tables import (
    IMAGE_HEAD,
    campaigns,
    image_rows,
    make_blocks,
    matrix,
    result,
    sizes,
)
from console.program import contexts_of
from core.errors import ExitCode, RecipeError
from core.settings import SETTINGS
from core.target import Target
from flow.build import parse_targets
from flow.context import ROOT
from publish.manifest import Artifact, Seconds, VerdictSummary
from recipes import load
from recipes.images import load_images
from recipes.load import find_product, list_products, load_recipe, load_recipes
from recipes.model import Recipe
from tasks import namespace
from verify.rules import RULES
from verify.smoke import Smoke

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    return load_recipes()


def entry(product: str, *, packed: bool = False, size: int = 1234, **other: Any) -> Artifact:
    release = load_recipes()[product.partition(":")[0]].releases[0].version
    artifact = Artifact(
        product=product,
        release=release,
        target=Target.AMD64,
        packed=packed,
        path=f"files/{product}",
        size=size,
        sha256="0" * 64,
        engine="sandbox",
        isolated=True,
        key="1" * 64,
        seconds=Seconds(fetch=0.0, build=1.0),
        verdict=VerdictSummary(ok=True, findings=()),
        smoke=Smoke.not_run("nobody looks"),
        inputs=(),
    )
    return replace(artifact, **other)


def pages_in(directory: Path, readme: str, doc: str = "") -> Path:
    (directory / "docs").mkdir()
    (directory / "README.md").write_text(readme)
    (directory / "docs" / "some.md").write_text(doc)
    return directory


class TestFill:
    def test_replaces_only_what_is_between_the_marks(self) -> None:
        text = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nz\n"
        assert fill(text, {"x": lambda _: "new"}) == text.replace("old", "new")

    def test_is_idempotent(self, recipes: dict[str, Recipe]) -> None:
        blocks = make_blocks(recipes, [])
        for page in PAGES:
            once = fill(page.read_text("utf-8"), blocks)
            assert fill(once, blocks) == once

    def test_empty_block(self) -> None:
        text = "<!-- x:begin --><!-- x:end -->"
        assert fill(text, {"x": lambda _: "new"}) == "<!-- x:begin -->\nnew\n<!-- x:end -->"

    def test_unknown_block_is_an_error_with_a_guess(self) -> None:
        text = "<!-- size:begin -->\n<!-- size:end -->"
        with pytest.raises(RecipeError, match="Perhaps you meant 'sizes'"):
            fill(text, {"sizes": str})

    @pytest.mark.parametrize(
        "text",
        [
            "<!-- x:begin -->",
            "<!-- x:end -->",
            "<!-- x:end --><!-- x:begin -->",
            "<!-- x:begin --><!-- y:end -->",
            "<!-- x:begin --><!-- x:begin --><!-- x:end -->",
            "<!-- x:begin --><!-- x:end --><!-- x:begin --><!-- x:end -->",
        ],
    )
    def test_wrong_marks_name_the_line(self, text: str) -> None:
        with pytest.raises(RecipeError, match=r"page:\d+: the block"):
            fill(f"\n{text}", {"x": str, "y": str})


class TestRewrite:
    def test_stale_is_said_and_nothing_written(
        self, tmp_path: Path, recipes: dict[str, Recipe]
    ) -> None:
        stale = "<!-- settings:begin -->\nold\n<!-- settings:end -->\n"
        root = pages_in(tmp_path, "nothing generated\n", stale)
        done = rewrite(root, recipes, [], check=True)
        assert done.stale == ("docs/some.md: settings",)
        assert (root / "docs/some.md").read_text() == stale

    def test_stale_is_mended(self, tmp_path: Path, recipes: dict[str, Recipe]) -> None:
        root = pages_in(tmp_path, "<!-- rules:begin -->\n<!-- rules:end -->\n")
        assert rewrite(root, recipes, []).stale == ("README.md: rules",)
        assert rewrite(root, recipes, [], check=True).stale == ()

    def test_without_a_manifest_sizes_are_kept_and_noted(
        self, tmp_path: Path, recipes: dict[str, Recipe]
    ) -> None:
        root = pages_in(tmp_path, "<!-- sizes:begin -->\n<!-- sizes:end -->\n")
        rewrite(root, recipes, [entry("curl:http")])
        before = (root / "README.md").read_text()
        done = rewrite(root, recipes, [])
        assert "1,234" in before
        assert (root / "README.md").read_text() == before
        assert done.stale == ()
        assert "curl:http" in done.notes[0]

    def test_a_changed_size_is_stale(self, tmp_path: Path, recipes: dict[str, Recipe]) -> None:
        root = pages_in(tmp_path, "<!-- sizes:begin -->\n<!-- sizes:end -->\n")
        rewrite(root, recipes, [entry("curl:http")])
        done = rewrite(root, recipes, [entry("curl:http", size=99)], check=True)
        assert done.stale == ("README.md: sizes",)

    def test_everything_built_needs_no_note(
        self, tmp_path: Path, recipes: dict[str, Recipe]
    ) -> None:
        manifest = [entry(product.name) for product in list_products(recipes)]
        assert rewrite(pages_in(tmp_path, ""), recipes, manifest).notes == ()


class TestSizes:
    def test_plain_and_packed_in_one_row(self, recipes: dict[str, Recipe]) -> None:
        manifest = [entry("curl:http"), entry("curl:http", packed=True, size=77)]
        (row,) = sizes(list_products(recipes), manifest).splitlines()[2:]
        assert "| 1,234 | 77 |" in row

    @pytest.mark.parametrize("other", [{"target": Target.ARM64}, {"release": "0.1"}])
    def test_other_targets_and_releases_are_not_shown(
        self, recipes: dict[str, Recipe], other: dict[str, Any]
    ) -> None:
        assert len(sizes(list_products(recipes), [entry("curl:http", **other)]).splitlines()) == 2


class TestResult:
    def test_bytes_are_of_today_and_the_rest_is_kept(self, recipes: dict[str, Recipe]) -> None:
        printed = """```console
$ ./inv build
product    target       version    bytes  form   verdict  smoke  seconds  cached  file
---------  -----------  -------  -------  -----  -------  -----  -------  ------  ----
curl:http  linux/amd64   8.21.0  467,496  plain  ok       ok        15.8  no      some/place
curl:http  linux/amd64   8.21.0  252,628  upx    ok       ok         0.4  no      some/place.upx
curl:mini  linux/amd64   8.21.0  252,000  upx    ok       ok         0.4  no      not/built.upx
```"""
        manifest = [entry("curl:http", size=99_000), entry("curl:http", packed=True, size=77)]
        made = result(list_products(recipes), manifest, printed)
        assert made == printed.replace("467,496", " 99,000").replace("252,628", "     77")
        assert result(list_products(recipes), [], printed) == printed


class TestMatrix:
    def cells(self, text: str, target: str) -> list[str]:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{target}` |")]
        return [cell.strip() for cell in row.strip("|").split("|")][1:]

    def test_a_cell_holds_both_forms_or_the_one_there_is(self, recipes: dict[str, Recipe]) -> None:
        products = list_products(recipes)[:2]
        name = products[0].name
        manifest = [
            entry(name),
            entry(name, packed=True, size=77),
            entry(name, size=88, target=Target.S390X),
            entry(name, size=99, target=Target.I386, release="0.1"),
        ]
        text = matrix(products, recipes, manifest)
        assert len(text.splitlines()) == 2 + len(Target)
        assert self.cells(text, "linux/amd64") == ["1,234 / 77", "-"]
        assert self.cells(text, "linux/s390x") == ["88", "-"]
        assert self.cells(text, "linux/386") == ["-", "-"]

    def test_what_is_not_built_keeps_its_cell_while_the_release_is_the_same(
        self, recipes: dict[str, Recipe]
    ) -> None:
        products = list_products(recipes)[:1]
        name, release = products[0].name, products[0].recipe.releases[0].version
        old = matrix(products, recipes, [entry(name, target=Target.ARM64)])
        new = matrix(products, recipes, [entry(name, size=5)], old)
        assert self.cells(new, "linux/arm64") == ["1,234"]
        assert self.cells(new, "linux/amd64") == ["5"]
        older = old.replace(f" {release} ", " 0.1 ")
        assert self.cells(matrix(products, recipes, [], older), "linux/arm64") == ["-"]

    def test_what_cannot_be_is_no(self, recipes: dict[str, Recipe]) -> None:
        for product in list_products(recipes):
            for target in product.recipe.unsupported:
                assert self.cells(matrix([product], recipes, []), target) == ["no"]


class TestBlocks:
    def test_each_block_is_on_exactly_one_page(self, recipes: dict[str, Recipe]) -> None:
        used = [name for page in PAGES for name in bodies(page.read_text("utf-8"))]
        assert sorted(used) == sorted(make_blocks(recipes, []))

    def test_no_block_is_stale(self, recipes: dict[str, Recipe]) -> None:
        # Sizes change with every improvement: `./inv check` compares them, this does not.
        assert rewrite(ROOT, recipes, [], check=True).stale == ()

    def test_every_rule_is_listed(self) -> None:
        body = bodies((ROOT / "docs/verifying.md").read_text("utf-8"))["rules"]
        assert [row.split("`")[1] for row in body.splitlines()[2:]] == [r.name for r in RULES]

    def test_every_setting_and_exit_code_is_listed(self) -> None:
        found = bodies((ROOT / "docs/settings.md").read_text("utf-8"))
        rows = found["settings"].splitlines()[2:]
        assert [row.split("`")[1] for row in rows] == [setting.variable for setting in SETTINGS]
        codes = [int(row.split("|")[1]) for row in found["exit-codes"].splitlines()[2:]]
        assert codes == [int(code) for code in ExitCode]

    def test_every_switch_variant_trial_and_target_of_curl_is_listed(
        self, recipes: dict[str, Recipe]
    ) -> None:
        curl = recipes["curl"]
        found = bodies((ROOT / "docs/curl.md").read_text("utf-8"))
        rows = {name: body.splitlines()[2:] for name, body in found.items()}
        switches = {name for variant in curl.variants for name in variant.switches}
        assert len(rows["switches"]) == len(switches)
        assert len(rows["variants"]) == len(curl.variants)
        assert len(rows["trials"]) == len(curl.smoke)
        assert len(rows["targets"]) == len(Target)

    def test_every_row_has_as_many_cells_as_its_head(self) -> None:
        for page in PAGES:
            for name, body in bodies(page.read_text("utf-8")).items():
                if body.startswith("|"):
                    cells = {len(re.findall(r"(?<!\\)\|", row)) for row in body.splitlines()}
                    assert len(cells) == 1, f"{page.name}: {name}"


def test_every_image_has_a_line_with_its_newest_tag_and_what_is_in_it() -> None:
    recipes = load_recipes()
    images = load_images(recipes)
    rows = image_rows(images, recipes)
    assert len(rows) == len(images)
    assert {len(row) for row in rows} == {len(IMAGE_HEAD)}
    curl = recipes["curl"].releases[0].version
    by_name = {row[0]: row for row in rows}
    assert by_name[f"`static-curl:{curl}-https`"][1:] == (
        "`https`, `latest`",
        "curl:https at `/curl`",
        "`/curl`",
    )
    tools = next(row for name, row in by_name.items() if name.startswith("`static-tools:"))
    assert tools[3] == "`/bin/sh`"
    assert "cacert at `/etc/ssl/certs/ca-certificates.crt`" in tools[2]


def commands() -> Iterator[tuple[str, str]]:
    """Every ``inv`` command line in a code block or in backticks, with its page."""
    for page in PAGES:
        text = page.read_text("utf-8")
        blocks = [body for kind, body in FENCE.findall(text) if kind in {"sh", "console"}]
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
        for line in lines:
            if found := re.search(r"(?:^|\s)(?:\./)?inv (.+?)\s*(?:#.*)?$", line):
                yield page.name, found[1]


class TestCommands:
    def test_there_are_some(self) -> None:
        assert len(list(commands())) > 20

    @pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
    def test_command_and_flags_exist(
        self, page: str, line: str, recipes: dict[str, Recipe]
    ) -> None:
        tasks = contexts_of(namespace)
        name, *words = line.partition("&&")[0].split()
        if name.startswith("--"):
            assert name in {"--list", "--help", "--version"}
            return
        assert name in tasks
        context = tasks[name]
        while words:
            word = words.pop(0)
            if word.startswith("-") and word != "-":  # standard input
                flag, _, value = word.partition("=")
                assert flag in {*context.flags, "--help", "--debug"}
                argument = context.flags.get(flag)
                if argument and argument.takes_value and not (argument.optional or value):
                    taken = words.pop(0)
                    if flag == "--target":
                        assert parse_targets(taken)
            elif name in {"build", "fetch"} and not word.startswith("tini"):
                product, _, version = word.partition("@")
                assert find_product(product, recipes).name == product
                assert not version or recipes[product.partition(":")[0]].release(version)

    def test_every_command_is_in_the_readme(self) -> None:
        told = {line.split()[0] for page, line in commands() if page == "README.md"}
        assert set(contexts_of(namespace)) <= told


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text("utf-8"))):
            if not link.startswith(("https://", "http://")):
                yield page, link


class TestLinks:
    @pytest.mark.parametrize(("page", "link"), sorted(set(links())))
    def test_relative_link_resolves(self, page: Path, link: str) -> None:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists()
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs


class TestRecipePage:
    PAGE = ROOT / "docs/add-a-recipe.md"

    def test_every_key_is_documented_and_every_documented_key_exists(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known: dict[str, set[str]] = {}
        done = load.Table.done

        def spy(table: load.Table) -> None:
            known.setdefault(self.section(table.where), set()).update(table.known)
            done(table)

        monkeypatch.setattr(load.Table, "done", spy)
        load_recipes()
        assert self.documented() == known

    @staticmethod
    def section(where: str) -> str:
        """The heading for what the loader calls ``…/recipe.toml: variants.mini: expect``."""
        place = re.sub(r"\[\d+\]", "", where.rpartition("recipe.toml")[2]).strip(": ")
        place = re.sub(r"variants\.[^:]+", "variants.NAME", place).replace(": ", ".")
        if not place:
            return "Top of the file"
        lists = {"releases", "smoke", "renamed", "bill.carries", "bill.unaffected"}
        return f"`[[{place}]]`" if place in lists else f"`[{place}]`"

    def documented(self) -> dict[str, set[str]]:
        text = self.PAGE.read_text("utf-8").partition("## Every key")[2]
        sections = re.split(r"^### (.+)$", text, flags=re.MULTILINE)[1:]
        return {
            title: {
                key
                for row in re.findall(r"^\| (`[^|]+) \|", body, re.MULTILINE)
                for key in re.findall(r"`(\w+)`", row)
            }
            for title, body in zip(sections[::2], sections[1::2], strict=True)
        }

    def test_the_example_loads(self, tmp_path: Path) -> None:
        directory = tmp_path / "tini"
        directory.mkdir()
        text = self.PAGE.read_text("utf-8")
        for name, body in re.findall(
            r"<!-- example: (\S+) -->\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
        ):
            (directory / name).write_text(body)
        recipe = load_recipe(directory / "recipe.toml")
        assert [product.name for product in list_products({"tini": recipe})] == ["tini:init"]
        for number in (recipe.releases[0].archive.sha256, str(recipe.releases[0].archive.size)):
            assert text.count(number) == 2

    def test_every_variable_of_a_script_is_documented(self) -> None:
        text = self.PAGE.read_text("utf-8")
        source = (ROOT / "builders/environment.py").read_text("utf-8")
        names = set(re.findall(r'^        "([A-Z_]+)":', source, re.MULTILINE))
        ours = names - {"PATH", "HOME", "TMPDIR", "LC_ALL", "TZ", "PKG_CONFIG"}
        assert ours
        assert {name for name in ours if f"`{name}`" not in text} == set()


def test_a_campaign_s_record_becomes_a_row() -> None:
    record = {
        "name": "toy",
        "purpose": "Tries a toy.",
        "cases": 1200,
        "outcomes": {"refused": 200, "right": 1000},
        "violations": 0,
        "seconds": 7,
        "seed": 3,
        "date": "2026-01-02",
        "code": "0123456789abcdef",
    }
    row = campaigns([record]).splitlines()[-1]
    shown = "1,200 | 0 | 1,000 right, 200 refused | 7 | 3 | 2026-01-02 | `0123456789ab`"
    assert row == f"| `toy` | Tries a toy. | {shown} |"


class TestFigures:
    FIGURES = (
        {"name": "a: size", "value": 1234, "must": 2000, "aim": None, "unit": "bytes", "bar": "met"}
        | {"row": "a", "column": "size", "date": "2026-01-02", "machine": "2 cores"},
        {"name": "b: time", "value": 0.5, "must": None, "aim": None, "unit": "ms", "bar": ""}
        | {"row": "b", "column": "time", "date": "2026-01-02", "machine": "2 cores"},
    )

    def test_a_figure_with_a_bar_says_whether_it_is_met(self) -> None:
        assert bars(self.FIGURES).splitlines()[2:] == [
            "| a: size | 1,234 | 2,000 | - | bytes | met | 2026-01-02 |"
        ]

    def test_programs_stand_side_by_side(self) -> None:
        lines = programs(self.FIGURES).splitlines()
        assert lines[0] == "| program | size | time |"
        assert lines[2:] == ["| a | 1,234 | - |", "| b | - | 0.50 |"]

    def test_a_machine_is_named_once(self) -> None:
        assert machines(self.FIGURES) == "- 2026-01-02: 2 cores."
