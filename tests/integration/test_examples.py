"""The examples, as they stand in docs/, against a registry on the loopback interface: seen healthy, then ill.

They run in an engine of their own, since they make networks and a swarm. What is put in another's place is the image
that lends the app its web server, since the examples take it from a public registry, and a tag where only an older
release of a source can be had: that the tags in the examples are the newest is a unit test's matter.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.built import Built
from tests.integration.command import ROOT, Inv
from tests.integration.servers import ServerHost, open_servers
from tests.integration.test_probe_health import busybox
from tests.integration.traces import processes_at, wait_for

pytestmark = [pytest.mark.builds, pytest.mark.docker]

EXAMPLES = ROOT / "docs" / "examples"
PRODUCTS = ("curl:mini", "curl:http", "curl:https", "probe:micro", "busybox:tools")
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
    single = {f"{one['name']}:{one['tag'].rpartition('-')[2]}": one["tag"] for one in made}
    return {**single, "static-tools": next(m["tag"] for m in made if m["name"] == "static-tools")}


@pytest.fixture(scope="module")
def servers(shop: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHost]:
    """An engine, and a registry with our images and a busybox in it."""
    before = set(Path("/sys/class/net").iterdir())
    with open_servers() as opened:
        publish(shop.inv, opened)
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


def publish(inv: Inv, servers: ServerHost) -> None:
    """Push all images that can be made of what is built."""
    done = inv.wrapped(*servers.network)("publish", "--to", f"oci://{servers.images}")
    assert done.code == 0, done.stderr


def health_of(servers: ServerHost, container: str) -> dict[str, Any]:
    health: dict[str, Any] = json.loads(
        servers.docker("inspect", "--format", "{{json .State.Health}}", container)
    )
    return health


def becomes(servers: ServerHost, container: str, status: str) -> dict[str, Any]:
    """Wait for it; return the newest line of the log."""
    wait_for(lambda: health_of(servers, container)["Status"] == status, seconds=30, what=status)
    newest: dict[str, Any] = health_of(servers, container)["Log"][-1]
    return newest


def build(
    servers: ServerHost, directory: Path, tag: str, *words: str, builder: str = "classic"
) -> None:
    """Build an example, with the web server from the lab."""
    environment = {"DOCKER_BUILDKIT": BUILDERS[builder]}
    given = ("--build-arg", f"BUSYBOX={BUSYBOX}", "--no-cache", "--pull", "-q", "-t", tag)
    servers.docker("build", *given, *words, directory, env=environment)


def fall_ill_and_recover(
    servers: ServerHost, image: str, *, healthy: str, ill: str, code: int
) -> None:
    name = image.replace("/", "-")
    servers.docker("run", "-d", "--name", name, *AILING, image)
    try:
        line = becomes(servers, name, "healthy")
        assert line["ExitCode"] == 0
        assert line["Output"].startswith(healthy)
        servers.docker("exec", "--user=0", name, *SERVER, PAGE, GONE)
        line = becomes(servers, name, "unhealthy")
        assert line["ExitCode"] == code
        assert ill in line["Output"]
        servers.docker("exec", "--user=0", name, *SERVER, GONE, PAGE)
        assert becomes(servers, name, "healthy")["ExitCode"] == 0
    finally:
        servers.docker("rm", "-f", "-v", name)


@pytest.mark.parametrize("builder", BUILDERS)
def test_exec_form_with_curl(servers: ServerHost, builder: str) -> None:
    build(servers, EXAMPLES / "dockerfile-exec", "exec-curl", builder=builder)
    fall_ill_and_recover(servers, "exec-curl", healthy="", ill="error: 404", code=22)


@pytest.mark.parametrize("builder", BUILDERS)
def test_exec_form_with_the_probe(servers: ServerHost, builder: str) -> None:
    directory = EXAMPLES / "dockerfile-exec"
    build(
        servers,
        directory,
        "exec-probe",
        f"--file={directory / 'probe.Dockerfile'}",
        builder=builder,
    )
    url = "http://127.0.0.1:8080/health"
    healthy, ill = f"healthy: http {url}: 200", f"unhealthy: http {url}: 404"
    fall_ill_and_recover(servers, "exec-probe", healthy=healthy, ill=ill, code=1)


@pytest.mark.parametrize("builder", BUILDERS)
def test_shell_form_on_static_tools(
    servers: ServerHost, tags: dict[str, str], builder: str
) -> None:
    words = (f"--build-arg=TOOLS={tags['static-tools']}",)
    build(servers, EXAMPLES / "dockerfile-shell", "shell", *words, builder=builder)
    # `|| exit 1`: what curl ends with is no matter of Docker's.
    fall_ill_and_recover(servers, "shell", healthy="", ill="error: 404", code=1)


def test_compose_starts_what_needs_the_app_once_it_is_healthy_and_not_when_it_is_ill(
    servers: ServerHost,
) -> None:
    file = EXAMPLES / "compose" / "compose.yaml"
    words = ("docker-compose", "--ansi=never", "--project-name=lab", f"--file={file}")
    settings = {"BUSYBOX": BUSYBOX}

    def compose(*args: str, code: int = 0) -> str:
        return servers.run(*words, *args, env=settings, code=code)

    try:
        compose("up", "--build", "--detach")
        assert health_of(servers, "lab_app_1")["Status"] == "healthy"
        assert servers.docker("wait", "lab_client_1") == "0"
        assert "all is well" in compose("logs", "client")

        # Its processes stand still: nothing of the image needs to be writable for that.
        compose("kill", "-s", "STOP", "app")
        assert becomes(servers, "lab_app_1", "unhealthy")["ExitCode"] == 28
        said = compose("up", "--no-recreate", "client", code=1)
        assert "is unhealthy" in said

        compose("kill", "-s", "CONT", "app")
        assert becomes(servers, "lab_app_1", "healthy")["ExitCode"] == 0
        assert "all is well" in compose("up", "--no-recreate", "client")
    finally:
        compose("down", "--volumes", "--rmi=local", "--timeout=1")


def test_swarm_replaces_a_task_that_falls_ill(servers: ServerHost) -> None:
    image = f"{servers.address}/app"
    build(servers, EXAMPLES / "dockerfile-exec", image)
    servers.docker("push", "-q", image)
    servers.docker("swarm", "init", "--advertise-addr=127.0.0.1")
    try:
        stack = EXAMPLES / "swarm" / "stack.yml"
        servers.docker("stack", "deploy", f"--compose-file={stack}", "lab")
        first = wait_for(lambda: healthy_tasks(servers), seconds=60, what="a healthy task")
        assert len(first) == 1
        servers.docker("kill", "--signal=STOP", first[0])

        def replaced() -> list[str]:
            return [name for name in healthy_tasks(servers) if name not in first]

        assert len(wait_for(replaced, seconds=60, what="another healthy task")) == 1
        ended = servers.docker(
            "stack", "ps", "lab", "--no-trunc", "--format={{.CurrentState}} {{.Error}}"
        )
        assert "unhealthy container" in ended
    finally:
        servers.docker("swarm", "leave", "--force")
    wait_for(
        lambda: not servers.docker("ps", "-aq"), seconds=60, what="the end of the swarm's tasks"
    )


def healthy_tasks(servers: ServerHost) -> list[str]:
    """The containers of the stack's tasks that are healthy."""
    filters = ("--filter=label=com.docker.stack.namespace=lab", "--filter=health=healthy")
    return servers.docker("ps", *filters, "--format={{.Names}}").split()


