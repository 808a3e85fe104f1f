"""The docker engine against an engine made of Python objects, and archives that mean no good."""

import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.docker import STEP_USER, DockerEngine, engine_errors, extract, write_tar
from builders.engines.docker_engine import builder_image
from builders.engines.engine import Command, EngineSetup, Usage
from builders.engines.limits import Limits
from builders.engines.output import BOUNDS, Bounds, Tally
from builders.engines.syscalls import docker_profile
from builders.toolchain import Toolchain
from core.cancel import Cancelled, CancelToken
from core.errors import EngineError, ExitCode, FromscratchError, RecipeError, StepError
from tests.fakes import below
from tests.unit.engines.docker_fakes import FakeContainer, FakeDocker

BASE = f"debian@sha256:{'a' * 64}"


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for member, data in members:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return file.getvalue()


def member(name: str, type_: bytes = tarfile.REGTYPE, *, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = type_, mode, "/etc/passwd"
    return info


def run(
    client: FakeDocker, directory: Path, *, cancel: CancelToken | None = None, seconds: float = 20
) -> int:
    directory.mkdir(exist_ok=True)
    (directory / "file").write_text("x", "utf-8")
    engine = DockerEngine(client, "builder:1", CancelToken() if cancel is None else cancel)
    with engine.sandbox() as sandbox:
        sandbox.put(directory, PurePosixPath("src"))
        env = {"A": "1"}
        command = Command(argv=("sh",), env=env, log=directory / "logs" / "log", seconds=seconds)
        code = sandbox.run(command)
        sandbox.get(PurePosixPath("out"), directory / "made")
        return code


def ran(client: FakeDocker, directory: Path) -> Usage:
    """What a step took."""
    with DockerEngine(client, "builder:1", CancelToken()).sandbox() as sandbox:
        sandbox.run(Command(argv=("sh",), env={}, log=directory / "log", seconds=20))
        return sandbox.usage


def only(client: FakeDocker) -> FakeContainer:
    (container,) = client.made
    return container


def test_a_step_runs_in_a_closed_container_that_is_removed(tmp_path: Path) -> None:
    client = FakeDocker(code=3, output=tar_of((member("out", tarfile.DIRTYPE), b"")))
    assert run(client, tmp_path / "src") == 3
    options = only(client).options
    assert options["network_mode"] == "none"
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges", f"seccomp={docker_profile()}"]
    assert options["user"] == f"{STEP_USER}:{STEP_USER}"
    assert options["pids_limit"] > 0
    assert options["environment"] == {"A": "1"}
    assert not {"mounts", "binds", "privileged", "devices"} & set(options)
    # Anonymous: nothing of the machine that the engine runs on is mounted.
    assert options["volumes"] == ["/box"]
    assert only(client).removed == {"force": True, "v": True}


def test_what_is_put_in_belongs_to_the_user_of_the_step(tmp_path: Path) -> None:
    client = FakeDocker(output=tar_of((member("out", tarfile.DIRTYPE), b"")))
    run(client, tmp_path / "src")
    put = only(client).put
    assert set(put) >= {"/box/src", "/box/src/file"}
    assert {(info.uid, info.gid, info.uname, info.gname) for info in put.values()} == {
        (STEP_USER, STEP_USER, "", "")
    }


def test_what_it_says_goes_to_the_log_and_what_it_made_comes_out(tmp_path: Path) -> None:
    client = FakeDocker(
        output=tar_of(
            (member("out", tarfile.DIRTYPE), b""),
            (member("out/program", mode=0o755), b"\x7fELF"),
            (member("out/deep/file"), b"x"),
        )
    )
    run(client, tmp_path / "src")
    assert (tmp_path / "src" / "logs" / "log").read_text("utf-8") == "output of the step\n"
    assert below(tmp_path / "src" / "made") == {"program": b"\x7fELF", "deep/file": b"x"}
    assert (tmp_path / "src" / "made" / "program").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(("code", "killed"), [(0, True), (1, False), (137, True)])
def test_memory_has_a_limit_that_is_named(tmp_path: Path, code: int, killed: bool) -> None:
    client = FakeDocker(code=code, out_of_memory=killed)
    limits = Limits(memory=100 << 20)
    command = Command(argv=("sh",), env={}, log=tmp_path / "log", seconds=20, limits=limits)
    with DockerEngine(client, "builder:1", CancelToken()).sandbox() as sandbox:
        if code and killed:
            with pytest.raises(StepError, match="more than 100 MiB of memory"):
                sandbox.run(command)
        else:
            assert sandbox.run(command) == code
    assert only(client).options["mem_limit"] == 100 << 20
    assert only(client).options["memswap_limit"] == 100 << 20


def test_no_file_gets_larger_than_the_disk_that_a_step_may_take(tmp_path: Path) -> None:
    client = FakeDocker()
    limits = Limits(disk=100 << 20)
    command = Command(argv=("sh",), env={}, log=tmp_path / "log", seconds=20, limits=limits)
    with DockerEngine(client, "builder:1", CancelToken()).sandbox() as sandbox:
        sandbox.run(command)
    asked = only(client).options["ulimits"]
    assert asked == [{"Name": "fsize", "Soft": 100 << 20, "Hard": 100 << 20}]


def test_a_log_is_kept_up_to_its_bound(tmp_path: Path) -> None:
    client = FakeDocker(says=[b"first\n", *[b"x" * 999 + b"\n"] * 100, b"last\n"])
    engine = DockerEngine(client, "builder:1", CancelToken(), log_cap=10_000)
    with engine.sandbox() as sandbox:
        sandbox.run(Command(argv=("sh",), env={}, log=tmp_path / "log", seconds=20))
    log = (tmp_path / "log").read_bytes()
    assert log.startswith(b"first\nxxx")
    assert log.endswith(b"xxx\nlast\n")
    assert b"\n[90011 bytes of this log were left out]\n" in log
    assert len(log) < 10_100


V1 = """/sys/fs/cgroup/cpuacct/cpuacct.usage 1500000000
/sys/fs/cgroup/memory/memory.max_usage_in_bytes 4096
/proc/self/cgroup 4:memory:/docker/1
/proc/self/cgroup 0::/docker/1
"""
V2 = """/proc/self/cgroup 0::/
/sys/fs/cgroup/cpu.stat usage_usec 1500000
/sys/fs/cgroup/cpu.stat user_usec 7
/sys/fs/cgroup/memory.peak 4096
"""


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        (V1, Usage(cpu=1.5, memory=4096)),
        (V2, Usage(cpu=1.5, memory=4096)),
        (V2.replace("4096", "max"), Usage(cpu=1.5)),  # kernels before 5.19 have no peak
        (V2.replace("0::/", "0::/user.slice"), Usage()),  # the machine's own figures
        ("", Usage()),
        ("memory.peak\n\0", Usage()),
    ],
    ids=["cgroup 1", "cgroup 2", "no peak", "not its own", "nothing", "rubbish"],
)
def test_what_a_container_took_is_read_and_never_made_up(
    tmp_path: Path, text: str, usage: Usage
) -> None:
    out = tar_of((member("out", tarfile.DIRTYPE), b""))
    client = FakeDocker(output=out, usage=tar_of((member("usage"), text.encode())))
    assert ran(client, tmp_path / "src") == usage


