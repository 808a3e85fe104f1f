"""What the built busybox does: alone in an empty root, and with applets that it starts by executing itself again."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.scratch_root import SandboxEnvironment
from core.scratch import RunResult
from tests.built import Built
from tests.integration.command import ROOT
from tests.integration.http_server import Server, serving

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

PROGRAM = PurePosixPath("/bin/busybox")
CURL = PurePosixPath("/usr/bin/curl")
APPLETS = (ROOT / "recipes/busybox/applets.txt").read_text("ascii").splitlines()

Shell = Callable[[str], RunResult]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as servers:
        yield servers.plain()


@pytest.fixture(scope="module")
def busyboxes(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.once(tmp_path_factory.mktemp("busybox"), "busybox", "curl:mini")


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def busybox(busyboxes: Built, request: pytest.FixtureRequest) -> Path:
    return busyboxes.file("busybox:tools", packed=request.param)


@pytest.fixture
def shell(busybox: Path, busyboxes: Built, sandboxes: SandboxEnvironment, tmp_path: Path) -> Shell:
    """``sh -c`` in a root that holds links to busybox, as an image does, curl, and every container's /etc/hosts."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n", "ascii")
    curl = tmp_path / "curl"
    curl.write_bytes(busyboxes.file("curl:mini").read_bytes())
    curl.chmod(0o755)
    links = {PurePosixPath("/") / name: busybox for name in APPLETS}
    files = {**links, PROGRAM: busybox, CURL: curl, PurePosixPath("/etc/hosts"): hosts}

    def run(script: str) -> RunResult:
        with sandboxes.open(files, program=PROGRAM) as root:
            return root.run(["sh", "-c", script], seconds=20, env={"PATH": "/bin:/usr/bin"})

    return run


def test_the_list_of_applets_is_what_the_file_says(
    busybox: Path, sandboxes: SandboxEnvironment
) -> None:
    with sandboxes.open({PROGRAM: busybox}, program=PROGRAM) as root:
        ran = root.run(["--list-full"], seconds=20)
    assert (ran.code, ran.stdout.splitlines()) == (0, APPLETS)
    assert not {"curl", "probe"} & {PurePosixPath(name).name for name in APPLETS}


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
@pytest.mark.parametrize("client", ["curl -f", "wget -q --spider"])
def test_health_checks_in_shell_form(
    shell: Shell, server: Server, client: str, status: int, code: int
) -> None:
    ran = shell(f"{client} http://localhost:{server.port}/status/{status} || exit 1")
    assert ran.code == code, ran.stderr


@pytest.mark.parametrize(
    ("script", "code", "stdout"),
    [
        ("wget -q -O - {url}/status/200 | grep -qx ok && echo healthy", 0, "healthy\n"),
        ("wget -q -O /nothing {url}/status/404 || exit 7", 7, ""),
        ('[ "$(wget -qO- {url}/status/200)" = ok ]', 0, ""),
        ("nc -z localhost {port}", 0, ""),
        ("timeout 0.2 sleep 20", 143, ""),
        ("echo abcd | sed -E 's/(b)(c)/\\2\\1/' | tr a-z A-Z | gzip | zcat | tee", 0, "ACBD\n"),
        ("cd /bin && tar -cf - sh | tar -tf - && wc -l </ca.pem", 1, "sh\n"),
        ("env -i A=b sh -c 'echo $A' && which curl sed", 0, "b\n/usr/bin/curl\n/bin/sed\n"),
    ],
)
def test_applets_start_each_other(
    shell: Shell, server: Server, script: str, code: int, stdout: str
) -> None:
    places = {"{url}": f"http://127.0.0.1:{server.port}", "{port}": str(server.port)}
    for place, value in places.items():
        script = script.replace(place, value)
    ran = shell(script)
    assert (ran.code, ran.stdout) == (code, stdout), ran.stderr


def test_the_one_file_is_enough_where_proc_is(busybox: Path) -> None:
    script = "echo one file | tr a-z A-Z | sed s/E$/E./; exec ls /no-such-directory"
    words = [str(busybox), "sh", "-c", script]
    ran = subprocess.run(
        words, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "ONE FILE.\n")
    assert "No such file" in ran.stderr
