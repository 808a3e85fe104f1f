"""Into a Docker engine goes the image for the engine's own platform, under the name that every engine takes."""

import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from commands.load import load, platforms_of
from core.errors import EngineError, UsageError
from core.target import Target
from publish.oci.layout import Layout
from tests.unit.publish.test_layout import layout


@dataclass
class Loaded:
    """An image as the SDK has it."""

    tags: list[str]


@dataclass
class FakeEngine:
    """An engine that keeps what it is given, and is its own collection of images."""

    architecture: str
    machine: str
    system: str = "linux"
    name: str = ""
    """What it calls every image; '': as it was told to."""
    taken: list[dict[str, Any]] = field(default_factory=list)

    @property
    def images(self) -> "FakeEngine":
        return self

    def version(self) -> dict[str, str]:
        return {"Os": self.system, "Arch": self.architecture}

    def info(self) -> dict[str, str]:
        return {"Architecture": self.machine}

    def load(self, data: BinaryIO) -> list[Loaded]:
        with tarfile.open(fileobj=io.BytesIO(data.read())) as tar:
            found = {name: tar.extractfile(name) for name in tar.getnames()}
            files = {name: file.read() for name, file in found.items() if file}
        (saved,) = json.loads(files["manifest.json"])
        self.taken.append(json.loads(files[saved["Config"]]))
        return [Loaded([self.name or saved["RepoTags"][0].removeprefix("docker.io/library/")])]

    @property
    def platforms(self) -> list[str]:
        """What was loaded."""
        words = ("os", "architecture", "variant")
        return ["/".join(it[word] for word in words if word in it) for it in self.taken]


EVERY = tuple(Target)


def all_of_them(directory: Path, *without: Target) -> Layout:
    return layout(directory, tuple(target for target in EVERY if target not in without))


@pytest.mark.parametrize("target", EVERY)
def test_each_engine_gets_its_own(tmp_path: Path, target: Target) -> None:
    architecture = target.value.split("/")[1]
    engine = FakeEngine(architecture, target.machine.uname[0])
    assert load(all_of_them(tmp_path), engine) == "static-curl:8.21.0-http"
    assert engine.platforms == [target.value]


@pytest.mark.parametrize("target", EVERY)
def test_no_engine_gets_what_is_called_nearly_the_same(tmp_path: Path, target: Target) -> None:
    """`linux/arm64` begins with `linux/arm`, and was loaded into engines of 32 bits."""
    architecture = target.value.split("/")[1]
    engine = FakeEngine(architecture, target.machine.uname[0])
    without = {target, Target.ARM_V6} if target is Target.ARM_V7 else {target}
    with pytest.raises(UsageError, match=f"platform, {target}") as caught:
        load(all_of_them(tmp_path, *without), engine)
    assert f"--target {target}" in caught.value.next
    assert engine.taken == []


@pytest.mark.parametrize(
    ("machine", "best"),
    [
        ("armv7l", [Target.ARM_V7, Target.ARM_V6]),
        ("armv6l", [Target.ARM_V6]),
        ("armv8l", [Target.ARM_V7, Target.ARM_V6]),
        ("aarch64", [Target.ARM_V7, Target.ARM_V6]),
        ("armv5tel", [Target.ARM_V6]),
        ("", [Target.ARM_V6]),
    ],
)
def test_the_kernel_says_how_new_an_arm_is(machine: str, best: list[Target]) -> None:
    assert platforms_of("linux", "arm", machine) == tuple(best)


@pytest.mark.parametrize(("system", "arch"), [("windows", "amd64"), ("linux", "sparc64")])
def test_an_engine_for_something_else_is_named(tmp_path: Path, system: str, arch: str) -> None:
    engine = FakeEngine(arch, "x86_64", system=system)
    with pytest.raises(UsageError, match=f"platform, {system}/{arch}"):
        load(all_of_them(tmp_path), engine)


def test_an_engine_that_calls_it_something_else_is_not_believed(tmp_path: Path) -> None:
    engine = FakeEngine("amd64", "x86_64", name="<none>")
    with pytest.raises(EngineError, match=r"has no static-curl:8\.21\.0-http"):
        load(all_of_them(tmp_path), engine)
