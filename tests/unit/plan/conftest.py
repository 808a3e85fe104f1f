from pathlib import Path

import pytest

from tests.fakes import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop.open(tmp_path)
