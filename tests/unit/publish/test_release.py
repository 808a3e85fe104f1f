"""A release directory: only what is proven, whole or not at all, the same each time, and never at others' cost."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import PublishError
from core.files import hash_file
from core.target import Target
from publish.manifest import VerdictSummary
from publish.release.image import attachments
from publish.release.release_dir import ReleaseFile
from publish.release.sums import read_sums, write_sums
from publish.trust.envelope import payloads
from tests.fakes import below
from tests.unit.publish.releases import Bench
from verify.smoke import Smoke

FULL = """
import resource, sys
from pathlib import Path
from publish.release.release_dir import ReleaseDir, ReleaseFile
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
contents = {"a": ReleaseFile.of_bytes(b"x"), "b": ReleaseFile.of_bytes(b"x" * 5000)}
try:
    ReleaseDir.scan(Path(sys.argv[1]), wanted=contents).write(contents)
except OSError as error:
    print(error.strerror)
"""

PLAIN, PACKED = "hello-secure-2.0-linux-amd64", "hello-secure-2.0-linux-amd64.upx"
OF_FILES = {
    "LICENSES/arithmetic-7.1/LICENSE",
    "LICENSES/data-1.0/TERMS",
    "LICENSES/hello-2.0/COPYING",
    "LICENSES/musl-1.0/COPYING",
    "LICENSES/tls-1.0/COPYING",
    "LICENSES/upx-1.0/COPYING",
    "SHA256SUMS",
    PLAIN,
    f"{PLAIN}.cdx.json",
    f"{PLAIN}.spdx.json",
    PACKED,
    f"{PACKED}.cdx.json",
    f"{PACKED}.spdx.json",
    "provenance.intoto.jsonl",
    "sources/data-1.0.tar.gz",
}


KEYS = {"SHA256SUMS.minisig", "SHA256SUMS.sig", "cosign.pub", "minisign.pub"}
"""What only a signed release has."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.make(tmp_path)


