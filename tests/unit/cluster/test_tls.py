"""Who is let into a cluster: whoever has a certificate of its own authority, and nobody else."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from core.errors import EngineError, StorageError, UsageError
from flow.cluster.dask_pool import connect
from flow.cluster.serve import configure, scheduler
from flow.cluster.tls import Keys, Part, check_address, is_loopback


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(directory=tmp_path / "keys")
    assert keys.make()
    return keys


def test_secrets_are_for_their_owner_alone(keys: Keys) -> None:
    secrets = [keys.ca_key, *(keys.key(part) for part in Part)]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    assert stat.S_IMODE(keys.directory.stat().st_mode) == 0o700


def test_what_is_there_stays_and_what_is_missing_is_made(keys: Keys) -> None:
    before = {path: path.read_bytes() for path in keys.directory.iterdir()}
    assert not keys.make()
    keys.certificate(Part.CLIENT).unlink()
    keys.key(Part.CLIENT).unlink()
    assert keys.make()
    now = {path: path.read_bytes() for path in keys.directory.iterdir()}
    assert now.keys() == before.keys()
    assert {path.name for path in now if now[path] != before[path]} == {"client.pem", "client.key"}


def test_half_a_pair_is_not_completed_in_secret(keys: Keys) -> None:
    keys.ca.unlink()
    with pytest.raises(StorageError, match="has no certificate beside it"):
        keys.make()


def test_a_part_needs_its_own_files_and_the_authority_s_certificate(keys: Keys) -> None:
    """Nobody but who makes certificates needs the authority's key."""
    keys.ca_key.unlink()
    for part in (Part.SCHEDULER, Part.CLIENT):
        for path in keys.files(part)[1:]:
            path.unlink()
    assert keys.security(Part.WORKER)
    with pytest.raises(UsageError, match=r"client\.pem is missing"):
        keys.security(Part.CLIENT)
    assert not keys.make()  # nothing can be made without the authority


def meet(server: Any, client: Any) -> str:
    """Start a scheduler, and return whose address a client reaches."""

    async def run() -> str:
        async with scheduler("tls://127.0.0.1:0", security=server) as made:
            address: str = made.address

            def ask() -> str:
                with connect(address, client, patience=3) as found:
                    assert isinstance(found, Client)
                    return str(found.scheduler_info(n_workers=-1)["address"])

            assert await asyncio.to_thread(ask) == address
            return address

    configure()
    return asyncio.run(run())


def test_who_belongs_to_it_is_let_in(keys: Keys) -> None:
    assert meet(keys.security(Part.SCHEDULER), keys.security(Part.CLIENT)).startswith("tls://")


def test_a_stranger_is_not_let_in(keys: Keys, tmp_path: Path) -> None:
    strange = Keys(directory=tmp_path / "others")
    strange.make()
    with pytest.raises(EngineError, match="cannot be reached"):
        meet(keys.security(Part.SCHEDULER), strange.security(Part.CLIENT))


def test_a_stranger_s_scheduler_is_not_believed(keys: Keys, tmp_path: Path) -> None:
    strange = Keys(directory=tmp_path / "others")
    strange.make()
    with pytest.raises(EngineError, match="cannot be reached"):
        meet(strange.security(Part.SCHEDULER), keys.security(Part.CLIENT))


@pytest.mark.parametrize(
    "address",
    ["tls://build.example:8786", "tls://10.0.0.1:1", "tcp://127.0.0.1:8786", "tcp://[::1]:8786"],
)
def test_an_address_is_one(address: str) -> None:
    assert check_address(address) == address
    assert check_address(f"{address}/") == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "build.example:8786",
        "http://build.example:8786",
        "tls://build.example",
        "tls://build.example:port",
        "tls://build.example:99999",
        "tls://:8786",
        "tls://me:secret@build.example:8786",
        "tls://build.example:8786/path",
    ],
)
def test_another_text_is_none(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a cluster"):
        check_address(address)


@pytest.mark.parametrize("host", ["build.example", "10.0.0.1", "0.0.0.0", "127.example"])
def test_without_tls_nobody_but_this_machine_takes_part(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(UsageError, match="would let everybody who reaches it run anything"):
        check_address(f"tcp://{host}:8786")
