"""What is asked about: a component, under each name by which a database may know it."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from packageurl import PackageURL

from publish.trust.components import Component, debian_package
from recipes.model import Recipe, Unaffected


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One component in one version, and the products that it is in."""

    name: str
    version: str
    products: tuple[str, ...] = ()
    pypi: str = ""
    """Its name in Python's package index."""
    repository: str = ""
    """``github.com/curl/curl``: where its git is, without what differs from one spelling to the next."""
    tag: str = ""
    """What upstream calls the version there."""
    debian: str = ""
    """Debian's source package."""
    ours: bool = False
    """Our own source: nobody else knows it."""
    excused: tuple[tuple[str, Unaffected], ...] = ()
    """Products with what does not concern them."""

    @property
    def slug(self) -> str:
        return f"{self.name}-{self.version}"


def subject_of(component: Component, recipe: Recipe | None) -> Subject:
    """Return a component as what databases are asked about; ``recipe`` is the one it is pinned by, if any."""
    purl = PackageURL.from_string(component.purl)
    git = purl.type == "github"
    return Subject(
        name=component.name,
        version=component.version,
        pypi=purl.name if purl.type == "pypi" else "",
        repository=f"github.com/{purl.namespace}/{purl.name}".lower() if git else "",
        tag=purl.version or "" if git else "",
        debian=debian_package(recipe) if recipe else "",
        ours=recipe is not None and recipe.local is not None,
    )


def joined(found: Iterable[tuple[Subject, str, tuple[Unaffected, ...]]]) -> tuple[Subject, ...]:
    """Return each subject once, by name: it comes with a product that has it, and what does not concern that."""
    subjects: dict[str, Subject] = {}
    products: dict[str, set[str]] = {}
    excused: dict[str, list[tuple[str, Unaffected]]] = {}
    for subject, product, entries in found:
        subjects[subject.slug] = subject
        products.setdefault(subject.slug, set()).add(product)
        excused.setdefault(subject.slug, []).extend((product, entry) for entry in entries)
    return tuple(
        Subject(
            **{**vars(subjects[slug]), "products": tuple(sorted(products[slug]))}
            | {"excused": tuple(excused[slug])}
        )
        for slug in sorted(subjects)
    )


def repository_of(url: str) -> str:
    """Return a git URL as `Subject.repository` has it."""
    parts = urlsplit(url if "//" in url else f"https://{url}")
    return f"{parts.hostname or ''}{parts.path.rstrip('/').removesuffix('.git')}".lower()
