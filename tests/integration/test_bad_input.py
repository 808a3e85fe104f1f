"""Whatever goes wrong: what happened, what to do next, the contract's exit code, nothing half-written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.perform import LOG_LINES
from builders.sources.cache import Cache
from tests.built import Built
from tests.integration.command import Inv, by_path, listed
from tests.integration.seeded_cache import SeededCache, all_but, everything, made_by
from tests.integration.traces import half_files, held_locks

pytestmark = pytest.mark.builds

NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("build", "crul"), 2, "curl:mini, curl:http"),
        (("build", "curl:htpp"), 2, "Perhaps you meant"),
        (("build", "curl:http@1.0"), 2, "choose one of: "),
        (("build", "--target", "linux/amd46"), 2, "Perhaps you meant"),
        (("build", "curl:http", "--engine", "dokcer"), 2, "Perhaps you meant 'docker'"),
        (("build", "--jobs", "many"), 2, "whole number"),
        (("build", "--no-such-flag"), 2, "no-such-flag"),
        (("biuld",), 2, "Perhaps you meant 'build'"),
        (("verify",), 2, "Nothing to verify"),
        (("cache", "explode"), 2, "cache list"),
    ],
)
def test_a_wrong_command_line(inv: Inv, words: tuple[str, ...], code: int, message: str) -> None:
    done = inv(*words)
    assert done.code == code, done.stderr
    assert message in done.stderr
    assert f"exit code:    {code}" in done.stderr
    assert done.stdout == ""


def test_an_unknown_setting_is_not_ignored(inv: Inv) -> None:
    done = inv.set(engin="docker")("build", "curl:mini")
    assert done.code == 3
    assert "Perhaps you meant 'engine'" in done.stderr
    (inv.directory / "fromscratch.toml").write_text('mirors = "file:///x"\n')
    done = inv("build", "curl:mini")
    assert done.code == 3
    assert "Perhaps you meant 'mirrors'" in done.stderr


def test_a_wrong_setting_is_the_settings_fault(inv: Inv) -> None:
    done = inv.set(engine="dokcer")("build", "curl:mini")
    assert done.code == 3
    assert "Perhaps you meant 'docker'" in done.stderr


def test_verify_of_what_is_no_file(inv: Inv, tmp_path: Path) -> None:
    done = inv("verify", tmp_path / "none", tmp_path)
    assert done.code == 2
    assert str(tmp_path / "none") in done.stdout
    assert "1 missing, 1 not ELF" in done.stdout
    assert "--recursive" in done.stdout


def test_an_unknown_key_in_a_recipe(spoilt: Inv, project: Path) -> None:
    recipe = project / "recipes/curl/recipe.toml"
    recipe.write_text(f"pakc = 'lzma'\n{recipe.read_text('utf-8')}", "utf-8")
    done = spoilt("build", "curl:mini")
    assert done.code == 3
    assert str(recipe) in done.stderr
    assert "Perhaps you meant 'pack'" in done.stderr


def test_a_target_that_a_recipe_calls_unsupported(spoilt: Inv, project: Path) -> None:
    recipe = project / "recipes/mbedtls/recipe.toml"
    unsupported = '\n[unsupported]\n"linux/s390x" = "nobody has shown that it runs"\n'
    recipe.write_text(recipe.read_text("utf-8") + unsupported, "utf-8")
    done = spoilt("build", "curl:https", "--target", "linux/s390x")
    assert done.code == 2
    assert "mbedtls cannot be built for linux/s390x: nobody has shown that it runs" in done.stderr


def test_a_mirror_with_wrong_bytes(inv: Inv, mirror: Path, tmp_path: Path) -> None:
    lying = tmp_path / "lying"
    lying.mkdir()
    for path in mirror.iterdir():
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        (lying / path.name).write_bytes(data)
    done = inv.set(mirrors=f"file://{lying}")("build", "curl:mini")
    assert done.code == 4
    assert "expected sha256" in done.stderr
    assert "actual sha256" in done.stderr
    assert listed(tmp_path / "cache" / "cas") == []
    assert half_files(tmp_path / "cache", tmp_path / "artifacts") == []


def test_nothing_to_fetch_from(inv: Inv, tmp_path: Path) -> None:
    """No network at all: every mirror is tried, and every reason is told."""
    alone = inv.set(mirrors=NOWHERE, debian_mirror=NOWHERE, offline="")
    done = without_network(alone)("build", "curl:mini")
    assert done.code == 4
    assert "No mirror has" in done.stderr
    assert "FROMSCRATCH_MIRRORS" in done.stderr
    assert listed(tmp_path / "cache" / "cas") == []


def test_offline_without_a_mirror(inv: Inv) -> None:
    done = inv.set(mirrors="")("build", "curl:mini", "--offline")
    assert done.code == 4
    assert "is not in the cache" in done.stderr
    assert "inv fetch" in done.stderr


@pytest.mark.sandbox
def test_offline_from_a_mirror_directory_with_the_network_off(
    inv: Inv, built: Built, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(
        tmp_path / "cache", lambda step: made_by("upx")(step) or made_by("musl")(step)
    )
    off = without_network(inv.set(offline=""))
    done = off("build", "curl:mini", "--offline", "--engine", "sandbox", "--json")
    assert done.code == 0, done.stderr
    assert [step.split()[0] for step in done.started] == ["curl:mini", "curl:mini"]
    assert by_path(json.loads(done.stdout)).items() <= built.sha256.items()


LOOPBACK = """
import fcntl, os, socket, struct, sys
# SIOCSIFFLAGS, IFF_UP: what `ip link set lo up` does, without iproute2
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""


