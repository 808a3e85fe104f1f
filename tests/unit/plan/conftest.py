from pathlib import Path

import pytest

from tests.fakes import BuildHarness


@pytest.fixture
def harness(tmp_path: Path) -> BuildHarness:
    return BuildHarness.open(tmp_path)