def test_a_step_that_left_no_figures_took_nobody_knows_what(tmp_path: Path) -> None:
    client = FakeDocker(code=137, output=tar_of((member("out", tarfile.DIRTYPE), b"")))
    assert ran(client, tmp_path / "src") == Usage()


def test_a_silent_step_is_waited_for(tmp_path: Path) -> None:
    client = FakeDocker(waits=5, output=tar_of((member("out", tarfile.DIRTYPE), b"")))
    assert run(client, tmp_path / "src") == 0
    assert client.waits == 0


def test_cancelling_ends_and_removes_the_container(tmp_path: Path) -> None:
    client, cancel = FakeDocker(waits=-1), CancelToken()
    cancel.set()
    with pytest.raises(Cancelled):
        run(client, tmp_path / "src", cancel=cancel)
    assert only(client).removed == {"force": True, "v": True}


def test_a_deadline_ends_and_removes_the_container(tmp_path: Path) -> None:
    client = FakeDocker(waits=-1)
    with pytest.raises(StepError, match="did not end within"):
        run(client, tmp_path / "src", seconds=0.05)
    assert only(client).removed == {"force": True, "v": True}


def test_an_engine_that_is_gone_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="stopped answering") as caught:
        run(FakeDocker(dead=True), tmp_path / "src")
    assert "--engine sandbox" in caught.value.next


def test_an_engine_that_dies_during_a_step_is_reported_as_such(tmp_path: Path) -> None:
    client = FakeDocker(waits=-1)

    def start() -> None:
        client.dead = True

    create = client.create

    class Dying(FakeDocker):
        def create(self, image: str, argv: list[str], **options: object) -> FakeContainer:
            container = create(image, argv, **options)
            container.start = start  # type: ignore[method-assign]
            return container

        def ping(self) -> bool:
            return client.ping()

    with pytest.raises(EngineError, match="stopped answering"):
        run(Dying(waits=-1), tmp_path / "src")


