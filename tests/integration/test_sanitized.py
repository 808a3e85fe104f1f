"""The probe with sanitizers against hostile servers: whatever goes wrong in its C ends it with another exit code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flow.context import ROOT
from tests import sanitized
from tests.interpreters import GIVEN

pytestmark = pytest.mark.builds

HOSTILE = (
    "tests/behaviour/test_http.py",
    "tests/behaviour/test_https.py",
    "tests/behaviour/test_other_checks.py",
    "tests/behaviour/test_server_tls.py",
)
SECONDS = 600


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that they are in."""
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed (apt-get install -y clang)")
    directory = tmp_path_factory.mktemp("sanitized") / "made"
    sanitized.build(directory)
    return directory


def run(program: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, GIVEN: str(program)},
        capture_output=True,
        check=False,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout


def test_it_would_be_seen(programs: Path, tmp_path: Path) -> None:
    """Both sanitizers are in there, and end what they find as `EXIT_CODE` says."""
    for name, fault in (
        ("address", "char *p = malloc(1); return p[n];"),
        ("undefined", "return n << 31 << n;"),
    ):
        text = f"#include <stdlib.h>\n{sanitized.OPTIONS}\nint main(int n, char **w) {{ (void)w; {fault} }}\n"
        (tmp_path / f"{name}.c").write_text(text)
        words = ["clang", *sanitized.FLAGS.split(), f"{name}.c", "-o", name]
        subprocess.run(words, cwd=tmp_path, check=True)
        done = subprocess.run(["./" + name], cwd=tmp_path, check=False, capture_output=True)
        assert done.returncode == sanitized.EXIT_CODE
    for name in sanitized.NAMES:
        program = (programs / name).read_bytes()
        assert b"__asan_init" in program
        assert b"__ubsan_handle" in program


@pytest.mark.parametrize("name", sanitized.NAMES)
def test_hostile_servers(programs: Path, name: str) -> None:
    run(programs / name, "pytest", "-q", "-p", "no:cacheprovider", *HOSTILE)
