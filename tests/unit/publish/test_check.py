"""A release is checked: every byte of it, by somebody who believes nothing that is in it."""

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import PublishError
from core.signing import PublicKey, SecretKey
from publish.check.directory import check_release
from publish.check.findings import CheckResult
from publish.check.image import check_image
from publish.oci.layout import Layout
from publish.release.image import attachments
from publish.trust.envelope import envelope, open_envelope
from tests.fakes import below
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.publish.releases import Bench, retar, unpacking, whats

PLAIN, PACKED = "hello-secure-2.0-linux-amd64", "hello-secure-2.0-linux-amd64.upx"
TAR = "static-hello-2.0-linux-amd64.tar"
NAMES = (
    "LICENSES/arithmetic-7.1/LICENSE",
    "LICENSES/data-1.0/TERMS",
    "LICENSES/hello-2.0/COPYING",
    "LICENSES/musl-1.0/COPYING",
    "LICENSES/tls-1.0/COPYING",
    "LICENSES/upx-1.0/COPYING",
    "SHA256SUMS",
    "SHA256SUMS.minisig",
    "SHA256SUMS.sig",
    "cosign.pub",
    PLAIN,
    f"{PLAIN}.cdx.json",
    f"{PLAIN}.spdx.json",
    PACKED,
    f"{PACKED}.cdx.json",
    f"{PACKED}.spdx.json",
    "minisign.pub",
    "provenance.intoto.jsonl",
    "sources/data-1.0.tar.gz",
    TAR,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench.make(tmp_path_factory.mktemp("bench"))
    bench.write(images=(bench.image(),))
    shutil.copytree(bench.release, bench.directory / "signed")
    key, bench.key = bench.key, None
    bench.write(images=(bench.image(),))
    shutil.copytree(bench.release, bench.directory / "unsigned")
    bench.key = key
    return bench


@pytest.fixture
def signed(made: Bench) -> Iterator[Bench]:
    """A signed release that a test may spoil."""
    yield from _fresh(made, "signed")


@pytest.fixture
def unsigned(made: Bench) -> Iterator[Bench]:
    """The same without a key."""
    yield from _fresh(made, "unsigned")


def _fresh(made: Bench, which: str) -> Iterator[Bench]:
    shutil.rmtree(made.release, ignore_errors=True)
    shutil.copytree(made.directory / which, made.release)
    yield made


def public(bench: Bench) -> PublicKey:
    assert bench.key
    return bench.key.public


def pinned(bench: Bench) -> CheckResult:
    return bench.check(public(bench))


class TestGood:
    def test_signed_and_pinned(self, signed: Bench) -> None:
        done = pinned(signed)
        assert done, done.text()
        assert done.files == NAMES
        assert (done.signer, done.pinned, done.notes) == (public(signed).name, True, ())
        assert done.text().endswith("release: ok, 20 files")
        assert done.as_dict()["ok"] is True

    def test_signed_by_the_key_beside_it(self, signed: Bench) -> None:
        done = signed.check()
        assert done
        assert (done.signer, done.pinned) == (public(signed).name, False)
        assert "came with the release" in done.notes[0]

    def test_unsigned(self, unsigned: Bench) -> None:
        done = unsigned.check()
        assert done
        assert (done.signer, done.pinned) == ("", False)
        assert "not signed" in done.notes[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_in_any_file(signed: Bench, name: str) -> None:
    path = signed.release / name
    whole = path.read_bytes()
    end = len(whole)
    for spot, bit in ((0, 1), (end // 2, 32), (end - 2, 1), (end - 1, 32)):
        spoilt = bytearray(whole)
        spoilt[spot] ^= bit
        path.write_bytes(spoilt)
        assert not signed.check(), f"{name}, byte {spot}"
    path.write_bytes(whole)
    path.write_bytes(whole + b"\n")
    assert not signed.check()
    path.write_bytes(whole[:-1])
    assert not signed.check()
    path.unlink()
    assert not signed.check(public(signed))
    path.write_bytes(whole)
    assert signed.check(), "with all of it back it is good again"


class TestSomebodyWithoutTheKey:
    def test_cannot_change_and_sum_again(self, signed: Bench) -> None:
        (signed.release / "LICENSES/tls-1.0/COPYING").write_text("do what you like\n")
        signed.sum_again()
        assert "does not fit" in whats(pinned(signed))
        assert "does not fit" in whats(signed.check())

    def test_cannot_take_the_signature_away(self, signed: Bench) -> None:
        (signed.release / "SHA256SUMS.minisig").unlink()
        assert "is missing" in whats(pinned(signed))
        assert "is missing" in whats(signed.check())
        (signed.release / "minisign.pub").unlink()
        signed.sum_again()
        assert "is missing" in whats(pinned(signed))
        assert "signed by an unknown key" in whats(signed.check())

    def test_cannot_sign_with_a_key_of_his_own(self, signed: Bench) -> None:
        theirs = SecretKey.generate()
        (signed.release / "minisign.pub").write_text(theirs.public.text)
        signed.sum_again()
        sums = (signed.release / "SHA256SUMS").read_bytes()
        signature = theirs.sign(sums, comment="file:SHA256SUMS")
        (signed.release / "SHA256SUMS.minisig").write_bytes(signature)
        said = whats(pinned(signed))
        assert "minisign.pub: is the key" in said
        assert "SHA256SUMS.minisig: The signature is of the key" in said
        assert "provenance.intoto.jsonl: line 1: The envelope is not signed" in whats(
            signed.check()
        )

    def test_cannot_put_another_key_or_signature_for_other_tools(self, signed: Bench) -> None:
        theirs = SecretKey.generate()
        sums = (signed.release / "SHA256SUMS").read_bytes()
        bare = base64.b64encode(theirs.crypto().sign(sums)) + b"\n"
        (signed.release / "SHA256SUMS.sig").write_bytes(bare)
        for said in (whats(pinned(signed)), whats(signed.check())):
            assert "SHA256SUMS.sig: does not fit SHA256SUMS, or is not of the key" in said
        (signed.release / "cosign.pub").write_text(theirs.public.pem)
        assert "cosign.pub: is not the key" in whats(signed.check())
        (signed.release / "minisign.pub").unlink()
        (signed.release / "SHA256SUMS.minisig").unlink()
        signed.sum_again()
        assert "SHA256SUMS.sig: is of a key that is not known" in whats(signed.check())

    def test_cannot_use_a_signature_of_something_else(self, signed: Bench) -> None:
        assert signed.key
        sums = (signed.release / "SHA256SUMS").read_bytes()
        signature = signed.key.sign(sums, comment="file:OTHER")
        (signed.release / "SHA256SUMS.minisig").write_bytes(signature)
        assert "made for another file" in whats(pinned(signed))

    def test_cannot_leave_envelopes_unsigned(self, signed: Bench, made: Bench) -> None:
        theirs = made.directory / "unsigned" / "provenance.intoto.jsonl"
        shutil.copyfile(theirs, signed.release / "provenance.intoto.jsonl")
        signed.sum_again()
        assert "line 1: The envelope is not signed" in whats(pinned(signed))

    def test_an_unsigned_release_is_not_what_was_asked_for(self, unsigned: Bench) -> None:
        assert "is missing: " in whats(unsigned.check(public(unsigned)))

    def test_a_key_without_a_signature_and_the_other_way_round(self, signed: Bench) -> None:
        (signed.release / "minisign.pub").unlink()
        signed.sum_again()
        assert "minisign.pub: is missing" in whats(signed.check())


class TestTheFilesThemselves:
    """In an unsigned release the sums can be made anew: the rest must still hold together."""

    def test_another_program(self, unsigned: Bench) -> None:
        (unsigned.release / PLAIN).write_bytes((DIRECTORY / "good-amd64").read_bytes() + b"x")
        unsigned.sum_again()
        said = whats(unsigned.check())
        assert f"{PLAIN}: is not the file that the provenance names" in said
        assert f"{PLAIN}: has no provenance" in said

    def test_a_program_that_nobody_speaks_of(self, unsigned: Bench) -> None:
        shutil.copyfile(unsigned.release / PLAIN, unsigned.release / "extra-1-linux-amd64")
        assert "extra-1-linux-amd64: is not in SHA256SUMS" in whats(unsigned.check())
        unsigned.sum_again()
        assert "extra-1-linux-amd64: has no provenance" in whats(unsigned.check())

    def test_a_program_that_is_gone(self, unsigned: Bench) -> None:
        (unsigned.release / PLAIN).unlink()
        unsigned.sum_again()
        said = whats(unsigned.check())
        assert f"names {PLAIN}, which is missing" in said
        assert f"{PLAIN}.cdx.json: describes a file that is not there" in said

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                lambda sbom: sbom["metadata"]["component"]["hashes"][0].update(content="0" * 64),
                "describes other bytes",
            ),
            (lambda sbom: sbom["metadata"].pop("component"), "describes other bytes"),
            (lambda sbom: sbom.update(extra=1), "not an SBOM"),
            (lambda sbom: sbom.update(specVersion=1), "not an SBOM"),
            (
                lambda sbom: sbom["components"].append(
                    {"type": "library", "name": "more", "version": "1"}
                ),
                "LICENSES/more-1/: is missing",
            ),
            (lambda sbom: sbom["components"].pop(), "is not the one that the provenance names"),
        ],
    )
    def test_another_bill(
        self, unsigned: Bench, change: Callable[[dict[str, Any]], object], said: str
    ) -> None:
        path = unsigned.release / f"{PLAIN}.cdx.json"
        sbom = json.loads(path.read_bytes())
        change(sbom)
        path.write_text(json.dumps(sbom))
        unsigned.sum_again()
        assert said in whats(unsigned.check())

    def test_no_bill(self, unsigned: Bench) -> None:
        (unsigned.release / f"{PLAIN}.cdx.json").unlink()
        unsigned.sum_again()
        assert f"{PLAIN}.cdx.json: is missing" in whats(unsigned.check())

    def test_no_licence(self, unsigned: Bench) -> None:
        shutil.rmtree(unsigned.release / "LICENSES" / "tls-1.0")
        unsigned.sum_again()
        assert "LICENSES/tls-1.0/: is missing" in whats(unsigned.check())

    def test_packed_files_are_refused_when_nobody_looks_inside(self, signed: Bench) -> None:
        done = check_release(signed.release, public_key=public(signed))
        assert {finding.path for finding in done.findings} == {PACKED}
        assert "packed-contents" in whats(done)

    @pytest.mark.parametrize(
        "lie", [{"product": "hello:plain"}, {"version": "2.1"}, {"version": "2.0-r1/x"}]
    )
    def test_a_file_that_is_another_product_or_version(
        self, unsigned: Bench, lie: dict[str, str]
    ) -> None:
        said = whats(resay(unsigned, PLAIN, **lie))
        assert f"{PLAIN}: is hello-" in said
        assert "by its provenance, but not by its name" in said

    def test_a_file_that_is_for_another_machine(self, unsigned: Bench) -> None:
        said = whats(resay(unsigned, PLAIN, target="linux/arm64"))
        assert "machine: " in said
        assert "is for linux/arm64 by its provenance, but not by its name" in said

    def test_packed_or_not(self, unsigned: Bench) -> None:
        said = whats(resay(unsigned, PLAIN, packed=True))
        assert f"{PLAIN}: is packed or not" in said


def resay(bench: Bench, name: str, **parameters: Any) -> CheckResult:
    """Change what the provenance says of a file."""
    path = bench.release / "provenance.intoto.jsonl"
    lines = []
    for line in path.read_bytes().splitlines(keepends=True):
        said = open_envelope(line, None).statement
        if said["subject"][0]["name"] == name:
            said["predicate"]["buildDefinition"]["externalParameters"].update(parameters)
        lines.append(envelope(json.dumps(said).encode(), None))
    path.write_bytes(b"".join(lines))
    bench.sum_again()
    return bench.check()


class TestProvenance:
    @pytest.mark.parametrize(
        "change",
        [
            lambda statement: statement.update(_type="other"),
            lambda statement: statement.update(predicateType="other"),
            lambda statement: statement.pop("predicate"),
            lambda statement: statement.update(predicate=[]),
            lambda statement: statement.update(subject={}),
            lambda statement: statement["subject"].append(statement["subject"][0]),
            lambda statement: statement["subject"][0]["digest"].update(sha256="0"),
            lambda statement: statement["subject"][0].update(name=1),
            lambda statement: statement["predicate"]["buildDefinition"].update(
                buildType="urn:other"
            ),
            lambda statement: statement["predicate"]["buildDefinition"].update(buildType=[]),
            lambda statement: statement["predicate"]["buildDefinition"].update(
                resolvedDependencies=[]
            ),
            lambda statement: statement["predicate"]["buildDefinition"][
                "externalParameters"
            ].update(target="x"),
            lambda statement: statement["predicate"]["buildDefinition"]["internalParameters"].pop(
                "files"
            ),
            lambda statement: statement["predicate"]["runDetails"].pop("builder"),
            lambda statement: statement["predicate"]["runDetails"].pop("byproducts"),
        ],
    )
    def test_that_lacks_something(
        self, unsigned: Bench, change: Callable[[dict[str, Any]], object]
    ) -> None:
        path = unsigned.release / "provenance.intoto.jsonl"
        first, *rest = path.read_bytes().splitlines(keepends=True)
        said = open_envelope(first, None).statement
        change(said)
        path.write_bytes(envelope(json.dumps(said).encode(), None) + b"".join(rest))
        unsigned.sum_again()
        assert "provenance.intoto.jsonl: line 1: The statement" in whats(unsigned.check())

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"{}",
            b"\xff",
            b'{"payload": 1, "payloadType": "x", "signatures": []}',
            b'{"payload": "!", "payloadType": "x", "signatures": []}',
            b'{"payload": "e30=", "payloadType": "x", "signatures": []}',
            b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[1]}',
            b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"","sig":"%"}]}',
            b'{"payload":"W10=","payloadType":"application/vnd.in-toto+json","signatures":[]}',
            b"[" * 100_000,
        ],
    )
    def test_that_is_none(self, unsigned: Bench, line: bytes) -> None:
        path = unsigned.release / "provenance.intoto.jsonl"
        path.write_bytes(path.read_bytes() + line + b"\n")
        unsigned.sum_again()
        assert "provenance.intoto.jsonl: line 4: " in whats(unsigned.check())

    def test_said_twice(self, unsigned: Bench) -> None:
        path = unsigned.release / "provenance.intoto.jsonl"
        path.write_bytes(path.read_bytes() * 2)
        unsigned.sum_again()
        assert f"{PLAIN}: has 2 provenance" in whats(unsigned.check())


