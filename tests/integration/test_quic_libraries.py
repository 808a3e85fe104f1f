"""The libraries of HTTP/3 and SSH: a program of each does a real thing, here and on other machines."""

import subprocess

import pytest

from builders.engines.choose import find_emulator
from core.target import Target
from tests.built import Built
from tests.integration.command import ROOT
from verify.facts import Depth, read_facts

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

RECIPES = ROOT / "tests/fixtures/recipes"
LIBRARIES = ("nghttp3", "ngtcp2", "libssh2")
PRODUCTS = tuple(f"libraries:{name}" for name in LIBRARIES)
FOREIGN = (Target.S390X, Target.ARM_V7)
"""The bytes the other way round, and words of 32 bits."""
BROKEN = (
    "group1-sha1",
    "3des",
    "arcfour",
    "blowfish",
    "cast128",
    "ssh-dss",
    "md5",
    "ripemd",
    "zlib",
)
SOUND = (
    "curve25519-sha256",
    "ssh-ed25519",
    "rsa-sha2-512",
    "aes256-gcm@openssh.com",
    "hmac-sha2-256",
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.once(tmp_path_factory.mktemp("programs"), *PRODUCTS, recipes=str(RECIPES))


def run(programs: Built, library: str) -> list[str]:
    """What the program of a library prints."""
    file = programs.file(f"libraries:{library}")
    done = subprocess.run([file], capture_output=True, text=True, check=True, env={}, timeout=60)
    return done.stdout.splitlines()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_program_has_the_release_that_was_built(programs: Built, library: str) -> None:
    inputs = {i["name"]: i["version"] for i in programs.entry(f"libraries:{library}")["inputs"]}
    assert run(programs, library)[-1] == f"{library} {inputs[library]}: done"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_stripped_program_names_its_libraries(programs: Built, library: str) -> None:
    entry = programs.entry(f"libraries:{library}")
    pinned = {i["name"]: i["version"] for i in entry["inputs"]}
    about = read_facts(programs.file(f"libraries:{library}"), depth=Depth.ALL).about
    assert about
    named = {version.name.lower(): version.version for version in about.versions}
    wanted = {library, "openssl"} & pinned.keys()
    assert {name: named.get(name) for name in wanted} == {name: pinned[name] for name in wanted}


def test_a_client_of_quic_begins_with_a_packet_that_fills_a_datagram(programs: Built) -> None:
    lines = run(programs, "ngtcp2")
    assert lines[0].startswith("OpenSSL 3.5.")
    assert "first: 1200 of 2" in lines  # a key of ML-KEM takes more than one packet


def test_ssh_offers_nothing_that_is_broken(programs: Built) -> None:
    offered = " ".join(run(programs, "libssh2"))
    assert [word for word in BROKEN if word in offered] == []
    assert [word for word in SOUND if word not in offered] == []


@pytest.mark.parametrize("target", FOREIGN)
def test_they_work_on_other_machines(
    target: Target, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if find_emulator(target) is None:
        pytest.skip(f"not installed: qemu-{target.machine.arch}-static")
    built = Built.once(
        tmp_path_factory.mktemp("foreign"), *PRODUCTS, targets=[target], recipes=str(RECIPES)
    )
    for product in PRODUCTS:
        entry = built.entry(product, target=target)
        assert entry["verdict"]["ok"], product
        assert entry["smoke"] == {"ran": True, "ok": True, "how": "qemu"}, product