def times(directory: Path) -> dict[str, tuple[int, int]]:
    paths = [directory, *directory.rglob("*")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


class TestWhatIsInIt:
    def test_signed(self, bench: Bench) -> None:
        done = bench.write(images=(bench.image(),))
        extra = {*KEYS, "static-hello-2.0-linux-amd64.tar"}
        found = below(bench.release)
        assert set(found) == OF_FILES | extra == set(done.written)
        sums = read_sums(found["SHA256SUMS"])
        assert set(sums) == set(found) - {"SHA256SUMS", "SHA256SUMS.minisig", "SHA256SUMS.sig"}
        assert all(hash_file(bench.release / name) == sha256 for name, sha256 in sums.items())
        assert bench.key
        assert done.signer == bench.key.public.name
        assert found["minisign.pub"].decode() == bench.key.public.text
        text = found["SHA256SUMS.minisig"].decode()
        said = bench.key.public.verify(found["SHA256SUMS"], text)
        assert said.split("\t") == [
            "timestamp:1767312000",  # the release's own date
            "file:SHA256SUMS",
            "hashed",
            "project:fromscratch",
            "version:hello-2.0",
            "date:2026-01-02",
            f"sha256:{hash_file(bench.release / 'SHA256SUMS')}",
        ]

    def test_unsigned_and_it_says_so(self, bench: Bench) -> None:
        bench.key = None
        done = bench.write()
        assert set(below(bench.release)) == OF_FILES
        assert done.signer == ""
        lines = (bench.release / "provenance.intoto.jsonl").read_bytes().splitlines()
        assert [json.loads(line)["signatures"] for line in lines] == [[], []]

    def test_modes(self, bench: Bench) -> None:
        bench.write()
        for name in OF_FILES:
            mode = (bench.release / name).stat().st_mode & 0o777
            assert mode == (0o755 if name in {PLAIN, PACKED} else 0o644)

    def test_nothing_of_the_key_is_in_it(self, bench: Bench) -> None:
        import base64  # noqa: PLC0415

        bench.write(images=(bench.image(),))
        assert bench.key
        seed = bench.key.seed
        forms = (
            seed,
            seed.hex().encode(),
            *(base64.b64encode(bytes(n) + seed)[n + 4 : -8] for n in range(3)),
        )
        for name, data in below(bench.release).items():
            assert not any(form in data for form in forms), name


class TestTheSameEachTime:
    def test_in_two_directories(self, bench: Bench) -> None:
        bench.write(images=(bench.image(),))
        bench.write(images=(bench.image(),), directory=bench.directory / "other")
        assert below(bench.release) == below(bench.directory / "other")

    def test_a_second_run_touches_nothing(self, bench: Bench) -> None:
        image = bench.image()
        bench.write(images=(image,))
        before = times(bench.release)
        done = bench.write(images=(image,))
        assert done.written == ()
        assert times(bench.release) == before

    def test_in_whatever_order(self, bench: Bench) -> None:
        bench.write()
        bench.write(bench.entry(packed=True), bench.entry(), directory=bench.directory / "other")
        assert below(bench.release) == below(bench.directory / "other")

    def test_what_was_spoilt_is_mended(self, bench: Bench) -> None:
        bench.write()
        before = below(bench.release)
        (bench.release / PLAIN).write_bytes(b"spoilt")
        (bench.release / PACKED).chmod(0o600)
        done = bench.write()
        assert done.written == (PLAIN,)
        assert below(bench.release) == before
        assert (bench.release / PACKED).stat().st_mode & 0o777 == 0o755


class TestOnlyWhatIsProven:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"verdict": VerdictSummary(ok=False, findings=())}, "refused by verification"),
            ({"smoke": Smoke(ran=True, ok=False, how="sandbox")}, "smoke run failed"),
            ({"smoke": Smoke(ran=False, ok=False, how="no qemu")}, "not run: no qemu"),
            ({"smoke": Smoke(ran=False, ok=True, how="not run")}, "not run: not run"),
        ],
    )
    def test_all_others_are_named(self, bench: Bench, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(PublishError, match=said) as caught:
            bench.write(bench.entry(), bench.entry(packed=True, **changes))
        assert PACKED in caught.value.what
        assert PLAIN + ":" not in caught.value.what
        assert caught.value.next
        assert not bench.release.exists()

    def test_a_file_that_was_changed_since(self, bench: Bench) -> None:
        entries = bench.entry(), bench.entry(packed=True)
        with (bench.artifacts / "files" / PACKED).open("ab") as file:
            file.write(b"x")
        with pytest.raises(PublishError, match="is not what was proven") as caught:
            bench.write(*entries)
        assert "inv build" in caught.value.next
        assert not bench.release.exists()

    def test_or_while_it_was_copied(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"one")
        content = ReleaseFile.of_file(path, hash_file(path))
        path.write_bytes(b"two")
        with pytest.raises(PublishError, match="is not what was proven"):
            list(content.chunks())

    def test_a_pin_that_moved_since(self, bench: Bench) -> None:
        entry = bench.entry()
        (first, *others) = entry.inputs
        moved = (replace(first, sha256="9" * 64), *others)
        with pytest.raises(PublishError, match="not pinned like that any more"):
            bench.write(replace(entry, inputs=moved))
        with pytest.raises(PublishError, match="not pinned any more"):
            bench.write(bench.entry(release="0.1"))

    def test_nothing_at_all(self, bench: Bench) -> None:
        from publish.release.write import plan_release  # noqa: PLC0415

        with pytest.raises(PublishError, match="nothing to publish"):
            plan_release(
                [], reader=bench.reader, archive=bench.archive, builder=bench.builder, key=None
            )

    def test_an_image_of_files_that_are_not_proven(self, bench: Bench) -> None:
        image = bench.contents()
        program, data = image.files[Target.AMD64]
        refused = replace(program, refused="its smoke run failed")
        unproven = replace(image, files={Target.AMD64: (refused, data)})
        with pytest.raises(PublishError, match=f"{PLAIN}: its smoke run failed"):
            attachments(unproven, builder=bench.builder, key=None)
        with pytest.raises(PublishError, match=f"{PLAIN}: its smoke run failed"):
            bench.write(images=(unproven,))

    def test_an_image_of_other_files(self, bench: Bench) -> None:
        image = bench.image()
        with pytest.raises(PublishError, match=r"in the image static-hello:2\.0, and not in"):
            bench.write(bench.entry(packed=True), images=(image,))


class TestLicences:
    def test_each_source_is_opened_once(self, bench: Bench) -> None:
        bench.write()
        assert sorted(bench.opened) == [
            "arithmetic-7.1",
            "data-1.0",
            "hello-2.0",
            "musl-1.0",
            "tls-1.0",
            "upx-1.0",
        ]

    @pytest.mark.parametrize(
        "texts",
        [{}, {"README": b"no"}, {"LICENSE": b""}, {"COPYING": b" \n"}, {"src/LICENSE": b"x"}],
    )
    def test_no_text_is_an_error(self, bench: Bench, texts: dict[str, bytes]) -> None:
        bench.texts["tls"] = texts
        with pytest.raises(PublishError, match=r"tls 1.0 has no licence text") as caught:
            bench.write()
        assert "licence_files" in caught.value.next
        assert not bench.release.exists()

    def test_a_text_that_the_recipe_names_and_the_archive_lacks(self, bench: Bench) -> None:
        bench.texts["data"] = {"LICENSE": b"the usual place\n"}
        with pytest.raises(PublishError, match="lacks the licence text notes/TERMS"):
            bench.write()

    @pytest.mark.parametrize("name", ["LICENSE\n", "LICENSE\\", "LICENSE\x1b[2J"])
    def test_odd_names(self, bench: Bench, name: str) -> None:
        bench.texts["tls"] = {name: b"x"}
        with pytest.raises(PublishError, match="odd name"):
            bench.write()

    def test_huge_texts(self, bench: Bench) -> None:
        bench.texts["tls"] = {"LICENSE": b"x" * ((1 << 20) + 1)}
        with pytest.raises(PublishError, match="has 1048577 bytes"):
            bench.write()

    def test_a_source_that_must_go_along_and_is_another(self, bench: Bench) -> None:
        bench.world.archive("data", "1.0").write_bytes(b"else")
        with pytest.raises(PublishError, match="is not what was proven"):
            bench.write()


class TestOtherPeoplesFiles:
    @pytest.mark.parametrize("name", ["notes.txt", "sources/mine.tar", ".hidden", "LICENSES/x/y"])
    def test_are_named_and_stay(self, bench: Bench, name: str) -> None:
        for attempt in range(2):  # into a new release, into an old one
            path = bench.release / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("precious")
            before = below(bench.release)
            with pytest.raises(PublishError) as caught:
                bench.write()
            assert name in caught.value.what
            assert caught.value.next
            assert below(bench.release) == before
            if not attempt:
                path.unlink()
                bench.write()

    def test_of_the_same_name(self, bench: Bench) -> None:
        bench.release.mkdir()
        (bench.release / PLAIN).write_text("precious")
        with pytest.raises(PublishError, match=PLAIN):
            bench.write()
        assert below(bench.release) == {PLAIN: b"precious"}

    def test_links_and_pipes(self, bench: Bench) -> None:
        bench.write()
        outside = bench.directory / "outside"
        outside.write_text("precious")
        (bench.release / PLAIN).unlink()
        (bench.release / PLAIN).symlink_to(outside)
        os.mkfifo(bench.release / "pipe")
        with pytest.raises(PublishError, match=f"{PLAIN}, pipe"):
            bench.write()
        assert outside.read_text() == "precious"

    def test_a_directory_that_is_a_link(self, bench: Bench) -> None:
        outside = bench.directory / "outside"
        outside.mkdir()
        bench.release.mkdir()
        (bench.release / "LICENSES").symlink_to(outside)
        with pytest.raises(PublishError, match="LICENSES"):
            bench.write()
        assert list(outside.iterdir()) == []

    def test_somebody_else_s_release(self, bench: Bench) -> None:
        bench.release.mkdir()
        (bench.release / "theirs").write_text("precious")
        sums = {"theirs": hash_file(bench.release / "theirs")}
        (bench.release / "SHA256SUMS").write_bytes(write_sums(sums))
        with pytest.raises(PublishError, match="a release that is not ours"):
            bench.write()
        provenance = bench.release / "provenance.intoto.jsonl"
        provenance.write_bytes(b'{"payload": "e30="}\n{"payload": 1}\nnone\n')
        sums["provenance.intoto.jsonl"] = hash_file(provenance)
        (bench.release / "SHA256SUMS").write_bytes(write_sums(sums))
        with pytest.raises(PublishError, match="a release that is not ours"):
            bench.write()
        assert (bench.release / "theirs").read_text() == "precious"

    @pytest.mark.parametrize("text", [b"", b"x", b"\xff", b"0" * 64 + b"  ../../etc/passwd\n"])
    def test_a_list_that_is_none_of_ours(self, bench: Bench, text: bytes) -> None:
        bench.release.mkdir()
        (bench.release / "SHA256SUMS").write_bytes(text)
        if not text:
            with pytest.raises(PublishError, match="not ours"):
                bench.write()
            return
        with pytest.raises(PublishError, match="not a release of ours"):
            bench.write()
        assert below(bench.release) == {"SHA256SUMS": text}


class TestFormerReleases:
    def test_what_belongs_to_it_no_more_goes(self, bench: Bench) -> None:
        bench.write(images=(bench.image(),))
        done = bench.write(bench.entry())
        assert set(done.removed) == {
            "LICENSES/upx-1.0/COPYING",
            PACKED,
            f"{PACKED}.cdx.json",
            f"{PACKED}.spdx.json",
            "static-hello-2.0-linux-amd64.tar",
        }
        assert not (bench.release / "LICENSES/upx-1.0").exists()
        assert bench.key
        assert bench.check(bench.key.public)

    def test_but_not_what_somebody_changed(self, bench: Bench) -> None:
        bench.write()
        (bench.release / PACKED).write_text("precious")
        with pytest.raises(PublishError, match=PACKED):
            bench.write(bench.entry())
        assert (bench.release / PACKED).read_text() == "precious"

    def test_without_a_key_the_signature_goes_too(self, bench: Bench) -> None:
        bench.write()
        bench.key = None
        done = bench.write()
        assert set(done.removed) == KEYS
        assert set(below(bench.release)) == OF_FILES

    def test_an_interrupted_run_is_completed(self, bench: Bench) -> None:
        bench.write(directory=bench.directory / "whole")
        whole = below(bench.directory / "whole")
        bench.release.mkdir()
        for name in sorted(whole)[: len(whole) // 2]:
            (bench.release / name).parent.mkdir(parents=True, exist_ok=True)
            (bench.release / name).write_bytes(whole[name])
        (bench.release / "SHA256SUMS").unlink(missing_ok=True)
        # What a killed run was writing just then.
        (bench.release / f".{PLAIN}.k3x_9ab2").write_bytes(b"half")
        bench.write()
        assert below(bench.release) == whole


class TestTrouble:
    def test_a_full_disk_leaves_no_half_file(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(tmp_path)],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == "File too large\n"
        assert below(tmp_path) == {"a": b"x"}

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda directory: directory.write_text("a file"),
            lambda directory: directory.parent.joinpath("release").symlink_to("nowhere"),
            lambda directory: (directory / PLAIN).mkdir(parents=True),
        ],
    )
    def test_a_directory_that_cannot_be_written(
        self, bench: Bench, spoil: Callable[[Path], object]
    ) -> None:
        spoil(bench.release)
        with pytest.raises(PublishError, match="cannot be written") as caught:
            bench.write()
        assert caught.value.next
        assert caught.value.code == 7

    def test_only_names_that_a_list_can_hold(self) -> None:
        for name in ("a\nb", "a\\b", "../a", "/a", "a//b", "a/./b", "", "\udc80"):
            with pytest.raises(PublishError, match="cannot be the name"):
                write_sums({name: "0" * 64})


