"""What a provenance statement claims, read with suspicion."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import PublishError, UsageError
from core.files import SHA256
from core.target import Target
from publish.trust.provenance import FILE_BUILD, IMAGE_BUILD, PREDICATE, STATEMENT
from recipes.model import PACKED


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Who says what about which files."""

    subjects: Mapping[str, str]
    """sha256 by name."""
    sboms: Mapping[str, str]
    """sha256 by name of the SBOMs made along with them."""
    builder: str
    target: Target | None
    """Of a file; None for an image."""
    packed: bool
    product: str = ""
    version: str = ""
    """Of a file; '' for an image."""
    image: str
    """``static-curl:8.21.0-http``; '' for a file."""

    @property
    def file(self) -> str:
        """The name of the file of this product, version and target, without a build number."""
        return "".join(self._named)

    def is_named(self, name: str) -> bool:
        """Return whether a file is called as its product, version and target want it; it may have a build number."""
        before, after = map(re.escape, self._named)
        return re.fullmatch(f"{before}(-r[0-9]+)?(-dirty)?{after}", name) is not None

    @property
    def _named(self) -> tuple[str, str]:
        slug = self.target.slug if self.target else ""
        packed = PACKED if self.packed else ""
        return f"{self.product.replace(':', '-')}-{self.version}", f"-{slug}{packed}"


def read_claim(statement: Mapping[str, Any]) -> Claim:
    """Return what a statement claims. Raises PublishError unless it is one of ours, and says all that ours say."""
    try:
        if (statement["_type"], statement["predicateType"]) != (STATEMENT, PREDICATE):
            msg = "The statement is not SLSA provenance v1."
            raise PublishError(msg)
        definition = statement["predicate"]["buildDefinition"]
        details = statement["predicate"]["runDetails"]
        kind, given = definition["buildType"], definition["externalParameters"]
        if kind not in {FILE_BUILD, IMAGE_BUILD}:
            msg = f"The statement is about a build of another kind: {str(kind)[:80]!r}."
            raise PublishError(msg)
        if not definition["resolvedDependencies"]:
            msg = "The statement names no sources."
            raise PublishError(msg)
        is_file = kind == FILE_BUILD
        claim = Claim(
            subjects=_digests(statement["subject"]),
            sboms=_digests(details["byproducts"]),
            builder=_text(details["builder"]["id"]),
            target=Target.parse(_text(given["target"])) if is_file else None,
            packed=given["packed"] is True if is_file else False,
            product=_text(given["product"]) if is_file else "",
            version=_text(given["version"]) if is_file else "",
            image="" if is_file else f"{_text(given['image'])}:{_text(given['tag'])}",
        )
        for step in definition["internalParameters"]["files"]:
            _text(step["engine"]), _text(step["actionKey"])
        if is_file and len(claim.subjects) != 1:
            msg = f"The statement is about {len(claim.subjects)} files where one was built."
            raise PublishError(msg)
    except UsageError as error:
        msg = f"The statement is for no target: {error.what}"
        raise PublishError(msg) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        msg = f"The statement lacks what provenance needs: {error!r:.100}"
        raise PublishError(msg) from error
    return claim


def _digests(values: list[Mapping[str, Any]]) -> dict[str, str]:
    made: dict[str, str] = {}
    for value in values:
        name, sha256 = _text(value["name"]), _text(value["digest"]["sha256"])
        if not SHA256.fullmatch(sha256) or name in made:
            msg = f"The statement's '{name[:80]}' is there twice, or has no sha256."
            raise PublishError(msg)
        made[name] = sha256
    return made


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r:.80} is not text"
        raise TypeError(msg)
    return value
