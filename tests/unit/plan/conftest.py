from pathlib import Path

import pytest

from tests.fakes import Context


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context.open(tmp_path)
