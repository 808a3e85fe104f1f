"""What a recipe says, as values. Everything here is data: nothing is fetched, run or written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path, PurePosixPath

from core.errors import RecipeError
from core.files import SHA256
from core.target import Target

NOT_IN_KEY = ("recipe.toml", "*.asc")
"""What a step does not see of a recipe's directory: the recipe, and the keys that signatures are checked with."""
FINGERPRINT = re.compile(r"[0-9A-F]{40}")


class RecipeKind(StrEnum):
    """What comes out of a recipe, and who uses it."""

    LIBRARY = "library"
    """Built for the target, linked into programs."""
    TOOL = "tool"
    """Built for the building machine, run by later steps."""
    PROGRAM = "program"
    """Built for the target, verified, packed, published."""


class Linkage(StrEnum):
    """How a program is laid out: both are static, they differ in the load address."""

    STATIC = "static"
    """``ET_EXEC`` at a fixed address: the smallest, and easy to aim at."""
    STATIC_PIE = "static-pie"
    """``ET_DYN`` that relocates itself: address randomisation for some bytes more."""


class Hardening(StrEnum):
    """What is done for safety, by default for everything: `recipes/toolchain/toolchain.toml` has flags and purposes."""

    PIE = "pie"
    RELRO = "relro"
    SEPARATE_CODE = "separate-code"
    STACK_PROTECTOR = "stack-protector"
    STACK_CLASH = "stack-clash"
    ZERO_INIT = "zero-init"
    SIGNED_RETURNS = "signed-returns"


class UpdateRule(StrEnum):
    """Where `inv bump` looks for newer releases."""

    DEBIAN_OR_UPSTREAM = "debian-or-upstream"
    """Upstream's ``listing``, and the source package that the ``debian`` path is of."""
    PYPI = "pypi"
    """Python's package index."""


class PackMethod(StrEnum):
    """How UPX packs. LZMA is smaller and costs 10 ms CPU and more at every start, NRV 3 ms."""

    NRV = "nrv"
    LZMA = "lzma"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One pinned download: it cannot be written down without its size in bytes and its sha256."""

    name: str
    version: str
    filename: str
    urls: tuple[str, ...]
    """Upstream's own URL first, then upstream's other homes."""
    debian: str | None = None
    """The same bytes below a Debian mirror's base URL: ``pool/main/…``."""
    pypi: str | None = None
    """The same bytes as a wheel of Python's package index: ``name==version``."""
    size: int
    sha256: str

    def __post_init__(self) -> None:
        where = f"{self.name} {self.version}"
        if not SHA256.fullmatch(self.sha256):
            msg = f"{where}: sha256 must be 64 lower-case hex digits, not '{self.sha256}'."
            raise RecipeError(msg, next="hash the file with sha256sum and check its signature")
        if self.size <= 0:
            msg = f"{where}: size must be the file's exact size in bytes, not {self.size}."
            raise RecipeError(msg)
        if not (self.urls or self.debian or self.pypi):
            msg = f"{where}: no url, no Debian path and no package: nobody could fetch it."
            raise RecipeError(msg)
        if "/" in self.filename or self.filename in {"", ".", ".."}:
            msg = f"{where}: '{self.filename}' is not a plain file name."
            raise RecipeError(msg)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Who signed a source: checked when a pin is made or moved, recorded for everyone else."""

    url: str
    key: str
    """OpenPGP fingerprint of the primary key, 40 upper-case hex digits."""

    def __post_init__(self) -> None:
        # Key ids and other abbreviations can be collided.
        if not FINGERPRINT.fullmatch(self.key):
            msg = f"'{self.key}' is not an OpenPGP fingerprint (40 upper-case hex digits)."
            raise RecipeError(msg)


@dataclass(frozen=True, kw_only=True)
class Update:
    """How a recipe's pin moves, or why it does not: one of ``rule`` and ``frozen``."""

    rule: UpdateRule | None = None
    listing: str = ""
    """Upstream's page of releases: a directory, a page with links, or the releases or tags of a GitHub project."""
    series: str = ""
    """Only these: ``3.13`` takes 3.13.16 and not 3.14.0. Empty: all."""
    frozen: str = ""
    """Why the pin stays."""

    def __post_init__(self) -> None:
        if bool(self.rule) == bool(self.frozen):
            msg = "'update' must say by which rule the pin moves, or why it is frozen."
            raise RecipeError(msg, next=f"the rules: {', '.join(UpdateRule)}")
        if self.listing and not self.listing.startswith(("https://", "http://")):
            msg = f"update: the listing '{self.listing}' is no web page."
            raise RecipeError(msg)
        if self.listing and self.rule is not UpdateRule.DEBIAN_OR_UPSTREAM:
            msg = f"update: a listing belongs to the rule '{UpdateRule.DEBIAN_OR_UPSTREAM}'."
            raise RecipeError(msg)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of a recipe, fully pinned."""

    version: str
    date: date
    """Upstream's release day; midnight UTC of it is the build's clock."""
    licence: str
    """SPDX expression."""
    source: Source | None = None
    """None for a recipe whose source is a directory of this project."""
    signature: Signature | None = None
    unsigned: str = ""
    """Why there is no signature."""

    @property
    def archive(self) -> Source:
        """The download, for whoever knows that there is one."""
        assert self.source, f"{self.version} is no download"
        return self.source

    @property
    def epoch(self) -> int:
        """``SOURCE_DATE_EPOCH`` in seconds: https://reproducible-builds.org/specs/source-date-epoch/."""
        return (self.date - date(1970, 1, 1)).days * 86400


