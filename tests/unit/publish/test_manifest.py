"""The manifest: whole, true, and kept by everybody who adds to it."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import RecipeError
from core.target import Target
from publish.manifest import (
    NAME,
    VERSION,
    Artifact,
    Input,
    Seconds,
    VerdictSummary,
    read_manifest,
    write_manifest,
)
from verify.smoke import Smoke
from verify.verdict import Finding, Severity

ARTIFACT = Artifact(
    product="curl:http",
    release="8.21.0",
    target=Target.AMD64,
    packed=False,
    path="files/curl-http-8.21.0-linux-amd64",
    size=4,
    sha256="0" * 64,
    engine="docker",
    isolated=True,
    key="1" * 64,
    seconds=Seconds(fetch=0.0, build=1.5),
    verdict=VerdictSummary(ok=True, findings=()),
    smoke=Smoke(ran=True, ok=True, how="docker"),
    inputs=(
        Input(
            name="curl",
            version="8.21.0",
            sha256="2" * 64,
            url="https://curl.invalid/curl.tar.gz",
            licence="curl",
        ),
    ),
)


def made(directory: Path, name: str = "curl", **changes: object) -> Artifact:
    """An artifact whose file is there."""
    path = f"files/{name}"
    (directory / "files").mkdir(exist_ok=True)
    (directory / path).write_text(name, "utf-8")
    return replace(ARTIFACT, path=path, **changes)  # type: ignore[arg-type]


def paths(directory: Path) -> list[str]:
    return [artifact.path for artifact in read_manifest(directory)]


def test_no_manifest_is_an_empty_one(tmp_path: Path) -> None:
    assert read_manifest(tmp_path / "nowhere") == ()


def test_what_is_written_is_the_contract(tmp_path: Path) -> None:
    write_manifest(tmp_path, [made(tmp_path)])
    data = json.loads((tmp_path / NAME).read_text("utf-8"))
    assert set(data) == {"version", "artifacts"}
    assert data["version"] == 1
    (entry,) = data["artifacts"]
    assert list(entry) == [
        "product",
        "release",
        "target",
        "packed",
        "path",
        "size",
        "sha256",
        "engine",
        "isolated",
        "key",
        "seconds",
        "verdict",
        "smoke",
        "inputs",
        "reproduced_by",
        "budget",
        "anchors",
        "gzip",
    ]
    assert list(entry["inputs"][0]) == ["name", "version", "sha256", "url", "licence"]


def test_entries_of_other_files_stay_and_the_same_file_s_is_replaced(tmp_path: Path) -> None:
    write_manifest(tmp_path, [made(tmp_path, "b"), made(tmp_path, "a")])
    write_manifest(tmp_path, [made(tmp_path, "c"), made(tmp_path, "a", size=9)])
    assert paths(tmp_path) == ["files/a", "files/b", "files/c"]
    assert [artifact.size for artifact in read_manifest(tmp_path)] == [9, 4, 4]


def test_entries_whose_file_is_gone_go_too(tmp_path: Path) -> None:
    write_manifest(tmp_path, [made(tmp_path, "a"), made(tmp_path, "b")])
    (tmp_path / "files" / "a").unlink()
    write_manifest(tmp_path, [made(tmp_path, "c")])
    assert paths(tmp_path) == ["files/b", "files/c"]


def test_a_manifest_that_would_not_change_is_not_touched(tmp_path: Path) -> None:
    artifacts = [made(tmp_path, "a"), made(tmp_path, "b")]
    write_manifest(tmp_path, artifacts)
    before = (tmp_path / NAME).stat()
    write_manifest(tmp_path, reversed(artifacts))
    after = (tmp_path / NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        '{"version": 1, "artifacts": null}',
        '{"version": 1, "artifacts": [1]}',
        '{"version": 1, "artifacts": [{"product": "curl"}]}',
    ],
)
def test_what_is_no_manifest_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text, "utf-8")
    for action in (
        lambda: read_manifest(tmp_path),
        lambda: write_manifest(tmp_path, [made(tmp_path)]),
    ):
        with pytest.raises(RecipeError, match=NAME) as caught:
            action()
        assert "inv clean" in caught.value.next
    assert (tmp_path / NAME).read_text("utf-8") == text


def test_what_is_read_is_what_was_written_to_the_byte(tmp_path: Path) -> None:
    finding = Finding(rule="size", severity=Severity.WARNING, message="close to the budget")
    artifacts = (
        made(tmp_path, "a", verdict=VerdictSummary(ok=True, findings=(finding,))),
        made(tmp_path, "b", smoke=Smoke.not_run("no qemu"), target=Target.S390X, packed=True),
        made(tmp_path, "c", smoke=replace(ARTIFACT.smoke, failures=("x",), skipped=("y", "z"))),
        made(tmp_path, "d", seconds=Seconds(fetch=0, build=12)),
    )
    write_manifest(tmp_path, artifacts)
    text = (tmp_path / NAME).read_text("utf-8")
    assert read_manifest(tmp_path) == artifacts
    write_manifest(tmp_path, [made(tmp_path, "e")])
    (tmp_path / "files" / "e").unlink()
    write_manifest(tmp_path, [])
    assert (tmp_path / NAME).read_text("utf-8") == text
    first, _, third, _ = json.loads(text)["artifacts"]
    assert first["verdict"]["findings"] == [
        {"rule": "size", "severity": "warning", "message": "close to the budget"}
    ]
    assert list(third["smoke"]) == ["ran", "ok", "how", "failures", "skipped"]


def test_whether_a_result_was_cached_is_not_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, [made(tmp_path, cached=True)])
    (artifact,) = read_manifest(tmp_path)
    assert not artifact.cached


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": "4"}, "size must be int, not '4'"),
        ({"size": True}, "size must be int, not True"),
        ({"packed": 0}, "packed must be bool, not 0"),
        ({"path": None}, "path must be str, not None"),
        ({"target": "linux/vax"}, "'linux/vax' is not a valid Target"),
        ({"target": ["linux/amd64"]}, "is not a valid Target"),
        ({"seconds": {"fetch": 0.0}}, "seconds lacks 'build'"),
        ({"seconds": {"fetch": 0.0, "build": "1"}}, "build must be float, not '1'"),
        ({"seconds": [1, 2]}, r"seconds must be an object, not \[1, 2\]"),
        ({"verdict": {"ok": "yes", "findings": []}}, "ok must be bool, not 'yes'"),
        ({"verdict": {"ok": True, "findings": {}}}, "findings must be"),
        ({"verdict": {"ok": True, "findings": ["bad"]}}, "findings must be an object, not 'bad'"),
        (
            {
                "verdict": {
                    "ok": True,
                    "findings": [{"rule": "a", "severity": "bad", "message": ""}],
                }
            },
            "'bad' is not a valid Severity",
        ),
        ({"smoke": {"ran": True, "ok": True}}, "smoke lacks 'how'"),
        ({"smoke": {"ran": True, "ok": 1, "how": "qemu"}}, "ok must be bool, not 1"),
        ({"inputs": [{"name": "curl"}]}, "inputs lacks 'licence'"),
        ({"cached": True}, "entry has an unknown 'cached'"),
        ({"colour": "red"}, "entry has an unknown 'colour'"),
    ],
)
def test_an_entry_of_another_shape_is_refused_by_name(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    entry = {**ARTIFACT.as_dict(), **change}
    (tmp_path / NAME).write_text(json.dumps({"version": 1, "artifacts": [entry]}), "utf-8")
    with pytest.raises(RecipeError, match=said) as caught:
        read_manifest(tmp_path)
    assert "inv clean" in caught.value.next


ADDED = {"reproduced_by", "budget", "anchors", "gzip"}
"""Keys that older versions of this program did not write."""


def test_an_entry_of_an_older_version_is_read(tmp_path: Path) -> None:
    entry = {key: value for key, value in ARTIFACT.as_dict().items() if key not in ADDED}
    (tmp_path / NAME).write_text(json.dumps({"version": 1, "artifacts": [entry]}), "utf-8")
    (read,) = read_manifest(tmp_path)
    assert read.reproduced_by == ()
    assert (read.budget, read.anchors, read.gzip) == (None, None, None)


@pytest.mark.parametrize("value", ["1", 1.0, True, [1], {}])
@pytest.mark.parametrize("key", ["budget", "anchors", "gzip"])
def test_a_size_that_is_none_is_refused(tmp_path: Path, key: str, value: object) -> None:
    entry = ARTIFACT.as_dict() | {key: value}
    (tmp_path / NAME).write_text(json.dumps({"version": 1, "artifacts": [entry]}), "utf-8")
    with pytest.raises(RecipeError, match=f"{key} must be int"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("key", sorted({*ARTIFACT.as_dict()} - ADDED))
def test_an_entry_that_lacks_anything_is_refused(tmp_path: Path, key: str) -> None:
    entry = ARTIFACT.as_dict()
    del entry[key]
    (tmp_path / NAME).write_text(json.dumps({"version": 1, "artifacts": [entry]}), "utf-8")
    with pytest.raises(RecipeError, match=f"entry lacks '{key}'"):
        read_manifest(tmp_path)


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(f'{{"version": {VERSION + 1}, "artifacts": []}}', "utf-8")
    with pytest.raises(RecipeError, match="has version 2; this program knows version 1"):
        read_manifest(tmp_path)


def test_anybody_may_read_it(tmp_path: Path) -> None:
    write_manifest(tmp_path, [made(tmp_path)])
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o644


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    artifacts = [made(tmp_path, f"a{number:02}") for number in range(16)]
    start = threading.Barrier(4)

    def write(mine: list[Artifact]) -> None:
        start.wait(10)
        for artifact in mine:
            write_manifest(tmp_path, [artifact])

    threads = [threading.Thread(target=write, args=(artifacts[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert paths(tmp_path) == [artifact.path for artifact in artifacts]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", NAME]


@pytest.mark.parametrize("moment", range(8))
def test_a_file_has_its_row_whenever_a_delivery_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Every change of a name is a moment at which a run can be killed."""
    directory, staging = tmp_path / "artifacts", tmp_path / "staging"
    left = moment

    def offer(text: str) -> tuple[list[Artifact], dict[str, Path]]:
        staging.mkdir(exist_ok=True)
        staged = {f"files/{name}": staging / name for name in "ab"}
        for path in staged.values():
            path.write_text(text, "utf-8")
        size = len(text)
        return [replace(ARTIFACT, path=path, size=size) for path in staged], staged

    def lies() -> list[str]:
        rows = {artifact.path: artifact.size for artifact in read_manifest(directory)}
        there = sorted(directory.glob("files/*"))
        return [
            path.name for path in there if rows.get(f"files/{path.name}") != path.stat().st_size
        ]

    artifacts, staged = offer("old")
    write_manifest(directory, artifacts, staged=staged)
    assert lies() == []
    replaced, unlinked = Path.replace, Path.unlink

    def count() -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1

    def replace_(self: Path, target: Path) -> Path:
        count()
        return replaced(self, target)

    def unlink(self: Path, *, missing_ok: bool = False) -> None:
        count()
        unlinked(self, missing_ok=missing_ok)

    artifacts, staged = offer("newer")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_)
        patch.setattr(Path, "unlink", unlink)
        try:
            write_manifest(directory, artifacts, staged=staged)
        except KeyboardInterrupt:
            assert left == 0
    assert lies() == []
    artifacts, staged = offer("newer")
    write_manifest(directory, artifacts, staged=staged)
    assert lies() == []
    assert len(list(directory.glob("files/*"))) == 2
