"""A release passes its check wherever it lies: flat, one file of it alone, with modes lost, signed by several keys."""

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from core.signing import PublicKey, SecretKey
from publish.check.directory import check_release
from publish.check.findings import CheckResult
from publish.release.sums import cosignature_name, flat_name, is_below, read_sums
from publish.release.write import write_release
from publish.trust.comment import Comment, Wanted, is_version, write_comment
from tests.fakes import below
from tests.unit.publish.releases import Bench, unpacking, whats

PLAIN, PACKED = "hello-secure-2.0-linux-amd64", "hello-secure-2.0-linux-amd64.upx"
TAR = "static-hello-2.0-linux-amd64.tar"
LIST = ("SHA256SUMS", "SHA256SUMS.minisig", "SHA256SUMS.sig")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A flat release, made once."""
    bench = Bench.make(tmp_path_factory.mktemp("flat"))
    write(bench, bench.directory / "flat", flat=True)
    return bench


@pytest.fixture
def flat(made: Bench) -> Path:
    """A copy of it that a test may spoil, as it comes by single downloads."""
    shutil.rmtree(made.release, ignore_errors=True)
    made.release.mkdir()
    for path in (made.directory / "flat").iterdir():
        shutil.copyfile(path, made.release / path.name)
        (made.release / path.name).chmod(0o644)
    return made.release


def write(bench: Bench, directory: Path, *, flat: bool) -> None:
    write_release(
        directory,
        bench.files(),
        images=(bench.image(),),
        reader=bench.reader,
        archive=bench.archive,
        builder=bench.builder,
        key=bench.key,
        flat=flat,
    )


def public(bench: Bench) -> PublicKey:
    assert bench.key
    return bench.key.public


def check(
    bench: Bench,
    directory: Path,
    *only: str,
    further: tuple[PublicKey, ...] = (),
    keys: int = 1,
    wanted: Wanted | None = None,
) -> CheckResult:
    return check_release(
        directory,
        public_key=public(bench),
        further_keys=further,
        keys=keys,
        only=only,
        wanted=wanted or Wanted(),
        judge=unpacking,
    )


class TestFlat:
    def test_no_directories_and_all_of_it_in_the_list(self, made: Bench, flat: Path) -> None:
        names = {path.name for path in flat.iterdir()}
        assert all(path.is_file() for path in flat.iterdir())
        assert {
            PLAIN,
            PACKED,
            TAR,
            "LICENSES--musl-1.0--COPYING",
            "sources--data-1.0.tar.gz",
        } <= names
        assert set(read_sums((flat / "SHA256SUMS").read_bytes())) == names - set(LIST)
        done = check(made, flat)
        assert done, done.text()
        assert done.pinned

    def test_it_holds_what_the_other_form_holds(self, made: Bench, tmp_path: Path) -> None:
        write(made, tmp_path / "deep", flat=False)
        deep = below(tmp_path / "deep")
        flat = below(made.directory / "flat")
        for name in set(deep) - set(LIST):
            assert flat[flat_name(name)] == deep[name]
        assert len(flat) == len(deep)

    def test_one_form_takes_the_place_of_the_other(self, made: Bench, tmp_path: Path) -> None:
        write(made, tmp_path / "it", flat=False)
        write(made, tmp_path / "it", flat=True)
        assert below(tmp_path / "it") == below(made.directory / "flat")
        assert not [path for path in (tmp_path / "it").iterdir() if path.is_dir()]
        write(made, tmp_path / "it", flat=False)
        assert check(made, tmp_path / "it")

    def test_coreutils_agree(self, made: Bench, flat: Path, tmp_path: Path) -> None:
        words = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        assert subprocess.run(words, cwd=flat, check=False).returncode == 0
        for name in ("SHA256SUMS", PLAIN):
            shutil.copyfile(flat / name, tmp_path / name)
        words.insert(1, "--ignore-missing")
        assert subprocess.run(words, cwd=tmp_path, check=False).returncode == 0
        public(made).verify(
            (flat / "SHA256SUMS").read_bytes(), (flat / "SHA256SUMS.minisig").read_text()
        )

    @pytest.mark.parametrize("name", ["LICENSES--musl-1.0--COPYING", "sources--data-1.0.tar.gz"])
    def test_what_is_missing_is_missed(self, made: Bench, flat: Path, name: str) -> None:
        (flat / name).unlink()
        assert f"{name}: is in SHA256SUMS, and is missing" in whats(check(made, flat))

    def test_a_licence_that_was_never_there_is_missed(self, made: Bench, flat: Path) -> None:
        (flat / "LICENSES--musl-1.0--COPYING").unlink()
        said = whats(check(made, flat))
        assert f"LICENSES/musl-1.0/: is missing: {PLAIN} has musl in it" in said

    def test_every_flipped_byte_is_found(self, made: Bench, flat: Path) -> None:
        for path in sorted(flat.iterdir()):
            whole = path.read_bytes()
            spoilt = bytearray(whole)
            spoilt[len(spoilt) // 2] ^= 1
            path.write_bytes(spoilt)
            assert path.name in whats(check(made, flat)), path.name
            path.write_bytes(whole)
        assert check(made, flat)

    def test_names_are_those_that_services_keep(self) -> None:
        assert flat_name("LICENSES/a-1.0/Licence (MIT).txt") == "LICENSES--a-1.0--Licence__MIT_.txt"
        assert flat_name(".hidden.") == "hidden"
        assert is_below("LICENSES--a-1.0--COPYING", "LICENSES/a-1.0")
        assert is_below("LICENSES/a-1.0/COPYING", "LICENSES/a-1.0")
        assert not is_below("LICENSES--a-1.01--COPYING", "LICENSES/a-1.0")


class TestOneFileAlone:
    def alone(self, flat: Path, directory: Path, *names: str) -> Path:
        for name in (*LIST, *names):
            shutil.copyfile(flat / name, directory / name)
        return directory

    @pytest.mark.parametrize("name", [PLAIN, PACKED, TAR, "LICENSES--musl-1.0--COPYING"])
    def test_with_the_list_and_its_signature(
        self, made: Bench, flat: Path, tmp_path: Path, name: str
    ) -> None:
        done = check(made, self.alone(flat, tmp_path, name), name)
        assert done, done.text()
        assert set(done.files) == {*LIST, name}
        assert any("what it was made of is not checked" in note for note in done.notes)

    def test_with_what_is_said_about_it(self, made: Bench, flat: Path, tmp_path: Path) -> None:
        extra = ("provenance.intoto.jsonl", f"{PLAIN}.cdx.json")
        done = check(made, self.alone(flat, tmp_path, PLAIN, *extra), PLAIN)
        assert done, done.text()
        assert not any("not checked" in note for note in done.notes)
        spoilt = (tmp_path / extra[1]).read_bytes().replace(b"hello", b"hullo", 1)
        (tmp_path / extra[1]).write_bytes(spoilt)
        assert f"{extra[1]}: was changed" in whats(check(made, tmp_path, PLAIN))

    def test_out_of_a_directory_with_other_things(self, made: Bench, flat: Path) -> None:
        (flat / "thesis.txt").write_text("mine")
        (flat / PACKED).unlink()
        assert check(made, flat, PLAIN)
        assert not check(made, flat)

    def test_what_is_wrong_is_found(self, made: Bench, flat: Path, tmp_path: Path) -> None:
        directory = self.alone(flat, tmp_path, PLAIN)
        assert "is in SHA256SUMS, and is missing" in whats(check(made, directory, PACKED))
        (directory / "other").write_text("x")
        assert "other: is not in SHA256SUMS" in whats(check(made, directory, "other"))
        assert "nowhere: is not in SHA256SUMS" in whats(check(made, directory, "nowhere"))
        (directory / PLAIN).write_bytes((flat / PACKED).read_bytes())
        said = whats(check(made, directory, PLAIN))
        assert f"{PLAIN}: was changed" in said
        assert f"{PLAIN}: is packed or not, and its name says otherwise" in said
        (directory / PLAIN).unlink()
        (directory / PLAIN).symlink_to(flat / PLAIN)
        assert f"{PLAIN}: is a symbolic link" in whats(check(made, directory, PLAIN))

    def test_without_a_signature(self, made: Bench, flat: Path, tmp_path: Path) -> None:
        directory = self.alone(flat, tmp_path, PLAIN)
        (directory / "SHA256SUMS.minisig").unlink()
        assert "SHA256SUMS.minisig: is missing" in whats(check(made, directory, PLAIN))


class TestModesAndFolders:
    def test_an_empty_folder_is_noticed(self, made: Bench, flat: Path) -> None:
        (flat / "empty" / "inner").mkdir(parents=True)
        assert "empty/inner: is an empty directory" in whats(check(made, flat))

    def test_lost_modes_are_noted_and_no_fault(self, made: Bench, flat: Path) -> None:
        done = check(made, flat)
        assert done
        (note,) = [note for note in done.notes if "modes" in note]
        assert f"{PLAIN} has 0644, and 1 more" in note
        for name in (PLAIN, PACKED):
            (flat / name).chmod(0o755)
        assert check(made, flat).notes == ()
        (flat / "SHA256SUMS").chmod(0o777)
        assert "SHA256SUMS has 0777" in check(made, flat).notes[0]

    @pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1755])
    def test_what_would_run_as_another_is_a_fault(self, made: Bench, flat: Path, mode: int) -> None:
        (flat / PLAIN).chmod(mode)
        said = whats(check(made, flat))
        assert f"{PLAIN}: has mode {mode:04o}: it would run as another user" in said


class TestSeveralKeys:
    def cosign(self, made: Bench, flat: Path, key: SecretKey, *, comment: str = "") -> Path:
        data = (flat / "SHA256SUMS").read_bytes()
        text = comment or write_comment("file", "SHA256SUMS", data, epoch=0, version="x")
        path = flat / cosignature_name(key.public.name)
        path.write_bytes(key.sign(data, comment=text))
        path.chmod(0o644)
        return path

    def test_two_of_two(self, made: Bench, flat: Path) -> None:
        second = SecretKey.generate()
        said = whats(check(made, flat, further=(second.public,), keys=2))
        assert f"is signed by {public(made).name}; 2 of the keys asked for must sign it" in said
        self.cosign(made, flat, second)
        done = check(made, flat, further=(second.public,), keys=2)
        assert done, done.text()
        assert set(done.signers) == {public(made).name, second.public.name}
        assert check(made, flat, PLAIN, further=(second.public,), keys=2)

    def test_the_same_key_twice_is_one(self, made: Bench, flat: Path) -> None:
        assert made.key
        self.cosign(made, flat, made.key)
        said = whats(check(made, flat, further=(SecretKey.generate().public,), keys=2))
        assert "2 of the keys asked for must sign it" in said

    def test_a_stranger_s_is_noted_and_not_counted(self, made: Bench, flat: Path) -> None:
        stranger = SecretKey.generate()
        path = self.cosign(made, flat, stranger)
        done = check(made, flat)
        assert done
        assert f"{path.name} is of a key that nobody asked for" in done.notes
        assert "must sign it" in whats(
            check(made, flat, further=(SecretKey.generate().public,), keys=2)
        )

    def test_one_that_does_not_hold_is_a_fault(self, made: Bench, flat: Path) -> None:
        second = SecretKey.generate()
        for comment in (
            "file:OTHER",
            "file:SHA256SUMS\tproject:other",
            "file:SHA256SUMS\tsha256:0",
        ):
            path = self.cosign(made, flat, second, comment=comment)
            done = check(made, flat, further=(second.public,), keys=2)
            assert f"{path.name}: was made for" in whats(done)
        data = (flat / "SHA256SUMS").read_bytes()
        path = flat / cosignature_name(second.public.name)
        path.write_bytes(second.sign(data + b"\n", comment="file:SHA256SUMS"))
        done = check(made, flat, further=(second.public,), keys=2)
        assert f"{path.name}: The signature does not fit the file." in whats(done)

    def test_it_stays_for_as_long_as_the_list(self, made: Bench, tmp_path: Path) -> None:
        write(made, tmp_path / "it", flat=True)
        path = self.cosign(made, tmp_path / "it", SecretKey.generate())
        write(made, tmp_path / "it", flat=True)
        assert path.exists()
        write(made, tmp_path / "it", flat=False)
        assert not path.exists()


class TestVersionAndAge:
    def test_the_signature_says_what_it_is(self, made: Bench, flat: Path) -> None:
        done = check(made, flat)
        assert (done.about.version, done.about.date) == ("hello-2.0", "2026-01-02")
        assert "signed as hello-2.0, of 2026-01-02" in done.text()
        assert done.as_dict()["version"] == "hello-2.0"

    @pytest.mark.parametrize("version", ["2.0", "hello-2.0"])
    def test_what_is_expected(self, made: Bench, flat: Path, version: str) -> None:
        wanted = Wanted(version=version, since=date(2026, 1, 2))
        assert check(made, flat, wanted=wanted)
        assert check(made, flat, PLAIN, wanted=wanted)

    def test_another_version_and_an_old_one(self, made: Bench, flat: Path) -> None:
        said = whats(check(made, flat, wanted=Wanted(version="2.1", since=date(2026, 1, 3))))
        assert "version 2.1 was expected, and it is hello-2.0" in said
        assert "nothing older than 2026-01-03 was expected, and it is of 2026-01-02" in said

    def test_what_nobody_has_signed_for_is_not_known(self, made: Bench, flat: Path) -> None:
        (flat / "SHA256SUMS.minisig").unlink()
        (flat / "minisign.pub").unlink()
        done = check_release(flat, wanted=Wanted(version="2.0", since=date(2020, 1, 1)))
        assert "its signature names none" in whats(done)
        assert "its signature names no date" in whats(done)

    @pytest.mark.parametrize(
        ("wanted", "found", "same"),
        [
            ("8.21.0", "8.21.0-mini", True),
            ("8.21.0", "8.21.0-r1-mini", True),
            ("8.21.0-r1", "8.21.0-r1-mini", True),
            ("8.21.0-r2", "8.21.0-r1-mini", False),
            ("8.21.0", "curl-8.21.0-r2+probe-0.1.0", True),
            ("probe-0.1.0", "curl-8.21.0+probe-0.1.0", True),
            ("8.2", "8.21.0-mini", False),
            ("21.0", "curl-8.21.0", False),
            ("8.21.0", "", False),
        ],
    )
    def test_versions(self, wanted: str, found: str, same: bool) -> None:
        assert is_version(wanted, found) is same

    def test_a_comment_of_another_project(self) -> None:
        said = Comment.read(write_comment("file", "F", b"x", epoch=0, version="1"))
        assert said.names("file", "F")
        assert not said.names("image", "F")
        assert said.wrong(b"x") == ""
        assert "other bytes" in said.wrong(b"y")
        assert "another project: p" in Comment.read("file:F\tproject:p").wrong(b"x")
