"""What stands in which image: `recipes/images.toml`, read into values."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from core.errors import RecipeError
from recipes.load import HERE, Table, list_products
from recipes.model import Recipe, RecipeKind
from recipes.renames import Renamed, find_renamed, renames

FILE = "images.toml"

# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """One file of an image."""

    product: str
    """``curl:https``; or a library of one file for every target, such as ``cacert``."""
    path: PurePosixPath
    mode: int = 0o755
    links: tuple[PurePosixPath, ...] = ()
    """Further paths that lead to the file."""

    @property
    def recipe(self) -> str:
        return self.product.partition(":")[0]


@dataclass(frozen=True, kw_only=True)
class ImageRecipe:
    """One image, whatever the release and the target."""

    name: str
    """``static-curl``: the last part of the repository."""
    summary: str
    tag: str
    """``{recipe}`` stands for the release of that recipe: ``{curl}-http``."""
    contents: tuple[ImageFile, ...]
    moving: tuple[str, ...] = ("latest",)
    """Tags that follow the newest release, for those who want it whatever it is."""
    packed: bool = False
    """Packed files, where the target has them, unless somebody asks otherwise."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str]
    directories: Mapping[PurePosixPath, int]
    """Empty directories by path, with their modes."""

    @property
    def label(self) -> str:
        """The image as a user may ask for it: ``static-curl:http``, or ``static-tools``."""
        variant = re.sub(r"\{[^}]*\}", "", self.tag).strip("-") if len(self.contents) == 1 else ""
        return f"{self.name}:{variant}" if variant else self.name

    def tagged(self, versions: Mapping[str, str], *, packed: bool, mark: str = "") -> str:
        """The tag for these releases by recipe. Raises RecipeError when it is none.

        ``mark`` is a build number: it comes after the version, or at the end where there are several.
        """
        one = len(versions) == 1
        marked = {name: text + mark for name, text in versions.items()} if one else versions
        tag = self.tag.format_map(marked) + ("" if one else mark) + self._form(packed=packed)
        if not TAG.fullmatch(tag):
            msg = f"The image {self.name} would get the tag '{tag}', which is none."
            raise RecipeError(msg, next=f"see 'tag' in {FILE}")
        return tag

    def moved(self, *, packed: bool) -> tuple[str, ...]:
        return tuple(tag + self._form(packed=packed) for tag in self.moving)

    def is_tag(self, tag: str, *, packed: bool) -> bool:
        """Return whether ``tag`` names a version of this image in this form, with or without a build number."""
        parts = re.split(r"\{[^}]*\}", self.tag)
        number = r"(-r[0-9]+)?(-dirty)?"
        version = r"[0-9A-Za-z_][0-9A-Za-z._]*" + (number if len(parts) == 2 else "")
        pattern = version.join(map(re.escape, parts)) + ("" if len(parts) == 2 else number)
        return re.fullmatch(pattern + re.escape(self._form(packed=packed)), tag) is not None

    def example(self, *, packed: bool) -> str:
        """The tag as people read it: ``VERSION-http``."""
        return re.sub(r"\{[^}]*\}", "VERSION", self.tag) + self._form(packed=packed)

    def _form(self, *, packed: bool) -> str:
        return "" if packed == self.packed else "-upx" if packed else "-plain"


def load_images(recipes: Mapping[str, Recipe], directory: Path = HERE) -> tuple[ImageRecipe, ...]:
    """Return every image, those of `images.toml` first, then one for each program that stands in none.

    Raises RecipeError, always naming the file.
    """
    path = directory / FILE
    images: list[ImageRecipe] = []
    for name, value in (Table.of(path).data if path.is_file() else {}).items():
        if not isinstance(value, dict) or not NAME.fullmatch(name):
            msg = f"{path}: '{name}' is no image: a table named as registries allow."
            raise RecipeError(msg)
        images += _images(name, Table(value, f"{path}: {name}"), recipes)
    named = {content.recipe for image in images for content in image.contents}
    for recipe in recipes.values():
        if recipe.kind is RecipeKind.PROGRAM and recipe.name not in named:
            first = recipe.variants[0].name
            inside = PurePosixPath("/", recipe.name)
            images += _each(recipe, recipe.name, recipe.summary, inside, bare=first, latest=first)
    return tuple(images)


