"""Attacks from inside a step, and what became of each: `tests/fixtures/escape.c` tries them in any engine.

`python -m tests.isolation ENGINE` prints them as JSON, for whoever runs it; ``--record`` runs every engine, as root
and as an ordinary user, and writes what `docs/engines.md` shows.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from builders.engines.choose import load_engine
from builders.engines.engine import Command, Engine, EngineSetup
from builders.engines.isolation import Backend
from builders.engines.sandbox import SandboxEngine
from builders.toolchain import Toolchain
from core.cancel import CancelToken

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "tests/fixtures/escape.c"
RECORD = ROOT / "tests/isolation.json"
NOBODY = 65534
BLOCKED = "blocked"
SECRET = "FROMSCRATCH_TEST_SECRET"

ENGINES: Mapping[str, Callable[[EngineSetup], Engine]] = {
    "bubblewrap": lambda setup: SandboxEngine(setup, Backend.BUBBLEWRAP),
    "unshare": lambda setup: SandboxEngine(setup, Backend.UNSHARE),
    "docker": lambda setup: load_engine("docker").make(setup),
}


def compile_escape(directory: Path) -> Path:
    """Return the attacks as a static program of this machine."""
    program = directory / "escape"
    zig = Path(sysconfig.get_path("purelib"), "ziglang/zig")
    words = [zig, "cc", "-target", f"{os.uname().machine}-linux-musl", "-static", "-Os"]
    subprocess.run([*map(str, words), "-o", str(program), str(SOURCE)], check=True)
    return program


@dataclass(frozen=True, kw_only=True)
class Bait:
    """What there is to be reached on this machine while a step runs."""

    port: int
    path: str
    name: str
    process: int
    secret: str
    hidden: tuple[Path, ...]


@contextlib.contextmanager
def bait(directory: Path) -> Iterator[Bait]:
    """Open sockets, start a process, set a secret."""
    secret, name = secrets.token_hex(16), f"fromscratch-{secrets.token_hex(8)}"
    path = str(directory / "socket")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as file,
        socket.socket(socket.AF_UNIX) as abstract,
        subprocess.Popen(["sleep", "600"]) as process,
    ):
        file.bind(path)
        file.listen()
        abstract.bind(f"\0{name}")
        abstract.listen()
        os.environ[SECRET] = secret
        try:
            yield Bait(
                port=tcp.getsockname()[1],
                path=path,
                name=name,
                process=process.pid,
                secret=secret,
                hidden=(ROOT / "tasks.py", Path(path), *Path.home().iterdir()),
            )
        finally:
            del os.environ[SECRET]
            process.kill()


def attack(engine: Engine, program: Path, directory: Path) -> dict[str, str]:
    """Return what became of each attack: ``blocked``, or why it is open. ``directory`` is the caller's own."""
    log = directory / "log"
    (directory / "out").mkdir()
    with bait(directory) as target, engine.sandbox() as sandbox:
        sandbox.put(directory / "out", PurePosixPath("out"))
        sandbox.put(program, PurePosixPath("escape"))
        # Of another step, beside this one's.
        with engine.sandbox() as other:
            other.put(program, PurePosixPath("secret"))
            boxes = [getattr(each, "directory", ROOT) for each in (sandbox, other)]
            hidden = [*target.hidden, *(path for each in boxes for path in each.iterdir())]
            box = str(sandbox.root)
            words = (str(target.port), target.path, target.name, str(target.process))
            argv = (f"{box}/escape", f"{box}/out", *words, target.secret[::-1], *map(str, hidden))
            code = sandbox.run(Command(argv=argv, env={}, log=log, seconds=60))
        found = {}
        for line in log.read_text("utf-8", "replace").splitlines():
            name, _, rest = line.partition("\t")
            outcome, _, why = rest.partition("\t")
            found[name] = outcome if outcome == BLOCKED else f"{outcome}: {why}" if why else line
        if code:
            found["run to its end"] = f"exit code {code}"
    found["leave a process behind"] = _left(str(target.process))
    return found


def _left(word: str) -> str:
    """Whether a process of the step's, ``sleep`` with this word, is still there."""
    alive: list[str] = []
    for _ in range(50):
        alive = [pid for pid, words in _processes() if words == ["sleep", word]]
        if not alive:
            return BLOCKED
        time.sleep(0.1)
    return f"OPEN: {alive}"


def _processes() -> Iterator[tuple[str, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.parent.name, path.read_text("utf-8", "replace").split("\0")[:-1]


def attack_here(name: str) -> dict[str, str]:
    """Run all attacks in a new engine, as whoever this is. Raises EngineError where it does not work."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-test-") as scratch:
        directory = Path(scratch).resolve()
        directory.chmod(0o755)  # root's steps are somebody else, who has to find them
        program = compile_escape(directory)
        setup = EngineSetup(
            toolchain=Toolchain.installed(ROOT / "recipes"),
            scratch=directory / "boxes",
            cancel=CancelToken(),
        )
        return attack(ENGINES[name](setup), program, directory)


def attack_in_copy(name: str, user: int | None) -> dict[str, str]:
    """Run all attacks from a copy of this project that all may read, as root, or as ``user``, who owns nothing."""
    with tempfile.TemporaryDirectory(prefix="fromscratch-test-") as scratch:
        directory = Path(scratch)
        directory.chmod(0o755)
        python = readable_python(directory)
        for part in ("builders", "core", "recipes", "tests", "verify", "tasks.py"):
            ignore = shutil.ignore_patterns("__pycache__")
            if (ROOT / part).is_file():
                shutil.copy2(ROOT / part, directory / "project" / part)
            else:
                shutil.copytree(ROOT / part, directory / "project" / part, ignore=ignore)
        home = directory / "home"
        home.mkdir()
        words = []
        if user is not None:
            os.chown(home, user, user)
            words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
            words += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
        done = subprocess.run(
            [*words, str(python), "-B", "-m", "tests.isolation", name],
            cwd=directory / "project",
            env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": "/tmp"},
            stdout=subprocess.PIPE,
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout)
        return found


def readable_python(directory: Path) -> Path:
    """Make a virtual environment like ours, which everybody may read, of the system's Python; return its Python."""
    subprocess.run(
        ["/usr/bin/python3", "-m", "venv", "--without-pip", directory / "venv"], check=True
    )
    (packages,) = (directory / "venv").glob("lib/python*/site-packages")
    ours = sysconfig.get_paths()
    # 650 MB: as links where that is possible.
    for how in ("-al", "-a"):
        words = ["cp", how, f"{ours['purelib']}/.", packages]
        if subprocess.run(words, check=False, capture_output=True).returncode == 0:
            break
    shutil.copy2(Path(ours["scripts"]) / "ninja", directory / "venv/bin/ninja")
    return directory / "venv/bin/python"


USERS: Mapping[str, int | None] = {"root": None, "ordinary user": NOBODY}


COLUMNS: Mapping[str, Callable[[], dict[str, str]]] = {
    **{
        f"{engine}, {user}": partial(attack_in_copy, engine, USERS[user])
        for engine in ("bubblewrap", "unshare")
        for user in USERS
    },
    # Whoever asks the engine, it is the same engine that runs the step.
    "docker": partial(attack_here, "docker"),
}
"""What docs/engines.md shows, beside each attack."""


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        known = json.loads(RECORD.read_bytes()) if RECORD.exists() else {}
        known |= {name: COLUMNS[name]() for name in sys.argv[2:] or COLUMNS}
        RECORD.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    else:
        print(json.dumps(attack_here(sys.argv[1])))