def test_podman_keeps_the_check_in_docker_format_and_drops_it_in_oci_format(
    servers: ServerHost, tmp_path: Path
) -> None:
    store = servers.directory / "podman"
    podman = [*servers.inside, "podman", f"--root={store}/root", f"--runroot={store}/run"]
    podman += [f"--tmpdir={store}/tmp", "--cgroup-manager=cgroupfs", "--events-backend=file"]
    build_ = [*podman, "build", "--tls-verify=false", f"--build-arg=BUSYBOX={BUSYBOX}"]
    directory = EXAMPLES / "podman"
    try:
        servers.run(*build_, "--format=docker", "--tag=app", directory)
        # Podman would raise limits, and the caller of these tests may not be allowed to.
        words = ("--detach", "--name=app", "--network=none", "--ulimit=host")
        servers.run(*podman, "run", *words, "localhost/app")
        ask = [*podman, "healthcheck", "run", "app"]
        # There is no systemd here to ask by itself.
        wait_for(lambda: servers.call(*ask).returncode == 0, seconds=10, what="a healthy app")
        mv = [*podman, "exec", "--user=0", "app", *SERVER]
        servers.run(*mv, PAGE, GONE)
        assert "unhealthy" in servers.run(*ask, code=1)
        shown = [*podman, "ps", "--format={{.Status}}"]
        assert "(unhealthy)" in servers.run(*shown)
        servers.run(*mv, GONE, PAGE)
        servers.run(*ask)
        assert "(healthy)" in servers.run(*shown)

        said = servers.run(*build_, "--format=oci", "--tag=dropped", directory)
        assert "HEALTHCHECK is not supported for OCI image format" in said
    finally:
        servers.run(*podman, "rm", "--all", "--force", "--time=0")


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("platform", ["", "linux/amd64", "linux/arm64"])
@pytest.mark.parametrize("how", ["FROM", "COPY --from"])
def test_images_are_built_upon_and_copied_from(
    servers: ServerHost,
    shop: Built,
    tags: dict[str, str],
    tmp_path: Path,
    builder: str,
    platform: str,
    how: str,
) -> None:
    image = f"{servers.images}/static-curl:{tags['static-curl:mini']}"
    lines = {
        "FROM": f"FROM {image}",
        "COPY --from": f"FROM scratch\nCOPY --from={image} /curl /curl",
    }
    (tmp_path / "Dockerfile").write_text(f'{lines[how]}\nENTRYPOINT ["/curl"]\n')
    words = (f"--platform={platform}",) if platform else ()
    environment = {"DOCKER_BUILDKIT": BUILDERS[builder]}
    tag = "built-upon"
    servers.docker(
        "build", "--no-cache", "--pull", "-q", "-t", tag, *words, tmp_path, env=environment
    )
    goals = platform or "linux/amd64"
    assert servers.docker("inspect", "--format={{.Os}}/{{.Architecture}}", tag) == goals
    assert curl_in(servers, tag, tmp_path) == built_for(shop, goals)


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_pull_takes_the_platform_that_is_asked_for(
    servers: ServerHost, shop: Built, tags: dict[str, str], tmp_path: Path, platform: str
) -> None:
    image = f"{servers.images}/static-curl:{tags['static-curl:mini']}"
    servers.docker("pull", "-q", f"--platform={platform}", image)
    assert servers.docker("inspect", "--format={{.Os}}/{{.Architecture}}", image) == platform
    assert curl_in(servers, image, tmp_path) == built_for(shop, platform)


