"""A release of what is really built, as other people's tools see it: minisign, sha256sum, and the bare primitives."""

import base64
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from commands.release_inputs import ReleaseInputs
from core.errors import PublishError
from core.progress import Report
from core.settings import Settings
from core.signing import PublicKey, SecretKey, new_key
from flow.context import ROOT, Context
from flow.judge import judge_file
from publish.check.directory import check_release
from publish.check.findings import CheckResult
from publish.manifest import read_manifest
from publish.release.write import write_release
from publish.trust.published import published_file
from tests.built import Built
from tests.fakes import below
from verify.verdict import Policy, Verdict

LONG = 120.0
"""Seconds: a password costs minisign a gibibyte of memory."""


def ran(
    *words: str | Path, directory: Path | None = None, typed: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run another's tool, which must be installed."""
    name = str(words[0])
    if shutil.which(name) is None:
        package = {"sha256sum": "coreutils"}.get(name, name)
        pytest.skip(f"{name} is not installed: apt-get install -y {package}")
    return subprocess.run(
        list(map(str, words)),
        cwd=directory,
        input=typed,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


def accepted(directory: Path, public: Path) -> bool:
    """What a careful user does: first the list's signature, then the list."""
    signed = ran("minisign", "-V", "-m", "SHA256SUMS", "-p", public, directory=directory)
    summed = ran("sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS", directory=directory)
    return signed.returncode == 0 and summed.returncode == 0 and openssl_accepts(directory)


def openssl_accepts(directory: Path) -> bool:
    """What somebody does who has neither minisign nor cosign."""
    encoded = (directory / "SHA256SUMS.sig").read_bytes()
    try:
        signature = base64.b64decode(encoded.rstrip(b"\n"), validate=True)
    except ValueError:
        return False
    if base64.b64encode(signature) + b"\n" != encoded:  # `base64 -d` takes other spellings of it
        return False
    bare = directory.with_name(f"{directory.name}.bare")
    bare.write_bytes(signature)
    words = ("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "cosign.pub", "-rawin")
    done = ran(*words, "-in", "SHA256SUMS", "-sigfile", bare, directory=directory)
    return done.returncode == 0


class TestMinisign:
    def test_reads_our_keys_and_signs_with_them(self, tmp_path: Path) -> None:
        key = new_key(tmp_path / "our.key", tmp_path / "our.pub")
        file = tmp_path / "file"
        file.write_bytes(b"some bytes")
        done = ran("minisign", "-S", "-s", tmp_path / "our.key", "-m", file)
        assert done.returncode == 0, done.stderr
        signature = (tmp_path / "file.minisig").read_text()
        assert "file:file" in key.public.verify(b"some bytes", signature)

    @pytest.mark.parametrize(
        "number", [bytes([255] * 8), bytes([1] * 7 + [7]), bytes([1] + [0] * 7)]
    )
    def test_writes_the_same_public_key(self, tmp_path: Path, number: bytes) -> None:
        key = SecretKey.generate()
        key = replace(key, public=replace(key.public, id=number))
        key.write(tmp_path / "our.key")
        made = ran("minisign", "-R", "-s", tmp_path / "our.key", "-p", tmp_path / "again.pub")
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "again.pub").read_text() == key.public.text

    def test_accepts_our_signatures_and_no_others(self, tmp_path: Path) -> None:
        key = new_key(tmp_path / "our.key", tmp_path / "our.pub")
        file = tmp_path / "file"
        file.write_bytes(b"some bytes")
        (tmp_path / "file.minisig").write_bytes(key.sign(b"some bytes", comment="file:file"))
        for words in (("-p", tmp_path / "our.pub"), ("-P", key.public.line)):
            done = ran("minisign", "-V", "-H", "-m", file, *words)
            assert done.returncode == 0, done.stderr
            assert "Trusted comment: file:file" in done.stdout
        file.write_bytes(b"same bytes")
        assert ran("minisign", "-V", "-m", file, "-p", tmp_path / "our.pub").returncode

    def test_its_keys_are_read(self, tmp_path: Path) -> None:
        secret, public = tmp_path / "a.key", tmp_path / "a.pub"
        done = ran("minisign", "-G", "-W", "-s", secret, "-p", public)
        assert done.returncode == 0, done.stderr
        key = SecretKey.read(secret)
        assert key.public.text == public.read_text() == PublicKey.read(public).text

    def test_its_passwords_are_understood(self, tmp_path: Path) -> None:
        secret, public = tmp_path / "a.key", tmp_path / "a.pub"
        done = ran("minisign", "-G", "-s", secret, "-p", public, typed="swordfish\nswordfish\n")
        assert done.returncode == 0, done.stderr
        with pytest.raises(PublishError, match="is encrypted"):
            SecretKey.read(secret)
        signed = self.with_password(secret, "swordfish")
        assert PublicKey.read(public).verify(b"x", signed) == "y"
        assert "password is wrong" in self.with_password(secret, "marlin")

    @staticmethod
    def with_password(secret: Path, password: str) -> str:
        """A signature, or why there is none; made in a process of its own, which may be as large as it must."""
        script = """if True:
            import sys
            from pathlib import Path
            from core.signing import SecretKey
            from core.errors import PublishError
            try:
                key = SecretKey.read(Path(sys.argv[1]), password=sys.argv[2])
                print(key.sign(b"x", comment="y").decode(), end="")
            except PublishError as error:
                print(error.what)
            """
        words = [sys.executable, "-c", script, str(secret), password]
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, timeout=LONG, check=True
        )
        return done.stdout


@dataclass(frozen=True, kw_only=True)
class Released:
    """What is built, released by a key of its own."""

    context: Context
    directory: Path
    public: Path

    def verify(self, path: Path, policy: Policy) -> Verdict:
        return judge_file(self.context, path, policy)

    def check(self, directory: Path) -> CheckResult:
        return check_release(directory, public_key=PublicKey.read(self.public), judge=self.verify)


def release(
    context: Context, directory: Path, key: SecretKey, *, product: str = ""
) -> tuple[str, ...]:
    """Release all that is built, or one product of it."""
    inputs = ReleaseInputs(context=context)
    artifacts = [
        artifact
        for artifact in read_manifest(context.artifacts)
        if product in {"", artifact.product}
    ]
    files = [
        published_file(artifact, context.artifacts, context.recipes, inputs.wheels)
        for artifact in artifacts
    ]
    done = write_release(
        directory,
        files,
        reader=inputs.reader,
        archive=inputs.archive,
        builder=inputs.builder,
        key=key,
    )
    return done.written


@pytest.fixture(scope="module")
def released(built: Built, frozen: Built, tmp_path_factory: pytest.TempPathFactory) -> Released:
    directory = tmp_path_factory.mktemp("released")
    artifacts = directory / "artifacts"
    shutil.copytree(built.artifacts, artifacts)
    shutil.copytree(frozen.artifacts / "files", artifacts / "files", dirs_exist_ok=True)
    entries = [*built.manifest, *frozen.manifest]
    text = json.dumps({"version": 1, "artifacts": entries})
    (artifacts / "manifest.json").write_text(text, "utf-8")
    settings = Settings.read({**built.settings, "artifacts": str(artifacts)}, environment={})
    context = Context(settings=settings, report=Report())
    key = new_key(directory / "secret.key", directory / "key.pub")
    release(context, directory / "release", key)
    return Released(context=context, directory=directory / "release", public=directory / "key.pub")


@pytest.mark.builds
class TestRelease:
    def test_they_accept_it_and_so_do_we(self, released: Released) -> None:
        assert accepted(released.directory, released.public)
        done = released.check(released.directory)
        assert done, done.text()
        assert done.pinned

    def test_a_second_run_elsewhere_gives_the_same_bytes(
        self, released: Released, tmp_path: Path
    ) -> None:
        key = SecretKey.read(released.public.with_name("secret.key"))
        release(released.context, tmp_path / "again", key)
        assert below(tmp_path / "again") == below(released.directory)
        assert release(released.context, tmp_path / "again", key) == ()

    def test_a_flipped_byte_anywhere_is_refused_by_them_and_by_us(
        self, released: Released, tmp_path: Path
    ) -> None:
        directory = tmp_path / "release"  # of one product, or it would take minutes
        key = SecretKey.read(released.public.with_name("secret.key"))
        release(released.context, directory, key, product="curl:https")
        for path in sorted(file for file in directory.rglob("*") if file.is_file()):
            whole = path.read_bytes()
            spoilt = bytearray(whole)
            # Of a signature file minisign takes comments and spare bits of base64 as they come; ours does not.
            spot = 100 if path.suffix == ".minisig" else len(spoilt) // 2
            spoilt[spot] ^= 1
            path.write_bytes(spoilt)
            name = path.relative_to(directory)
            assert not accepted(directory, released.public), name
            done = released.check(directory)
            assert str(name) in done.text(), name
            assert not done, name
            path.write_bytes(whole)
        assert accepted(directory, released.public)

    def test_the_envelopes_hold_by_the_bare_primitives(self, released: Released) -> None:
        """https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, written down once more."""
        point = PublicKey.read(released.public).point
        key = Ed25519PublicKey.from_public_bytes(point)
        lines = (released.directory / "provenance.intoto.jsonl").read_bytes().splitlines()
        assert len(lines) == len(read_manifest(released.context.artifacts))
        for line in lines:
            envelope = json.loads(line)
            payload = base64.b64decode(envelope["payload"])
            kind = envelope["payloadType"].encode()
            signed = b" ".join(
                (b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload)
            )
            (signature,) = envelope["signatures"]
            key.verify(base64.b64decode(signature["sig"]), signed)

    def test_every_source_that_went_in_is_named(self, released: Released) -> None:
        pins = {
            release.archive.sha256
            for recipe in released.context.recipes.values()
            for release in recipe.releases
            if release.source
        }
        for line in (released.directory / "provenance.intoto.jsonl").read_bytes().splitlines():
            statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
            used = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
            hashes = {dependency.get("digest", {}).get("sha256") for dependency in used} - {None}
            assert len(hashes & pins) >= 2
            assert {"ziglang", "cmake", "ninja"} <= {dependency["name"] for dependency in used}

    @pytest.mark.parametrize(
        ("file", "components"),
        [
            ("curl-http", {"compiler-rt", "curl", "musl"}),
            ("curl-https", {"cacert", "compiler-rt", "curl", "mbedtls", "musl"}),
            ("probe-mini", {"compiler-rt", "micropython", "musl", "probe"}),
            (
                "probe-full",
                {"cacert", "compiler-rt", "mbedtls", "micropython", "musl", "probe"},
            ),
            (
                "probe-nuitka",
                {"cacert", "compiler-rt", "cpython", "mbedtls", "musl", "nuitka", "probe"},
            ),
        ],
    )
    def test_what_is_linked_in(self, released: Released, file: str, components: set[str]) -> None:
        bills = list(released.directory.glob(f"{file}-*.cdx.json"))
        assert bills
        for path in bills:
            bill = json.loads(path.read_bytes())
            packed = path.name.endswith(".upx.cdx.json")
            names = {component["name"] for component in bill["components"]}
            assert names == (components | {"upx"} if packed else components)
            assert all(component["licenses"] for component in bill["components"])

    def test_licences_are_the_archives_own(self, released: Released) -> None:
        texts = below(released.directory / "LICENSES")
        begin = {
            "curl-8.22.0/COPYING": b"COPYRIGHT AND PERMISSION NOTICE",
            "musl-1.2.6/COPYRIGHT": b"musl as a whole is licensed under",
            "cpython-3.13.15/LICENSE": b"A. HISTORY OF THE SOFTWARE",
            "micropython-1.26.1/LICENSE": b"The MIT License (MIT)",
            "upx-4.2.4/LICENSE": b"UPX",
            "nuitka-4.3.3/LICENSE-RUNTIME.txt": b"Runtime",
        }
        for name, words in begin.items():
            # A recipe may have moved on; what is there must be what it is called.
            found = [
                text for path, text in texts.items() if path.split("-")[0] == name.split("-")[0]
            ]
            assert any(words in text for text in found), name

    def test_the_ca_bundle_s_source_goes_along(self, released: Released) -> None:
        (wheel,) = (released.directory / "sources").iterdir()
        assert "certifi/cacert.pem" in zipfile.ZipFile(wheel).namelist()
