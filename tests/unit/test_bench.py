"""The measuring itself: what counts as missed, what a timed build may find in its cache, how a run is measured."""

import os
import shutil
from pathlib import Path

import pytest

from bench.builds import seed
from bench.memory import peak
from bench.report import Figure, show
from bench.runs import Case, spend
from bench.server import serving
from bench.sizes import bundle_in
from builders.sources.cache import Cache
from recipes.load import load_recipes
from tests.fakes import put_bytes


@pytest.mark.parametrize(
    ("value", "state"),
    [(9, "ok"), (10, "ok"), (11, "ok, aim missed"), (20, "ok, aim missed"), (21, "MISSED")],
)
def test_state(value: float, state: str) -> None:
    assert Figure(name="x", unit="s", value=value, must=20, aim=10).state == state


def test_what_was_not_measured_is_neither_good_nor_missed() -> None:
    figure = Figure(name="x", unit="s", value=None, must=20, why="no engine")
    assert figure.state == "not measured: no engine"
    assert "not measured: no engine" in show([figure])


def test_a_figure_without_a_bar_is_only_told() -> None:
    assert Figure(name="x", unit="s", value=1).state == ""


def test_an_aim_without_a_must_is_never_missed() -> None:
    assert Figure(name="x", unit="ratio", value=0.9, aim=1).state == "ok"
    assert Figure(name="x", unit="ratio", value=1.1, aim=1).state == "aim missed"


def test_the_ca_bundle_is_found_in_a_file() -> None:
    begin, end = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
    bundle = begin + b"AA==\n" + end + begin + b"BB==\n" + end
    assert bundle_in(b"\0before" + bundle + b"\0after") == len(bundle)
    assert bundle_in(b"nothing") == 0


@pytest.mark.parametrize("lengths", [(1,), (700, 65535, 20), (300,) * 500])
def test_the_trust_anchors_are_counted(lengths: tuple[int, ...]) -> None:
    rows = enumerate(lengths, 250)
    index = b"".join(hash_.to_bytes(2, "big") + length.to_bytes(2, "big") for hash_, length in rows)
    anchors = b"ANCHORS\1" + len(lengths).to_bytes(2, "big") + index + b"r" * sum(lengths)
    for before in (b"\0before", b"ANCHORS\1", b"ANCHORS\1\0\2\0\3\0\4\0\2\0\1"):
        assert bundle_in(before + anchors + b"after") == len(anchors)
    assert bundle_in(anchors[:-1]) == 0


def test_seed_for_a_cold_build_takes_sources_alone(tmp_path: Path) -> None:
    old, new = Cache(tmp_path / "old"), Cache(tmp_path / "new")
    sha256 = put_bytes(old, b"musl")
    old.put_action("key-musl", {"step": "musl 1 linux/amd64", "output": sha256, "files": {}})
    old.put_action("origin-x", {"url": "https://x.example/"})
    seed(old, new, load_recipes(), steps=())
    assert [entry.name for entry in new.entries()] == ["origin-x"]


def test_seed_takes_sources_and_sysroot_and_nothing_of_curl(tmp_path: Path) -> None:
    old, new = Cache(tmp_path / "old"), Cache(tmp_path / "new")
    blobs = {name: put_bytes(old, name.encode()) for name in ("musl", "upx", "curl")}
    for name, sha256 in blobs.items():
        step = f"{name} 1 linux/amd64"
        old.put_action(f"key-{name}", {"step": step, "output": sha256, "files": {}})
    old.put_action("proof", {"ok": True, "findings": []})
    old.put_action("origin-x", {"url": "https://x.example/"})
    seed(old, new, load_recipes())
    assert sorted(entry.name for entry in new.entries() if entry.name not in blobs.values()) == [
        "key-musl",
        "key-upx",
        "origin-x",
    ]
    assert new.blob(blobs["musl"]) is not None
    assert new.blob(blobs["curl"]) is None


def test_spend_counts_time_and_checks_the_exit_code() -> None:
    shell = shutil.which("sh") or "sh"
    assert spend(Case(name="x", words=(shell, "-c", "exit 7"), code=7)) > 0
    with pytest.raises(RuntimeError, match="ended with 7, not 0"):
        spend(Case(name="x", words=(shell, "-c", "exit 7")))


def test_peak_is_the_programs_own_and_not_this_pythons() -> None:
    found = peak([shutil.which("true") or "true"])
    if found is None:
        pytest.skip("this process may not trace another")
    resident, kept = found
    assert 0 < kept <= resident < 10_000


def test_the_server_ends_with_the_block() -> None:
    with serving() as urls:
        directory = Path(urls["ca"]).parent
        assert urls["http"].startswith("http://127.0.0.1:")
        assert urls["https"].startswith("https://127.0.0.1:")
        assert directory.is_dir()
    assert not directory.exists()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
