"""What is linked into a file: the components whose licences, names and sources go along with it.

All of it follows from recipes: what a product needs, and what that needs. What only ran while the file was made is told
apart: tools, and what is built for the building machine alone. A packed file carries UPX's stub besides.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

from core.errors import PublishError
from recipes.load import PACKER
from recipes.model import (
    BundledComponent,
    Product,
    Recipe,
    RecipeKind,
    Release,
    Source,
    Unaffected,
    Variant,
    find_need,
)


class Role(StrEnum):
    """What a component is to the file it is in."""

    PROGRAM = "program"
    LIBRARY = "library"
    DATA = "data"
    """Embedded as it is."""
    STUB = "stub"
    """UPX's own code that unpacks the rest."""
    TOOL = "tool"
    """Not in it: it ran while the file was made."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A package of the toolchain as requirements.txt locks it."""

    name: str
    version: str
    sha256: tuple[str, ...]
    """One for each platform's wheel: pip installed one of them."""

    @property
    def purl(self) -> str:
        """https://github.com/package-url/purl-spec/blob/main/types-doc/pypi-definition.md."""
        return f"pkg:pypi/{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component."""

    name: str
    version: str
    role: Role
    licence: str
    """SPDX expression, as its authors declare it."""
    chosen: str
    """The one that is chosen here: the same, where there is no choice."""
    purl: str
    cpes: tuple[str, ...] = ()
    """The names that advisories use, the usual one first."""
    supplier: str = ""
    """Who makes it."""
    origin: str = ""
    """The source package of Debian that the same archive is in, as a package URL."""
    unaffected: tuple[Unaffected, ...] = ()
    """What is known of it, and does not concern the file."""
    licence_files: tuple[str, ...]
    sha256: str = ""
    """Of its source archive; '' for what is no archive."""
    urls: tuple[str, ...] = ()
    """Where upstream has that archive."""
    filename: str = ""
    needs: tuple[str, ...] = ()
    """Names of the components that it is linked with."""
    wheel: Wheel | None = None
    """The package of the toolchain that it comes out of, instead of an archive of its own."""

    @property
    def slug(self) -> str:
        """``curl-8.21.0``."""
        return f"{self.name}-{self.version}"


def linked(
    product: Product,
    versions: Mapping[str, str],
    recipes: Mapping[str, Recipe],
    wheels: Sequence[Wheel],
    *,
    packed: bool,
) -> tuple[Component, ...]:
    """Return what is in a product's file, by name.

    ``versions`` are the releases that went in, by recipe, ``wheels`` the toolchain's packages. Raises PublishError
    when one of them is not pinned any more.
    """
    found: dict[str, Component] = {}
    packages = {wheel.name: wheel for wheel in wheels}

    def visit(recipe: Recipe, variant: Variant, role: Role) -> list[str]:
        if recipe.kind is RecipeKind.TOOL:
            return []
        needs = []
        for need in (
            () if role is Role.DATA else variant.needs
        ):  # data is not linked with what made it
            found_need = find_need(need, recipes)
            if found_need and need in variant.embeds:
                needs += visit(*found_need, Role.DATA)
            elif found_need and not _runs(*found_need, recipe):
                needs += visit(*found_need, Role.LIBRARY)
        if variant.native and variant.name and role is not Role.DATA:
            return needs  # made once for all targets, and part of the file that needs it
        for bundled in recipe.bill.carries:
            needs.append(bundled.name)
            found[bundled.name] = _bundled(bundled, packages)
        names = tuple(sorted({name for name in needs if name != recipe.name}))
        found[recipe.name] = component_of(recipe, _release(recipe, versions), role, needs=names)
        return [recipe.name]

    visit(product.recipe, product.variant, Role.PROGRAM)
    if packed:
        packer = recipes[PACKER]
        found[PACKER] = component_of(packer, _release(packer, versions), Role.STUB)
    for name, component in found.items():
        concerns = [
            it for it in component.unaffected if product.name in (it.products or (product.name,))
        ]
        found[name] = replace(component, unaffected=tuple(concerns))
    return tuple(found[name] for name in sorted(found))


def tools(
    versions: Mapping[str, str], recipes: Mapping[str, Recipe], contents: Iterable[Component]
) -> tuple[Component, ...]:
    """Return what went into the build of a file and is not in it, by name: make, Perl, another program's interpreter.

    ``versions`` are the releases that went in, by recipe, ``contents`` what is in the file. They have no CPE: what
    is known of a tool does not concern the file. Raises PublishError when one of them is not pinned any more.
    """
    inside = {component.name for component in contents}
    found = (
        component_of(recipes[name], _release(recipes[name], versions), Role.TOOL)
        for name in sorted(versions)
        if name in recipes and name not in inside
    )
    return tuple(replace(it, cpes=(), unaffected=(), origin="") for it in found)


