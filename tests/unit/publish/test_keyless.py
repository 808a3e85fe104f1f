"""A release signed without a key of ours, as ``actions/attest`` does it, and verified by Sigstore's client, offline."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sigstore.errors import Error
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

from publish.release.sums import read_sums
from publish.release.write import write_release
from tests.keyless import (
    ISSUER,
    LIFE,
    PAYLOAD,
    SIGNED_AT,
    Json,
    Log,
    Sigstore,
    Workflow,
    shown,
    statement_of,
    subjects,
)
from tests.unit.publish.releases import Bench

PLAIN = "hello-secure-2.0-linux-amd64"
LIST = {"SHA256SUMS", "SHA256SUMS.minisig", "SHA256SUMS.sig"}
OURS = Workflow()


@dataclass(frozen=True, kw_only=True)
class Released:
    """A flat release, the Sigstore that signed for it, and what that gave."""

    directory: Path
    sigstore: Sigstore
    statement: bytes
    bundle: Json
    root: Path

    @property
    def file(self) -> Path:
        return self.directory / PLAIN


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    home = tmp_path_factory.mktemp("keyless")
    bench, directory = Bench.make(home), home / "release"
    write_release(
        directory,
        bench.files(),
        images=(bench.image(),),
        reader=bench.reader,
        archive=bench.archive,
        builder=bench.builder,
        key=bench.key,
        flat=True,
    )
    sigstore = Sigstore()
    statement = statement_of((directory / "SHA256SUMS").read_bytes(), OURS)
    return Released(
        directory=directory,
        sigstore=sigstore,
        statement=statement,
        bundle=sigstore.attest(statement, OURS),
        root=written(home / "trusted_root.json", sigstore.trusted_root()),
    )


def written(path: Path, data: Json) -> Path:
    path.write_text(json.dumps(data), "utf-8")
    return path


def copy(bundle: Json) -> Any:
    return json.loads(json.dumps(bundle))


def the_workflow(workflow: Workflow = OURS) -> policy.VerificationPolicy:
    """Everything that the client can ask of a certificate of GitHub's."""
    home = f"https://github.com/{workflow.repository}"
    return policy.AllOf(
        [
            policy.Identity(identity=workflow.identity, issuer=workflow.issuer),
            policy.OIDCIssuerV2(workflow.issuer),
            policy.GitHubWorkflowTrigger(workflow.trigger),
            policy.GitHubWorkflowSHA(workflow.commit),
            policy.GitHubWorkflowName(workflow.name),
            policy.GitHubWorkflowRepository(workflow.repository),
            policy.GitHubWorkflowRef(workflow.ref),
            policy.OIDCBuildSignerURI(workflow.identity),
            policy.OIDCRunnerEnvironment(workflow.runner),
            policy.OIDCSourceRepositoryURI(home),
            policy.OIDCSourceRepositoryDigest(workflow.commit),
            policy.OIDCSourceRepositoryRef(workflow.ref),
            policy.OIDCSourceRepositoryOwnerURI(home.rpartition("/")[0]),
            policy.OIDCBuildConfigURI(workflow.identity),
            policy.OIDCBuildTrigger(workflow.trigger),
            policy.OIDCSourceRepositoryVisibility("public"),
        ]
    )


def verify(
    released: Released,
    bundle: Json | None = None,
    *,
    wanted: policy.VerificationPolicy | None = None,
    root: Path | None = None,
) -> Json:
    """What the statement says that the client believes; raises ``sigstore.errors.Error``."""
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(root or released.root)))
    read = Bundle.from_json(json.dumps(bundle or released.bundle))
    kind, payload = verifier.verify_dsse(read, wanted or the_workflow())
    assert kind == PAYLOAD
    statement: Json = json.loads(payload)
    return statement


class TestWhatIsAttested:
    def test_every_file_of_the_list_and_no_other(self, released: Released) -> None:
        statement = verify(released)
        said = {row["name"]: row["digest"]["sha256"] for row in statement["subject"]}
        assert said == read_sums((released.directory / "SHA256SUMS").read_bytes())
        files = {path.name for path in released.directory.iterdir()}
        assert set(said) == files - LIST
        for name, sha256 in said.items():
            assert hashlib.sha256((released.directory / name).read_bytes()).hexdigest() == sha256

    def test_with_what_the_action_takes(self, released: Released) -> None:
        """More than 1024 subjects, or 512 bytes for each, make the action fail."""
        data = (released.directory / "SHA256SUMS").read_bytes()
        assert len(subjects(data)) <= 1024
        assert all(len(line) < 512 for line in data.splitlines())


