"""What is said to somebody who uses a name that means something else than before."""

from collections.abc import Iterable

from flow.context import Context
from recipes.images import find_renamed_image, load_images
from recipes.renames import Renamed, find_renamed


def note_renamed(context: Context, words: Iterable[str]) -> None:
    """Say of each old name among products (``curl:full@8.21.0``) what it means now: once, and never in JSON."""
    names = (word.partition("@")[0] for word in words)
    _note(context, (find_renamed(name, context.recipes) for name in names))


def note_renamed_images(context: Context, words: Iterable[str]) -> None:
    """As `note_renamed`, of images: ``static-curl:full``, or by their products."""
    images = load_images(context.recipes, context.recipes_directory)
    _note(context, (find_renamed_image(word, images, context.recipes) for word in words))


def describe_renamed(renamed: Renamed) -> str:
    """One line: what the old name means now, and until when that is said."""
    if renamed.taken:
        return (
            f"{renamed.old} is another one now ({renamed.taken}); "
            f"what it was is {renamed.new} (said until {renamed.until})"
        )
    return f"{renamed.old} is called {renamed.new} now; the old name works until {renamed.until}"


def _note(context: Context, found: Iterable[Renamed | None]) -> None:
    for renamed in dict.fromkeys(it for it in found if it):
        context.report.note(f"note: {describe_renamed(renamed)}")