class TestHostile:
    """A finding each, and never a traceback."""

    @pytest.mark.parametrize(
        "line",
        [
            b"0" * 64 + b"  ../../../etc/passwd\n",
            b"0" * 64 + b"  /etc/passwd\n",
            b"0" * 64 + b"  a/../../b\n",
            b"0" * 64 + b" *binary\n",
            b"\\" + b"0" * 64 + b"  a\n",
            b"A" * 64 + b"  a\n",
            b"0" * 64 + b"  \xff\n",
            b"0" * 64 + b"  a\r\n",
            b"0" * 64 + b"  zzz",
            b"\n",
            b"\0",
        ],
    )
    def test_lines_of_the_list(self, signed: Bench, line: bytes) -> None:
        path = signed.release / "SHA256SUMS"
        path.write_bytes(path.read_bytes() + line)
        assert "SHA256SUMS: SHA256SUMS" in whats(pinned(signed))

    def test_links(self, signed: Bench) -> None:
        for name in (
            PLAIN,
            "SHA256SUMS",
            "SHA256SUMS.minisig",
            "minisign.pub",
            f"{PLAIN}.cdx.json",
        ):
            outside = signed.directory / "outside" / name
            outside.parent.mkdir(exist_ok=True)
            shutil.move(signed.release / name, outside)
            (signed.release / name).symlink_to(outside)
            assert f"{name}: is a symbolic link" in whats(pinned(signed))
            (signed.release / name).unlink()
            shutil.move(outside, signed.release / name)

    def test_a_directory_of_links(self, signed: Bench) -> None:
        shutil.move(signed.release / "LICENSES", signed.directory / "licences")
        (signed.release / "LICENSES").symlink_to(signed.directory / "licences")
        said = whats(pinned(signed))
        assert "LICENSES: is a symbolic link" in said
        (signed.release / "loop").symlink_to(".")
        assert "loop: is a symbolic link" in whats(pinned(signed))
        shutil.rmtree(signed.directory / "licences")

    def test_pipes_and_sockets(self, signed: Bench) -> None:
        os.mkfifo(signed.release / "pipe")
        assert "pipe: is not a regular file" in whats(pinned(signed))

    @pytest.mark.parametrize(
        "name", ["a\nb", "a\x1b[2J", "back\\slash", b"\xff\xfe".decode("utf-8", "surrogateescape")]
    )
    def test_names(self, signed: Bench, name: str) -> None:
        (signed.release / name).write_bytes(b"x")
        done = pinned(signed)
        assert "has a name that no file of a release has" in whats(done)
        assert done.text().isascii()
        assert "\x1b" not in done.text()
        json.dumps(done.as_dict()).encode()

    def test_a_hole_of_a_terabyte(self, signed: Bench) -> None:
        for name in (f"{PLAIN}.cdx.json", "SHA256SUMS.minisig"):
            path = signed.release / name
            whole = path.read_bytes()
            with path.open("wb") as file:
                file.truncate(1 << 40)
            assert f"{name}: is larger than 2,147,483,648 bytes" in whats(pinned(signed))
            path.write_bytes(whole)
        with (signed.release / "SHA256SUMS").open("ab") as file:
            file.truncate(5 << 20)
        assert "SHA256SUMS: is larger than" in whats(pinned(signed))

    @pytest.mark.parametrize(
        "data", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"null", b'"a"', b"1"]
    )
    def test_an_sbom_that_is_none(self, unsigned: Bench, data: bytes) -> None:
        (unsigned.release / f"{PLAIN}.cdx.json").write_bytes(data)
        unsigned.sum_again()
        assert f"{PLAIN}.cdx.json: This is not " in whats(unsigned.check())

    @pytest.mark.parametrize("data", [b"", b"\xff", b"x\n" * 5000, b"untrusted comment: x\nAAAA\n"])
    def test_a_key_that_is_none(self, signed: Bench, data: bytes) -> None:
        (signed.release / "minisign.pub").write_bytes(data)
        assert "minisign.pub: " in whats(signed.check())
        (signed.release / "SHA256SUMS.minisig").write_bytes(data)
        assert "SHA256SUMS.minisig: " in whats(pinned(signed))

    def test_no_directory_an_empty_one_and_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        (tmp_path / "empty").mkdir()
        for name in ("nowhere", "file", "empty"):
            done = check_release(tmp_path / name)
            assert not done
            assert "SHA256SUMS: is missing" in whats(done)

    def test_nothing_was_written(self, signed: Bench) -> None:
        before = below(signed.release)
        pinned(signed)
        assert below(signed.release) == before