NEW = ("unshare", *(("--user", "--map-root-user") if os.geteuid() else ()))
"""Root needs no user namespace to make others, and would have nobody in it that a step could be."""


def without_network(inv: Inv) -> Inv:
    """The command on a machine that has nothing but its loopback."""
    return inv.wrapped(*NEW, "--net", sys.executable, "-c", LOOPBACK)


def on_small_disk(inv: Inv, directory: Path, size: str) -> Inv:
    """The command with a file system of its own at ``directory``; afterwards it lists what is left there."""
    directory.mkdir(parents=True)
    script = f"""
        mount -t tmpfs -o size={size} small '{directory}' && cd '{directory}' || exit 99
        [ ! -d '{directory}.seed' ] || cp -a '{directory}.seed/.' .
        "$@"
        code=$?
        find . -path './tmp/*' -o -path './boxes/*-*' -o -path './part/*' -o -name '.?*' | sed 's/^/LEFT /'
        exit $code
    """
    return inv.wrapped(*NEW, "--mount", "sh", "-c", script, "sh")


@pytest.mark.parametrize("size", ["2m", "6m"])
def test_a_disk_that_is_full_while_fetching(inv: Inv, tmp_path: Path, size: str) -> None:
    done = on_small_disk(inv, tmp_path / "cache", size)("build", "curl:mini")
    assert done.code == 3
    assert "is full" in done.stderr
    assert "LEFT" not in done.stdout


@pytest.mark.sandbox
@pytest.mark.parametrize("size", ["20m", "30m", "40m", "50m"])
def test_a_disk_that_is_full_while_building(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path, size: str
) -> None:
    seeded_cache.copy(tmp_path / "cache.seed", all_but("curl:mini"))
    small = on_small_disk(inv, tmp_path / "cache", size)
    done = small("build", "curl:mini", "--engine", "sandbox")
    assert done.code in {3, 5}, done.stderr
    assert "is full" in done.stderr
    assert "LEFT" not in done.stdout
    assert listed(tmp_path / "artifacts") == []


