"""./inv bump for real: against an upstream on the loopback interface, against apt with a repository of our own, and
against Debian itself with pins that were turned back."""

import hashlib
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from pysequoia import SignatureMode, sign

from builders.sources.apt import Apt
from builders.sources.cache import Cache
from builders.sources.client import MirrorError
from builders.sources.fetch import fetch
from builders.sources.mirrors import Mirrors
from builders.sources.signature import BadSignatureError, check_signature
from recipes.load import load_recipe
from recipes.model import Source
from tests.built import Built
from tests.integration.command import ROOT, Done, Inv
from tests.keys import Signer
from tests.upstream import Upstream, archive_of

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream.serving(tmp_path) as server:
        yield server


@pytest.fixture
def bump(tmp_path: Path, upstream: Upstream) -> Inv:
    """The command with one recipe to move, and no Debian."""
    return (
        Inv(directory=tmp_path, settings={"cache": str(tmp_path / "cache")})
        .set(recipes=upstream.recipes, debian_mirror=NOWHERE)
        .environ(NO_PROXY="*")
    )


def moved(done: Done) -> dict[str, str]:
    rows = json.loads(done.stdout)["recipes"]
    return {row["recipe"]: row["to"] for row in rows if row["state"] == "moved"}


def test_a_pin_moves_and_the_next_build_has_its_source(bump: Inv, upstream: Upstream) -> None:
    data = upstream.release("1.1")
    checked = bump("bump", "tool", "--check")
    assert checked.code == 1
    assert "would move" in checked.stdout
    assert load_recipe(upstream.recipe).releases[0].version == "1.0"

    done = bump("bump", "tool", "--json")
    assert (done.code, moved(done)) == (0, {"tool": "1.1"})
    release = load_recipe(upstream.recipe).releases[0]
    assert release.archive.sha256 == hashlib.sha256(data).hexdigest()
    upstream.files.clear()
    got = fetch(release.archive, Cache(bump.directory / "cache"), Mirrors(), offline=True)
    assert got.path.read_bytes() == data

    upstream.release("1.1")
    again = bump("bump", "tool", "--check")
    assert (again.code, "newest" in again.stdout) == (0, True)


def test_a_bad_signature_ends_with_4_and_writes_nothing(bump: Inv, upstream: Upstream) -> None:
    upstream.release("1.1", signature=Signer.new("mallory").sign(archive_of("1.1")))
    before = upstream.recipe.read_bytes()
    done = bump("bump", "tool")
    assert done.code == 4
    assert "The signature of tool 1.1 is not good" in done.stderr
    assert "nothing was written" in done.stderr
    assert upstream.recipe.read_bytes() == before
    assert sorted(path.name for path in upstream.recipe.parent.iterdir()) == [
        "build.sh",
        "recipe.toml",
        "upstream.asc",
    ]


def test_nobody_to_ask_ends_with_4(bump: Inv, upstream: Upstream) -> None:
    upstream.files.clear()
    done = bump("bump", "tool")
    assert done.code == 4
    assert "not seen" in done.stdout
    assert "could not look at Debian's index" in done.stdout


def test_wrong_words_end_with_2(bump: Inv) -> None:
    assert bump("bump", "tol").code == 2
    assert bump.set(offline="1")("bump", "tool").code == 2


# --- apt ---


class Repository:
    """A Debian archive with one source package, signed by a key of ours."""

    def __init__(self, directory: Path, upstream: Upstream) -> None:
        self.directory = directory
        self.signer = Signer.new("archive")
        self.keyring = directory / "archive.pgp"
        self.directory.mkdir()
        self.keyring.write_bytes(bytes(self.signer.certificate))
        data = upstream.package("1.1")
        shutil.copytree(upstream.pool / "pool", directory / "pool")
        signature = upstream.packaged["1.1"].signature
        assert signature
        self.sources = (
            "Package: tool\nBinary: tool\nVersion: 1.1-3\nMaintainer: x <x@tests.invalid>\n"
            "Architecture: any\nFormat: 3.0 (quilt)\nDirectory: pool/main/t/tool\nChecksums-Sha256:\n"
            f" {hashlib.sha256(data).hexdigest()} {len(data)} tool_1.1.orig.tar.gz\n"
            f" {signature.sha256} {signature.size} tool_1.1.orig.tar.gz.asc\n"
            f" {'0' * 64} 10 tool_1.1-3.dsc\n"
        )
        self.publish()

    @property
    def base(self) -> str:
        return f"file://{self.directory}"

    @property
    def index(self) -> Path:
        return self.directory / "dists/unstable/main/source/Sources"

    def publish(self, signer: Signer | None = None, suite: str = "unstable") -> None:
        index = self.directory / f"dists/{suite}/main/source/Sources"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text(self.sources)
        data = index.read_bytes()
        release = (
            f"Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: sid\nComponents: main\n"
            f"Date: {format_datetime(datetime.now(UTC), usegmt=True)}\nArchitectures: amd64\nSHA256:\n"
            f" {hashlib.sha256(data).hexdigest()} {len(data)} main/source/Sources\n"
        )
        key = (signer or self.signer).key.signer()
        signed = sign(key, release.encode(), mode=SignatureMode.CLEAR)
        (self.directory / f"dists/{suite}/InRelease").write_bytes(bytes(signed))