def _runs(recipe: Recipe, variant: Variant, whose: Recipe) -> bool:
    """Whether a need only runs while ``whose`` is built, as another recipe's interpreter does; what is made once for
    all targets is native as well, and goes into the file."""
    return variant.native and bool(variant.name) and recipe.name != whose.name


def component_of(
    recipe: Recipe, release: Release, role: Role, *, needs: tuple[str, ...] = ()
) -> Component:
    """Return a release of a recipe as a component."""
    source, bill = release.source, recipe.bill
    return Component(
        name=recipe.name,
        version=release.version,
        role=role,
        licence=release.licence,
        chosen=bill.chosen or release.licence,
        sha256=source.sha256 if source else "",
        urls=source.urls if source else (),
        filename=source.filename if source else "",
        cpes=tuple(_filled(cpe, release.version) for cpe in (bill.cpe, *bill.also_cpe) if cpe),
        supplier=bill.supplier,
        origin=_origin(recipe, release),
        unaffected=bill.unaffected,
        purl=_filled(bill.purl, quote(release.version)) or _purl(recipe, release),
        licence_files=bill.licence_files,
        needs=needs,
    )


def licence_of(components: Iterable[Component]) -> str:
    """Return the licence of the whole: all the chosen ones at once, as an SPDX expression."""
    licences = sorted({component.chosen for component in components})
    return " AND ".join(f"({it})" if re.search(r" (AND|OR) ", it) else it for it in licences)


def source_purl(source: Source) -> str:
    """Return a name for a pinned download that says what its bytes are."""
    if source.pypi:
        name, _, version = source.pypi.partition("==")
        return f"pkg:pypi/{name}@{quote(version)}"
    where = f"download_url={quote(source.urls[0], safe='/:')}&" if source.urls else ""
    name = f"pkg:generic/{source.name}@{quote(source.version)}"
    return f"{name}?checksum=sha256:{source.sha256}&{where}".rstrip("&")


def read_wheels(requirements: str, names: Sequence[str]) -> tuple[Wheel, ...]:
    """Return the packages called ``names`` as a requirements.txt with hashes locks them. Raises PublishError."""
    locked = dict(_locked(requirements))
    missing = [name for name in names if name not in locked]
    if missing:
        msg = f"The toolchain's packages are not locked: {', '.join(missing)}."
        raise PublishError(msg, next="see requirements.in and requirements.txt")
    return tuple(locked[name] for name in sorted(names))


def _locked(requirements: str) -> Iterator[tuple[str, Wheel]]:
    """https://pip.pypa.io/en/stable/topics/secure-installs/#hash-checking-mode."""
    for line in requirements.replace("\\\n", " ").splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==(\S+) ", line):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
            wheel = Wheel(name=found[1], version=found[2], sha256=tuple(sorted(hashes)))
            yield wheel.name, wheel


def debian_package(recipe: Recipe) -> str:
    """Return the name of Debian's source package; '' when no release of the recipe is known to be there."""
    paths = (release.source.debian for release in recipe.releases if release.source)
    return next((path.split("/")[-2] for path in paths if path), "")


def _origin(recipe: Recipe, release: Release) -> str:
    """https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md."""
    if not (release.source and release.source.debian):
        return ""
    *_, package, filename = release.source.debian.split("/")
    version = filename.partition("_")[2].partition(".orig.")[0]
    return f"pkg:deb/debian/{package}@{quote(version or release.version)}?arch=source"


def _filled(text: str, version: str) -> str:
    return text.replace("{version}", version).replace("{version_}", version.replace(".", "_"))


def _purl(recipe: Recipe, release: Release) -> str:
    if release.source:
        return source_purl(release.source)
    return f"pkg:generic/{recipe.name}@{quote(release.version)}"


def _release(recipe: Recipe, versions: Mapping[str, str]) -> Release:
    version = versions.get(recipe.name, "")
    release = recipe.release(version)
    if release is None:
        msg = f"{recipe.name} '{version}' went in, and is not pinned any more."
        raise PublishError(msg, why="the recipe changed since the build", next="inv build")
    return release


def _bundled(bundled: BundledComponent, packages: Mapping[str, Wheel]) -> Component:
    if bundled.package not in packages:
        msg = f"'{bundled.name}' comes out of the package '{bundled.package}', which is not locked."
        raise PublishError(msg, next="see 'carries' in the recipe, and requirements.txt")
    wheel = packages[bundled.package]
    return Component(
        name=bundled.name,
        version=wheel.version,
        role=Role.LIBRARY,
        licence=bundled.licence,
        chosen=bundled.licence,
        purl=wheel.purl,
        licence_files=bundled.licence_files,
        supplier=bundled.supplier,
        wheel=wheel,
    )
