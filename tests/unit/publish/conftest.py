"""A registry on this machine, and somebody who speaks to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import (
    Client,
    RegistryServer,
    attachments_of,
    registry_server,
    tiny_layout,
)


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry_server() as running:
        yield running


@pytest.fixture
def client(server: RegistryServer, tmp_path: Path) -> Client:
    layout = tiny_layout(tmp_path / "oci")
    return Client(server=server, layout=layout, attachments=attachments_of(layout))
