"""What `./inv build` left, made once per run in the cache of whoever runs the tests."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.target import Target
from tests.integration.command import Inv, by_path

USERS = ("cache", "builder_key", "trusted_builders", "mirrors", "debian_mirror", "base_image")
"""The settings that the shared builds take from whoever runs the tests: where to keep and to fetch things."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """Products that were built, and where they are."""

    inv: Inv
    artifacts: Path
    settings: dict[str, str]

    @classmethod
    def once(
        cls,
        directory: Path,
        *products: str,
        targets: Sequence[Target] = (),
        recipes: str = "",
        pack: bool = True,
    ) -> "Built":
        """Build in the user's own cache: at once where they were built before. No target: this machine's.

        ``recipes`` is a directory with more of them; without ``pack`` there are plain files only.
        """
        names = {name: f"FROMSCRATCH_{name.upper()}" for name in USERS}
        settings = {name: os.environ[name_] for name, name_ in names.items() if name_ in os.environ}
        inv = Inv(directory=directory, settings=settings).set(artifacts=directory / "artifacts")
        inv = inv.set(recipes=recipes) if recipes else inv
        chosen = ["--target", ",".join(targets)] if targets else []
        plain = [] if pack else ["--no-pack"]
        done = inv("build", *products, *chosen, *plain, seconds=2400)
        assert done.code == 0, done.stderr
        return cls(inv=inv, artifacts=directory / "artifacts", settings=settings)

    @property
    def manifest(self) -> list[dict[str, Any]]:
        manifest = json.loads((self.artifacts / "manifest.json").read_text("utf-8"))
        assert manifest["version"] == 1
        entries: list[dict[str, Any]] = manifest["artifacts"]
        return entries

    @property
    def sha256(self) -> dict[str, str]:
        return by_path(self.manifest)

    def entry(
        self, product: str, *, packed: bool = False, target: Target | None = None
    ) -> dict[str, Any]:
        """What the manifest says of a file; without a target of the one that was built."""
        for entry in self.manifest:
            here = (entry["product"], entry["packed"]) == (product, packed)
            if here and target in {None, entry["target"]}:
                return entry
        raise AssertionError(product, target)

    def file(self, product: str, *, packed: bool = False, target: Target | None = None) -> Path:
        """The file of a product."""
        entry = self.entry(product, packed=packed, target=target)
        return self.artifacts / str(entry["path"])
