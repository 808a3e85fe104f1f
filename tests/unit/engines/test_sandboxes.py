"""Sandboxes for real: small shell commands in each backend that works here, and on the bare machine."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.engine import Command, Engine, EngineSetup, Usage
from builders.engines.host import HostEngine
from builders.engines.isolation import Backend
from builders.engines.sandbox import SandboxEngine
from core.cancel import Cancelled, CancelToken
from core.errors import StepError
from tests.fakes import below

PATH = "/usr/bin:/bin"
Run = Callable[[str], str]


class Shell:
    """Runs one script in a fresh sandbox that holds a directory ``in`` and an empty directory ``out``."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        self.log = directory / "log"
        (directory / "in" / "sub").mkdir(parents=True)
        (directory / "in" / "sub" / "file").write_text("content", "utf-8")
        (directory / "out").mkdir()
        self.usage = Usage()

    def code(self, script: str, *, seconds: float = 20, **env: str) -> int:
        self.log.write_bytes(b"")
        with self.engine.sandbox() as sandbox:
            sandbox.put(self.directory / "in", PurePosixPath("in"))
            sandbox.put(self.directory / "out", PurePosixPath("out"))
            command = Command(
                argv=("sh", "-c", script),
                env={
                    "PATH": PATH,
                    "BOX": str(sandbox.root),
                    "TOOLS": str(sandbox.toolchain),
                    **env,
                },
                log=self.log,
                seconds=seconds,
            )
            code = sandbox.run(command)
            self.usage = sandbox.usage
            sandbox.get(PurePosixPath("out"), self.directory / "made")
        return code

    def say(self, script: str) -> str:
        """Return what a script prints; it must end well."""
        code = self.code(script)
        output = self.log.read_text("utf-8")
        assert code == 0, output
        return output


@pytest.fixture
def sandbox(tmp_path: Path, setup: EngineSetup, backend: Backend) -> Shell:
    return Shell(SandboxEngine(setup, backend), tmp_path / "shell")


@pytest.fixture
def host(tmp_path: Path, setup: EngineSetup) -> Shell:
    return Shell(HostEngine(setup), tmp_path / "shell")


