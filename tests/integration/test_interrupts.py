"""Ctrl-C and its likes: a build ends within seconds, says so, and leaves nothing; the next one just works."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.built import Built
from tests.integration.command import Inv, finish, listed
from tests.integration.running import Running
from tests.integration.seeded_cache import SeededCache, all_but, made_by
from tests.integration.traces import (
    containers_of,
    half_files,
    held_locks,
    processes_at,
    stop_group,
    stop_one,
    volumes,
    volumes_of,
    wait_for,
)

pytestmark = pytest.mark.builds

SECONDS = 10.0

SANDBOX = pytest.param("sandbox", marks=pytest.mark.sandbox)
DOCKER = pytest.param("docker", marks=pytest.mark.docker)
Send = Callable[["subprocess.Popen[str]", signal.Signals], None]


@pytest.mark.parametrize("engine", [SANDBOX, DOCKER])
@pytest.mark.parametrize(
    ("send", "number"),
    [(stop_group, signal.SIGINT), (stop_one, signal.SIGINT), (stop_one, signal.SIGTERM)],
    ids=["ctrl-c", "sigint", "sigterm"],
)
def test_an_interrupted_build_leaves_nothing(
    inv: Inv,
    seeded_cache: SeededCache,
    tmp_path: Path,
    engine: str,
    send: Send,
    number: signal.Signals,
) -> None:
    cache = seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    with Running(inv, "--engine", engine) as build:
        build.come_to()
        used: set[str] = set()
        if engine == "docker":
            (container,) = wait_for(
                lambda: [
                    container
                    for container in containers_of(build.process.pid)
                    if container.status == "running"
                ],
                seconds=60,
                what="a container that runs",
            )
            used = volumes_of(container)
            assert used
        time.sleep(0.5)

        began = time.monotonic()
        send(build.process, number)
        done = build.end(seconds=SECONDS)

        assert time.monotonic() - began < SECONDS
        assert done.code == 130
        assert "Interrupted" in done.stderr
        assert processes_at(cache) == []
        assert half_files(cache, tmp_path / "artifacts") == []
        assert held_locks(cache) == []
        assert listed(tmp_path / "artifacts") == []
        if engine == "docker":
            assert containers_of(build.process.pid) == []
            assert used.isdisjoint(volumes())


@pytest.mark.sandbox
def test_an_impatient_second_ctrl_c_leaves_nothing_either(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    cache = seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    with Running(inv, "--engine", "sandbox") as build:
        build.come_to()
        for _ in range(3):
            stop_group(build.process, signal.SIGINT)
            time.sleep(0.02)
        assert build.end(seconds=SECONDS).code == 130
        assert processes_at(cache) == []
        assert held_locks(cache) == []


@pytest.mark.parametrize("engine", [SANDBOX, DOCKER])
def test_after_sigkill_clean_removes_the_leftovers_and_a_build_works(
    inv: Inv, built: Built, seeded_cache: SeededCache, tmp_path: Path, engine: str
) -> None:
    cache = seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    with Running(inv, "--engine", engine) as build:
        build.come_to()
        if engine == "docker":
            wait_for(lambda: containers_of(build.process.pid), seconds=60, what="a container")
        stop_one(build.process, signal.SIGKILL)
        assert build.end(seconds=SECONDS).code == -signal.SIGKILL
        wait_for(lambda: not processes_at(cache), seconds=SECONDS, what="the step's end")

        done = inv("build", "curl:mini", "--engine", engine)
        assert done.code == 0, done.stderr
        assert (tmp_path / "artifacts" / "manifest.json").exists()

        done = inv("clean")
        assert done.code == 0
        assert half_files(cache, tmp_path / "artifacts") == []
        assert listed(tmp_path / "artifacts") == []
        if engine == "docker":
            assert containers_of(build.process.pid) == []
        assert inv("clean").stdout == "nothing to remove\n"


@pytest.mark.sandbox
def test_clean_leaves_alone_what_another_run_is_at(
    inv: Inv, built: Built, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    with Running(inv, "--engine", "sandbox") as build:
        build.come_to()
        assert inv("clean").code == 0
        done = build.end(seconds=60)
        assert done.code == 0, done.stderr


@pytest.mark.sandbox
def test_two_builds_at_once_share_the_work(
    inv: Inv, built: Built, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(
        tmp_path / "cache", lambda step: made_by("upx")(step) or made_by("musl")(step)
    )
    builds = [
        inv.set(artifacts=tmp_path / name).start("build", "curl:mini", "--engine", "sandbox")
        for name in ("one", "other")
    ]
    ends = [finish(process) for process in builds]
    assert [done.code for done in ends] == [0, 0], [done.stderr for done in ends]
    started = [step for done in ends for step in done.started]
    assert sorted(started) == sorted(set(started)), "a step ran twice"
    assert len(started) == 2
    one, other = (listed(tmp_path / name) for name in ("one", "other"))
    assert one == other
    assert len([path for path in one if path.startswith("files/")]) == 2
