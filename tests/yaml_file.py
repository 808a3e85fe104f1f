"""YAML, read by the reader that invoke brings along."""

from pathlib import Path
from typing import Any

from invoke.vendor import yaml


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return a file's mapping. ``on`` is a truth value to YAML 1.1, so that key comes as True."""
    data: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))  # type: ignore[no-untyped-call]
    return data
