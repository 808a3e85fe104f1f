"""The command lines that isolate a program, and the message when they do not work."""

import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from builders.engines.isolation import (
    MAPPED,
    Backend,
    Bind,
    Isolation,
    View,
    system_binds,
    try_backend,
)
from builders.engines.user import CAP_SYS_ADMIN, has_capability
from flow.context import ROOT

USER = 0x70000001
BINDS = [
    Bind(path=Path("/usr"), inside=PurePosixPath("/usr")),
    Bind(path=Path("/a cache/box"), inside=PurePosixPath("/box"), writable=True),
]


class Words:
    """Makes the words for a program, and reads the plan that `builders.engines.enclose` would get."""

    def __init__(self, files: Path) -> None:
        self.files = files

    def __call__(self, backend: Backend, user: int | None = None, **options: Any) -> list[str]:
        view = View(binds=BINDS, links=[("usr/bin", "/bin")], **options)
        isolation = Isolation(backend=backend, files=self.files)
        return isolation.command(["true", "-x"], view, user=user)

    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads((self.files / "plan.json").read_bytes())
        return plan


@pytest.fixture
def words(tmp_path: Path) -> Words:
    return Words(tmp_path)


def pairs(line: list[str]) -> list[tuple[str, ...]]:
    return list(zip(line, line[1:], line[2:], strict=False))


def test_bubblewrap_gets_everything_unshared_and_the_root_closed_last(words: Words) -> None:
    line = words(Backend.BUBBLEWRAP)
    assert line[0] == "sh"
    assert {"--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net"} <= set(line)
    assert {"--die-with-parent", "--new-session"} <= set(line)
    assert line[line.index("--cap-drop") + 1] == "ALL"
    assert ("--ro-bind", "/usr", "/usr") in pairs(line)
    assert ("--bind", "/a cache/box", "/box") in pairs(line)
    assert ("--symlink", "usr/bin", "/bin") in pairs(line)
    assert line[line.index("--remount-ro") + 1] == "/"
    assert max(line.index("--bind"), line.index("--tmpfs")) < line.index("--remount-ro")
    assert line[-3:] == ["--", "true", "-x"]


def test_no_namespace_is_left_out_where_it_cannot_be_had(words: Words) -> None:
    """Bubblewrap goes on without it when told to try, and the program keeps what the caller may."""
    line = words(Backend.BUBBLEWRAP)
    assert "--unshare-all" not in line
    assert [word for word in line if word.endswith("-try")] == ["--unshare-cgroup-try"]


def test_unshare_gets_the_same_through_our_program(words: Words) -> None:
    line = words(Backend.UNSHARE)
    assert line[:4] == ["setpriv", "--pdeathsig", "KILL", "unshare"]
    assert {"--user", "--mount", "--pid", "--net", "--ipc", "--uts", "--kill-child"} <= set(line)
    plan = words.plan()
    assert ["/usr", "/usr", False] in plan["binds"]
    assert ["/a cache/box", "/box", True] in plan["binds"]
    assert plan["links"] == [["usr/bin", "/bin"]]
    assert line[-3:] == [str(words.files / "plan.json"), "true", "-x"]


def test_a_program_that_needs_the_network_gets_the_network_and_no_more(words: Words) -> None:
    for backend, option in ((Backend.BUBBLEWRAP, "--unshare-net"), (Backend.UNSHARE, "--net")):
        without = words(backend)
        without.remove(option)
        assert words(backend, network=True) == without


def test_an_ordinary_user_has_one_name_inside_whoever_it_is(words: Words) -> None:
    line = words(Backend.BUBBLEWRAP)
    assert line[line.index("--uid") + 1] == line[line.index("--gid") + 1] == str(MAPPED)
    assert {f"--map-user={MAPPED}", f"--map-group={MAPPED}"} <= set(words(Backend.UNSHARE))
    assert words.plan()["user"] is None