class TestArchives:
    """Their sums and their provenance made anew: what is inside must still fit."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"index.json": b"{}"}, "is not an image archive"),
            ({"index.json": None}, "is not an image archive"),
            ({"index.json": b'{"manifests": [{}]}'}, "is not an image archive"),
            ({"manifest.json": b'[{"Config": "x", "Layers": []}]'}, "another one for docker load"),
            ({"oci-layout": b"{}"}, "is not an OCI layout"),
            ({"extra": b"x"}, "extra does not belong in it"),
            ({"blobs/sha256/" + "0" * 64: b"x"}, "is not what it is called"),
        ],
    )
    def test_members(self, unsigned: Bench, change: dict[str, bytes | None], said: str) -> None:
        retar(unsigned.release / TAR, change)
        reclaim(unsigned)
        assert f"{TAR}: {said}" in whats(unsigned.check()) or said in whats(unsigned.check())

    @pytest.mark.parametrize("data", [b"", b"x" * 2000, b"\0" * 10240])
    def test_what_is_none(self, unsigned: Bench, data: bytes) -> None:
        (unsigned.release / TAR).write_bytes(data)
        reclaim(unsigned)
        assert "is not an image archive" in whats(unsigned.check())

    def test_cut_off(self, unsigned: Bench) -> None:
        whole = (unsigned.release / TAR).read_bytes()
        (unsigned.release / TAR).write_bytes(whole[: len(whole) // 2])
        reclaim(unsigned)
        assert f"{TAR}: " in whats(unsigned.check())

    def test_another_image(self, made: Bench, unsigned: Bench) -> None:
        evil = made.directory / "evil"
        evil.write_bytes((DIRECTORY / "good-amd64").read_bytes().replace(b"\0", b"\1", 1))
        shutil.copyfile(made.tar(made.contents(evil=evil).layout), unsigned.release / TAR)
        reclaim(unsigned)
        said = whats(unsigned.check())
        assert "which the provenance does not name" in said
        assert "/hello in it is not in the provenance" in said


def reclaim(bench: Bench) -> None:
    """Let the provenance speak of the archive as it is now."""
    from core.files import hash_file  # noqa: PLC0415

    path = bench.release / "provenance.intoto.jsonl"
    *lines, last = path.read_bytes().splitlines(keepends=True)
    said = open_envelope(last, None).statement
    for subject in said["subject"]:
        if subject["name"] == TAR:
            subject["digest"]["sha256"] = hash_file(bench.release / TAR)
    path.write_bytes(b"".join([*lines, envelope(json.dumps(said).encode(), None)]))
    bench.sum_again()


class TestImages:
    def test_good(self, made: Bench) -> None:
        contents = made.contents()
        attached = attachments(contents, builder=made.builder, key=made.key)
        done = check_image(contents.layout, attached, public_key=public(made), judge=unpacking)
        assert done, done.text()
        assert (done.signer, done.pinned, done.notes) == (public(made).name, True, ())
        assert [attachment.filename for attachment in attached] == [
            "static-hello-2.0-linux-amd64.cdx.json",
            "static-hello-2.0-linux-amd64.spdx.json",
            "static-hello-2.0.intoto.jsonl",
            "static-hello-2.0.minisig",
        ]
        assert attached == attachments(contents, builder=made.builder, key=made.key)

    def test_without_a_key_it_says_so(self, made: Bench) -> None:
        contents = made.contents()
        attached = attachments(contents, builder=made.builder, key=None)
        done = check_image(contents.layout, attached)
        assert done
        assert done.notes == ("not signed: whose it is cannot be checked",)
        asked = check_image(contents.layout, attached, public_key=public(made))
        assert "signature: is missing" in whats(asked)

    @pytest.mark.parametrize("which", [0, 1, 2, 3])
    def test_any_of_it_missing_or_spoilt(self, made: Bench, which: int) -> None:
        contents = made.contents()
        attached = list(attachments(contents, builder=made.builder, key=made.key))
        gone = attached[:which] + attached[which + 1 :]
        assert not check_image(contents.layout, gone, public_key=public(made))
        whole = attached[which].data
        for spot in {0, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole) - 1}:
            spoilt = bytearray(whole)
            spoilt[spot] ^= 1
            attached[which] = replace(attached[which], data=bytes(spoilt))
            assert not check_image(contents.layout, attached, public_key=public(made)), spot

    def test_what_others_attach_is_told_and_does_no_harm(self, made: Bench) -> None:
        contents = made.contents()
        attached = attachments(contents, builder=made.builder, key=made.key)
        theirs = attachments(contents, builder=made.builder, key=SecretKey.generate())
        done = check_image(contents.layout, (*theirs, *attached), public_key=public(made))
        assert done, done.text()
        assert any("another signature does not hold" in note for note in done.notes)
        assert not check_image(contents.layout, theirs, public_key=public(made))

    def test_another_program_in_it(self, made: Bench) -> None:
        good = made.contents()
        attached = attachments(good, builder=made.builder, key=made.key)
        evil = made.directory / "evil"
        evil.write_bytes((DIRECTORY / "good-arm64").read_bytes())
        bad = made.contents(evil=evil)
        said = whats(check_image(bad.layout, attached, public_key=public(made)))
        assert "provenance: is missing" in said
        assert "machine: " in said
        # Whoever has the key says what is not so: the file is still for another machine.
        lies = attachments(bad, builder=made.builder, key=made.key)
        said = whats(check_image(bad.layout, lies, public_key=public(made)))
        assert "/hello: is not in the provenance" in said

    def test_a_damaged_layout(self, made: Bench) -> None:
        contents = made.contents()
        attached = attachments(contents, builder=made.builder, key=made.key)
        for path in sorted((contents.layout.directory / "blobs" / "sha256").iterdir()):
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            assert "is not what it is called" in whats(check_image(contents.layout, attached))
            path.write_bytes(whole)
        assert check_image(
            Layout.read(contents.layout.directory), attached, public_key=public(made)
        )

    def test_a_tag_that_another_image_was_signed_as(self, made: Bench) -> None:
        contents = made.contents()
        attached = attachments(contents, builder=made.builder, key=made.key)
        moved = replace(contents.layout, tag="3.0")
        said = whats(check_image(moved, attached, public_key=public(made)))
        assert "signed as something else" in said
        assert "it is about another image" in said


def test_an_envelope_opens_for_its_key_alone() -> None:
    key = SecretKey.generate()
    line = envelope(b'{"a":1}', key)
    assert line == envelope(b'{"a":1}', key)
    assert open_envelope(line, key.public).statement == {"a": 1}
    assert open_envelope(line, key.public).signed
    with pytest.raises(PublishError, match="not signed by the key"):
        open_envelope(line, SecretKey.generate().public)
    changed = json.loads(line)
    changed["payload"] = base64.b64encode(b'{"a":2}').decode()
    text = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(PublishError, match="not signed by the key"):
        open_envelope(text, key.public)