@dataclass(frozen=True, kw_only=True)
class RecipeExpectations:
    """What a finished program must be and do; `verify` enforces all of it."""

    linkage: Linkage = Linkage.STATIC_PIE
    """Follows from `Recipe.unhardened`."""
    max_size: int
    """Bytes of the plain file for linux/amd64, embedded data excluded (see `Variant.embeds`)."""
    protocols: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SmokeTest:
    """One run of a finished program in an empty root, and what it must do."""

    args: tuple[str, ...]
    """Words, with ``{places}`` to be filled in by whoever runs it."""
    code: int = 0
    stdout: str = ""
    """Must be part of what it prints; ``{version}`` is the release."""
    variants: tuple[str, ...] = ()
    """Only these; empty: all."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to build a program."""

    name: str
    summary: str
    default: bool = False
    """Part of ``inv build`` without a product."""
    native: bool = False
    """Built once for all targets, as for the building machine: what later steps run or read. No product."""
    needs: tuple[str, ...] = ()
    """What this build takes the output of: ``NAME`` of a recipe, or ``NAME:VARIANT``."""
    embeds: tuple[str, ...] = ()
    """Those of `needs` whose data goes into the file as it is; not counted in the size budget."""
    switches: Mapping[str, str] = field(default_factory=dict)
    """Handed to the build script as ``SWITCHES``: ``-DNAME=VALUE`` each."""
    expect: RecipeExpectations | None = None
    memory: int = 0
    """Bytes that its build takes at its worst moment; 0 when no single program of it is large."""


@dataclass(frozen=True, kw_only=True)
class Rename:
    """A variant that had another name before."""

    was: str
    """Works on, with a note. Another variant may have the name by now: then it means that one, with a note."""
    now: str
    until: str
    """The release of this project in which this entry is gone."""


@dataclass(frozen=True, kw_only=True)
class BundledComponent:
    """A part of the toolchain that goes into whatever links a recipe's output."""

    name: str
    package: str
    """The wheel that it comes out of."""
    licence: str
    """SPDX expression."""
    licence_files: tuple[str, ...] = ()
    """Paths inside the wheel's own directory."""
    supplier: str = ""
    """Who makes it."""


class Justification(StrEnum):
    """Why a vulnerability of a component does not concern the files here, in the words of CycloneDX 1.6."""

    CODE_NOT_PRESENT = "code_not_present"
    CODE_NOT_REACHABLE = "code_not_reachable"
    REQUIRES_CONFIGURATION = "requires_configuration"
    REQUIRES_DEPENDENCY = "requires_dependency"
    REQUIRES_ENVIRONMENT = "requires_environment"


@dataclass(frozen=True, kw_only=True)
class Unaffected:
    """A known vulnerability of a component that does not concern what is built of it here."""

    id: str
    """``CVE-2025-2849``."""
    why: Justification
    detail: str
    products: tuple[str, ...] = ()
    """The files that it does not concern; none: no file at all."""


