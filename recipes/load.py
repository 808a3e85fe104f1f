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
from typing import Any, TypeVar, assert_never, get_args

from core.errors import RecipeError, UsageError
from core.suggest import nearest, suggestion
from core.target import Target
from recipes.model import (
    BundledComponent,
    PackMethod,
    Product,
    Recipe,
    RecipeExpectations,
    RecipeKind,
    Release,
    SbomInfo,
    Signature,
    SmokeTest,
    Source,
    Update,
    UpdateRule,
    Variant,
    find_need,
)

HERE = Path(__file__).parent

PACKER = "upx"
"""The recipe of the tool that packs."""

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)
_SIZE = re.compile(r"([1-9][0-9]{0,5})([MG])")
_WORD = re.compile(r"[A-Za-z0-9_.+/:,-]*")

# https://csrc.nist.gov/pubs/ir/7695/final and https://github.com/package-url/purl-spec, as far as pins need them.
_CPE = re.compile(r"cpe:2\.3:[aho](:[A-Za-z0-9._*?\\+-]+){10}")
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
    for recipe in recipes.values():
        for variant in recipe.variants:
            for need in variant.needs:
                if find_need(need, recipes) is None:
                    msg = f"{recipe.directory / 'recipe.toml'}: needs '{need}', which is no recipe."
                    msg += suggestion(need, recipes)
                    raise RecipeError(msg, next=f"choose one of: {', '.join(recipes)}")
        if recipe.pack is not PackMethod.NONE and PACKER not in recipes:
            msg = f"{recipe.directory / 'recipe.toml'}: 'pack' needs the recipe '{PACKER}'."
            raise RecipeError(msg)
    _refuse_cycles(recipes)
    return recipes


def _recipes_in(directory: Path) -> list[Path]:
    """The files below a directory that a user named: it is a mistake when there are none."""
    paths = sorted(directory.glob("*/recipe.toml"))
    if paths:
        return paths
    msg = f"'{directory}' holds no recipe: there is no {directory / 'NAME' / 'recipe.toml'}."
    why = "" if directory.is_dir() else "there is no such directory"
    above = directory.parent
    if (directory / "recipe.toml").is_file():
        why = "it is a recipe itself: what is asked for is the directory that recipes are in"
    guess = f"name '{above}' instead" if why and directory.is_dir() else "see docs/add-a-recipe.md"
    raise RecipeError(msg, why=why, next=guess)


def _refuse_cycles(recipes: Mapping[str, Recipe]) -> None:
    needs: dict[str, set[str]] = {}
    for recipe in recipes.values():
        for variant in recipe.variants:
            found = [find_need(need, recipes) for need in variant.needs]
            needs[f"{recipe.name}:{variant.name}"] = {
                f"{recipe.name}:{variant.name}" for recipe, variant in filter(None, found)
            }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = " needs ".join(name.rstrip(":") for name in reversed(error.args[1]))
        msg = f"Recipes need each other in a circle: {circle}."
        raise RecipeError(msg) from error


