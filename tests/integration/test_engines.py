"""Wherever a step runs, it makes the same bytes."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from builders.engines.isolation import Backend, try_backend
from builders.engines.sandbox import SandboxEngine
from builders.toolchain import Toolchain
from console.progress import PlainReport
from core.settings import Settings
from core.target import Target
from flow.build import Request, build
from flow.context import Context
from recipes.load import HERE
from tests.built import Built
from tests.integration.command import Inv, by_path, listed
from tests.integration.seeded_cache import CURLS, SeededCache, all_but, made_by, not_made_by
from tests.interpreters import PROBES

pytestmark = pytest.mark.builds


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("sandbox", marks=pytest.mark.sandbox),
        "host",
    ],
)
def test_every_engine_makes_the_same_bytes(
    inv: Inv, built: Built, seeded_cache: SeededCache, tmp_path: Path, engine: str
) -> None:
    # UPX takes longer to build than all the rest, and its own bytes do not reach a result.
    seeded_cache.copy(tmp_path / "cache", made_by("upx"))
    done = inv("build", *CURLS, "--engine", engine, "--json", "--timings")
    assert done.code == 0, done.stderr
    made = json.loads(done.stdout)
    assert by_path(made) == built.sha256
    assert {entry["engine"] for entry in made} == {engine}
    assert {entry["isolated"] for entry in made} == {engine != "host"}
    assert ("WARNING" in done.stderr) is (engine == "host")
    # musl, mbedtls, two of cacert, three curls, three of them packed
    assert len(done.started) == 10
    assert listed(tmp_path / "cache" / "boxes") == []
    assert listed(tmp_path / "cache" / "tmp") == []


def assert_sane(trace: dict[str, Any], engine: str) -> None:
    """The steps that ran took CPU time and memory, and no more of them than there was."""
    about = trace["otherData"]
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    ran = [step for step in spans if step["cat"] == "step" and not step["args"]["cached"]]
    assert len(ran) == 10
    assert {step["args"]["engine"] for step in ran} == {engine}
    took = [step["args"]["cpu"] for step in ran]
    if engine == "docker" and not any(took):
        return  # containers do not see their control group here; the bytes were compared all the same
    assert 5 < sum(took) <= about["seconds"] * about["cores"]
    for step in ran:
        # The kernel counts CPU time in ticks of up to 10 ms per process.
        assert 0 < step["args"]["cpu"] <= step["dur"] / 1e6 * about["cores"] * 1.1 + 0.1
    figure = "memory" if engine == "docker" else "rss"
    largest = max(step["args"][figure] or 0 for step in ran)
    assert 50e6 < largest < 2e9  # clang
    for lane in {span["tid"] for span in spans}:
        mine = sorted((span["ts"], span["dur"]) for span in spans if span["tid"] == lane)
        assert all(ts + dur <= after for (ts, dur), (after, _) in pairwise(mine))


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("sandbox", marks=pytest.mark.sandbox),
    ],
)
def test_the_probe_is_the_same_whatever_the_engine(
    frozen: Built, tmp_path: Path, engine: str
) -> None:
    """Only the probe's own steps are done again: freezing, compiling, linking and packing of every variant.

    What they are made from is taken from the cache of whoever runs the tests, as it takes minutes per engine: both
    Pythons, Nuitka, mbedTLS, the CA bundle, musl and UPX. Whatever engine made those, it was only one.
    """
    directory = tmp_path / "mirror"
    assert frozen.inv("cache", "mirror", directory).code == 0
    SeededCache.in_cache(frozen.settings, PROBES).copy(tmp_path / "cache", not_made_by("probe"))
    inv = Inv(directory=tmp_path).set(
        cache=tmp_path / "cache",
        artifacts=tmp_path / "artifacts",
        mirrors=f"file://{directory}",
        offline="1",
    )
    done = inv("build", *PROBES, "--engine", engine, "--json")
    assert done.code == 0, done.stderr
    made = json.loads(done.stdout)
    assert by_path(made) == frozen.sha256
    assert {entry["engine"] for entry in made} == {engine}
    assert len(done.started) == 8  # the bytecode of two, the C of one, three probes, all packed


@pytest.mark.sandbox
@pytest.mark.parametrize("backend", list(Backend))
def test_both_walls_make_the_same_bytes(
    built: Built, seeded_cache: SeededCache, mirror: Path, directory: Path, backend: Backend
) -> None:
    needed = [path for _, path in Toolchain.installed(HERE).parts()]
    if reason := try_backend(backend, directory, needed=needed):
        pytest.skip(reason)
    seeded_cache.copy(directory / "cache", all_but("curl:mini"))
    settings = Settings.read(
        {
            "cache": str(directory / "cache"),
            "artifacts": str(directory / "artifacts"),
            "mirrors": f"file://{mirror}",
            "offline": "1",
        }
    )

    def sandbox(context: Context) -> SandboxEngine:
        return SandboxEngine(context.chooser, backend)

    context = Context(settings=settings, report=PlainReport(), find_engine=sandbox)
    made = build(context, Request(products=("curl:mini",), targets=(Target.native(),)))
    for artifact in made:
        assert artifact.engine == "sandbox"
        assert not artifact.cached
        assert artifact.sha256 == built.sha256[artifact.path]
