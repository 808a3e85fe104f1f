"""The last way from a build to its users, by the commands alone: a registry, a release, and the check of either."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recipes.load import load_recipes
from tests.built import Built
from tests.integration.command import ROOT, Inv, listed
from tests.integration.registry import registry
from tests.integration.test_images import output_of
from tests.integration.test_stalled_servers import PLACES, SIGNALS, interrupted, stalled
from tests.integration.traces import half_files
from tests.yaml_file import read_yaml

pytestmark = pytest.mark.builds

VERSION = load_recipes()["curl"].releases[0].version
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
        f"curl-mini-{VERSION}-linux-amd64",
        f"curl-mini-{VERSION}-linux-amd64.cdx.json",
        f"curl-mini-{VERSION}-linux-amd64.spdx.json",
        f"static-curl-{VERSION}-mini-linux-amd64.tar",
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
    path = directory / f"curl-mini-{VERSION}-linux-amd64"
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
    assert f" tag {VERSION}-mini" in dry.stdout
    lacking = shop("verify", "--release", served)
    assert lacking.code == 7  # nothing is there yet
    first = shop("publish", CURL, "--to", served)
    assert first.code == 0, first.stderr
    again = json.loads(shop("publish", CURL, "--to", served, "--json").stdout)
    assert [image["changed"] for image in again] == [False]
    checked = shop("verify", "--release", served, "--key", public(shop))
    assert checked.code == 0, checked.stdout
    name = f"docker://{served.removeprefix('oci://')}/static-curl"
    seen = json.loads(
        output_of("skopeo", "inspect", "--tls-verify=false", f"{name}:{VERSION}-mini")
    )
    assert f"{VERSION}-mini" in seen["RepoTags"]
    moved = shop("publish", CURL, "--to", served, "--latest")
    assert moved.code == 0, moved.stderr
    digests = {
        tag: output_of("skopeo", "inspect", "--raw", "--tls-verify=false", f"{name}:{tag}")
        for tag in (f"{VERSION}-mini", "mini")
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


GH = """#!/bin/sh
# Keeps a release's files as GitHub does: by their last names, without modes, odd letters made dots.
set -eu
store=$GH_STORE
case "$1 $2" in
"release create") mkdir -p "$store/assets" && echo true >"$store/draft" ;;
"release view") [ -e "$store/draft" ] && cat "$store/draft" ;;
"release edit") echo false >"$store/draft" ;;
"release download") cp -r "$store/assets" "$5" ;;
"release upload")
    shift 3
    for file; do
        [ "$file" != --clobber ] || continue
        [ -f "$file" ]
        cp --no-preserve=mode "$file" "$store/assets/$(basename "$file" | tr -c 'A-Za-z0-9._+\\n-' .)"
    done
    ;;
*) exit 2 ;;
esac
"""


def test_what_the_workflow_uploads_passes_every_check_as_it_is_downloaded(
    shop: Inv, tmp_path: Path
) -> None:
    """By the workflow's own script, with a stand-in for GitHub."""
    done = shop("publish", "curl:mini", "--to", tmp_path / "release", "--flat")
    assert done.code == 0, done.stderr
    workflow = read_yaml(ROOT / ".github" / "workflows" / "publish.yml")
    steps = workflow["jobs"]["publish"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("name") == "Make the release"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    (tmp_path / "project" / ".venv").symlink_to(ROOT / ".venv")
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("FROMSCRATCH_")},
        **{f"FROMSCRATCH_{name.upper()}": text for name, text in shop.settings.items()},
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "GH_STORE": str(tmp_path / "store"),
        "GITHUB_REF_NAME": "v1",
        "RUNNER_TEMP": str(tmp_path),
    }

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path / "project",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    first = run()
    assert first.returncode == 0, first.stdout + first.stderr
    directory = tmp_path / "downloaded"
    assert listed(directory) == listed(tmp_path / "release")
    words = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(words, cwd=directory, check=False).returncode == 0
    output_of("minisign", "-V", "-m", directory / "SHA256SUMS", "-p", public(shop))
    assert shop("verify", "--release", directory, "--key", public(shop)).code == 0
    again = run()
    assert again.returncode == 1
    assert "a release never changes" in again.stdout
    # One file alone, of all that there is.
    name = f"curl-mini-{VERSION}-linux-amd64"
    (tmp_path / "one").mkdir()
    for file in ("SHA256SUMS", "SHA256SUMS.minisig", name):
        shutil.copyfile(directory / file, tmp_path / "one" / file)
    words.insert(1, "--ignore-missing")
    assert subprocess.run(words, cwd=tmp_path / "one", check=False).returncode == 0
    flags = ("--key", public(shop), "--only", name, "--expect-version", VERSION)
    alone = shop("verify", "--release", tmp_path / "one", *flags)
    assert alone.code == 0, alone.stdout
    assert f"signed as curl-{VERSION}, of 2" in alone.stdout
    old = shop("verify", "--release", directory, *flags[:2], "--not-older-than", "2999-01-01")
    assert old.code == 1
    assert re.search("nothing older than 2999-01-01 was expected, and it is of 2", old.stdout)


