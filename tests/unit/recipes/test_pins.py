"""Pins are rewritten in place: the intended keys change, and nothing else does."""

import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RecipeError
from recipes.load import HERE, load_recipe
from recipes.model import Release, Signature, Source
from recipes.pins import KEEP, add_release, as_table

SHIPPED = sorted(path for path in HERE.glob("*/recipe.toml") if load_recipe(path).local is None)


def release(version: str, **changes: object) -> Release:
    source = Source(
        name="tool",
        version=version,
        filename=f"tool-{version}.tar.gz",
        urls=(f"https://tool.invalid/tool-{version}.tar.gz",),
        debian=f"pool/main/t/tool/tool_{version}.orig.tar.gz",
        size=int(version.replace(".", "")) + 1,
        sha256=f"{abs(hash(version)):064x}"[:64],
    )
    made = Release(
        version=version,
        date=date(2026, 1, 2),
        licence="MIT",
        source=source,
        signature=Signature(url=f"https://tool.invalid/{version}.asc", key="AB" * 20),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def block(one: Release, *, wide: bool = False, comment: str = "", inner: str = "") -> str:
    source = one.archive
    urls = ", ".join(f'"{url}"' for url in source.urls)
    lines = [
        "[[releases]]",
        f'version = "{one.version}"{comment}',
        f"date   =   {one.date}",
        f'licence = "{one.licence}"',
        *([inner] if inner else []),
        f'filename = "{source.filename}"',
        f"urls = [\n    {urls},{comment}\n]" if wide else f"urls = [{urls}]",
        f'debian = "{source.debian}"',
        f"size = {source.size}",
        f'sha256 = "{source.sha256}"',
    ]
    assert one.signature
    lines.append(
        f'signature = {{ url = "{one.signature.url}", key = "{one.signature.key}" }}{comment}'
    )
    return "\n".join(lines) + "\n"


COMMENTS = st.sampled_from(["", "# one\n", "# [[releases]]\n\n# two\n", "\n\n", "# ü\n"])
ENDS = st.sampled_from(["", "  # as upstream says", "# [x]"])
TAILS = st.sampled_from(
    [
        "",
        "[variants.a]\nsummary = 'x' # y\n",
        '# about a\n[variants.a]\n[variants.a.switches]\nA = "1"\n\n[[smoke]]\nargs = []\n',
        '[unsupported]\n\'linux/386\' = """a\nb"""\n',
    ]
)


@given(
    count=st.integers(1, 5),
    between=st.lists(COMMENTS, min_size=6, max_size=6),
    ends=ENDS,
    wide=st.booleans(),
    inner=st.sampled_from(["", "# a comment of its own", "# [other]"]),
    tail=TAILS,
    crlf=st.booleans(),
)
def test_only_the_intended_keys_change(
    count: int, between: list[str], ends: str, wide: bool, inner: str, tail: str, crlf: bool
) -> None:
    olds = [release(f"{10 - index}.0") for index in range(count)]
    blocks = [block(old, wide=wide, comment=ends, inner=inner) for old in olds]
    parts = ['name = "tool" # the name\n\n']
    for index, text in enumerate(blocks):
        parts += [between[index], text, "\n"]
    before = "".join([*parts, between[-1], tail])
    if crlf:
        before = before.replace("\n", "\r\n")
    new = release("11.0")
    new_text, dropped = add_release(before, new)

    was, now = tomllib.loads(before), tomllib.loads(new_text)
    assert now.pop("releases") == [as_table(new), *was.pop("releases")[: KEEP - 1]]
    assert now == was
    assert dropped == tuple(old.version for old in olds[KEEP - 1 :])
    kept = "".join([*parts[:3], *(between[index] for index in range(1, count)), between[-1], tail])
    lines = [line for line in kept.splitlines() if line.strip()]
    left = [line for line in new_text.splitlines() if line.strip()]
    first = block(new, wide=wide, comment=ends, inner=inner).splitlines()
    at = left.index("[[releases]]")
    assert left[at : at + len(first)] == first
    assert left[:at] + left[at + len(first) :] == lines
    assert ("\r\n" in new_text) == crlf
    assert new_text.count("\n") == new_text.count("\r\n") or not crlf


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_every_shipped_recipe_can_be_moved_and_loads_again(path: Path, tmp_path: Path) -> None:
    old = load_recipe(path).releases[0]
    source = replace(
        old.archive, version="9999.1", filename=old.archive.filename.replace(old.version, "9999.1")
    )
    new = replace(old, version="9999.1", date=date(2030, 1, 2), source=source)
    text = path.read_text("utf-8")
    new_text, dropped = add_release(text, new)
    directory = tmp_path / path.parent.name
    directory.mkdir()
    for file in path.parent.iterdir():
        if file.is_file():
            (directory / file.name).write_bytes(file.read_bytes())
    (directory / "recipe.toml").write_text(new_text, "utf-8")
    assert load_recipe(directory / "recipe.toml").releases[:2] == (new, old)
    assert new_text.count("\n\n\n") == text.count("\n\n\n")
    _, dropped = add_release(
        new_text, replace(new, version="9999.2", source=replace(source, version="9999.2"))
    )
    assert dropped[0] == old.version


def test_a_reason_can_take_the_place_of_a_signature() -> None:
    new = release("11.0", signature=None, unsigned="nobody signs it any more")
    new_text, _ = add_release(block(release("10.0")), new)
    table = tomllib.loads(new_text)["releases"][0]
    assert table["unsigned"] == "nobody signs it any more"
    assert "signature" not in table


def test_a_path_that_is_gone_goes() -> None:
    old = release("10.0")
    source = replace(release("11.0").archive, debian=None)
    new_text, _ = add_release(block(old), release("11.0", source=source))
    assert "debian" not in tomllib.loads(new_text)["releases"][0]


@pytest.mark.parametrize(
    "text",
    [
        'releases = [{ version = "1.0" }]\n',
        f'x = """\n[[releases]]\n"""\n{block(release("10.0"))}',
        block(release("10.0")).replace("[[releases]]", '[["releases"]]'),
    ],
)
def test_a_layout_that_cannot_be_followed_is_refused(text: str) -> None:
    tomllib.loads(text)
    with pytest.raises(RecipeError, match="cannot be rewritten"):
        add_release(text, release("11.0"))