def curl_in(servers: ServerHost, image: str, directory: Path) -> bytes:
    """The bytes of an image's /curl."""
    container = servers.docker("create", image)
    try:
        servers.docker("cp", f"{container}:/curl", directory / "copied")
    finally:
        servers.docker("rm", "-v", container)
    return (directory / "copied").read_bytes()


def built_for(shop: Built, platform: str) -> bytes:
    """The bytes that were built."""
    for one in shop.manifest:
        if (one["product"], one["target"], one["packed"]) == ("curl:mini", platform, False):
            return (shop.artifacts / str(one["path"])).read_bytes()
    raise AssertionError(platform)


def test_images_are_as_small_as_promised(servers: ServerHost, tags: dict[str, str]) -> None:
    most = {
        f"{servers.images}/static-curl:{tags['static-curl:http']}": 530_000,
        f"{servers.images}/probe:{tags['probe:micro']}": 1_900_000,
        f"{servers.images}/static-tools:{tags['static-tools']}": 1_900_000,
    }
    sizes = {}
    for image in most:
        servers.docker("pull", "-q", image)
        sizes[image] = int(servers.docker("inspect", "--format={{.Size}}", image))
    print("\n".join(f"{image}: {size:,} bytes" for image, size in sizes.items()))
    assert {image for image, size in sizes.items() if not 0 < size <= most[image]} == set()
