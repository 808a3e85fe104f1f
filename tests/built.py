"""What `./inv build` left, made once per run in the cache of whoever runs the tests."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.command import Inv, by_path

USERS = ("cache", "mirrors", "debian_mirror", "base_image")
"""The settings that the shared builds take from whoever runs the tests: where to keep and to fetch things."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """Products that were built, and where they are."""

    inv: Inv
    artifacts: Path
    settings: dict[str, str]

    @classmethod
    def once(cls, folder: Path, *products: str) -> "Built":
        """Build in the user's own cache: at once where they were built before."""
        names = {name: f"FROMSCRATCH_{name.upper()}" for name in USERS}
        settings = {name: os.environ[name_] for name, name_ in names.items() if name_ in os.environ}
        inv = Inv(folder=folder, settings=settings).set(artifacts=folder / "artifacts")
        done = inv("build", *products, seconds=2400)
        assert done.code == 0, done.stderr
        return cls(inv=inv, artifacts=folder / "artifacts", settings=settings)

    @property
    def manifest(self) -> list[dict[str, Any]]:
        manifest = json.loads((self.artifacts / "manifest.json").read_text("utf-8"))
        assert manifest["version"] == 1
        entries: list[dict[str, Any]] = manifest["artifacts"]
        return entries

    @property
    def sha256(self) -> dict[str, str]:
        return by_path(self.manifest)

    def file(self, product: str, *, packed: bool = False) -> Path:
        """The file of a product."""
        for entry in self.manifest:
            if (entry["product"], entry["packed"]) == (product, packed):
                return self.artifacts / str(entry["path"])
        raise AssertionError(product)
