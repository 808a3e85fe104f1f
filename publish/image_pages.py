"""What docs/images.md says of each image: rows made from `recipes/images.toml`, never typed."""

from collections.abc import Iterable, Mapping, Sequence

from recipes.images import ImageRecipe
from recipes.model import Recipe

HEAD = ("image", "also, with `--latest`", "what is in it", "run as")


def image_rows(
    images: Iterable[ImageRecipe], recipes: Mapping[str, Recipe]
) -> list[tuple[str, str, str, str]]:
    """Return the cells of one line for each image, of the newest release of what is in it."""
    return [
        (
            f"`{one.name}:{_newest(one, recipes)}`",
            ", ".join(f"`{tag}`" for tag in one.moved(packed=one.packed)),
            ", ".join(f"{content.product} at `{content.path}`" for content in one.contents),
            _command((*one.entrypoint, *one.command)),
        )
        for one in images
    ]


def _newest(image: ImageRecipe, recipes: Mapping[str, Recipe]) -> str:
    names = {content.recipe for content in image.contents}
    versions = {name: recipes[name].releases[0].version for name in names}
    return image.tagged(versions, packed=image.packed)


def _command(words: Sequence[str]) -> str:
    return f"`{' '.join(words)}`" if words else ""