class TestWho:
    @pytest.mark.parametrize("name", [field.name for field in fields(Workflow)])
    def test_a_certificate_that_says_anything_else_is_refused(
        self, released: Released, name: str
    ) -> None:
        other = replace(OURS, **{name: f"{getattr(OURS, name)}-other"})
        bundle = released.sigstore.attest(released.statement, other)
        assert verify(released, bundle, wanted=the_workflow(other))
        with pytest.raises(Error, match=r"not match"):
            verify(released, bundle)

    def test_the_identity_holds_workflow_repository_and_tag(self, released: Released) -> None:
        wanted = policy.Identity(identity=OURS.identity, issuer=ISSUER)
        assert verify(released, wanted=wanted)
        for name in ("repository", "path", "ref", "issuer"):
            other = replace(OURS, **{name: f"{getattr(OURS, name)}-other"})
            bundle = released.sigstore.attest(released.statement, other)
            with pytest.raises(Error, match=r"not match"):
                verify(released, bundle, wanted=wanted)

    def test_the_repository_alone_lets_any_of_its_workflows_through(
        self, released: Released
    ) -> None:
        """Why the page names the workflow, too."""
        anyone = replace(OURS, path=".github/workflows/test.yml", ref="refs/pull/7/merge")
        bundle = released.sigstore.attest(released.statement, anyone)
        assert verify(released, bundle, wanted=policy.GitHubWorkflowRepository(OURS.repository))


