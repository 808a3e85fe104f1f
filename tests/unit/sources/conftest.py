from pathlib import Path

import pytest

from builders.sources.cache import Cache
from tests.unit.sources.servers import Waits


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def waits() -> Waits:
    return Waits()