def test_a_disk_that_is_full_while_delivering(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", everything)
    small = on_small_disk(inv, tmp_path / "artifacts", "600k")
    done = small("build", "curl:https")
    assert done.code == 3
    assert "is full" in done.stderr
    assert "LEFT" not in done.stdout


@pytest.mark.parametrize("setting", ["artifacts", "cache"])
def test_a_directory_that_cannot_be_is_the_settings_fault(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path, setting: str
) -> None:
    seeded_cache.copy(tmp_path / "cache", everything)
    done = inv.set(**{setting: "/proc/x"})("build", "curl:mini")
    assert done.code == 3
    assert "check free space and permissions of /proc/x" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sandbox
def test_a_failing_step_shows_the_end_of_its_log(
    spoilt: Inv, project: Path, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    script = project / "recipes/curl/build.sh"
    script.write_text("i=0; while [ $i -lt 99 ]; do i=$((i+1)); echo line $i; done; exit 3\n")
    done = spoilt("build", "curl:mini", "--engine", "sandbox")
    assert done.code == 5
    assert "failed with exit code 3" in done.stderr
    shown = [line.strip() for line in done.stderr.splitlines() if line.startswith("    line ")]
    assert shown == [f"line {number}" for number in range(100 - LOG_LINES, 100)]
    (log,) = [
        Path(line.rpartition(" ")[2]) for line in done.stderr.splitlines() if "whole log" in line
    ]
    assert log.read_text("utf-8").splitlines()[0] == "line 1"
    assert half_files(tmp_path / "cache", tmp_path / "artifacts") == []
    assert held_locks(tmp_path / "cache") == []
    assert listed(tmp_path / "artifacts") == []


@pytest.mark.sandbox
def test_a_step_that_makes_nothing_has_failed(
    spoilt: Inv, project: Path, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", everything)
    (project / "recipes/curl/build.sh").write_text("exit 0\n")
    done = spoilt("build", "curl:mini", "--engine", "sandbox")
    assert done.code == 5
    assert "made nothing" in done.stderr


@pytest.mark.parametrize("engine", ["sandbox", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_step_has_no_network_and_cannot_change_the_machine(
    spoilt: Inv, project: Path, seeded_cache: SeededCache, tmp_path: Path, engine: str
) -> None:
    seeded_cache.copy(tmp_path / "cache", everything)
    (project / "recipes/curl/build.sh").write_text(
        "ls /sys/class/net 2>/dev/null || sed 1,2d /proc/net/dev | cut -d: -f1\n"
        "for place in / /usr /bin /etc /toolchain /toolchain/bin; do\n"
        '    if (: >"$place/mark") 2>/dev/null; then echo "WRITABLE $place"; fi\n'
        "done\n"
        "echo to >$WORK/mark && echo TMP >/tmp/mark && echo CAN WRITE HERE\n"
        "exit 9\n"
    )
    done = spoilt("build", "curl:mini", "--engine", engine)
    assert done.code == 5
    lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("    ")]
    assert lines == ["lo", "CAN WRITE HERE"]


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_without_docker_asking_for_it_fails(inv: Inv, tmp_path: Path, host: str) -> None:
    done = inv.environ(DOCKER_HOST=host)("build", "curl:mini", "--engine", "docker")
    assert done.code == 6
    assert "No Docker engine answers" in done.stderr
    assert "--engine sandbox" in done.stderr
    assert half_files(tmp_path / "cache", tmp_path / "artifacts") == []


@pytest.mark.sandbox
def test_without_docker_auto_takes_the_sandbox(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    alone = inv.environ(DOCKER_HOST="unix:///nowhere/docker.sock")
    done = alone("build", "curl:mini", "--json")
    assert done.code == 0, done.stderr
    assert {entry["engine"] for entry in json.loads(done.stdout)} == {"sandbox"}
    assert "'auto' would use: sandbox" in alone("doctor").stdout


@pytest.mark.sandbox
def test_a_damaged_result_is_found_and_made_again(
    inv: Inv, built: Built, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    cache = Cache(seeded_cache.copy(tmp_path / "cache", everything))
    assert inv("cache", "verify").stdout.startswith("0 damaged")
    outcome = seeded_cache.outcome("curl:mini")
    flip(cache, outcome.output)
    done = inv("build", "curl:mini", "--engine", "sandbox", "--json")
    assert done.code == 0, done.stderr
    assert any(step.startswith("curl:mini") for step in done.started)
    for entry in json.loads(done.stdout):
        assert entry["sha256"] == built.sha256[entry["path"]]

    flip(cache, outcome.output)
    done = inv("cache", "verify")
    assert f"removed blob {outcome.output}" in done.stdout
    assert "1 damaged entries" in done.stdout
    assert inv("cache", "verify").stdout.startswith("0 damaged")


def flip(cache: Cache, sha256: str) -> None:
    """Damage a blob in a way that its size does not show."""
    path = cache.root / "cas" / sha256[:2] / sha256
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))


def test_a_reader_that_has_seen_enough_is_no_error(built: Built) -> None:
    words = ["sh", "-c", f"'{built.inv.words[0]}' cache list | head -n 1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""


def test_the_pipeline_runs_where_nothing_can_be_written(built: Built, tmp_path: Path) -> None:
    done = built.inv.set(artifacts="/proc/artifacts")("build", "curl:mini")
    assert done.code == 3
    assert "/proc/artifacts" in done.stderr
