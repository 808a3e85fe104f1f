"""What we sign, as cosign checks it: with the key alone, without a log and without the network."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from recipes.load import load_recipes
from tests.integration.command import Inv
from tests.integration.test_publish import served, shop  # noqa: F401 - fixtures
from tests.integration.test_registry import need
from tests.keyless import LIFE, SIGNED_AT, Json, Sigstore, Workflow, shown, statement_of

pytestmark = pytest.mark.builds

VERSION = load_recipes()["curl"].releases[0].version
IMAGE = f"static-curl:{VERSION}-mini"
OFFLINE = ("--insecure-ignore-tlog=true",)


def cosign(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run cosign; `.ci/run` brings Debian 13's."""
    if shutil.which("cosign") is None:
        pytest.skip("cosign is not installed")
    return subprocess.run(
        ["cosign", *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


def pem_of(inv: Inv, path: Path) -> Path:
    done = inv("key", "pem")
    assert done.code == 0, done.stderr
    path.write_text(done.stdout)
    return path


@pytest.fixture
def ours(shop: Inv, tmp_path: Path) -> Path:  # noqa: F811
    return pem_of(shop, tmp_path / "ours.pem")


@pytest.fixture
def another(shop: Inv, tmp_path: Path) -> Path:  # noqa: F811
    other = shop.set(key=tmp_path / "other.key")
    assert other("key", "new").code == 0
    return pem_of(other, tmp_path / "another.pem")


@pytest.fixture
def pushed(shop: Inv, served: str) -> str:  # noqa: F811
    """The image's name in a registry."""
    done = shop("publish", "static-curl:mini", "--to", served)
    assert done.code == 0, done.stderr
    return f"{served.removeprefix('oci://')}/{IMAGE}"


def test_an_image_is_verified_by_cosign(pushed: str, ours: Path, another: Path) -> None:
    words = ("verify", *OFFLINE, "--allow-http-registry", "--key")
    done = cosign(*words, ours, pushed)
    assert done.returncode == 0, done.stderr
    (said,) = json.loads(done.stdout)
    assert said["critical"]["identity"]["docker-reference"] == pushed.rpartition(":")[0]
    for platform in manifests(pushed):
        one = cosign(*words, ours, f"{pushed.rpartition(':')[0]}@{platform}")
        assert one.returncode == 0, one.stderr
    refused = cosign(*words, another, pushed)
    assert refused.returncode != 0
    assert "no matching signatures" in refused.stderr


def manifests(name: str) -> list[str]:
    words = [need("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [entry["digest"] for entry in json.loads(done.stdout)["manifests"]]


def test_a_release_is_verified_by_cosign(
    shop: Inv,  # noqa: F811
    ours: Path,
    another: Path,
    tmp_path: Path,
) -> None:
    directory = tmp_path / "release"
    done = shop("publish", "curl:mini", "--to", directory)
    assert done.code == 0, done.stderr
    assert (directory / "cosign.pub").read_text().strip() == ours.read_text().strip()
    signature = directory / "SHA256SUMS.sig"
    words = ("verify-blob", *OFFLINE, f"--signature={signature}", directory / "SHA256SUMS", "--key")
    good = cosign(*words, ours)
    assert good.returncode == 0, good.stderr
    assert "Verified OK" in good.stderr
    assert cosign(*words, another).returncode != 0
    program = directory / f"curl-mini-{VERSION}-linux-amd64"
    for line in (directory / "provenance.intoto.jsonl").read_bytes().splitlines():
        statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
        if program.name not in [subject["name"] for subject in statement["subject"]]:
            continue
        (tmp_path / "line").write_bytes(line)
        kind = statement["predicateType"]
        about = ["verify-blob-attestation", *OFFLINE, f"--type={kind}"]
        about += [f"--signature={tmp_path}/line", "--key"]
        said = cosign(*about, ours, program)
        assert said.returncode == 0, said.stderr
        assert cosign(*about, another, program).returncode != 0
        with program.open("ab") as file:
            file.write(b"!")
        assert cosign(*about, ours, program).returncode != 0
        return
    pytest.fail("no statement names the program")


def test_a_release_without_a_key_is_verified_by_cosign(
    shop: Inv,  # noqa: F811
    tmp_path: Path,
) -> None:
    """By the page's line; only the names are this release's, and whom to trust is a Sigstore of the tests' own."""
    done = shop("publish", "curl:mini", "--to", tmp_path / "release", "--flat")
    assert done.code == 0, done.stderr
    signer, sigstore = Workflow(), Sigstore()
    statement = statement_of((tmp_path / "release" / "SHA256SUMS").read_bytes(), signer)
    (words,) = shown("cosign verify-blob-attestation")
    words = [word.replace("OWNER/fromscratch", signer.repository) for word in words[1:-1]]
    assert signer.identity in words
    bundle, root, file = (tmp_path / name for name in ("bundle.aa", "root.json", "file"))
    words[words.index("bundle.aa")] = str(bundle)
    whole = (tmp_path / "release" / f"curl-mini-{VERSION}-linux-amd64").read_bytes()

    def accepts(given: Json, *, data: bytes = whole, trusted: Sigstore = sigstore) -> bool:
        bundle.write_text(json.dumps(given))
        root.write_text(json.dumps(trusted.trusted_root()))
        file.write_bytes(data)
        return cosign(*words, f"--trusted-root={root}", file).returncode == 0

    good = sigstore.attest(statement, signer)
    assert accepts(good)
    assert not accepts(good, data=whole + b"!")
    assert not accepts(good, trusted=Sigstore())
    for name in ("repository", "path", "ref", "issuer"):
        other = replace(signer, **{name: f"{getattr(signer, name)}-other"})
        assert not accepts(sigstore.attest(statement, other)), name
    late = SIGNED_AT + LIFE + timedelta(seconds=1)
    assert not accepts(sigstore.attest(statement, signer, logged=late))
    entry = sigstore.attest(statement.replace(b"curl", b"cull"), signer)
    given = json.loads(json.dumps(good))
    given["verificationMaterial"]["tlogEntries"] = entry["verificationMaterial"]["tlogEntries"]
    assert not accepts(given)
