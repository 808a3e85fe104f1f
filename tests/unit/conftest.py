"""What all unit tests share: a builder key that is not the user's."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the key is kept."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def _state(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # For the test alone: what is built for a whole run goes into the user's cache, and is the user's to sign.
    monkeypatch.setenv("XDG_STATE_HOME", str(own_state))
