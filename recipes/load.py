"""Reads `recipes/<name>/recipe.toml` into values; what is unknown, missing or unpinned is an error."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from datetime import date, datetime
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, Self, TypeVar, get_args

from core.errors import RecipeError, UsageError
from core.suggest import nearest, suggestion
from core.target import Target
from recipes.model import (
    BundledComponent,
    Hardening,
    Linkage,
    PackMethod,
    Product,
    Recipe,
    RecipeExpectations,
    RecipeKind,
    Release,
    Rename,
    SbomInfo,
    Signature,
    SmokeTest,
    Source,
    Unaffected,
    Update,
    UpdateRule,
    Variant,
    find_need,
)
from recipes.renames import find_renamed, renames

HERE = Path(__file__).parent

PACKER = "upx"
"""The recipe of the tool that packs."""

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)
_SIZE = re.compile(r"([1-9][0-9]{0,5})([MG])")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_WORD = re.compile(r"[A-Za-z0-9_.+/:,-]*")

# https://csrc.nist.gov/pubs/ir/7695/final and https://github.com/package-url/purl-spec, as far as pins need them.
_CPE = re.compile(r"cpe:2\.3:[aho](:[A-Za-z0-9._*?\\+-]+){10}")
_ADVISORY = re.compile(r"(CVE-\d{4}-\d{4,}|[A-Z]{2,}(-[A-Za-z0-9.]+)+)")
_PURL = re.compile(r"pkg:[a-z][a-z0-9.+-]*/[A-Za-z0-9._~%/@+-]+(\?[^\s#]+)?(#\S+)?")


def load_recipes(directory: Path = HERE, *others: Path) -> dict[str, Recipe]:
    """Return every recipe below ``directory`` and the ``others`` by name, in alphabetical order.

    Raises RecipeError when one of them is wrong, needs a recipe that does not exist, or has the name of another one,
    and when one of the ``others`` holds no recipe.
    """
    paths = {path.parent.name: path for path in directory.glob("*/recipe.toml")}
    for other in others:
        for path in _recipes_in(other):
            first = paths.setdefault(path.parent.name, path)
            if not first.samefile(path):
                msg = f"Two recipes are called '{path.parent.name}': {first} and {path}."
                raise RecipeError(
                    msg, next="rename one of the two directories, and 'name' in its file"
                )
    recipes = {name: load_recipe(paths[name]) for name in sorted(paths)}
    graph: dict[str, set[str]] = {}
    for name, recipe in recipes.items():
        for variant in recipe.variants:
            needs = graph[Product(recipe=recipe, variant=variant).name] = set()
            for need in variant.needs:
                found = find_need(need, recipes)
                if found is None:
                    guess = suggestion(need, recipes)
                    msg = f"{paths[name]}: needs '{need}', which is no recipe.{guess}"
                    raise RecipeError(msg, next=f"choose one of: {', '.join(recipes)}")
                needs.add(Product(recipe=found[0], variant=found[1]).name)
        if recipe.pack is not PackMethod.NONE and PACKER not in recipes:
            msg = f"{paths[name]}: 'pack' needs the recipe '{PACKER}'."
            raise RecipeError(msg)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        msg = f"Recipes need each other in a circle: {' needs '.join(reversed(error.args[1]))}."
        raise RecipeError(msg) from error
    return recipes


def _recipes_in(directory: Path) -> list[Path]:
    """The files below a directory that a user named: it is a mistake when there are none."""
    paths = sorted(directory.glob("*/recipe.toml"))
    if paths:
        return paths
    msg = f"'{directory}' holds no recipe: there is no {directory / 'NAME' / 'recipe.toml'}."
    why = "" if directory.is_dir() else "there is no such directory"
    guess = "see docs/add-a-recipe.md"
    if (directory / "recipe.toml").is_file():
        why = "it is a recipe itself: what is asked for is the directory that recipes are in"
        guess = f"name '{directory.parent}' instead"
    raise RecipeError(msg, why=why, next=guess)


def load_recipe(path: Path) -> Recipe:
    """Read one recipe. Raises RecipeError, always naming the file."""
    table = Table.of(path)
    try:
        return _recipe(table, path.parent)
    except RecipeError as error:
        if error.what.startswith(str(path)):
            raise
        msg = f"{path}: {error.what}"  # values that refuse to be made do not know where they stand
        raise RecipeError(msg, why=error.why, next=error.next) from error


def find_product(name: str, recipes: Mapping[str, Recipe]) -> Product:
    """Return the product ``name`` (``curl:http``). Raises UsageError with a guess.

    A bare name means the recipe's nameless variant, or its first one; a name that a product had before means that
    product, unless another one has it now.
    """
    products = list_products(recipes)
    for product in products:
        if product.name == name or product.recipe.name == name.removesuffix(":"):
            return product
    if renamed := find_renamed(name, recipes):
        return find_product(renamed.new, recipes)
    names = [product.name for product in products]
    before = {it.old: it.new for it in renames(recipes) if it.old not in names}
    near = nearest(name, [*names, *before])
    guess = suggestion(name, names)
    if near in before:
        guess = f" Perhaps you meant '{before[near]}', which was '{near}'."
    msg = f"Unknown product '{name}'.{guess}"
    raise UsageError(msg, next=f"choose one of: {', '.join(names)} (see `inv list`)")


def list_products(recipes: Mapping[str, Recipe]) -> tuple[Product, ...]:
    """Every variant of every program, in the order of the recipes; native ones only serve others."""
    return tuple(
        Product(recipe=recipe, variant=variant)
        for recipe in recipes.values()
        if recipe.kind is RecipeKind.PROGRAM
        for variant in recipe.variants
        if not variant.native
    )


class Table:
    """A TOML table that remembers what was read, so that the rest is an error."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            msg = f"{where} must be a table, not {data!r}."
            raise RecipeError(msg)
        self.data: dict[str, Any] = data
        self.where = where
        self.known: set[str] = set()

    @classmethod
    def of(cls, path: Path) -> Self:
        try:
            return cls(tomllib.loads(path.read_text("utf-8")), str(path))
        except (OSError, ValueError) as error:
            msg = f"{path}: {error}"
            raise RecipeError(msg, why="not a TOML file") from error

    def refuse(self, what: str, *, why: str = "", next: str = "") -> NoReturn:
        """Raise RecipeError about this table."""
        msg = f"{self.where}: {what}"
        raise RecipeError(msg, why=why, next=next)

    def take(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """Return the value of ``key``; without a default it must be there."""
        self.known.add(key)
        if key not in self.data:
            if default is None:
                near = nearest(key, self.data.keys() - self.known, cutoff=0.6)
                typo = f" Perhaps '{near}' is meant to be it." if near else ""
                self.refuse(f"'{key}' is missing.{typo}")
            return default
        value = self.data[key]
        # Subclasses that mean something else: true is no number, a moment is no day.
        odd = isinstance(value, datetime) or (kind is int and isinstance(value, bool))
        if odd or not isinstance(value, kind):
            self.refuse(f"'{key}' must be {_NOUNS[kind]}, not {value!r}.")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of strings, empty when absent."""
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            self.refuse(f"'{key}' must be a list of strings, not {values!r}.")
        return tuple(values)

    def pairs(self, key: str) -> dict[str, str]:
        """Return a table of strings, empty when absent."""
        values = self.take(key, dict, {})
        for name, value in values.items():
            if not isinstance(value, str):
                self.refuse(f"'{key}.{name}' must be a string, not {value!r}.")
        return values

    def table(self, key: str) -> "Table":
        return Table(self.take(key, dict), f"{self.where}: {key}")

    def tables(self, key: str, *, optional: bool = False) -> list["Table"]:
        entries = self.take(key, list, [] if optional else None)
        return [Table(entry, f"{self.where}: {key}[{i}]") for i, entry in enumerate(entries)]

    def choice(self, key: str, kind: type[_E], default: _E | None = None) -> _E:
        """Return one word out of a closed set."""
        word = self.take(key, str, None if default is None else default.value)
        known = [member.value for member in kind]
        if word not in known:
            what = f"'{key}' cannot be '{word}'.{suggestion(word, known)}"
            self.refuse(what, next=f"choose one of: {', '.join(known)}")
        return kind(word)

    def reasons(self, key: str) -> dict[Target, str]:
        """Return a table of targets with a reason each, empty when absent."""
        try:
            return {Target.parse(name): why for name, why in self.pairs(key).items()}
        except UsageError as error:
            self.refuse(f"{key}: {error.what}", next=error.next)

    def omissions(self, key: str, kind: type[_E]) -> dict[_E, str]:
        """Return a table of words out of a closed set with a reason each, empty when absent."""
        known = [member.value for member in kind]
        found = self.pairs(key)
        for word, why in found.items():
            if word not in known:
                what = f"{key}: '{word}' is none of them.{suggestion(word, known)}"
                self.refuse(what, next=f"choose one of: {', '.join(known)}")
            if not why.strip():
                self.refuse(f"'{key}.{word}' must say why.")
        return {kind(word): why for word, why in found.items()}

    def size(self, key: str) -> int:
        """Return a number of bytes written as ``1500M`` or ``2G``, 0 when absent."""
        text = self.take(key, str, "")
        found = _SIZE.fullmatch(text)
        if text and not found:
            self.refuse(f'\'{key}\' must be like "1500M" or "2G", not {text!r}.')
        return int(found[1]) << {"M": 20, "G": 30}[found[2]] if found else 0

    def values(self, cls: type, **given: Any) -> dict[str, Any]:
        """Return what a dataclass is made of: ``given``, and the keys that are called like its other fields."""
        for field in fields(cls):
            if field.name not in given:
                given[field.name] = self._value(field)
        return given

    def read(self, cls: type[_T], **given: Any) -> _T:
        """Make a dataclass's value of the whole table: see `values`."""
        value = cls(**self.values(cls, **given))
        self.done()
        return value

    def _value(self, field: Field[Any]) -> Any:
        default = None if field.default is MISSING else field.default
        optional = [kind for kind in get_args(field.type) if kind is not NoneType]
        if field.type == tuple[str, ...]:
            return self.words(field.name)
        if optional and self.data.get(field.name, "") == "":  # X | None
            self.known.add(field.name)
            return None
        (kind,) = optional or [field.type]
        read = self.choice if issubclass(kind, StrEnum) else self.take
        return read(field.name, kind, default)

    def done(self) -> None:
        """Refuse the keys nobody asked for."""
        for key in self.data:
            if key not in self.known:
                what = f"unknown key '{key}'.{suggestion(key, self.known)}"
                self.refuse(what, next=f"known here: {', '.join(sorted(self.known))}")


_NOUNS: Mapping[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    date: "a date",
}


def _recipe(table: Table, directory: Path) -> Recipe:
    name = table.take("name", str)
    if name != directory.name:
        table.refuse(f"the name '{name}' is not the directory's name '{directory.name}'.")
    kind = table.choice("kind", RecipeKind)
    common = table.pairs("common")
    needs = table.words("needs")
    variants = table.take("variants", dict, {})
    if kind is RecipeKind.PROGRAM and not variants:
        table.refuse("a program needs at least one [variants.NAME].")
    unhardened = table.omissions("unhardened", Hardening)
    linkage = Linkage.STATIC if Hardening.PIE in unhardened else Linkage.STATIC_PIE
    local = _local(table, directory)
    releases = _releases(table, name, local=local is not None)
    named = tuple(
        _variant(
            key,
            Table(value, f"{table.where}: variants.{key}"),
            common=common,
            linkage=linkage if kind is RecipeKind.PROGRAM else None,
        )
        for key, value in variants.items()
    )
    recipe = table.read(
        Recipe,
        unhardened=unhardened,
        name=name,
        kind=kind,
        directory=directory,
        releases=releases,
        update=table.table("update").read(Update),
        variants=named
        or (
            Variant(
                name="",
                summary="",
                native=table.take("native", bool, False),
                needs=needs,
                switches=common,
                memory=table.size("memory"),
            ),
        ),
        local=local,
        unpackable=table.reasons("unpackable"),
        unsupported=table.reasons("unsupported"),
        smoke=tuple(_smoke_test(entry, variants) for entry in table.tables("smoke", optional=True)),
        bill=_sbom(table.table("bill")) if "bill" in table.data else SbomInfo(),
        renamed=_renames(table, variants),
    )
    for unused in recipe.unused:
        if unused in {"", ".", ".."} or "/" in unused:
            table.refuse(f"unused: '{unused}' is no directory at the top of the source.")
    if recipe.unused and recipe.local:
        table.refuse("'unused' is for a source that is unpacked.")
    if reason := _dead_end(recipe):
        table.refuse(f"update: {reason}.")
    for script in (recipe.script, *([directory / "checks.sh"] if recipe.checks else [])):
        if not script.is_file():
            table.refuse(f"{script.name} is missing.")
    return recipe


def _dead_end(recipe: Recipe) -> str:
    """Say why the rule by which a pin moves leads nowhere; empty when it leads somewhere."""
    source, update = recipe.releases[0].source, recipe.update
    if update.rule is None:
        return ""
    if source is None:
        return f"the rule '{update.rule}' is for downloads, and the source is a directory"
    if update.rule is UpdateRule.PYPI:
        return "" if source.pypi else "the newest release has no 'pypi'"
    somewhere = update.listing or source.debian
    return "" if somewhere else "there is no 'listing', and the newest release has no 'debian'"


def _releases(table: Table, name: str, *, local: bool) -> tuple[Release, ...]:
    releases = tuple(_release(entry, name, local=local) for entry in table.tables("releases"))
    if not releases:
        table.refuse("no release is pinned.")
    versions = [release.version for release in releases]
    for version in versions:
        if versions.count(version) > 1:
            table.refuse(f"the release '{version}' is pinned twice.")
    return releases


def _local(table: Table, directory: Path) -> Path | None:
    """The directory beside `recipes/` that is the source, if the recipe says so."""
    name = table.take("local", str, "")
    if not name:
        return None
    path = directory.parent.parent / name
    if "/" in name or not path.is_dir():
        table.refuse(f"'local' names '{name}', which is no directory beside recipes/.")
    return path


def _release(table: Table, name: str, *, local: bool) -> Release:
    signature, unsigned = None, ""
    if local:  # there is nothing to pin
        return table.read(Release, source=None, signature=signature, unsigned=unsigned)
    if "signature" in table.data:
        signature = table.table("signature").read(Signature)
    elif not (unsigned := table.take("unsigned", str)):
        table.refuse("'unsigned' must say why there is no signature.")
    source = Source(**table.values(Source, name=name))
    release = table.read(Release, signature=signature, unsigned=unsigned, source=source)
    if not release.version or release.version not in source.filename:
        # Humans forget to change one of the two.
        table.refuse(f"the file name '{source.filename}' lacks '{release.version}'.")
    return release


def _sbom(table: Table) -> SbomInfo:
    carries = [entry.read(BundledComponent) for entry in table.tables("carries", optional=True)]
    unaffected = [entry.read(Unaffected) for entry in table.tables("unaffected", optional=True)]
    for entry in unaffected:
        if not _ADVISORY.fullmatch(entry.id) or not entry.detail:
            what = f"unaffected: '{entry.id}' needs a number such as CVE-2025-2849, and a detail."
            table.refuse(what)
    info = table.read(SbomInfo, carries=tuple(carries), unaffected=tuple(unaffected))
    cpes = [("cpe", info.cpe), *(("also_cpe", cpe) for cpe in info.also_cpe)]
    for key, text, form in (*((key, cpe, _CPE) for key, cpe in cpes), ("purl", info.purl, _PURL)):
        filled = text.replace("{version}", "1").replace("{version_}", "1")
        if text and (filled == text or not form.fullmatch(filled)):
            what = f"'{key}' cannot be '{text}'."
            table.refuse(what, next="a whole one, with {version} where the version stands")
    return info


def _smoke_test(table: Table, variants: Mapping[str, object]) -> SmokeTest:
    test = table.read(SmokeTest)
    for name in test.variants:
        if name not in variants:
            table.refuse(f"'{name}' is no variant.{suggestion(name, variants)}")
    return test


def _renames(table: Table, variants: Mapping[str, Mapping[str, object]]) -> tuple[Rename, ...]:
    found: dict[str, Rename] = {}
    products = [name for name, variant in variants.items() if not variant.get("native")]
    for entry in table.tables("renamed", optional=True):
        rename = entry.read(Rename)
        if rename.now not in products:
            entry.refuse(f"'{rename.now}' is no variant.{suggestion(rename.now, products)}")
        if not rename.was or rename.was in {rename.now, *found}:
            entry.refuse(
                f"'{rename.was}' became '{rename.now}': that is no change, or a second one."
            )
        if not _VERSION.fullmatch(rename.until):
            entry.refuse(
                f"'until' must be a release of this project, such as 0.2.0: '{rename.until}'."
            )
        found[rename.was] = rename
    return tuple(found.values())


def _variant(
    name: str, table: Table, *, common: Mapping[str, str], linkage: Linkage | None
) -> Variant:
    """Read a variant; ``linkage`` is how its recipe is built, None for what is no program."""
    expected = linkage and not table.take("native", bool, False)
    variant = table.read(
        Variant,
        name=name,
        switches={**common, **table.pairs("switches")},
        expect=_expectations(table.table("expect"), linkage) if linkage and expected else None,
        memory=table.size("memory"),
    )
    for key, value in variant.switches.items():
        if not _WORD.fullmatch(key) or not _WORD.fullmatch(value):
            what = f"the switch {key} = {value!r} is not one word."
            table.refuse(what, why="switches reach the build script as words")
    if missing := set(variant.embeds) - set(variant.needs):
        table.refuse(f"embeds {', '.join(missing)} without needing it.")
    return variant


def _expectations(table: Table, linkage: Linkage) -> RecipeExpectations:
    if (said := table.choice("linkage", Linkage, linkage)) is not linkage:
        left_out = "[unhardened] leaves out 'pie'"
        always = "programs are position independent, unless [unhardened] says why not"
        table.refuse(
            f"'linkage' is '{said}', and what is built is '{linkage}'.",
            why=left_out if linkage is Linkage.STATIC else always,
            next="leave 'linkage' out, or say in [unhardened] why there is no 'pie'",
        )
    return table.read(RecipeExpectations, linkage=linkage)
