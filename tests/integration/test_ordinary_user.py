"""The sandbox needs no root: everything runs as a user who owns nothing but a cache."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.built import Built
from tests.integration.command import Inv, by_path
from tests.integration.seeded_cache import SeededCache, all_but
from tests.isolation import readable_python

NOBODY = 65534
PYTHON = Path("/usr/bin/python3")

pytestmark = [
    pytest.mark.builds,
    pytest.mark.sandbox,
    pytest.mark.skipif(os.getuid() != 0, reason="runs as an ordinary user already"),
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no {PYTHON}, which any user may run"),
]


@pytest.fixture
def python(directory: Path) -> Path:
    """A virtual environment like ours, where everybody may read it."""
    return readable_python(directory)


def test_an_ordinary_user_builds_in_the_sandbox(
    built: Built,
    seeded_cache: SeededCache,
    mirror: Path,
    project: Path,
    directory: Path,
    python: Path,
) -> None:
    for original, name in ((project, "project"), (mirror, "mirror")):
        shutil.copytree(original, directory / name)
        (directory / name).chmod(0o755)
    home = directory / "home"
    seeded_cache.copy(home / "cache", all_but("curl:mini"))
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", home], check=True)
    # Somebody else's results, whom this user trusts; and what this user makes is signed by a key in this home.
    inv = Inv(
        directory=home,
        settings={
            "cache": str(home / "cache"),
            "trusted_builders": seeded_cache.signer,
            "artifacts": str(home / "artifacts"),
            "mirrors": f"file://{directory / 'mirror'}",
            "offline": "1",
        },
        words=(
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
            *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
            *(str(python), str(directory / "project/tasks.py")),
        ),
    ).environ(
        HOME=str(home),
        XDG_STATE_HOME=str(home / "state"),
        PYTHONDONTWRITEBYTECODE="1",
        DOCKER_HOST="unix:///nowhere",
    )
    done = inv("build", "curl:mini", "--engine", "sandbox", "--json")
    assert done.code == 0, done.stderr
    made = json.loads(done.stdout)
    assert by_path(made).items() <= built.sha256.items()
    assert all(entry["smoke"]["ok"] for entry in made)
    assert {step.split()[0] for step in done.started} == {"curl:mini"}
    assert "'auto' would use: sandbox" in inv("doctor").stdout
