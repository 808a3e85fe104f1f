"""The program that `kills` kills: builds, makes images of, and publishes a few bytes, by the same code as `./inv`.

Run as ``python -m tests.campaigns.workshop (build | image | publish) DIRECTORY``. Steps are Python functions that take
their time, and each has a process of its own running.
"""

import os
import signal


def _interrupted(number: int, frame: object) -> None:
    os._exit(130)  # as in tasks.py: nothing has begun


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, _interrupted)

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from invoke import Collection, task

from console.program import Inv
from core.target import Target
from flow.build import Request, build
from tests.campaigns.yard import Yard
from tests.fakes import FakeEngine, Running
from tests.unit.flow.conftest import hello
from tests.unit.publish.releases import Bench

PAUSE = 0.15
"""Seconds that each step takes."""


def slow(running: Running) -> int:
    """Write half of a file, run a process, then do what the step does."""
    half = running.out / "half"
    half.write_bytes(b"half")
    with subprocess.Popen(["sleep", str(PAUSE)], cwd=running.directory) as process:
        try:
            process.wait()
        except BaseException:
            process.kill()
            raise
    half.unlink()
    return hello(running)


def bench_at(directory: Path) -> Bench:
    """What images and releases are made of; it is there already."""
    return Bench(directory=directory / "bench", key=None)


@task
def build_(_: Any, directory: str) -> None:
    """Build the products."""
    yard = Yard.at(Path(directory))
    context = replace(
        yard.context(),
        find_engine=lambda it: FakeEngine(yard.cache / "boxes", it.toolchain, slow, it.cancel),
    )
    build(context, Request(products=("hello:plain",), targets=(Target.AMD64,)))


@task
def image(_: Any, directory: str) -> None:
    """Make an image and its tar."""
    bench_at(Path(directory)).image()


@task
def publish(_: Any, directory: str) -> None:
    """Make a release of an image and its files."""
    bench = bench_at(Path(directory))
    bench.write(bench.entry(), images=(bench.image(),))


if __name__ == "__main__":
    commands = Collection()
    commands.add_task(build_, name="build")  # type: ignore[arg-type]
    commands.add_task(image)  # type: ignore[arg-type]
    commands.add_task(publish)  # type: ignore[arg-type]
    Inv(namespace=commands, version="0").run(["inv", sys.argv[1], "--directory", sys.argv[2]])
