"""The table of images in the docs: a line for each image, from the recipes alone."""

from publish.image_pages import HEAD, image_rows
from recipes.images import load_images
from recipes.load import load_recipes


def test_every_image_has_a_line_with_its_newest_tag_and_what_is_in_it() -> None:
    recipes = load_recipes()
    images = load_images(recipes)
    rows = image_rows(images, recipes)
    assert len(rows) == len(images)
    assert {len(row) for row in rows} == {len(HEAD)}
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
