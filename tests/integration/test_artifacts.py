"""What a build leaves: proven files, a manifest that says the truth about them, and nothing to do next time."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from builders.engines.choose import ENGINES
from core.target import Target
from tests.built import Built
from tests.integration.command import listed
from tests.integration.seeded_cache import CURLS

pytestmark = pytest.mark.builds

NATIVE = Target.native().value
HEX = re.compile(r"[0-9a-f]{64}")
FILES = [(product, packed) for product in CURLS for packed in (False, True)]


@pytest.fixture(params=FILES, ids=[f"{name}{'.upx' if packed else ''}" for name, packed in FILES])
def entry(request: pytest.FixtureRequest, built: Built) -> dict[str, Any]:
    product, packed = request.param
    (found,) = [
        entry
        for entry in built.manifest
        if (entry["product"], entry["packed"]) == (product, packed)
    ]
    return found


def test_every_file_is_in_the_manifest_and_nothing_else_is_left(built: Built) -> None:
    paths = sorted(entry["path"] for entry in built.manifest)
    plain = [Path(entry["path"]).name for entry in built.manifest if not entry["packed"]]
    fill = [f"fill/{name}.json" for name in plain]
    assert listed(built.artifacts) == sorted([*paths, *fill, "manifest.json"])
    assert len(paths) == len(FILES)


def test_the_manifest_keeps_its_contract(entry: dict[str, Any], built: Built) -> None:
    assert {name: type(value) for name, value in entry.items()} == {
        "product": str,
        "release": str,
        "target": str,
        "packed": bool,
        "path": str,
        "size": int,
        "sha256": str,
        "engine": str,
        "isolated": bool,
        "key": str,
        "seconds": dict,
        "verdict": dict,
        "smoke": dict,
        "inputs": list,
        "reproduced_by": list,
        "budget": int,
        "anchors": int,
        "gzip": int,
    }
    name = f"{entry['product']}-{entry['release']}-{entry['target']}"
    ending = ".upx" if entry["packed"] else ""
    assert entry["path"] == f"files/{re.sub('[:/]', '-', name)}{ending}"
    assert entry["target"] == NATIVE
    assert entry["engine"] in ENGINES
    assert entry["isolated"] is (entry["engine"] != "host")
    assert HEX.fullmatch(entry["key"])
    assert set(entry["seconds"]) == {"fetch", "build"}
    assert entry["verdict"] == {"ok": True, "findings": entry["verdict"]["findings"]}


def test_the_manifest_says_the_truth_about_the_file(entry: dict[str, Any], built: Built) -> None:
    data = (built.artifacts / entry["path"]).read_bytes()
    assert entry["size"] == len(data)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert os.access(built.artifacts / entry["path"], os.X_OK)


def test_the_smoke_run_took_place_and_was_good(entry: dict[str, Any]) -> None:
    smoke = entry["smoke"]
    assert (smoke["ran"], smoke["ok"]) == (True, True)
    assert smoke["how"] in {"docker", "sandbox"}


def test_the_inputs_are_every_source_that_went_in(entry: dict[str, Any]) -> None:
    names = {"curl", "musl"}
    names |= {"mbedtls", "cacert"} if entry["product"] == "curl:https" else set()
    names |= {"upx"} if entry["packed"] else set()
    assert {source["name"] for source in entry["inputs"]} == names
    for source in entry["inputs"]:
        assert set(source) == {"name", "version", "sha256", "url", "licence"}
        assert HEX.fullmatch(source["sha256"])
        assert source["version"]
        assert source["licence"]


def test_packed_is_smaller(built: Built) -> None:
    for product in CURLS:
        plain, packed = built.file(product), built.file(product, packed=True)
        assert packed.stat().st_size < plain.stat().st_size * 0.7


def test_each_file_passes_verify(entry: dict[str, Any], built: Built) -> None:
    # A packed one is unpacked with the UPX that packed it: the machine has none.
    done = built.inv("verify", built.artifacts / entry["path"], "--target", NATIVE)
    assert done.code == 0, done.stdout
    assert ": ok" in done.stdout


def test_a_packed_file_that_nobody_can_unpack_is_refused(built: Built, tmp_path: Path) -> None:
    inv = built.inv.set(cache=tmp_path).environ(PATH="/nowhere:/bin")
    assert inv("verify", built.file("curl:mini")).code == 0
    if shutil.which("upx", path="/bin") is None:
        done = inv("verify", built.file("curl:mini", packed=True))
        assert done.code == 1
        assert "cannot see inside the packing" in done.stdout


def test_each_file_is_refused_for_another_target(entry: dict[str, Any], built: Built) -> None:
    other = next(target.value for target in Target if target.value != NATIVE)
    done = built.inv("verify", built.artifacts / entry["path"], "--target", other)
    assert done.code == 1
    assert "[machine]" in done.stdout


def test_a_dynamic_program_is_refused_with_every_reason(built: Built) -> None:
    done = built.inv("verify", "/bin/ls", built.file("curl:http"))
    assert done.code == 1
    assert "/bin/ls" in done.stdout
    done = built.inv("verify", "--json", "/bin/ls", built.file("curl:http"))
    assert done.code == 1
    answer = json.loads(done.stdout)
    assert answer["version"] == 2
    bad, good = answer["verdicts"]
    assert (bad["ok"], good["ok"]) == (False, True)
    for finding in bad["findings"]:
        assert {"rule", "severity", "message"} <= set(finding)
    assert any(finding["severity"] == "error" for finding in bad["findings"])


def test_smoke_looks_again_at_everything(built: Built) -> None:
    done = built.inv("smoke", "--json")
    assert done.code == 0, done.stdout
    results = json.loads(done.stdout)
    assert [result["path"] for result in results] == [entry["path"] for entry in built.manifest]
    assert all(result["ok"] for result in results)


def test_smoke_finds_a_program_that_broke(built: Built, tmp_path: Path) -> None:
    inv = built.inv.set(artifacts=tmp_path)
    assert inv("smoke").code == 1  # nothing is built there
    entries = [
        entry for entry in built.manifest if entry["product"] == "curl:mini" and not entry["packed"]
    ]
    (tmp_path / "files").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "artifacts": entries}))
    # A curl that is not the one the manifest names: it has no TLS to be refused.
    (tmp_path / entries[0]["path"]).write_bytes(built.file("curl:https").read_bytes())
    done = inv("smoke")
    assert done.code == 1
    assert "FAILED" in done.stdout


def test_a_second_build_runs_nothing(built: Built) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.artifacts.rglob("*")}
    done = built.inv("build", *CURLS)
    assert done.code == 0
    assert done.stderr == ""
    assert all(line.split()[8] == "yes" for line in done.stdout.splitlines()[2:])
    assert {path: path.stat().st_mtime_ns for path in built.artifacts.rglob("*")} == before


def test_a_lost_file_comes_back_from_the_cache(built: Built, tmp_path: Path) -> None:
    done = built.inv.set(artifacts=tmp_path)("build", "curl:mini", "--json")
    assert done.code == 0
    assert done.started == []
    for entry in json.loads(done.stdout):
        assert built.sha256[entry["path"]] == entry["sha256"]