@pytest.mark.sandbox
class TestSandbox:
    def test_there_is_no_network(self, sandbox: Shell) -> None:
        lines = sandbox.say("cat /proc/net/dev").splitlines()[2:]
        assert [line.partition(":")[0].strip() for line in lines] == ["lo"]

    def test_nothing_personal_is_seen(self, sandbox: Shell, tmp_path: Path) -> None:
        paths = f"/home /root /etc/passwd /etc/hosts /var /run {Path.cwd()} {tmp_path}"
        assert sandbox.say(f"for p in {paths}; do test ! -e $p || echo $p; done") == ""

    def test_temporary_files_are_its_own(self, sandbox: Shell) -> None:
        assert sandbox.say("ls -A /tmp; echo mine > /tmp/file; ls -A /tmp") == "file\n"

    def test_the_root_is_always_the_same_and_can_be_written_to(self, sandbox: Shell) -> None:
        output = sandbox.say('pwd; echo "$BOX"; cat in/sub/file; echo made > out/file')
        assert output == "/box\n/box\ncontent"
        assert below(sandbox.directory / "made") == {"file": b"made\n"}

    def test_everything_else_is_read_only(self, sandbox: Shell) -> None:
        paths = "/file /usr/file /toolchain/bin/file /toolchain/bin/cc /toolchain/zig/file"
        script = f"for p in {paths}; do (echo x > $p) 2>/dev/null && echo $p; done; true"
        assert sandbox.say(script) == ""

    def test_the_toolchain_is_there(self, sandbox: Shell) -> None:
        output = sandbox.say('cd "$TOOLS"; pwd; ls bin')
        assert output.split() == [
            "/toolchain",
            *("ar", "cc", "configure", "ld", "ninja", "patch.awk", "ranlib", "toolchain.cmake"),
        ]

    def test_nothing_of_our_environment_gets_in(
        self, sandbox: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET_TOKEN", "hush")
        names = {line.partition("=")[0] for line in sandbox.say("env").splitlines()}
        assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "BOX", "TOOLS"}

    def test_other_processes_are_not_seen(self, sandbox: Shell) -> None:
        assert len(sandbox.say("ls -d /proc/[0-9]*").split()) < 8
        assert sandbox.code(f"test -e /proc/{os.getpid()}/cmdline && kill -0 {os.getppid()}") != 0

    def test_devices_that_programs_expect_are_there(self, sandbox: Shell) -> None:
        assert sandbox.say("echo x > /dev/null; head -c 3 /dev/zero | wc -c").strip() == "3"
        assert sandbox.code("head -c 1 /dev/urandom > out/byte") == 0

    def test_no_disk_can_be_reached(self, sandbox: Shell) -> None:
        assert sandbox.say("ls /dev | grep -E '^(sd|vd|nvme|loop|mem)' || true") == ""
        assert sandbox.code("mknod out/disk b 8 0") != 0

    def test_the_exit_code_comes_through(self, sandbox: Shell) -> None:
        assert sandbox.code("exit 42") == 42

    def test_a_signal_ends_a_program_as_anywhere(self, sandbox: Shell) -> None:
        """Not so for the first process of a namespace, which bubblewrap's accounted one is."""
        assert sandbox.code("sh -c 'kill -TERM $$; echo still here'") == 143

    def test_what_all_of_it_took_is_reported(self, sandbox: Shell, block: int) -> None:
        _is_reported(sandbox, block)

    def test_a_daemon_that_hides_itself_ends_with_its_step(self, sandbox: Shell) -> None:
        sandbox.code("setsid sh -c 'while :; do echo alive >> /box/out/signs; sleep 0.05; done' &")
        directory = Path(sandbox.directory).parent / "boxes"
        assert list(directory.iterdir()) == []

    def test_a_deadline_ends_a_step(self, sandbox: Shell) -> None:
        with pytest.raises(StepError, match="did not end within"):
            sandbox.code("setsid sleep 61.25 & sleep 61.25", seconds=0.5)
        _nobody_runs("61.25")

    def test_cancelling_ends_a_step(self, sandbox: Shell, cancel: CancelToken) -> None:
        threading.Timer(0.3, cancel.set).start()
        with pytest.raises(Cancelled):
            sandbox.code("setsid sleep 62.25 & sleep 62.25")
        _nobody_runs("62.25")

    @pytest.mark.parametrize("name", ["a cache", "a\nb", "ko:lon,", "\udcff", "$HOME `x`", "'\"\\"])
    def test_its_directory_may_be_called_anything(
        self, setup: EngineSetup, backend: Backend, tmp_path: Path, name: str
    ) -> None:
        engine = SandboxEngine(replace(setup, scratch=tmp_path / name / "boxes"), backend)
        sandbox = Shell(engine, tmp_path / "shell")
        assert sandbox.say("pwd; cat in/sub/file; echo made >out/file") == "/box\ncontent"
        assert below(sandbox.directory / "made") == {"file": b"made\n"}

    def test_nothing_is_left_of_a_sandbox(self, sandbox: Shell, tmp_path: Path) -> None:
        sandbox.code("mkdir -p work/deep; chmod 000 work/deep; echo x > out/x")
        assert list((tmp_path / "boxes").iterdir()) == []