def find_renamed_image(
    word: str, images: Iterable[ImageRecipe], recipes: Mapping[str, Recipe]
) -> Renamed | None:
    """Return what became of the image that was called ``word``, or whose product was; None when none was."""
    if renamed := find_renamed(word, recipes):
        return renamed
    by_product = {it.contents[0].product: it for it in images if len(it.contents) == 1}
    for renamed in renames(recipes):
        image = by_product.get(renamed.new)
        if image and word == f"{image.name}:{renamed.old.partition(':')[2]}":
            return replace(renamed, old=word, new=image.label)
    return None


def _images(name: str, table: Table, recipes: Mapping[str, Recipe]) -> list[ImageRecipe]:
    summary = table.take("summary", str)
    if "each" in table.data:
        each = table.take("each", str)
        recipe = recipes.get(each)
        if recipe is None or recipe.kind is not RecipeKind.PROGRAM:
            table.refuse(f"'each' names '{each}', which is no program.")
        path = _path(table, table.take("path", str))
        bare = table.take("bare", str, "")
        latest = table.take("latest", str, bare)
        table.done()
        known = {variant.name for variant in recipe.variants}
        if missing := {bare, latest} - known - {""}:
            what = f"'{missing.pop()}' is no variant of {recipe.name}."
            table.refuse(what, next=f"choose one of: {', '.join(sorted(known))}")
        return list(_each(recipe, name, summary, path, bare=bare, latest=latest))
    image = table.read(
        ImageRecipe,
        name=name,
        summary=summary,
        moving=("latest",),
        environment=table.pairs("environment"),
        directories={
            _path(table, path): _mode(table, mode)
            for path, mode in table.pairs("directories").items()
        },
        contents=tuple(_content(entry, recipes) for entry in table.tables("contents")),
    )
    try:
        image.tagged(dict.fromkeys((file.recipe for file in image.contents), "1"), packed=True)
    except (KeyError, ValueError, IndexError) as error:
        table.refuse(f"the tag '{image.tag}' names what is not in the image: {error}.")
    return [image]


def _each(
    recipe: Recipe, name: str, summary: str, path: PurePosixPath, *, bare: str, latest: str
) -> Iterator[ImageRecipe]:
    for product in list_products({recipe.name: recipe}):
        variant = product.variant.name
        suffix = f"-{variant}" if variant and variant != bare else ""
        moving = [variant] * bool(suffix) + ["latest"] * (variant == latest)
        yield ImageRecipe(
            name=name,
            summary=summary,
            tag=f"{{{recipe.name}}}{suffix}",
            moving=tuple(moving),
            entrypoint=(str(path),),
            environment={},
            directories={},
            contents=(ImageFile(product=product.name, path=path),),
        )


def _content(table: Table, recipes: Mapping[str, Recipe]) -> ImageFile:
    product = table.take("product", str)
    known = {product.name for product in list_products(recipes)}
    known |= {recipe.name for recipe in recipes.values() if recipe.kind is RecipeKind.LIBRARY}
    if product not in known:
        what = f"'{product}' is no product."
        table.refuse(what, next=f"choose one of: {', '.join(sorted(known))}")
    return table.read(
        ImageFile,
        product=product,
        path=_path(table, table.take("path", str)),
        mode=_mode(table, table.take("mode", str, "0755")),
        links=_links(table, recipes[product.partition(":")[0]].directory.parent),
    )


def _links(table: Table, directory: Path) -> tuple[PurePosixPath, ...]:
    """Read the file of paths, one a line, that ``links`` names beside the recipes."""
    name = table.take("links", str, "")
    if not name:
        return ()
    try:
        lines = (directory / name).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        table.refuse(f"'links' cannot be read: {error}")
    return tuple(_path(table, f"/{line.lstrip('/')}") for line in lines)


def _path(table: Table, text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or str(path) != text or text == "/":
        table.refuse(f"'{text}' is no absolute path.")
    return path


def _mode(table: Table, text: str) -> int:
    if not re.fullmatch(r"[0-7]{3,4}", text):
        table.refuse(f"'{text}' is no mode, such as 0755.")
    return int(text, 8)