class TestWhen:
    @pytest.mark.parametrize("after", [timedelta(0), LIFE / 2, LIFE])
    def test_while_the_certificate_holds(self, released: Released, after: timedelta) -> None:
        bundle = released.sigstore.attest(released.statement, OURS, logged=SIGNED_AT + after)
        assert verify(released, bundle)

    @pytest.mark.parametrize(
        "after", [-LIFE, -timedelta(seconds=1), LIFE + timedelta(seconds=1), LIFE * 1000]
    )
    def test_not_before_and_not_after(self, released: Released, after: timedelta) -> None:
        bundle = released.sigstore.attest(released.statement, OURS, logged=SIGNED_AT + after)
        with pytest.raises(Error, match="certificate chain"):
            verify(released, bundle)

    def test_not_without_anybody_who_says_when(self, released: Released) -> None:
        bundle = copy(released.bundle)
        del bundle["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]
        with pytest.raises(Error, match="inclusion promise or signed timestamp"):
            verify(released, bundle)


class TestTheLog:
    def entry(self, bundle: Json) -> Json:
        (found,) = bundle["verificationMaterial"]["tlogEntries"]
        assert isinstance(found, dict)
        return found

    def with_entry(self, bundle: Json, entry: Json) -> Json:
        changed = copy(bundle)
        changed["verificationMaterial"]["tlogEntries"] = [entry]
        assert isinstance(changed, dict)
        return changed

    @pytest.mark.parametrize("later", [0, 1, 2, 5])
    def test_a_proof_of_any_shape(self, released: Released, tmp_path: Path, later: int) -> None:
        for before in range(9):
            leaves = [hashlib.sha256(bytes([n])).digest() for n in range(before)]
            own = swapped(released.sigstore, log=Log(leaves=leaves, later=later))
            root = written(tmp_path / "root.json", own.trusted_root())
            assert verify(released, own.attest(released.statement, OURS), root=root)

    def test_an_entry_of_something_else(self, released: Released) -> None:
        other = released.statement.replace(PLAIN.encode(), b"other")
        entry = self.entry(released.sigstore.attest(other, OURS))
        with pytest.raises(Error, match="payload hash does not match"):
            verify(released, self.with_entry(released.bundle, entry))

    def test_an_entry_of_another_signature_over_the_same(self, released: Released) -> None:
        entry = self.entry(released.sigstore.attest(released.statement, OURS))
        with pytest.raises(Error, match="signatures do not match"):
            verify(released, self.with_entry(released.bundle, entry))

    def test_an_entry_of_another_log(self, released: Released) -> None:
        own = swapped(released.sigstore, log=Log())
        bundle = own.attest(released.statement, OURS)
        with pytest.raises(Error, match="invalid log entry"):
            verify(released, bundle)

    @pytest.mark.parametrize("taken", ["checkpoint", "hashes", "rootHash"])
    def test_a_proof_of_another_entry(self, released: Released, taken: str) -> None:
        other = self.entry(released.sigstore.attest(b"{}", OURS))
        entry = copy(self.entry(released.bundle))
        entry["inclusionProof"][taken] = other["inclusionProof"][taken]
        with pytest.raises(Error, match="invalid log entry"):
            verify(released, self.with_entry(released.bundle, entry))

    def test_a_promise_of_another_entry(self, released: Released) -> None:
        other = self.entry(released.sigstore.attest(b"{}", OURS))
        entry = {
            **self.entry(released.bundle),
            "inclusionPromise": other["inclusionPromise"],
        }
        with pytest.raises(Error, match="invalid inclusion promise"):
            verify(released, self.with_entry(released.bundle, entry))

    def test_no_entry(self, released: Released) -> None:
        bundle = copy(released.bundle)
        bundle["verificationMaterial"]["tlogEntries"] = []
        with pytest.raises(Error, match="exactly one log entry"):
            verify(released, bundle)


class TestWhoseSigstore:
    @pytest.mark.parametrize(
        ("another", "said"),
        [
            (lambda s: Sigstore(log=s.log, ct_key=s.ct_key), "certificate chain"),
            (lambda s: swapped(s, ct_key=Sigstore().ct_key), "verify SCT"),
            (lambda s: swapped(s, log=Log()), "invalid log entry"),
            (lambda s: Sigstore(), "certificate chain"),
        ],
        ids=["authority", "log of certificates", "log", "all of it"],
    )
    def test_another_s_is_not_believed(
        self,
        released: Released,
        tmp_path: Path,
        another: Callable[[Sigstore], Sigstore],
        said: str,
    ) -> None:
        root = written(tmp_path / "root.json", another(released.sigstore).trusted_root())
        with pytest.raises(Error, match=said):
            verify(released, root=root)


def swapped(sigstore: Sigstore, **parts: Any) -> Sigstore:
    """The same authority beside other logs."""
    parts = {"log": sigstore.log, "ct_key": sigstore.ct_key, **parts}
    new = Sigstore(root_key=sigstore.root_key, key=sigstore.key, **parts)
    new.root, new.intermediate = sigstore.root, sigstore.intermediate
    return new


def places(data: Any, *before: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where in a bundle there is a text."""
    pairs: Any = data.items() if isinstance(data, dict) else enumerate(data)
    for name, value in pairs:
        if isinstance(value, str):
            yield (*before, name)
        else:
            yield from places(value, *before, name)


UNSIGNED = {"keyid", "treeSize"}
"""A name for a key, which nobody looks up; and the size, which the checkpoint says as well."""


def test_nothing_in_a_bundle_can_be_another(released: Released) -> None:
    tried = set()
    for place in places(released.bundle):
        *way, last = place
        if last in UNSIGNED:
            continue
        bundle = spot = copy(released.bundle)
        for name in way:
            spot = spot[name]
        spot[last] = another(spot[last])
        with pytest.raises((Error, ValueError)):
            verify(released, bundle)
        tried.add(last)
    assert {"payload", "sig", "rawBytes", "canonicalizedBody", "signedEntryTimestamp"} <= tried
    assert {"envelope", "rootHash", "integratedTime", "logIndex", "keyId", "mediaType"} <= tried


def another(value: str) -> str:
    """The next number; else the same with a byte in the middle changed, in base64 where it was that."""
    if value.isdigit():
        return str(int(value) + 1)
    try:
        data = bytearray(base64.b64decode(value, validate=True))
    except ValueError:
        middle = len(value) // 2
        return f"{value[:middle]}{chr(ord(value[middle]) ^ 1)}{value[middle + 1 :]}"
    data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


class TestAsThePageSays:
    """The page's own lines, run by the client's own command line; only the names are this release's."""

    def run(
        self, words: list[str], home: Path, *, trust: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        _, *rest = words
        at = rest.index("sigstore") + 1
        if trust:
            rest[at:at] = ["--trust-config", "trust.json"]
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith("SIGSTORE_")
        }
        # Whatever asks a network finds none.
        environment |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")
        environment |= {name: str(home / "x") for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME")}
        return subprocess.run(
            [sys.executable, *rest],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    @pytest.fixture
    def home(self, released: Released, tmp_path: Path) -> Path:
        """A folder with the file, what to trust, and the bundle."""
        (tmp_path / PLAIN).write_bytes(released.file.read_bytes())
        written(tmp_path / "trust.json", released.sigstore.trust_config())
        self.downloaded(tmp_path, released.bundle)
        return tmp_path

    def downloaded(self, home: Path, *bundles: Json) -> None:
        """What ``gh attestation download`` writes, taken apart by the page's own line."""
        sha256 = hashlib.sha256((home / PLAIN).read_bytes()).hexdigest()
        lines = [f"{json.dumps(bundle)}\n" for bundle in bundles]
        (home / f"sha256:{sha256}.jsonl").write_text("".join(lines), "utf-8")
        (words,) = shown("split")
        subprocess.run(["sh", "-c", " ".join(words)], cwd=home, check=True)

    def line(self, kind: str) -> list[str]:
        (words,) = shown(f"python -m sigstore verify {kind}")
        names = {
            "OWNER/fromscratch": OURS.repository,
            "refs/tags/v1.2.3": OURS.ref,
            "curl-mini-8.22.0-linux-amd64": PLAIN,
        }
        for shape, name in names.items():
            assert any(shape in word for word in words)
            words = [word.replace(shape, name) for word in words]
        return words

    @pytest.mark.parametrize("kind", ["github", "identity"])
    def test_its_lines_verify_and_refuse(self, released: Released, home: Path, kind: str) -> None:
        words = self.line(kind)
        assert "--offline" in words
        done = self.run(words, home)
        assert done.returncode == 0, done.stderr
        assert f"OK: {PLAIN}" in done.stderr
        (home / PLAIN).write_bytes(released.file.read_bytes() + b"\n")
        refused = self.run(words, home)
        assert refused.returncode == 1
        assert "no subject for digest" in " ".join(refused.stderr.split())

    @pytest.mark.parametrize(
        "other",
        [
            replace(OURS, repository="example/fork"),
            replace(OURS, path=".github/workflows/test.yml"),
            replace(OURS, ref="refs/tags/v1.2.2"),
        ],
        ids=["repository", "workflow", "tag"],
    )
    @pytest.mark.parametrize("kind", ["github", "identity"])
    def test_its_lines_refuse_another_signer(
        self, released: Released, home: Path, kind: str, other: Workflow
    ) -> None:
        self.downloaded(home, released.sigstore.attest(released.statement, other))
        refused = self.run(self.line(kind), home)
        assert refused.returncode == 1, refused.stderr
        assert "not match" in " ".join(refused.stderr.split())

    def test_bytes_of_two_releases_have_a_bundle_of_each(
        self, released: Released, home: Path
    ) -> None:
        older = released.sigstore.attest(released.statement, replace(OURS, ref="refs/tags/v1.2.2"))
        self.downloaded(home, older, released.bundle)
        words = self.line("github")
        assert self.run(words, home).returncode == 1
        words[words.index("bundle.aa")] = "bundle.ab"
        assert self.run(words, home).returncode == 0

    def test_without_our_trust_it_is_sigstore_s_own_that_counts(self, home: Path) -> None:
        """No network is needed for that, either: the client brings what it trusts along."""
        refused = self.run(self.line("identity"), home, trust=False)
        assert refused.returncode == 1
        assert "certificate chain was not valid" in " ".join(refused.stderr.split())

    def test_gh_is_asked_for_the_same(self) -> None:
        """There is no GitHub here to ask: its manual's flags, and the same names as in the other lines."""
        verify_lines = shown("gh attestation verify")
        assert verify_lines
        for words in verify_lines:
            flags = {word for word in words if word.startswith("--")}
            assert {"--repo", "--signer-workflow", "--source-ref"} <= flags <= GH
            workflow = words[words.index("--signer-workflow") + 1]
            assert f"https://github.com/{workflow}@refs/tags/v1.2.3" in self.identity()
            assert words[words.index("--source-ref") + 1] == "refs/tags/v1.2.3"

    def identity(self) -> str:
        (words,) = shown("python -m sigstore verify identity")
        return words[words.index("--cert-identity") + 1]


GH = {
    "--bundle",
    "--custom-trusted-root",
    "--deny-self-hosted-runners",
    "--repo",
    "--signer-workflow",
    "--source-ref",
}
"""What we use of https://cli.github.com/manual/gh_attestation_verify."""
