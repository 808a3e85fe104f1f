"""What a build loads when nothing changed: each module costs every run its time."""

import json
import os
import subprocess
import sys
from pathlib import Path

from flow.context import ROOT
from tests.unit.flow.conftest import FakeEnvironment, Harness

WARM = """
import json, sys
from pathlib import Path
import tasks
from commands.build import closing_table
from console.progress import PlainReport
from core.settings import Settings
from core.target import Target
from flow.build import Request, build
from flow.context import Context

def no_engine(*_):
    raise AssertionError("something was not cached")

settings = Settings.read({"cache": sys.argv[1], "artifacts": sys.argv[2]}, environment={})
context = Context(
    settings=settings,
    report=PlainReport(),
    recipes_directory=Path(sys.argv[3]),
    find_engine=no_engine,
    find_smoke_environment=no_engine,
)
made = build(context, Request(targets=(Target.AMD64,)))
closing_table(made)
assert tasks.namespace.tasks["build"]
PACKAGES = Path(sys.modules["invoke"].__file__).parents[1]
files = {name: Path(getattr(module, "__file__", None) or "/") for name, module in sys.modules.items()}
print(json.dumps([len(made), {
    name: str(file.relative_to(PACKAGES)) if file.is_relative_to(PACKAGES) else ""
    for name, file in files.items()
}]))
"""

THIRD_PARTY = {"invoke", "platformdirs"}
"""The packages that a warm build needs: no docker, requests, rich, cryptography, cyclonedx, elftools, filelock."""

OTHERS = {
    "builders.engines.docker",
    "builders.action",
    "builders.perform",
    "builders.sources.shared",
    "core.extras",
    "flow.cluster",
    "flow.store",
    "builders.engines.scratch_root",
    "commands.bump",
    "commands.image",
    "commands.publish",
    "http.server",
    "records.attribute",
    "records.fill",
    "records.store",
    "records.trace",
    "verify.facts",
    "verify.servers",
}
"""What only other commands, and builds that do something, need."""


def test_a_build_that_changes_nothing_loads_nothing_heavy(harness: Harness, tmp_path: Path) -> None:
    harness.environment = FakeEnvironment()
    artifacts = harness.build()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WARM,
            harness.context().cache_directory,
            harness.artifacts,
            harness.world.recipes,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, modules = json.loads(done.stdout)
    assert count == len(artifacts) == 2
    installed = {path.partition("/")[0].removesuffix(".py") for path in modules.values() if path}
    # Setuptools puts itself into every run, and the YAML reader inside invoke looks for its like of C.
    assert installed - {"_distutils_hack", "yaml"} == THIRD_PARTY
    assert not OTHERS & modules.keys()
    assert {"flow.verification", "commands.build", "tasks"} <= modules.keys()
