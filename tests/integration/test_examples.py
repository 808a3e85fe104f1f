"""The examples, as they stand in docs/, against a registry on the loopback interface: seen healthy, then ill.

They run in an engine of their own, since they make networks and a swarm. What is put in another's place is the image
that lends the app its web server, since the examples take it from a public registry, and a tag where only an older
release of a source can be had: that the tags in the examples are the newest is a unit test's matter.
"""

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.built import Built
from tests.integration.command import ROOT, Inv
from tests.integration.docker_host import DockerHost, open_docker_host
from tests.integration.test_probe_health import busybox
from tests.integration.traces import processes_at, wait_for

pytestmark = [pytest.mark.builds, pytest.mark.docker]

EXAMPLES = ROOT / "docs" / "examples"
PRODUCTS = ("curl:mini", "curl:http", "curl:https", "probe:mini", "busybox:tools")
BUSYBOX = "127.0.0.1:5000/busybox"
"""Where the lab has it: in the examples it is docker.io/library/busybox:musl."""
AILING = ("--health-interval=1s", "--health-retries=1")
"""In place of every thirty seconds, three times."""
BUILDERS = {"classic": "0", "buildkit": "1"}
SERVER = ("/busybox", "mv")
PAGE, GONE = "/www/health", "/www/gone"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What the images are made of, one of them for a second platform as well."""
    made = Built.once(tmp_path_factory.mktemp("shop"), *PRODUCTS)
    done = made.inv("build", "curl:mini", "--target", "linux/arm64", seconds=600)
    assert done.code == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def tags(shop: Built) -> dict[str, str]:
    """The tag of each image by its name and variant: of the newest release whose source could be had."""
    done = shop.inv("image", "--json")
    assert done.code == 0, done.stderr
    made = json.loads(done.stdout)
    single = {f"{image['name']}:{image['tag'].rpartition('-')[2]}": image["tag"] for image in made}
    return {**single, "static-tools": next(m["tag"] for m in made if m["name"] == "static-tools")}


@pytest.fixture(scope="module")
def host(shop: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerHost]:
    """An engine, and a registry with our images and a busybox in it."""
    before = set(Path("/sys/class/net").iterdir())
    with open_docker_host() as opened:
        publish(shop.inv.unpacked(tmp_path_factory.mktemp("copy") / "project"), opened)
        context = tmp_path_factory.mktemp("busybox")
        shutil.copyfile(busybox(), context / "busybox")
        (context / "busybox").chmod(0o755)
        (context / "Dockerfile").write_text("FROM scratch\nCOPY busybox /bin/busybox\n")
        opened.docker("build", "-q", "-t", BUSYBOX, context)
        opened.docker("push", "-q", BUSYBOX)
        yield opened
    assert processes_at(opened.directory) == []
    assert not opened.directory.exists()
    assert set(Path("/sys/class/net").iterdir()) == before


def publish(inv: Inv, host: DockerHost) -> None:
    """Push all images that can be made of what is built."""
    done = inv.wrapped(*host.network)("publish", "--to", f"oci://{host.images}")
    assert done.code == 0, done.stderr


def health_of(host: DockerHost, container: str) -> dict[str, Any]:
    health: dict[str, Any] = json.loads(
        host.docker("inspect", "--format", "{{json .State.Health}}", container)
    )
    return health


def becomes(host: DockerHost, container: str, status: str) -> dict[str, Any]:
    """Wait for it; return the newest line of the log."""
    wait_for(lambda: health_of(host, container)["Status"] == status, seconds=30, what=status)
    newest: dict[str, Any] = health_of(host, container)["Log"][-1]
    return newest


def build(
    host: DockerHost, directory: Path, tag: str, *words: str, builder: str = "classic"
) -> None:
    """Build an example, with the web server from the lab."""
    environment = {"DOCKER_BUILDKIT": BUILDERS[builder]}
    given = ("--build-arg", f"BUSYBOX={BUSYBOX}", "--no-cache", "--pull", "-q", "-t", tag)
    host.docker("build", *given, *words, directory, env=environment)


def fall_ill_and_recover(
    host: DockerHost, image: str, *, healthy: str, ill: str, code: int
) -> None:
    name = image.replace("/", "-")
    host.docker("run", "-d", "--name", name, *AILING, image)
    try:
        line = becomes(host, name, "healthy")
        assert line["ExitCode"] == 0
        assert line["Output"].startswith(healthy)
        host.docker("exec", "--user=0", name, *SERVER, PAGE, GONE)
        line = becomes(host, name, "unhealthy")
        assert line["ExitCode"] == code
        assert ill in line["Output"]
        host.docker("exec", "--user=0", name, *SERVER, GONE, PAGE)
        assert becomes(host, name, "healthy")["ExitCode"] == 0
    finally:
        host.docker("rm", "-f", "-v", name)


@pytest.mark.parametrize("builder", BUILDERS)
def test_exec_form_with_curl(host: DockerHost, builder: str) -> None:
    build(host, EXAMPLES / "dockerfile-exec", "exec-curl", builder=builder)
    fall_ill_and_recover(host, "exec-curl", healthy="", ill="error: 404", code=22)


@pytest.mark.parametrize("builder", BUILDERS)
def test_exec_form_with_the_probe(host: DockerHost, builder: str) -> None:
    directory = EXAMPLES / "dockerfile-exec"
    build(
        host,
        directory,
        "exec-probe",
        f"--file={directory / 'probe.Dockerfile'}",
        builder=builder,
    )
    url = "http://127.0.0.1:8080/health"
    healthy, ill = f"healthy: http {url}: 200", f"unhealthy: http {url}: 404"
    fall_ill_and_recover(host, "exec-probe", healthy=healthy, ill=ill, code=1)


@pytest.mark.parametrize("builder", BUILDERS)
def test_shell_form_on_static_tools(host: DockerHost, tags: dict[str, str], builder: str) -> None:
    words = (f"--build-arg=TOOLS={tags['static-tools']}",)
    build(host, EXAMPLES / "dockerfile-shell", "shell", *words, builder=builder)
    # `|| exit 1`: what curl ends with is no matter of Docker's.
    fall_ill_and_recover(host, "shell", healthy="", ill="error: 404", code=1)


def test_compose_starts_what_needs_the_app_once_it_is_healthy_and_not_when_it_is_ill(
    host: DockerHost,
) -> None:
    file = EXAMPLES / "compose" / "compose.yaml"
    words = ("docker-compose", "--ansi=never", "--project-name=lab", f"--file={file}")
    settings = {"BUSYBOX": BUSYBOX}

    def compose(*args: str, code: int = 0) -> str:
        return host.run(*words, *args, env=settings, code=code)

    try:
        compose("up", "--build", "--detach")
        assert health_of(host, "lab_app_1")["Status"] == "healthy"
        assert host.docker("wait", "lab_client_1") == "0"
        assert "all is well" in compose("logs", "client")

        # Its processes stand still: nothing of the image needs to be writable for that.
        compose("kill", "-s", "STOP", "app")
        assert becomes(host, "lab_app_1", "unhealthy")["ExitCode"] == 28
        output = compose("up", "--no-recreate", "client", code=1)
        assert "is unhealthy" in output

        compose("kill", "-s", "CONT", "app")
        assert becomes(host, "lab_app_1", "healthy")["ExitCode"] == 0
        assert "all is well" in compose("up", "--no-recreate", "client")
    finally:
        compose("down", "--volumes", "--rmi=local", "--timeout=1")


def test_swarm_replaces_a_task_that_falls_ill(host: DockerHost) -> None:
    image = f"{host.address}/app"
    build(host, EXAMPLES / "dockerfile-exec", image)
    host.docker("push", "-q", image)
    host.docker("swarm", "init", "--advertise-addr=127.0.0.1")
    try:
        stack = EXAMPLES / "swarm" / "stack.yml"
        host.docker("stack", "deploy", f"--compose-file={stack}", "lab")
        first = wait_for(lambda: healthy_tasks(host), seconds=60, what="a healthy task")
        assert len(first) == 1
        host.docker("kill", "--signal=STOP", first[0])

        def replaced() -> list[str]:
            return [name for name in healthy_tasks(host) if name not in first]

        assert len(wait_for(replaced, seconds=60, what="another healthy task")) == 1
        ended = host.docker(
            "stack", "ps", "lab", "--no-trunc", "--format={{.CurrentState}} {{.Error}}"
        )
        assert "unhealthy container" in ended
    finally:
        host.docker("swarm", "leave", "--force")
    wait_for(lambda: not host.docker("ps", "-aq"), seconds=60, what="the end of the swarm's tasks")


def healthy_tasks(host: DockerHost) -> list[str]:
    """The containers of the stack's tasks that are healthy."""
    filters = ("--filter=label=com.docker.stack.namespace=lab", "--filter=health=healthy")
    return host.docker("ps", *filters, "--format={{.Names}}").split()