def test_a_second_builder_signs_what_it_has_made_as_well(shop: Inv, tmp_path: Path) -> None:
    directory = tmp_path / "release"
    assert shop("publish", "curl:mini", "--to", directory).code == 0
    second = shop.set(key=tmp_path / "second.key", public_key=public(shop))
    assert second("key", "new").code == 0
    both = f"{public(shop)},{public(second)}"
    lacking = shop("verify", "--release", directory, "--key", both, "--keys", "2")
    assert lacking.code == 1
    assert "2 of the keys asked for must sign it" in lacking.stdout
    assert shop("verify", "--release", directory, "--key", public(shop), "--keys", "2").code == 2
    signed = second("key", "sign", directory)
    assert signed.code == 0, signed.stderr
    done = shop("verify", "--release", directory, "--key", both, "--keys", "2", "--json")
    assert done.code == 0, done.stdout
    assert len(json.loads(done.stdout)["releases"][0]["signers"]) == 2
    # Whoever has not made these bytes does not sign for them; nor does the publisher once more.
    empty = second.set(artifacts=tmp_path / "empty")
    refused = empty("key", "sign", directory)
    assert refused.code == 7
    assert "Not made here with these bytes" in refused.stderr
    assert shop("key", "sign", directory).code == 7


def test_a_key_by_standard_input_whatever_the_mode_of_its_file(shop: Inv, tmp_path: Path) -> None:
    """As GitLab hands it over."""
    path = Path(shop.settings["key"])
    path.chmod(0o666)
    words = [*shop.words, "publish", "curl:mini", "--to", str(tmp_path / "release"), "--key", "-"]
    settings = {f"FROMSCRATCH_{name.upper()}": text for name, text in shop.settings.items()}
    with path.open("rb") as key:
        done = subprocess.run(
            words,
            cwd=shop.directory,
            env={**os.environ, **settings},
            stdin=key,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    checked = shop("verify", "--release", tmp_path / "release", "--key", public(shop))
    assert checked.code == 0, checked.stdout


def test_the_cache_s_word_is_not_taken_for_another_program(shop: Inv, tmp_path: Path) -> None:
    """A program of the machine under a product's name, and the manifest agrees."""
    path = tmp_path / "artifacts" / "files" / f"curl-mini-{VERSION}-linux-amd64"
    shutil.copyfile("/bin/ls", path)
    manifest = tmp_path / "artifacts" / "manifest.json"
    data = json.loads(manifest.read_text())
    (sum_,) = re.findall("[0-9a-f]{64}", output_of("sha256sum", path))
    for entry in data["artifacts"]:
        if entry["path"] == f"files/{path.name}":
            entry["sha256"] = sum_
    manifest.write_text(json.dumps(data))
    done = shop("publish", "curl:mini", "--to", tmp_path / "release")
    assert done.code == 7
    assert "Only what is proven can be published" in done.stderr
    assert not (tmp_path / "release").exists()


def test_a_tree_under_work_is_published_with_a_mark_alone(shop: Inv, tmp_path: Path) -> None:
    project = tmp_path / "project"
    git = ("git", "-C", str(project), "-c", "user.name=n", "-c", "user.email=e@invalid")
    (project / ".gitignore").write_text("__pycache__/\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        output_of(*git, *words)
    commit = output_of(*git, "rev-parse", "HEAD").strip()
    inv = shop.set(revision="cafe")
    assert inv("publish", "curl:mini", "--to", tmp_path / "clean").code == 0
    said = output_of("base64", "-d", payload(tmp_path / "clean", tmp_path))
    assert commit in said
    assert '"claimedRevision":"cafe"' in said
    assert '"gitCommit":"cafe"' not in said
    (project / "recipes" / "more.txt").write_text("x")
    refused = inv("publish", "curl:mini", "--to", tmp_path / "dirty")
    assert refused.code == 7
    assert "recipes/more.txt" in refused.stderr
    marked = inv("publish", "curl:mini", "--to", tmp_path / "dirty", "--allow-dirty")
    assert marked.code == 0, marked.stderr
    assert f"curl-mini-{VERSION}-dirty-linux-amd64" in listed(tmp_path / "dirty")
    said = output_of("base64", "-d", payload(tmp_path / "dirty", tmp_path))
    assert commit not in said
    assert '"changedSinceCommit":["recipes/more.txt"]' in said


def test_what_was_built_twice_says_so(shop: Inv, tmp_path: Path) -> None:
    first = shop("publish", "curl:mini", "--to", tmp_path / "one", "--rebuild", seconds=2400)
    assert first.code == 0, first.stderr
    said = output_of("base64", "-d", payload(tmp_path / "one", tmp_path))
    assert '"rebuilt":{' in said
    assert '"tools":"built again"' in said
    again = shop("publish", "curl:mini", "--to", tmp_path / "two", "--rebuild")
    assert again.code == 0, again.stderr
    assert again.started == []  # it is remembered
    assert listed(tmp_path / "one") == listed(tmp_path / "two")


def payload(release: Path, directory: Path) -> Path:
    """A file with what the first statement of a release says, in base64."""
    line = (release / "provenance.intoto.jsonl").read_text().splitlines()[0]
    (directory / "payload").write_text(json.loads(line)["payload"])
    return directory / "payload"