def load_recipe(path: Path) -> Recipe:
    """Read one recipe. Raises RecipeError, always naming the file."""
    try:
        table = Table(tomllib.loads(path.read_text("utf-8")), str(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path}: {error}"
        raise RecipeError(msg, why="not a TOML file") from error
    try:
        return _recipe(table, path.parent)
    except RecipeError as error:
        if error.what.startswith(str(path)):
            raise
        msg = f"{path}: {error.what}"  # values that refuse to be made do not know where they stand
        raise RecipeError(msg, why=error.why, next=error.next) from error


def find_product(name: str, recipes: Mapping[str, Recipe]) -> Product:
    """Return the product ``name`` (``curl:http``). Raises UsageError with a guess.

    A bare name means the recipe's nameless variant, or its first one.
    """
    recipe_name, _, variant_name = name.partition(":")
    products = list_products(recipes)
    for product in products:
        if product.name == name:
            return product
    if not variant_name:
        for product in products:
            if product.recipe.name == recipe_name:
                return product
    names = [product.name for product in products]
    msg = f"Unknown product '{name}'.{suggestion(name, names)}"
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

    def __init__(self, data: dict[str, Any], where: str) -> None:
        self.data = data
        self.where = where
        self.known: set[str] = set()

    def take(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """Return the value of ``key``; without a default it must be there."""
        self.known.add(key)
        if key not in self.data:
            if default is None:
                unread = self.data.keys() - self.known
                near = nearest(key, unread, cutoff=0.6)
                typo = f" Perhaps '{near}' is meant to be it." if near else ""
                msg = f"{self.where}: '{key}' is missing.{typo}"
                raise RecipeError(msg)
            return default
        value = self.data[key]
        # Subclasses that mean something else: true is no number, a moment is no day.
        odd = isinstance(value, datetime) or (kind is int and isinstance(value, bool))
        if odd or not isinstance(value, kind):
            msg = f"{self.where}: '{key}' must be {_NOUNS[kind]}, not {value!r}."
            raise RecipeError(msg)
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of strings, empty when absent."""
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            msg = f"{self.where}: '{key}' must be a list of strings, not {values!r}."
            raise RecipeError(msg)
        return tuple(values)

    def pairs(self, key: str) -> dict[str, str]:
        """Return a table of strings, empty when absent."""
        values = self.take(key, dict, {})
        for name, value in values.items():
            if not isinstance(value, str):
                msg = f"{self.where}: '{key}.{name}' must be a string, not {value!r}."
                raise RecipeError(msg)
        return values

    def table(self, key: str) -> "Table":
        """Return a table inside this one."""
        return Table(self.take(key, dict), f"{self.where}: {key}")

    def tables(self, key: str, *, optional: bool = False) -> list["Table"]:
        """Return a list of tables."""
        entries = self.take(key, list, [] if optional else None)
        return [_inner(entry, f"{self.where}: {key}[{i}]") for i, entry in enumerate(entries)]

    def choice(self, key: str, kind: type[_E], default: _E | None = None) -> _E:
        """Return one word out of a closed set."""
        word = self.take(key, str, None if default is None else default.value)
        known = [member.value for member in kind]
        if word not in known:
            msg = f"{self.where}: '{key}' cannot be '{word}'.{suggestion(word, known)}"
            raise RecipeError(msg, next=f"choose one of: {', '.join(known)}")
        return kind(word)

    def reasons(self, key: str) -> dict[Target, str]:
        """Return a table of targets with a reason each, empty when absent."""
        try:
            return {Target.parse(name): why for name, why in self.pairs(key).items()}
        except UsageError as error:
            msg = f"{self.where}: {key}: {error.what}"
            raise RecipeError(msg, next=error.next) from error

    def size(self, key: str) -> int:
        """Return a number of bytes written as ``1500M`` or ``2G``, 0 when absent."""
        text = self.take(key, str, "")
        found = _SIZE.fullmatch(text)
        if text and not found:
            msg = f'{self.where}: \'{key}\' must be like "1500M" or "2G", not {text!r}.'
            raise RecipeError(msg)
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
                msg = f"{self.where}: unknown key '{key}'.{suggestion(key, self.known)}"
                raise RecipeError(msg, next=f"known here: {', '.join(sorted(self.known))}")


def _inner(value: object, where: str) -> Table:
    if not isinstance(value, dict):
        msg = f"{where} must be a table, not {value!r}."
        raise RecipeError(msg)
    return Table(value, where)


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
        msg = f"{table.where}: the name '{name}' is not the directory's name '{directory.name}'."
        raise RecipeError(msg)
    kind = table.choice("kind", RecipeKind)
    common = table.pairs("common")
    needs = table.words("needs")
    variants = table.take("variants", dict, {})
    if kind is RecipeKind.PROGRAM and not variants:
        msg = f"{table.where}: a program needs at least one [variants.NAME]."
        raise RecipeError(msg)
    local = _local(table, directory)
    releases = _releases(table, name, local=local is not None)
    named = tuple(
        _variant(
            key,
            _inner(value, f"{table.where}: variants.{key}"),
            common=common,
            program=kind is RecipeKind.PROGRAM,
        )
        for key, value in variants.items()
    )
    recipe = table.read(
        Recipe,
        name=name,
        kind=kind,
        directory=directory,
        releases=releases,
        update=table.table("update").read(Update),
        variants=named or (_only_variant(table, needs, common),),
        local=local,
        unpackable=table.reasons("unpackable"),
        unsupported=table.reasons("unsupported"),
        smoke=tuple(_smoke_test(entry, variants) for entry in table.tables("smoke", optional=True)),
        bill=_sbom(table.table("bill")) if "bill" in table.data else SbomInfo(),
    )
    if reason := _dead_end(recipe):
        msg = f"{table.where}: update: {reason}."
        raise RecipeError(msg)
    for script in (recipe.script, *([directory / "checks.sh"] if recipe.checks else [])):
        if not script.is_file():
            msg = f"{table.where}: {script.name} is missing."
            raise RecipeError(msg)
    return recipe


def _dead_end(recipe: Recipe) -> str:
    """Say why the rule by which a pin moves leads nowhere; empty when it leads somewhere."""
    source = recipe.releases[0].source
    match recipe.update.rule:
        case None:
            return ""
        case rule if source is None:
            return f"the rule '{rule}' is for downloads, and the source is a directory"
        case UpdateRule.PYPI:
            return "" if source.pypi else "the newest release has no 'pypi'"
        case UpdateRule.DEBIAN_OR_UPSTREAM:
            somewhere = recipe.update.listing or source.debian
            return (
                "" if somewhere else "there is no 'listing', and the newest release has no 'debian'"
            )
        case rule:
            assert_never(rule)


def _releases(table: Table, name: str, *, local: bool) -> tuple[Release, ...]:
    entries = table.tables("releases")
    releases = tuple(
        # A directory's release has nothing to pin.
        entry.read(Release, source=None, signature=None, unsigned="")
        if local
        else _release(entry, name)
        for entry in entries
    )
    if not releases:
        msg = f"{table.where}: no release is pinned."
        raise RecipeError(msg)
    versions = [release.version for release in releases]
    for version in versions:
        if versions.count(version) > 1:
            msg = f"{table.where}: the release '{version}' is pinned twice."
            raise RecipeError(msg)
    return releases


def _local(table: Table, directory: Path) -> Path | None:
    """The directory beside `recipes/` that is the source, if the recipe says so."""
    name = table.take("local", str, "")
    if not name:
        return None
    path = directory.parent.parent / name
    if "/" in name or not path.is_dir():
        msg = f"{table.where}: 'local' names '{name}', which is no directory beside recipes/."
        raise RecipeError(msg)
    return path


def _release(table: Table, name: str) -> Release:
    signature, unsigned = None, ""
    if "signature" in table.data:
        signature = table.table("signature").read(Signature)
    elif not (unsigned := table.take("unsigned", str)):
        msg = f"{table.where}: 'unsigned' must say why there is no signature."
        raise RecipeError(msg)
    source = Source(**table.values(Source, name=name))
    release = table.read(Release, signature=signature, unsigned=unsigned, source=source)
    if not release.version or release.version not in source.filename:
        # Humans forget to change one of the two.
        msg = f"{table.where}: the file name '{source.filename}' lacks '{release.version}'."
        raise RecipeError(msg)
    return release


def _sbom(table: Table) -> SbomInfo:
    carries = [entry.read(BundledComponent) for entry in table.tables("carries", optional=True)]
    info = table.read(SbomInfo, carries=tuple(carries))
    for key, text, form in (("cpe", info.cpe, _CPE), ("purl", info.purl, _PURL)):
        if text and not ("{version}" in text and form.fullmatch(text.replace("{version}", "1"))):
            msg = f"{table.where}: '{key}' cannot be '{text}'."
            raise RecipeError(msg, next="a whole one, with {version} where the version stands")
    return info


def _smoke_test(table: Table, variants: Mapping[str, object]) -> SmokeTest:
    test = table.read(SmokeTest)
    for name in test.variants:
        if name not in variants:
            msg = f"{table.where}: '{name}' is no variant.{suggestion(name, variants)}"
            raise RecipeError(msg)
    return test


def _variant(name: str, table: Table, *, common: Mapping[str, str], program: bool) -> Variant:
    expected = program and not table.take("native", bool, False)
    variant = table.read(
        Variant,
        name=name,
        switches={**common, **table.pairs("switches")},
        expect=table.table("expect").read(RecipeExpectations) if expected else None,
        memory=table.size("memory"),
    )
    for key, value in variant.switches.items():
        if not _WORD.fullmatch(key) or not _WORD.fullmatch(value):
            msg = f"{table.where}: the switch {key} = {value!r} is not one word."
            raise RecipeError(msg, why="switches reach the build script as words")
    if missing := set(variant.embeds) - set(variant.needs):
        msg = f"{table.where}: embeds {', '.join(missing)} without needing it."
        raise RecipeError(msg)
    return variant


def _only_variant(table: Table, needs: tuple[str, ...], switches: Mapping[str, str]) -> Variant:
    return Variant(
        name="",
        summary="",
        native=table.take("native", bool, False),
        needs=needs,
        switches=switches,
        memory=table.size("memory"),
    )