def test_podman_keeps_the_check_in_docker_format_and_drops_it_in_oci_format(
    host: DockerHost, tmp_path: Path
) -> None:
    store = host.directory / "podman"
    podman = [*host.inside, "podman", f"--root={store}/root", f"--runroot={store}/run"]
    podman += [f"--tmpdir={store}/tmp", "--cgroup-manager=cgroupfs", "--events-backend=file"]
    build_ = [*podman, "build", "--tls-verify=false", f"--build-arg=BUSYBOX={BUSYBOX}"]
    directory = EXAMPLES / "podman"
    # As the file says it, in its own directory; and what only this lab needs.
    lines = (directory / "Containerfile").read_text("utf-8").splitlines()
    said = [shlex.split(line[1:])[1:] for line in lines if line.startswith("#   podman ")]
    build_words, run_words, ask_words = said
    assert (build_words[0], run_words[0], ask_words[:2]) == ("build", "run", ["healthcheck", "run"])
    assert build_words[-1] == "."
    try:
        lab = f"--build-arg=BUSYBOX={BUSYBOX}"
        host.run(*podman, "build", lab, *build_words[1:-1], directory)
        # Podman would raise limits, and the caller of these tests may not be allowed to.
        host.run(*podman, "run", "--network=none", "--ulimit=host", *run_words[1:])
        ask = [*podman, *ask_words]
        # There is no systemd here to ask by itself.
        wait_for(lambda: host.call(*ask).returncode == 0, seconds=10, what="a healthy app")
        mv = [*podman, "exec", "--user=0", "app", *SERVER]
        host.run(*mv, PAGE, GONE)
        assert "unhealthy" in host.run(*ask, code=1)
        shown = [*podman, "ps", "--format={{.Status}}"]
        assert "(unhealthy)" in host.run(*shown)
        host.run(*mv, GONE, PAGE)
        host.run(*ask)
        assert "(healthy)" in host.run(*shown)

        output = host.run(*build_, "--format=oci", "--tag=dropped", directory)
        assert "HEALTHCHECK is not supported for OCI image format" in output
    finally:
        host.run(*podman, "rm", "--all", "--force", "--time=0")


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("platform", ["", "linux/amd64", "linux/arm64"])
@pytest.mark.parametrize("how", ["FROM", "COPY --from"])
def test_images_are_built_upon_and_copied_from(
    host: DockerHost,
    shop: Built,
    tags: dict[str, str],
    tmp_path: Path,
    builder: str,
    platform: str,
    how: str,
) -> None:
    image = f"{host.images}/static-curl:{tags['static-curl:mini']}"
    lines = {
        "FROM": f"FROM {image}",
        "COPY --from": f"FROM scratch\nCOPY --from={image} /curl /curl",
    }
    (tmp_path / "Dockerfile").write_text(f'{lines[how]}\nENTRYPOINT ["/curl"]\n')
    words = (f"--platform={platform}",) if platform else ()
    environment = {"DOCKER_BUILDKIT": BUILDERS[builder]}
    tag = "built-upon"
    host.docker("build", "--no-cache", "--pull", "-q", "-t", tag, *words, tmp_path, env=environment)
    expected = platform or "linux/amd64"
    assert host.docker("inspect", "--format={{.Os}}/{{.Architecture}}", tag) == expected
    assert curl_in(host, tag, tmp_path) == built_for(shop, expected)


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_pull_takes_the_platform_that_is_asked_for(
    host: DockerHost, shop: Built, tags: dict[str, str], tmp_path: Path, platform: str
) -> None:
    image = f"{host.images}/static-curl:{tags['static-curl:mini']}"
    host.docker("pull", "-q", f"--platform={platform}", image)
    assert host.docker("inspect", "--format={{.Os}}/{{.Architecture}}", image) == platform
    assert curl_in(host, image, tmp_path) == built_for(shop, platform)