@pytest.mark.parametrize("backend", Backend)
def test_what_root_runs_is_somebody_else_before_it_begins(words: Words, backend: Backend) -> None:
    line = words(backend, USER)
    if backend is Backend.UNSHARE and has_capability(CAP_SYS_ADMIN):
        # Root itself can mount: no namespace in which the program could be root of anything.
        assert "--user" not in line
        assert words.plan()["user"] == USER
    else:
        assert line[:3] == ["setpriv", f"--reuid={USER}", f"--regid={USER}"]
        assert {"--clear-groups", "--bounding-set=-all", "--no-new-privs"} <= set(line)


@pytest.mark.parametrize("backend", Backend)
def test_an_empty_root_has_no_tmp_no_proc_no_dev(words: Words, backend: Backend) -> None:
    def mentions(**options: Any) -> set[str]:
        line = words(backend, **options)
        if backend is Backend.UNSHARE:
            plan = words.plan()
            return {name for name in ("temporary", "processes") if plan[name]}
        return {name for name in ("/tmp", "/proc", "/dev") if name in line}

    assert mentions()
    assert mentions(temporary=False, processes=False) == set()


def test_a_step_sees_programs_and_nothing_personal() -> None:
    binds, links = system_binds()
    seen = {str(bind.inside) for bind in binds} | {name for _, name in links}
    assert "/usr" in seen
    assert not any(bind.writable for bind in binds)
    assert not seen & {"/", "/etc", "/home", "/root", "/var", "/tmp", "/run"}


@pytest.mark.parametrize(
    ("backend", "package"), [(Backend.BUBBLEWRAP, "bubblewrap"), (Backend.UNSHARE, "util-linux")]
)
def test_a_backend_that_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend, package: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"apt-get install -y {package}" in try_backend(backend, tmp_path / "scratch")


@pytest.mark.parametrize("backend", Backend)
def test_a_backend_that_is_forbidden_says_why_and_how_to_allow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    program = tmp_path / ("bwrap" if backend is Backend.BUBBLEWRAP else "unshare")
    program.write_text("#!/bin/sh\necho first >&2\necho 'Operation not permitted' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    reason = try_backend(backend, tmp_path / "scratch")
    assert "Operation not permitted" in reason
    assert "sysctl kernel.apparmor_restrict_unprivileged_userns=0" in reason
    assert "--security-opt seccomp=unconfined" in reason


TRIED = """
import sys
from pathlib import Path
from builders.engines.isolation import Backend, try_backend
for backend in Backend:
    print(backend.value, try_backend(backend, Path(sys.argv[1])), sep=": ")
"""


@pytest.mark.parametrize("inside", [0, 1000])
def test_where_no_user_namespace_can_be_had_nothing_is_said_to_work(
    tmp_path: Path, inside: int
) -> None:
    """As with `sysctl user.max_user_namespaces=0`, which counts for each user namespace alone."""
    setup = "echo 0 >/proc/sys/user/max_user_namespaces"
    become = f"exec unshare --user --map-user={inside} --map-group={inside} -- true"
    words = ["unshare", "--user", "--map-root-user", "sh", "-ec", f"{setup}; {become}"]
    # It is as it should be: nobody gets another one in there.
    assert subprocess.run(words, check=False, capture_output=True).returncode != 0
    words[-1] = f'{setup}; exec "$@"'
    if inside:
        words[2:3] = [f"--map-user={inside}", f"--map-group={inside}", "--keep-caps"]
    words += ["sh", sys.executable, "-c", TRIED, str(tmp_path)]
    done = subprocess.run(words, check=True, capture_output=True, encoding="utf-8", cwd=ROOT)
    reasons = dict(line.partition(": ")[::2] for line in done.stdout.splitlines())
    assert set(reasons) == set(Backend)
    assert all(reasons.values()), reasons


@pytest.mark.parametrize("backend", Backend)
def test_a_backend_that_fails_without_a_word_is_no_good_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    program = tmp_path / ("bwrap" if backend is Backend.BUBBLEWRAP else "unshare")
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    assert "exit code 7" in try_backend(backend, tmp_path / "scratch")
