"""The MicroPython that was built for this machine: it compiles what it must, and refuses what it should."""

import subprocess
from pathlib import Path

import pytest

from builders.tree import unpack_tree
from flow.context import ROOT
from tests.built import Built
from tests.integration.seeded_cache import SeededCache

pytestmark = pytest.mark.builds

MODULES = sorted((ROOT / "probe").glob("*.py"))
CPYTHON_ONLY = {"digests", "ssl_session"}
"""What a plain Python needs in the place of C; `system` has one such import inside a function, so it compiles."""


@pytest.fixture(scope="module")
def micropython(frozen: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What its step made, out of the cache of whoever runs the tests."""
    seeded = SeededCache.in_cache(frozen.settings, ("probe:mini",))
    (outcome,) = [made for step, made in seeded.outcomes.items() if step.product == "micropython"]
    archive = seeded.cache.blob(outcome.output)
    assert archive
    directory = tmp_path_factory.mktemp("micropython") / "out"
    unpack_tree(archive, directory)
    return directory


def compiled(micropython: Path, source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = [str(micropython / "bin/mpy-cross"), "-o", str(out), "-s", source.name, str(source)]
    return subprocess.run(words, capture_output=True, check=False, text=True, env={})


@pytest.mark.parametrize("source", MODULES, ids=[source.stem for source in MODULES])
def test_every_module_of_the_probe_compiles(
    micropython: Path, source: Path, tmp_path: Path
) -> None:
    if source.stem in CPYTHON_ONLY:
        pytest.skip("a frozen probe does not have it")
    done = compiled(micropython, source, tmp_path / "out.mpy")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.mpy").read_bytes()[:2] == b"M\x06"


@pytest.mark.parametrize(
    "text",
    [
        "a = [*b, c]\n",
        "def f(a, /): pass\n",
        "match a:\n    case 1: pass\n",
        "def\n",
        "x = '\\xZZ'\n",
    ],
)
def test_what_it_does_not_know_is_refused(micropython: Path, text: str, tmp_path: Path) -> None:
    source, out = tmp_path / "wrong.py", tmp_path / "out.mpy"
    source.write_text(text)
    done = compiled(micropython, source, out)
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr
    assert not out.exists()


def test_it_runs_scripts(micropython: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    (tmp_path / "other.py").write_text("NAME = 'other'\n")
    script.write_text(
        "import sys\nfrom other import NAME\n"
        "print(sys.argv[1:], NAME, open(sys.argv[0]).read().count('import'))\nsys.exit(3)\n"
    )
    words = [str(micropython / "bin/micropython"), str(script), "a", "b"]
    done = subprocess.run(words, capture_output=True, check=False, text=True, env={})
    assert (done.stdout, done.returncode) == ("['a', 'b'] other 3\n", 3), done.stderr