def curl_in(host: DockerHost, image: str, directory: Path) -> bytes:
    """The bytes of an image's /curl."""
    container = host.docker("create", image)
    try:
        host.docker("cp", f"{container}:/curl", directory / "copied")
    finally:
        host.docker("rm", "-v", container)
    return (directory / "copied").read_bytes()


def built_for(shop: Built, platform: str) -> bytes:
    """The bytes that were built."""
    for entry in shop.manifest:
        if (entry["product"], entry["target"], entry["packed"]) == ("curl:mini", platform, False):
            return (shop.artifacts / str(entry["path"])).read_bytes()
    raise AssertionError(platform)


def test_images_are_as_small_as_promised(host: DockerHost, tags: dict[str, str]) -> None:
    most = {
        f"{host.images}/static-curl:{tags['static-curl:http']}": 530_000,
        f"{host.images}/probe:{tags['probe:mini']}": 250_000,
        f"{host.images}/static-tools:{tags['static-tools']}": 1_200_000,
    }
    sizes = {}
    for image in most:
        host.docker("pull", "-q", image)
        sizes[image] = int(host.docker("inspect", "--format={{.Size}}", image))
    print("\n".join(f"{image}: {size:,} bytes" for image, size in sizes.items()))
    assert {image for image, size in sizes.items() if not 0 < size <= most[image]} == set()