@dataclass(frozen=True, kw_only=True)
class SbomInfo:
    """What a bill of materials says beyond the pins. No step reads it, so it is no part of any key."""

    supplier: str = ""
    """Who makes it, as a bill of materials names them."""
    cpe: str = ""
    """CPE 2.3 with ``{version}``: the name that advisories use."""
    also_cpe: tuple[str, ...] = ()
    """Other names that advisories use."""
    purl: str = ""
    """Package URL with ``{version}``, or ``{version_}`` (8_22_0); without one it is made from the pin."""
    unaffected: tuple[Unaffected, ...] = ()
    chosen: str = ""
    """Which of several licences is chosen, as an SPDX expression."""
    licence_files: tuple[str, ...] = ()
    """Where the licence's text stands in the source, below its top directory; `*` matches, as in a shell."""
    carries: tuple[BundledComponent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One directory of `recipes/`."""

    name: str
    kind: RecipeKind
    summary: str
    homepage: str
    directory: Path
    releases: tuple[Release, ...]
    """Newest first; the later ones are fallbacks."""
    update: Update
    variants: tuple[Variant, ...]
    """Never empty: a recipe without variants has one nameless one."""
    local: Path | None
    """The directory of this project that is the source, instead of a download."""
    unused: tuple[str, ...] = ()
    """Directories at the top of the source that no step needs: they are not unpacked."""
    checks: bool = False
    """True when ``checks.sh`` answers the platform questions once for all variants."""
    policy: str = "static"
    """What a finished program must be beyond its expectations: a policy of `verify/policies/`, or a file's path."""
    pack: PackMethod = PackMethod.NONE
    unpackable: Mapping[Target, str]
    """Targets whose files UPX cannot pack, with the reason."""
    unsupported: Mapping[Target, str]
    """Targets that cannot be built, with the reason."""
    unhardened: Mapping[Hardening, str]
    """What is not done for its safety, with the reason."""
    smoke: tuple[SmokeTest, ...]
    """What a finished program is tried with."""
    bill: SbomInfo = SbomInfo()
    renamed: tuple[Rename, ...] = ()
    """Variants that users may know under other names."""

    @property
    def script(self) -> Path:
        return self.directory / "build.sh"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a step may read of the recipe's directory."""
        paths = (path for path in self.directory.rglob("*") if path.is_file())
        return tuple(sorted(p for p in paths if not any(map(p.match, NOT_IN_KEY))))

    @property
    def certificates(self) -> Path:
        """The OpenPGP keys of whoever signs the releases; need not be there."""
        return self.directory / "upstream.asc"

    @property
    def local_files(self) -> tuple[Path, ...]:
        """The Python modules of a local source."""
        return tuple(sorted(self.local.rglob("*.py"))) if self.local else ()

    def release(self, version: str) -> Release | None:
        return next((release for release in self.releases if release.version == version), None)


def find_need(name: str, recipes: Mapping[str, Recipe]) -> tuple[Recipe, Variant] | None:
    """Return what a `Variant.needs` word names: a recipe, and the variant named or its first."""
    recipe_name, colon, variant_name = name.partition(":")
    if recipe := recipes.get(recipe_name):
        for variant in recipe.variants:
            if variant.name == variant_name or not colon:
                return recipe, variant
    return None


def unsupported(
    recipe: Recipe, variant: Variant, target: Target, recipes: Mapping[str, Recipe]
) -> str:
    """Say why ``target`` cannot have this variant, by its own recipe or one it needs; '' when it can."""
    if recipe.kind is RecipeKind.TOOL or variant.native:
        return ""  # not built for the target
    if target in recipe.unsupported:
        return f"{recipe.name} cannot be built for {target}: {recipe.unsupported[target]}"
    needs = (find_need(need, recipes) for need in variant.needs)
    return next(filter(None, (unsupported(*need, target, recipes) for need in needs if need)), "")


PACKED = ".upx"
"""How the name of a packed file ends, behind that of the plain one."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """What a user can ask for: a program, one of its variants that are not native."""

    recipe: Recipe
    variant: Variant

    @property
    def name(self) -> str:
        """``curl:https``, or plain ``curl`` where the variant has no name."""
        return f"{self.recipe.name}:{self.variant.name}" if self.variant.name else self.recipe.name

    def file_name(self, release: str, target: Target, *, packed: bool) -> PurePosixPath:
        """The artifact's path below ``artifacts/``: part of the contract."""
        slug = self.name.replace(":", "-")
        suffix = PACKED if packed else ""
        return PurePosixPath("files") / f"{slug}-{release}-{target.slug}{suffix}"