def test_errors_of_ours_pass_through_as_they_are() -> None:
    error = Cancelled("x")
    with pytest.raises(Cancelled) as caught, engine_errors():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("name", "type_", "code"),
    [
        ("out/../../escaped", tarfile.REGTYPE, ExitCode.ENGINE),
        ("../escaped", tarfile.REGTYPE, ExitCode.ENGINE),
        ("/escaped", tarfile.REGTYPE, ExitCode.ENGINE),
        ("other/file", tarfile.REGTYPE, ExitCode.ENGINE),
        ("", tarfile.REGTYPE, ExitCode.ENGINE),
        ("out/..", tarfile.DIRTYPE, ExitCode.ENGINE),
        ("out/link", tarfile.SYMTYPE, ExitCode.STEP),
        ("out/link", tarfile.LNKTYPE, ExitCode.STEP),
        ("out/disk", tarfile.BLKTYPE, ExitCode.STEP),
        ("out/tty", tarfile.CHRTYPE, ExitCode.STEP),
        ("out/pipe", tarfile.FIFOTYPE, ExitCode.STEP),
        ("out", tarfile.SYMTYPE, ExitCode.STEP),
        ("out", tarfile.REGTYPE, ExitCode.STEP),
    ],
)
def test_hostile_members_are_refused_and_nothing_is_written(
    tmp_path: Path, name: str, type_: bytes, code: ExitCode
) -> None:
    into = tmp_path / "a" / "b" / "into"
    archive = io.BytesIO(tar_of((member(name, type_), b"")))
    with tarfile.open(fileobj=archive) as tar:
        (info,) = tar.getmembers()
        with pytest.raises(FromscratchError) as caught:
            extract(tar, info, "out", into, Tally(BOUNDS))
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "copied"),
    [(0o6755, 0o755), (0, 0o644), (0o100, 0o755), (0o077, 0o644), (0o7777, 0o755), (0o666, 0o644)],
)
def test_special_modes_do_not_come_out(tmp_path: Path, mode: int, copied: int) -> None:
    archive = io.BytesIO(tar_of((member("out/program", mode=mode), b"x")))
    with tarfile.open(fileobj=archive) as tar:
        extract(tar, tar.getmembers()[0], "out", tmp_path, Tally(BOUNDS))
    assert (tmp_path / "program").stat().st_mode & 0o7777 == copied


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([(member("out/" + "d/" * 70 + "file"), b"")], "more than 64 directories deep"),
        ([(member(f"out/{number}"), b"") for number in range(12)], "more than 10 files"),
        ([(member("out/a"), b"x" * 600), (member("out/b"), b"x" * 600)], "more than 1,000 bytes"),
        ([(member("out/a"), b"x" * 200_000)], "its archive is more than 57,320 bytes"),
    ],
)
def test_more_than_may_be_does_not_come_out(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], said: str
) -> None:
    client = FakeDocker(output=tar_of(*members))
    bounds = Bounds(entries=10, size=1000)
    engine = DockerEngine(client, "builder:1", CancelToken(), bounds=bounds)
    with engine.sandbox() as sandbox:
        sandbox.run(Command(argv=("sh",), env={}, log=tmp_path / "log", seconds=20))
        with pytest.raises(StepError, match=said):
            sandbox.get(PurePosixPath("out"), tmp_path / "made")
    assert all(len(data) <= 1000 for data in below(tmp_path / "made").values())


def test_links_of_a_source_stay_links_in_the_archive(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    archive = io.BytesIO()
    write_tar(archive, [(tmp_path, PurePosixPath("src"))])
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        assert tar.getmember("src/link").issym()


def image(client: FakeDocker, toolchain: Toolchain, directory: Path, *, base: str) -> str:
    setup = EngineSetup(
        toolchain=toolchain, scratch=directory, cancel=CancelToken(), base_image=base
    )
    return builder_image(client, setup)


@pytest.mark.parametrize(
    "base", ["debian", "debian:stable", f"debian:{'a' * 64}", "debian@sha256:abc", f" {BASE}"]
)
def test_a_base_that_could_move_is_refused(tmp_path: Path, toolchain: Toolchain, base: str) -> None:
    client = FakeDocker()
    with pytest.raises(RecipeError, match="not named by its digest"):
        image(client, toolchain, tmp_path / "scratch", base=base)
    assert client.pulled == []


def test_the_builder_image_is_made_once_and_holds_base_and_toolchain(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    client = FakeDocker()
    tag = image(client, toolchain, tmp_path / "scratch", base=BASE)
    assert image(client, toolchain, tmp_path / "scratch", base=BASE) == tag
    assert client.pulled == [BASE]
    assert {"toolchain/bin/cc", "toolchain/bin/ninja", "toolchain/zig/zig"} <= set(client.imported)
    assert only(client).removed is not None
    assert list((tmp_path / "scratch").iterdir()) == []


def test_another_base_or_toolchain_is_another_image(tmp_path: Path, toolchain: Toolchain) -> None:
    client = FakeDocker()
    other = f"debian@sha256:{'b' * 64}"
    tags = {image(client, toolchain, tmp_path / "scratch", base=base) for base in (BASE, other)}
    (toolchain.scripts / "cc").write_text("# another one\n", "utf-8")
    fresh = Toolchain(
        packages=toolchain.packages, programs=toolchain.programs, scripts=toolchain.scripts
    )
    tags.add(image(client, fresh, tmp_path / "scratch", base=BASE))
    assert len(tags) == 3


def test_without_a_base_and_a_tool_to_make_one_the_package_is_named(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="'mmdebstrap' was not found") as caught:
        image(FakeDocker(), toolchain, tmp_path / "scratch", base="")
    assert caught.value.next == "apt-get install -y mmdebstrap"


def test_a_toolchain_that_is_not_whole_is_missed_by_part(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    (toolchain.programs / "ninja").unlink()
    with pytest.raises(EngineError, match="lacks 'bin/ninja'") as caught:
        image(FakeDocker(), toolchain, tmp_path / "scratch", base=BASE)
    assert "rm -r .venv" in caught.value.next