@pytest.fixture
def repository(tmp_path: Path, upstream: Upstream) -> Repository:
    return Repository(tmp_path / "archive", upstream)


def asked(repository: Repository, *bases: str) -> Apt:
    apt = Apt(
        directory=repository.directory / "apt",
        bases=lambda: bases or (repository.base,),
        keyring=repository.keyring,
    )
    shutil.rmtree(apt.directory, ignore_errors=True)
    return apt


def test_apt_reads_a_signed_index(repository: Repository, upstream: Upstream) -> None:
    found = asked(repository).releases("tool")
    assert found == upstream.packaged
    assert asked(repository, NOWHERE, repository.base).releases("tool") == found


def test_apt_reads_other_suites_beside_it(repository: Repository, upstream: Upstream) -> None:
    repository.publish(suite="testing")
    apt = asked(repository)
    assert apt.releases("tool") == apt.releases("tool", "testing") == upstream.packaged
    with pytest.raises(MirrorError):
        apt.releases("tool", "experimental")
    shutil.rmtree(repository.directory / "dists")
    # Neither list made the other one go, and each is fetched once.
    assert apt.releases("tool") == apt.releases("tool", "testing") == upstream.packaged


def test_apt_does_not_know_every_package(repository: Repository) -> None:
    assert asked(repository).releases("curl") == {}


def test_a_changed_index_is_refused(repository: Repository) -> None:
    repository.index.write_text(repository.sources.replace("1.1", "1.2"))
    with pytest.raises(MirrorError):
        asked(repository).releases("tool")


def test_an_index_signed_by_somebody_else_is_refused(repository: Repository) -> None:
    repository.publish(Signer.new("mallory"))
    with pytest.raises(MirrorError, match="sign"):
        asked(repository).releases("tool")


def test_an_unsigned_index_is_refused(repository: Repository) -> None:
    signed = repository.directory / "dists/unstable/InRelease"
    text = signed.read_text().partition("\n\n")[2].partition("-----BEGIN")[0]
    signed.with_name("Release").write_text(text)
    signed.unlink()
    with pytest.raises(MirrorError):
        asked(repository).releases("tool")


def test_this_machines_apt_is_left_as_it_is(repository: Repository) -> None:
    def targets() -> str:
        words = ["apt-get", "indextargets", "--format", "$(SITE) $(FILENAME)"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    before = targets()
    asked(repository).releases("tool")
    assert targets() == before


# --- Debian itself ---


def turned_back(project: Path, *names: str) -> dict[str, dict[str, object]]:
    """Take the newest release out of recipes; return what was taken."""
    taken = {}
    for name in names:
        path = project / "recipes" / name / "recipe.toml"
        text = path.read_text("utf-8")
        first = text.index("[[releases]]")
        second = text.index("[[releases]]", first + 1)
        taken[name] = tomllib.loads(text[first:second])["releases"][0]
        path.write_text(text[:first] + text[second:], "utf-8")
    return taken


def test_debian_and_the_package_index_bring_back_what_was_pinned(
    spoilt: Inv, project: Path
) -> None:
    taken = turned_back(project, "curl", "cacert")
    inv = spoilt.set(offline="", mirrors="")
    done = inv("bump", "curl", "cacert", "--json")
    assert done.code == 0, done.stderr
    assert set(moved(done)) == set(taken)
    for name, release in taken.items():
        now = load_recipe(project / "recipes" / name / "recipe.toml").releases
        if now[0].version == release["version"]:
            text = (project / "recipes" / name / "recipe.toml").read_text("utf-8")
            assert tomllib.loads(text)["releases"][0] == release
        assert len(now) == 2
    built = inv("list", "--json")
    assert built.code == 0


def test_a_key_that_vouches_for_itself_with_sha1_is_judged_by_gpgv(
    built: Built, tmp_path: Path
) -> None:
    """musl's: Sequoia does not accept it. Signature and archive are Debian's copies of upstream's."""
    recipe = load_recipe(ROOT / "recipes" / "musl" / "recipe.toml")
    release = recipe.release("1.2.5")
    assert release
    assert release.signature
    cache = Cache(Path(built.settings.get("cache", tmp_path / "cache")))
    mirrors = Mirrors.from_environment({})
    archive = fetch(release.archive, cache, mirrors).path
    signature = Source(
        name="musl",
        version="1.2.5",
        filename="musl-1.2.5.tar.gz.asc",
        urls=(),
        debian=f"{release.archive.debian}.asc",
        size=490,
        sha256="d9030116fd03e4acfa0b665a13a5de46110296b4e30bb8e67be1f08af29f6306",
    )
    data = fetch(signature, cache, mirrors).path.read_bytes()
    key = release.signature.key
    made = check_signature(archive, data, recipe.certificates, key, subject="musl 1.2.5")
    assert made.date() == release.date
    other = tmp_path / "other"
    other.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(BadSignatureError, match=r"gpgv says .*BADSIG"):
        check_signature(other, data, recipe.certificates, key, subject="musl 1.2.5")
    wrong = "0" * 40
    with pytest.raises(MirrorError, match="does not hold the key"):
        check_signature(archive, data, recipe.certificates, wrong, subject="musl 1.2.5")
