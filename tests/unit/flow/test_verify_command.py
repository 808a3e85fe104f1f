"""`inv verify` as a whole: what is given to it, what it looks into, and what it says."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from commands.verify import VerifyRequest, as_text, judge, write_report
from core.errors import ExitCode, PublishError, StorageError, UsageError
from tests.fixtures.make_elf import DIRECTORY, GOOD, PIE
from tests.registry_server import RegistryServer, registry_server
from tests.unit.flow.conftest import Harness
from tests.unit.verify.images import INDEX, MANIFEST, LayoutMaker, blob, files, saved, tar
from verify.reports.report import Report
from verify.verdict import State

STATIC, DYNAMIC = GOOD.build(), (DIRECTORY / "dynamic").read_bytes()


def run(harness: Harness, *paths: object, source: bytes = b"", **words: object) -> Report:
    request = VerifyRequest.of([str(path) for path in paths], **words)  # type: ignore[arg-type]
    return judge(harness.context(), request, source=io.BytesIO(source))


def names(report: Report) -> dict[str, str]:
    return {one.verdict.name: one.verdict.state.value for one in report.judged}


def leftovers(harness: Harness) -> list[Path]:
    scratch = harness.directory / "cache" / "tmp"
    return list(scratch.iterdir()) if scratch.is_dir() else []


def test_files_of_every_state_are_told_apart(harness: Harness, tmp_path: Path) -> None:
    report = run(
        harness,
        DIRECTORY / "good-amd64",
        DIRECTORY / "dynamic",
        DIRECTORY / "script",
        tmp_path / "none",
        tmp_path,
    )
    assert list(names(report).values()) == ["ok", "refused", "not-elf", "missing", "not-elf"]
    assert report.code is ExitCode.REFUSED
    assert "--recursive" in report.text()
    assert run(harness, tmp_path / "none").code is ExitCode.USAGE


@pytest.mark.parametrize("how", ["-", "tar", "layout", "saved"])
def test_whatever_a_program_comes_in_is_looked_into(
    harness: Harness, tmp_path: Path, how: str
) -> None:
    maker = LayoutMaker()
    maker.image([files({"a": STATIC, "b": DYNAMIC})])
    inside = {
        "-": tar(files({"a": STATIC, "b": DYNAMIC})),
        "tar": tar(files({"a": STATIC, "b": DYNAMIC})),
        "layout": tar(files(maker.files())),
        "saved": saved([files({"a": STATIC, "b": DYNAMIC})]),
    }[how]
    path: object = "-"
    if how != "-":
        path = tmp_path / "input"
        Path(str(path)).write_bytes(inside)
    report = run(harness, path, source=inside)
    assert {Path(name).name.rpartition(":")[2]: state for name, state in names(report).items()} == {
        "a": "ok",
        "b": "refused",
    }
    assert not leftovers(harness)


def test_a_program_from_standard_input(harness: Harness) -> None:
    assert names(run(harness, "-", source=STATIC)) == {"(standard input)": "ok"}
    assert names(run(harness, "-", source=b"")) == {"(standard input)": "not-elf"}


def test_a_folder_is_judged_when_it_is_asked_for(harness: Harness) -> None:
    report = run(harness, DIRECTORY, recursive=True)
    counts = report.counts
    assert counts["ok"] > 10
    assert counts["refused"] > 20
    assert counts["not-elf"] == 0
    assert counts["others"] == report.others > 0


def test_many_files_are_refused_by_their_headers_and_found_good_by_all_of_their_bytes(
    harness: Harness, tmp_path: Path
) -> None:
    for number in range(20):
        (tmp_path / f"good-{number}").write_bytes(STATIC)
        (tmp_path / f"dynamic-{number}").write_bytes(DYNAMIC)
    (tmp_path / "paths").write_bytes((DIRECTORY / "build-paths").read_bytes())
    report = run(harness, tmp_path, recursive=True)
    shallow = {one.verdict.name: one.by_headers for one in report.judged}
    assert {shallow[str(tmp_path / f"good-{n}")] for n in range(20)} == {False}
    assert {shallow[str(tmp_path / f"dynamic-{n}")] for n in range(20)} == {True}
    assert names(report)[str(tmp_path / "paths")] == "refused"
    assert "20 by headers alone" in report.closing()


def test_an_image_s_files_are_judged_for_its_platform(harness: Harness, tmp_path: Path) -> None:
    maker = LayoutMaker()
    arm = (DIRECTORY / "good-arm64").read_bytes()
    maker.image([files({"a": STATIC, "b": arm})], "linux/amd64")
    maker.image([files({"a": STATIC, "b": arm})], "linux/arm64/v8")
    layout = maker.write(tmp_path / "oci")
    report = run(harness, layout)
    found = {(one.platform, one.verdict.name[-1]): one.verdict.state for one in report.judged}
    assert found == {
        ("linux/amd64", "a"): State.OK,
        ("linux/amd64", "b"): State.REFUSED,
        ("linux/arm64", "a"): State.REFUSED,
        ("linux/arm64", "b"): State.OK,
    }
    only = run(harness, layout, target="linux/arm64")
    assert {one.platform for one in only.judged} == {"linux/arm64"}


def test_setuid_in_an_image_is_seen(harness: Harness, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    (entry,) = files({"su": PIE.build()})
    path.write_bytes(tar([type(entry)(name="su", data=entry.data, mode=0o4755)]))
    report = run(harness, path, policy="hardened")
    assert "is setuid" in report.text()


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry_server() as running:
        yield running


DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
REPOSITORY = "somebody/theirs"


def publish(server: RegistryServer, maker: LayoutMaker, *, docker: bool = False) -> str:
    """Put an image where anybody may have put it, as Docker or as others do; return its name."""
    for digest, data in maker.blobs.items():
        if b'"layers"' in data:
            server.store.manifests[REPOSITORY, digest] = (DOCKER if docker else MANIFEST, data)
        else:
            server.store.blobs[REPOSITORY, digest] = data
    kind = DOCKER_LIST if docker else INDEX
    index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": maker.entries}).encode()
    server.store.manifests[REPOSITORY, blob(index)] = (kind, index)
    server.store.tags[REPOSITORY, "1"] = blob(index)
    return f"oci://{server.host}/{REPOSITORY}:1"


def theirs(how: str = "gzip") -> LayoutMaker:
    maker = LayoutMaker()
    maker.image([files({"a": STATIC}), files({"b": DYNAMIC})], "linux/amd64", how=how)
    maker.image([files({"c": (DIRECTORY / "good-arm64").read_bytes()})], "linux/arm64/v8", how=how)
    maker.image([files({"d": STATIC})], "windows/amd64", how=how)
    return maker


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("how", ["", "gzip", "zstd"])
def test_anybody_s_image_of_a_registry_is_looked_into(
    harness: Harness, server: RegistryServer, how: str, docker: bool
) -> None:
    name = publish(server, theirs(how), docker=docker)
    report = run(harness, name)
    assert names(report) == {
        f"{name}@linux/amd64:/a": "ok",
        f"{name}@linux/amd64:/b": "refused",
        f"{name}@linux/arm64:/c": "ok",
        f"{name}@windows/amd64:/d": "ok",
    }
    assert not leftovers(harness)


def test_an_image_of_one_platform_has_no_index(harness: Harness, server: RegistryServer) -> None:
    maker = theirs()
    publish(server, maker)
    only = maker.entries[0]["digest"]
    report = run(harness, f"oci://{server.host}/{REPOSITORY}@{only}")
    assert {name[-2:]: state for name, state in names(report).items()} == {
        "/a": "ok",
        "/b": "refused",
    }


def test_only_the_layers_that_are_asked_for_are_fetched(
    harness: Harness, server: RegistryServer
) -> None:
    report = run(harness, publish(server, theirs()), target="linux/arm64")
    assert {one.platform for one in report.judged} == {"linux/arm64"}
    assert len([line for line in server.asked("blobs") if line.startswith("GET")]) == 2


def test_an_image_that_is_not_there(harness: Harness, server: RegistryServer) -> None:
    with pytest.raises(PublishError, match="There is no"):
        run(harness, f"oci://{server.host}/{REPOSITORY}:2")
    with pytest.raises(UsageError, match="lacks its tag"):
        run(harness, f"oci://{server.host}/{REPOSITORY}")


def test_a_layer_that_the_registry_lost_is_refused(
    harness: Harness, server: RegistryServer
) -> None:
    name = publish(server, theirs())
    lost = [key for key, data in server.store.blobs.items() if data.startswith(b"\x1f\x8b")]
    del server.store.blobs[lost[0]]
    report = run(harness, name)
    assert report.code is ExitCode.REFUSED
    assert "is missing" in report.text()


def test_bytes_that_are_not_what_they_are_called_are_not_taken(
    harness: Harness, server: RegistryServer
) -> None:
    name = publish(server, theirs())
    for key, data in server.store.blobs.items():
        server.store.blobs[key] = bytes(len(data))
    with pytest.raises(PublishError, match="other bytes"):
        run(harness, name)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"policy": "hardend"}, UsageError, "Perhaps you meant 'hardened'"),
        ({"policy": "none.toml"}, UsageError, "no policy file"),
        ({"target": "linux/amd46"}, UsageError, "Perhaps you meant"),
        ({"root": "/no/such/root"}, UsageError, "is no directory"),
    ],
)
def test_wrong_words_are_said(words: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        VerifyRequest.of(["x"], **words)  # type: ignore[arg-type]


def test_reports_are_written_into_files(harness: Harness, tmp_path: Path) -> None:
    report = run(harness, DIRECTORY / "good-amd64", DIRECTORY / "dynamic")
    for kind in ("sarif", "junit"):
        write_report(report, str(tmp_path / kind), kind, version="0.1.0")
        assert (tmp_path / kind).read_text("utf-8") == as_text(report, kind, version="0.1.0") + "\n"
    assert json.loads((tmp_path / "sarif").read_text("utf-8"))["version"] == "2.1.0"
    assert ET.parse(tmp_path / "junit").getroot().tag == "testsuites"
    with pytest.raises(StorageError):
        write_report(report, str(tmp_path / "sarif" / "x"), "sarif", version="1")
