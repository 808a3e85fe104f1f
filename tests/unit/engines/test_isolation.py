"""The command lines that isolate a program, and the message when they do not work."""

import os
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.isolation import (
    SCRIPT,
    Backend,
    Bind,
    sandbox_command,
    system_binds,
    try_backend,
)

EMPTY = Path("/cache/empty")
BINDS = [
    Bind(path=Path("/usr"), inside=PurePosixPath("/usr")),
    Bind(path=Path("/cache/box"), inside=PurePosixPath("/box"), writable=True),
]


def words(backend: Backend, **options: object) -> list[str]:
    return sandbox_command(
        backend,
        ["true", "-x"],
        binds=BINDS,
        links=[("usr/bin", "/bin")],
        empty=EMPTY,
        **options,  # type: ignore[arg-type]
    )


def pairs(line: list[str]) -> list[tuple[str, ...]]:
    return list(zip(line, line[1:], line[2:], strict=False))


def test_bubblewrap_gets_everything_unshared_and_the_root_closed_last() -> None:
    line = words(Backend.BUBBLEWRAP)
    assert line[0] == "bwrap"
    assert {"--unshare-all", "--die-with-parent", "--new-session"} <= set(line)
    assert "--share-net" not in line
    assert ("--ro-bind", "/usr", "/usr") in pairs(line)
    assert ("--bind", "/cache/box", "/box") in pairs(line)
    assert ("--symlink", "usr/bin", "/bin") in pairs(line)
    assert line[line.index("--remount-ro") + 1] == "/"
    assert max(line.index("--bind"), line.index("--tmpfs")) < line.index("--remount-ro")
    assert line[-3:] == ["--", "true", "-x"]


def test_unshare_gets_the_same_through_our_script() -> None:
    line = words(Backend.UNSHARE)
    assert line[:4] == ["setpriv", "--pdeathsig", "KILL", "unshare"]
    assert {"--user", "--mount", "--pid", "--net", "--ipc", "--uts", "--kill-child"} <= set(line)
    assert "ro:/usr:/usr" in line
    assert "rw:/box:/cache/box" in line
    assert "ln:/bin:usr/bin" in line
    assert line[-3:] == [str(EMPTY), "true", "-x"]
    inside = line[line.index("-ec") + 1]
    assert "remount,bind,ro" in inside
    assert '--root="$0"' in inside


def test_a_program_that_needs_the_network_gets_the_network_and_no_more() -> None:
    with_network = set(words(Backend.BUBBLEWRAP, network=True))
    assert with_network - set(words(Backend.BUBBLEWRAP)) == {"--share-net"}
    without = words(Backend.UNSHARE)
    without.remove("--net")
    assert words(Backend.UNSHARE, network=True) == without


def test_a_user_is_mapped() -> None:
    line = words(Backend.BUBBLEWRAP, user=65532)
    assert line[line.index("--uid") + 1] == line[line.index("--gid") + 1] == "65532"
    inside = words(Backend.UNSHARE, user=65532)
    assert any("--map-user=65532 --map-group=65532" in word for word in inside)


@pytest.mark.parametrize("backend", Backend)
def test_an_empty_root_has_no_tmp_no_proc_no_dev(backend: Backend) -> None:
    # Not the script's own place: this project may lie below /tmp.
    line, full = (
        " ".join(each).replace(str(SCRIPT), "")
        for each in (words(backend, temporary=False, processes=False), words(backend))
    )
    for name in ("/tmp", "/proc", "/dev"):
        assert name in full
        assert name not in line


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


@pytest.mark.parametrize("backend", Backend)
def test_a_backend_that_fails_without_a_word_is_no_good_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    program = tmp_path / ("bwrap" if backend is Backend.BUBBLEWRAP else "unshare")
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    assert "exit code 7" in try_backend(backend, tmp_path / "scratch")