class TestWhatItSays:
    def test_the_statement_about_a_file(self, bench: Bench) -> None:
        bench.write()
        statements = [
            json.loads(payload)
            for payload in payloads((bench.release / "provenance.intoto.jsonl").read_bytes())
        ]
        plain, packed = statements
        assert plain["_type"] == "https://in-toto.io/Statement/v1"
        assert plain["predicateType"] == "https://slsa.dev/provenance/v1"
        assert plain["subject"] == [
            {"name": PLAIN, "digest": {"sha256": hash_file(bench.release / PLAIN)}}
        ]
        definition = plain["predicate"]["buildDefinition"]
        assert definition["externalParameters"] == {
            "product": "hello:secure",
            "version": "2.0",
            "target": "linux/amd64",
            "packed": False,
        }
        assert definition["internalParameters"] == {
            "hosting": "local",
            "files": [
                {"name": PLAIN, "engine": "sandbox", "isolated": True, "actionKey": "1" * 64}
            ],
            "toolchain": {"sha256": "d" * 64},
        }
        by_name = {
            dependency["name"]: dependency for dependency in definition["resolvedDependencies"]
        }
        assert list(by_name) == [
            "data",
            "hello",
            "make",
            "musl",
            "tls",
            "compiler",
            "ninja",
            "fromscratch",
        ]
        musl = by_name["musl"]
        assert musl["digest"] == {"sha256": bench.recipes["musl"].releases[0].archive.sha256}
        assert musl["downloadLocation"] == "https://mirror.invalid/musl"  # no password, no token
        assert by_name["ninja"]["digest"] == {"sha256": "c" * 64}
        assert by_name["compiler"]["annotations"]["oneOfSha256"] == ["a" * 64, "b" * 64]
        digest = {"gitCommit": "e" * 40, "fromscratchTree": "f" * 64}
        assert by_name["fromscratch"]["digest"] == digest
        details = plain["predicate"]["runDetails"]
        assert details["builder"] == {"id": "urn:fromscratch:builder:local"}
        assert details["byproducts"][0]["digest"]["sha256"] == hash_file(
            bench.release / f"{PLAIN}.cdx.json"
        )
        run = details["metadata"]["invocationId"]
        assert run.startswith("urn:fromscratch:invocation:")
        assert run != packed["predicate"]["runDetails"]["metadata"]["invocationId"]
        assert "upx" in {
            dependency["name"]
            for dependency in packed["predicate"]["buildDefinition"]["resolvedDependencies"]
        }

    def test_the_sbom_of_a_packed_file(self, bench: Bench) -> None:
        bench.write()
        sbom = json.loads((bench.release / f"{PACKED}.cdx.json").read_bytes())
        assert sbom["specVersion"] == "1.6"
        root = sbom["metadata"]["component"]
        assert (root["name"], root["version"]) == (PACKED, "2.0")
        assert root["hashes"] == [{"alg": "SHA-256", "content": hash_file(bench.release / PACKED)}]
        assert root["licenses"] == [{"expression": "Apache-2.0 AND MIT AND MPL-2.0"}]
        assert sbom["metadata"]["timestamp"] == "2026-01-02T00:00:00+00:00"
        components = {component["name"]: component for component in sbom["components"]}
        assert set(components) == {"arithmetic", "data", "hello", "make", "musl", "tls", "upx"}
        assert components["musl"]["cpe"] == "cpe:2.3:a:musl-libc:musl:1.0:*:*:*:*:*:*:*"
        assert components["tls"]["purl"] == "pkg:github/tls/tls@v1.0"
        assert components["tls"]["licenses"][0]["expression"] == "Apache-2.0 OR GPL-2.0-or-later"
        assert {"name": "fromscratch:licence:chosen", "value": "Apache-2.0"} in components["tls"][
            "properties"
        ]
        assert components["data"]["type"] == "data"
        archive = bench.recipes["tls"].releases[0].archive
        assert components["tls"]["externalReferences"] == [
            {
                "type": "distribution",
                "url": archive.urls[0],
                "hashes": [{"alg": "SHA-256", "content": archive.sha256}],
            }
        ]
        needs = {
            dependency["ref"]: set(dependency.get("dependsOn", ()))
            for dependency in sbom["dependencies"]
        }
        assert needs == {
            root["bom-ref"]: {"hello-2.0", "upx-1.0"},
            "hello-2.0": {"data-1.0", "musl-1.0", "tls-1.0"},
            "tls-1.0": {"musl-1.0"},
            "musl-1.0": {"arithmetic-7.1"},
            "arithmetic-7.1": set(),
            "data-1.0": set(),
            "upx-1.0": set(),
            "make-1.0": set(),
        }

    def test_the_statement_about_an_image(self, bench: Bench) -> None:
        image = bench.image()
        bench.write(images=(image,))
        said = json.loads(payloads((bench.release / "provenance.intoto.jsonl").read_bytes())[-1])
        layout = image.layout
        (manifest,) = layout.manifests()
        digests = {
            subject["name"]: "sha256:" + subject["digest"]["sha256"] for subject in said["subject"]
        }
        assert digests["static-hello:2.0"] == layout.index.digest
        assert digests["static-hello:2.0@linux/amd64"] == manifest.digest
        assert set(digests) == {
            "static-hello:2.0",
            "static-hello:2.0@linux/amd64",
            "static-hello-2.0-linux-amd64.tar",
            "static-hello:2.0#data.pem",
            PLAIN,
        }
