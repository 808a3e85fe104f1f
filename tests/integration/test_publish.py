"""The last way from a build to its users, by the commands alone: a registry, a release, and the check of either."""

import json
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.built import Built
from tests.integration.command import Inv, listed
from tests.integration.registry import registry
from tests.integration.test_images import output_of
from tests.integration.test_stalled_servers import PLACES, SIGNALS, interrupted, stalled
from tests.integration.traces import half_files

pytestmark = pytest.mark.builds

CURL = "static-curl:mini"


@pytest.fixture
def shop(built: Built, tmp_path: Path) -> Inv:
    """The command with a copy of what is built, and a key of its own."""
    shutil.copytree(built.artifacts, tmp_path / "artifacts")
    inv = built.inv.set(artifacts=tmp_path / "artifacts", key=tmp_path / "keys" / "own.key")
    inv = inv.unpacked(tmp_path / "project")
    done = inv("key", "new")
    assert done.code == 0, done.stderr
    return inv


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed: apt-get install -y docker-registry")
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = int(door.getsockname()[1])
    with registry(tmp_path / "registry", port) as address:
        yield f"oci://{address}/fromscratch"


def public(inv: Inv) -> str:
    return f"{inv.settings['key']}.pub"


def test_a_release_is_accepted_by_others_and_by_us_and_a_second_run_changes_nothing(
    shop: Inv, tmp_path: Path
) -> None:
    directory = tmp_path / "release"
    first = shop("publish", "curl:mini", "--to", directory)
    assert first.code == 0, first.stderr
    assert "WARNING" not in first.stderr
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    again = shop("publish", "curl:mini", "--to", directory, "--json")
    assert json.loads(again.stdout)["written"] == []
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
    output_of("minisign", "-V", "-m", directory / "SHA256SUMS", "-p", public(shop))
    checked = shop("verify", "--release", directory, "--key", public(shop), "--json")
    assert checked.code == 0, checked.stdout
    (result,) = json.loads(checked.stdout)["releases"]
    assert result["pinned"]
    names = set(listed(directory))
    assert {
        "curl-mini-8.21.0-linux-amd64",
        "curl-mini-8.21.0-linux-amd64.cdx.json",
        "static-curl-8.21.0-mini-linux-amd64.tar",
        "provenance.intoto.jsonl",
        "SHA256SUMS",
        "SHA256SUMS.minisig",
    } <= names
    assert any(name.startswith("LICENSES/musl-") for name in names)


def test_a_flipped_byte_and_another_key_are_refused(shop: Inv, tmp_path: Path) -> None:
    directory = tmp_path / "release"
    assert shop("publish", CURL, "--to", directory).code == 0
    other = shop.set(key=tmp_path / "other.key")
    assert other("key", "new").code == 0
    refused = shop("verify", "--release", directory, "--key", public(other))
    assert refused.code == 1
    path = directory / "curl-mini-8.21.0-linux-amd64"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    found = shop("verify", "--release", directory)
    assert found.code == 1
    assert f"{path.name}: was changed" in found.stdout


def test_a_registry_gets_images_with_their_proof_once(shop: Inv, served: str) -> None:
    dry = shop("publish", CURL, "--to", served, "--dry-run")
    assert dry.code == 0, dry.stderr
    assert "would be sent" in dry.stdout
    assert " tag 8.21.0-mini" in dry.stdout
    lacking = shop("verify", "--release", served)
    assert lacking.code == 7  # nothing is there yet
    first = shop("publish", CURL, "--to", served)
    assert first.code == 0, first.stderr
    again = json.loads(shop("publish", CURL, "--to", served, "--json").stdout)
    assert [image["changed"] for image in again] == [False]
    checked = shop("verify", "--release", served, "--key", public(shop))
    assert checked.code == 0, checked.stdout
    name = f"docker://{served.removeprefix('oci://')}/static-curl"
    seen = json.loads(output_of("skopeo", "inspect", "--tls-verify=false", f"{name}:8.21.0-mini"))
    assert "8.21.0-mini" in seen["RepoTags"]
    moved = shop("publish", CURL, "--to", served, "--latest")
    assert moved.code == 0, moved.stderr
    digests = {
        tag: output_of("skopeo", "inspect", "--raw", "--tls-verify=false", f"{name}:{tag}")
        for tag in ("8.21.0-mini", "mini")
    }
    assert len(set(digests.values())) == 1


def test_without_a_key_it_is_unsigned_and_says_so(shop: Inv, tmp_path: Path) -> None:
    bare = Inv(
        directory=shop.directory,
        words=shop.words,
        settings={name: value for name, value in shop.settings.items() if name != "key"},
        environment={"XDG_CONFIG_HOME": str(tmp_path / "config")},
    )
    done = bare("publish", CURL, "--to", tmp_path / "release")
    assert done.code == 0
    assert "WARNING nothing is signed" in done.stderr
    assert not (tmp_path / "release" / "SHA256SUMS.minisig").exists()


def test_keys_are_for_their_owner_and_never_shown(shop: Inv, tmp_path: Path) -> None:
    path = Path(shop.settings["key"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = path.read_text().splitlines()[1]
    outputs = [shop("key", "show"), shop("doctor"), shop("publish", CURL, "--to", tmp_path / "r")]
    for done in outputs:
        assert secret not in done.stdout + done.stderr
    for name in listed(tmp_path / "r"):
        assert secret.encode() not in (tmp_path / "r" / name).read_bytes()
    path.chmod(0o640)
    done = shop("publish", CURL, "--to", tmp_path / "r2")
    assert done.code == 7
    assert "others may use it" in done.stderr
    assert not (tmp_path / "r2").exists()
    assert shop("key", "new").code == 7  # and never overwritten


def test_only_what_was_tried_out_is_published(shop: Inv, tmp_path: Path) -> None:
    manifest = tmp_path / "artifacts" / "manifest.json"
    data = json.loads(manifest.read_text())
    for entry in data["artifacts"]:
        entry["smoke"] = {"ran": False, "ok": False, "how": "no qemu", "failures": []}
    manifest.write_text(json.dumps(data))
    for to in (str(tmp_path / "release"), "oci://127.0.0.1:1/fromscratch"):
        done = shop("publish", CURL, "--to", to)
        assert done.code == 7
        assert "its smoke run was not run" in done.stderr
    assert not (tmp_path / "release").exists()


def test_where_to_must_be_said_and_be_sound(shop: Inv, tmp_path: Path) -> None:
    assert shop("publish").code == 2
    assert shop("publish", "--to", "oci://user:pw@host/x").code == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    done = shop("publish", CURL, "--to", tmp_path / "full")
    assert done.code == 7
    assert "thesis.txt" in done.stderr
    assert listed(tmp_path / "full") == ["thesis.txt"]
    nobody = shop("publish", CURL, "--to", "oci://127.0.0.1:1/fromscratch")
    assert nobody.code == 7
    assert "127.0.0.1:1" in nobody.stderr


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("place", PLACES)
def test_publishing_to_a_registry_that_stalls_ends_with_the_signal(
    shop: Inv, tmp_path: Path, place: str, number: signal.Signals
) -> None:
    with stalled(place) as (port, reached):
        words = ["publish", CURL, "--to", f"oci://127.0.0.1:{port}/tools"]
        words += [] if place == "handshake" else ["--insecure"]
        interrupted(shop, words, place, port, reached, number)
    assert half_files(tmp_path / "no cache", tmp_path / "artifacts") == []