def test_a_run_that_is_over_copies_nothing_more(
    setup: EngineSetup, cancel: CancelToken, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("x")
    with HostEngine(setup).sandbox() as sandbox:
        sandbox.put(tmp_path / "tree", PurePosixPath("out"))
        cancel.set()
        with pytest.raises(Cancelled):
            sandbox.put(tmp_path / "tree", PurePosixPath("in"))
        with pytest.raises(Cancelled):
            sandbox.get(PurePosixPath("out"), tmp_path / "made")
    assert list((tmp_path / "boxes").iterdir()) == []


def make_tree(directory: Path) -> Path:
    """A directory with a program, a link, an old file and an empty folder."""
    (directory / "sub" / "empty").mkdir(parents=True)
    (directory / "program").write_text("#!/bin/sh\n", "utf-8")
    (directory / "program").chmod(0o755)
    (directory / "sub" / "link").symlink_to("../program")
    os.utime(directory / "program", (5, 5))
    return directory


def look(directory: Path) -> dict[str, tuple[int, int]]:
    """Mode of everything in a directory, and the time of each file."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            0 if path.is_dir() else int(path.stat().st_mtime),
        )
        for path in sorted(directory.rglob("*"))
    }


@pytest.mark.parametrize("move", [False, True])
def test_what_is_moved_in_looks_like_what_is_copied_in(
    move: bool, setup: EngineSetup, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree")
    expected = look(tree)
    with HostEngine(setup).sandbox() as sandbox:
        sandbox.put(tree, PurePosixPath("deep/src"), move=move)
        assert look(sandbox.directory / "deep/src") == expected
    assert tree.exists() is not move


def test_what_cannot_be_moved_is_copied(
    setup: EngineSetup, tmp_path: Path, elsewhere: Path
) -> None:
    """What adds to a directory, what comes by a link, and what lies on another file system."""
    link = tmp_path / "link"
    link.symlink_to(make_tree(tmp_path / "tree"))
    far = make_tree(elsewhere / "tree")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "added").touch()
    with HostEngine(setup).sandbox() as sandbox:
        for number, path in enumerate((link, far)):
            inside = PurePosixPath(f"src{number}")
            sandbox.put(path, inside, move=True)
            assert look(sandbox.directory / inside) == look(path)
            assert not (sandbox.directory / inside).is_symlink()
            sandbox.put(tmp_path / "more", inside, move=True)
            assert look(path).items() < look(sandbox.directory / inside).items()


@pytest.fixture
def elsewhere(setup: EngineSetup) -> Iterator[Path]:
    """A directory of another file system than the sandboxes' own."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == setup.scratch.parent.stat().st_dev:
        pytest.skip("there is no other file system here")
    with tempfile.TemporaryDirectory(dir=shared) as name:
        yield Path(name)


def test_the_host_lends_a_directory_and_says_where(host: Shell, tmp_path: Path) -> None:
    output = host.say('pwd; echo "$BOX"; echo "$TOOLS"; cat in/sub/file; echo x > "$BOX/out/x"')
    here, sandbox, tools, content = output.splitlines()
    assert here == sandbox
    assert Path(sandbox).is_relative_to(tmp_path / "boxes")
    assert Path(tools).parent == Path(sandbox).parent
    assert content == "content"
    assert below(host.directory / "made") == {"x": b"x\n"}
    assert list((tmp_path / "boxes").iterdir()) == []


def test_the_host_tells_what_a_step_took(host: Shell, block: int) -> None:
    _is_reported(host, block)


def test_the_host_has_the_toolchain_under_the_same_names(host: Shell) -> None:
    assert "ninja" in host.say('ls "$TOOLS/bin"').split()
    assert host.say('ls "$TOOLS"').split() == ["bin", "cmake", "zig"]


def test_the_host_hides_our_environment_and_says_that_it_hides_nothing_else(
    host: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    assert "hush" not in host.say("env")
    assert not host.engine.isolated


def test_what_is_put_into_a_sandbox_is_a_copy(host: Shell) -> None:
    host.code("echo changed > in/sub/file")
    assert (host.directory / "in" / "sub" / "file").read_text("utf-8") == "content"


def _is_reported(shell: Shell, block: int) -> None:
    """A child of a child burns CPU, another one memory."""
    assert shell.code("true") == 0
    little = shell.usage
    busy = "sh -c 'i=0; while [ $i -lt 600000 ]; do i=$((i+1)); done'"
    assert shell.code(f"{busy}; dd if=/dev/zero of=/dev/null bs={block} count=1; true") == 0
    much = shell.usage
    assert little.cpu is not None
    assert much.cpu is not None
    assert little.cpu + 0.05 < much.cpu < 20
    assert little.rss is None
    assert much.rss is not None
    assert block < much.rss < block + 100_000_000
    assert much.memory is None


def _nobody_runs(word: str) -> None:
    """Wait until no process of this machine has ``word`` among its arguments."""
    deadline = time.monotonic() + 5
    left = _running(word)
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = _running(word)
    assert left == []


def _running(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:1] == [b"sleep"] and word.encode() in words:
            found.append(path.parent.name)
    return found
