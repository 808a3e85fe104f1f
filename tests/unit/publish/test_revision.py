"""Which state of the project made a release: git's word, the files' own, and never more than is known."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import PublishError
from publish.trust.components import Wheel
from publish.trust.provenance import BuildPlatform, Hosting, statement_of_file
from publish.trust.revision import Revision, tree_digest
from tests.fakes import small_world
from tests.unit.publish.releases import Bench

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(directory: Path, *words: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    identity = ["-c", "user.name=n", "-c", "user.email=e@invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, "-C", str(directory), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a commit of its own."""
    directory = tmp_path / "project"
    for name in ("recipes/curl/build.sh", "recipes/curl/recipe.toml", "core/errors.py", "README"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"# {name}\n")
    (directory / ".gitignore").write_text("/artifacts/*\n*.secret\n__pycache__/\n")
    git(tmp_path, "init", "-q", "project")
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", "first")
    return directory


def test_a_clean_tree_is_its_commit(project: Path) -> None:
    (project / "artifacts").mkdir()
    (project / "artifacts" / "file").write_text("what was built is no change")
    (project / "core" / "__pycache__").mkdir()
    (project / "core" / "__pycache__" / "errors.pyc").write_text("nor is bytecode")
    (project / "release").mkdir()
    (project / "release" / "SHA256SUMS").write_text("nor is what was published into the tree")
    found = Revision.of(project)
    assert found.commit == git(project, "rev-parse", "HEAD")
    assert not found.dirty
    found.require_clean()


def edit(project: Path) -> None:
    (project / "recipes/curl/build.sh").write_text("# another\n")


def add(project: Path) -> None:
    (project / "recipes/curl/more.sh").write_text("# more\n")


def add_what_git_ignores(project: Path) -> None:
    (project / "recipes/curl/patch.secret").write_text("# more\n")


def add_what_this_clone_ignores(project: Path) -> None:
    (project / ".git/info/exclude").write_text("*.patch\n")
    (project / "recipes/curl/evil.patch").write_text("# more\n")


def remove(project: Path) -> None:
    (project / "README").unlink()


def make_executable(project: Path) -> None:
    (project / "recipes/curl/build.sh").chmod(0o755)


def stage(project: Path) -> None:
    edit(project)
    git(project, "add", "-A")


def stage_and_undo(project: Path) -> None:
    """The index is not the commit, and the tree is: nothing that is read has changed; then another file."""
    stage(project)
    (project / "recipes/curl/build.sh").write_text("# recipes/curl/build.sh\n")
    (project / "core/errors.py").write_text("x\n")


def overlook(project: Path) -> None:
    git(project, "update-index", "--assume-unchanged", "recipes/curl/build.sh")
    edit(project)


def leave_out(project: Path) -> None:
    git(project, "update-index", "--skip-worktree", "recipes/curl/build.sh")
    edit(project)


