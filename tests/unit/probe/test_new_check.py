"""A check is one file and one row of a table: adding one touches nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.behaviour.servers import greet, serving

ROOT = Path(__file__).parents[3]
MERGE = ROOT / "recipes" / "probe" / "merge.py"
MODULE = '''"""The check of knocking: says a word, and waits for the answer."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.kinds import Callable, Steps
from probe.options import SERVER_OPTIONS, Check, Options
from probe.scheduler import Trace
from probe.server import prepare_server
from probe.stream import Stream
from probe.values import visible_text


def prepare_knock(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    return prepare_server(options, 7, _knock)


def _knock(stream: Stream, options: Options) -> Steps[str]:
    yield from stream.send(options.data("knuckle"))
    reply = yield from stream.exactly(4)
    if reply != b"come":
        raise Unhealthy(visible_text(reply))
    return "may enter"


KNOCK = Check(
    "knock",
    "somebody is at home",
    SERVER_OPTIONS + (("knuckle", "bytes", "knock", "what to knock with"),),
    prepare_knock,
)
'''


@pytest.fixture(params=["package", "merged"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The probe with one more check, as a package and as the one module that is frozen."""
    package = tmp_path / "probe"
    shutil.copytree(ROOT / "probe", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "knock_check.py").write_text(MODULE)
    table = package / "checks.py"
    rows = table.read_text().replace("    PROCESS,\n", "    PROCESS,\n    KNOCK,\n")
    future = "from __future__ import annotations\n"
    table.write_text(rows.replace(future, f"{future}\nfrom probe.knock_check import KNOCK"))
    if request.param == "package":
        start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import probe.cli"
        return [sys.executable, "-c", f"{start}; sys.exit(probe.cli.main())"]
    merged = tmp_path / "merged.py"
    done = subprocess.run([sys.executable, MERGE, package], check=True, capture_output=True)
    # A frozen program has no annotations; here they are not evaluated.
    merged.write_bytes(b"from __future__ import annotations\n" + done.stdout)
    return [sys.executable, str(merged)]


def said(command: list[str], *words: str) -> tuple[int, str]:
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, env={})
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_one_file_and_one_row_make_a_check(command: list[str]) -> None:
    seen: list[bytes] = []
    with serving(greet(replies=(b"come",), seen=seen)) as server:
        code, text = said(command, "knock", server.address)
        assert text.startswith(f"healthy: knock {server.address}: may enter in ")
        assert code == 0
        assert said(command, "knock", server.address, "--knuckle", "tap")[0] == 0
    assert seen == [b"knock", b"tap"]
    with serving(greet(replies=(b"away",))) as server:
        code, text = said(command, "knock", server.address)
        assert (code, "away" in text) == (1, True)


def test_it_has_help_and_refuses_what_it_does_not_know(command: list[str]) -> None:
    assert "--knuckle TEXT" in said(command, "knock", "--help")[1]
    assert "(default knock)" in said(command, "knock", "--help")[1]
    assert "  knock      somebody is at home" in said(command, "--help")[1]
    assert "of knock, not of tcp" in said(command, "tcp", "h:1", "--knuckle", "x")[1]
    assert "not of knock" in said(command, "knock", "--status", "200")[1]
    assert "perhaps --knuckle" in said(command, "knock", "--knukle", "x")[1]