def change_in_the_same_second_and_size(project: Path) -> None:
    path = project / "recipes/curl/build.sh"
    before = path.stat()
    path.write_text(path.read_text().replace("curl", "evil"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = [
    (edit, "recipes/curl/build.sh"),
    (add, "recipes/curl/more.sh"),
    (add_what_git_ignores, "recipes/curl/patch.secret"),
    (add_what_this_clone_ignores, "recipes/curl/evil.patch"),
    (remove, "README"),
    (make_executable, "recipes/curl/build.sh"),
    (stage, "recipes/curl/build.sh"),
    (stage_and_undo, "core/errors.py"),
    (overlook, "recipes/curl/build.sh"),
    (leave_out, "recipes/curl/build.sh"),
    (change_in_the_same_second_and_size, "recipes/curl/build.sh"),
]


@pytest.mark.parametrize(("change", "name"), CHANGES, ids=[one.__name__ for one, _ in CHANGES])
def test_whatever_is_not_in_the_commit_makes_a_tree_dirty(
    project: Path, change: Callable[[Path], None], name: str
) -> None:
    change(project)
    found = Revision.of(project)
    assert found.changed == (name,)
    with pytest.raises(PublishError, match="is not the commit") as refused:
        found.require_clean()
    assert name in str(refused.value)
    assert "--allow-dirty" in refused.value.next
    assert refused.value.code == 7


def test_variables_of_a_hook_lead_nowhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    edit(project)
    assert Revision.of(project).dirty


def test_a_tarball_names_no_commit_even_inside_of_another_s_checkout(project: Path) -> None:
    inner = project / "vendor" / "fromscratch"
    inner.mkdir(parents=True)
    (inner / "core").mkdir()
    (inner / "core" / "errors.py").write_text("x")
    found = Revision.of(inner)
    assert (found.commit, found.dirty) == ("", False)


def test_what_git_cannot_say_is_an_error(project: Path) -> None:
    shutil.rmtree(project / ".git" / "objects")
    with pytest.raises(PublishError, match="git cannot say what this tree is"):
        Revision.of(project)
    shutil.rmtree(project / ".git")
    (project / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(PublishError, match="git cannot say what this tree is"):
        Revision.of(project)


def test_a_clone_a_shallow_one_and_a_tarball_have_one_tree(project: Path, tmp_path: Path) -> None:
    (project / "README").write_text("second\n")
    git(project, "commit", "-q", "-a", "-m", "second")
    git(tmp_path, "clone", "-q", str(project), "full")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{project}", "shallow")
    (tmp_path / "tarball").mkdir()
    git(project, "archive", "--format=tar", "-o", str(tmp_path / "it.tar"), "HEAD")
    shutil.unpack_archive(tmp_path / "it.tar", tmp_path / "tarball", filter="data")
    found = [Revision.of(tmp_path / name) for name in ("full", "shallow", "tarball")]
    assert {one.tree for one in found} == {Revision.of(project).tree}
    commit = git(project, "rev-parse", "HEAD")
    assert [one.commit for one in found] == [commit, commit, ""]


def test_a_tree_s_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("x")
    first = tree_digest(tmp_path, ["a"])
    (tmp_path / "a" / "b").write_text("y")
    second = tree_digest(tmp_path, ["a"])
    (tmp_path / "a" / "b").rename(tmp_path / "a" / "c")
    assert len({first, second, tree_digest(tmp_path, ["a"])}) == 3


def test_recipes_from_elsewhere_are_named(tmp_path: Path, project: Path) -> None:
    world = small_world(tmp_path / "world")
    found = Revision.of(project, world.load()).elsewhere
    assert set(found) == {"musl", "tls", "data", "upx", "hello"}
    with (world.recipes / "tls" / "build.sh").open("a") as script:
        script.write("# more\n")
    again = Revision.of(project, world.load()).elsewhere
    assert [name for name in found if found[name] != again[name]] == ["tls"]


class TestProvenance:
    """What a statement says of it."""

    @staticmethod
    def said(bench: Bench, revision: Revision, **more: object) -> dict[str, object]:
        import json  # noqa: PLC0415

        (file, *_) = bench.files()
        wheels = (
            Wheel(name="compiler", version="7.1", sha256=("a" * 64, "b" * 64)),
            Wheel(name="ninja", version="1.0", sha256=("c" * 64,)),
        )
        builder = BuildPlatform(
            toolchain="d" * 64,
            wheels=wheels,
            installed={"compiler": "1" * 64, "ninja": "2" * 64},
            revision=revision,
            **more,  # type: ignore[arg-type]
        )
        statement = json.loads(statement_of_file(file, builder, {}))
        definition: dict[str, object] = statement["predicate"]["buildDefinition"]
        return definition

    @staticmethod
    def dependency(definition: dict[str, object], name: str) -> dict[str, object]:
        found = definition["resolvedDependencies"]
        assert isinstance(found, list)
        (one,) = [entry for entry in found if entry["name"] == name]
        assert isinstance(one, dict)
        return one

    def test_a_clean_commit_is_resolved(self, tmp_path: Path) -> None:
        said = self.said(Bench.make(tmp_path), Revision(commit="e" * 40, tree="f" * 64))
        digest = {"gitCommit": "e" * 40, "fromscratchTree": "f" * 64}
        assert self.dependency(said, "fromscratch")["digest"] == digest

    def test_a_dirty_tree_is_marked_and_not_taken_for_its_commit(self, tmp_path: Path) -> None:
        revision = Revision(commit="e" * 40, tree="f" * 64, changed=("core/x.py",))
        said = self.said(Bench.make(tmp_path), revision)
        assert self.dependency(said, "fromscratch")["digest"] == {"fromscratchTree": "f" * 64}
        internal = said["internalParameters"]
        assert isinstance(internal, dict)
        assert internal["changedSinceCommit"] == ["core/x.py"]
        assert "e" * 40 not in str(said)

    def test_what_is_claimed_is_said_to_be(self, tmp_path: Path) -> None:
        revision = Revision(commit="e" * 40, tree="f" * 64, claimed="cafe")
        said = self.said(Bench.make(tmp_path), revision)
        external = said["externalParameters"]
        assert isinstance(external, dict)
        assert external["claimedRevision"] == "cafe"
        assert "cafe" not in str(said["resolvedDependencies"])
        assert self.dependency(said, "fromscratch")["digest"] == {
            "gitCommit": "e" * 40,
            "fromscratchTree": "f" * 64,
        }

    def test_every_wheel_has_a_digest(self, tmp_path: Path) -> None:
        said = self.said(Bench.make(tmp_path), Revision(tree="f" * 64))
        assert self.dependency(said, "compiler")["digest"] == {"fromscratchRecord": "1" * 64}
        digest = {"fromscratchRecord": "2" * 64, "sha256": "c" * 64}
        assert self.dependency(said, "ninja")["digest"] == digest

    def test_the_machine_is_hosted_only_where_the_service_says_so(self, tmp_path: Path) -> None:
        named = {"GITHUB_ACTIONS": "true", "RUNNER_ENVIRONMENT": "self-hosted"}
        assert Hosting.of({}) is Hosting.of(named) is Hosting.LOCAL
        assert Hosting.of({**named, "RUNNER_ENVIRONMENT": "github-hosted"}) is Hosting.HOSTED
        for hosting in Hosting:
            said = self.said(Bench.make(tmp_path / hosting), Revision(tree=""), hosting=hosting)
            internal = said["internalParameters"]
            assert isinstance(internal, dict)
            assert internal["hosting"] == hosting.value
