"""The probe in an image with nothing else but an app: what Docker makes of the app's health."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import pytest

from builders.engines.docker import LABEL, write_tar
from tests.built import Built
from tests.integration.traces import engine, wait_for
from tests.interpreters import FROZEN, Interpreter

pytestmark = [pytest.mark.builds, pytest.mark.docker]

SECOND = 1_000_000_000
URL = "http://localhost:8080/health"
CHECK = ["CMD", "/probe", "http", URL, "--contains", "all is well", "--timeout", "2s"]
"""As `HEALTHCHECK CMD ["/probe", …]` leaves it in an image."""


def busybox() -> Path:
    """A static one, to serve the app's file; skipped without it."""
    found = shutil.which("busybox")
    why = "no static busybox (apt-get install -y busybox-static)"
    if found is not None:
        done = subprocess.run(["ldd", found], capture_output=True, check=False)
        if b"not a dynamic executable" in done.stdout + done.stderr:
            return Path(found)
    if os.environ.get("FROMSCRATCH_TEST_DOCKER"):
        pytest.fail(f"FROMSCRATCH_TEST_DOCKER is set, but: {why}", pytrace=False)
    pytest.skip(why)


@contextlib.contextmanager
def container_of(client: "docker.DockerClient", program: Path, directory: Path) -> Iterator[Any]:
    """FROM scratch: an app, what it serves, and /probe as its health check."""
    app, served, probe = busybox(), directory / "health", directory / "probe"
    served.write_text("all is well\n")
    shutil.copyfile(program, probe)
    archive = directory / "root.tar"
    for path in (served, probe):
        path.chmod(0o755)
    files = [(app, "busybox"), (probe, "probe"), (served, "www/health")]
    with archive.open("wb") as file:
        write_tar(file, [(path, PurePosixPath(name)) for path, name in files])
    tag = f"health-{os.getpid()}-{os.urandom(4).hex()}"
    client.api.import_image_from_file(str(archive), repository="fromscratch-test", tag=tag)
    image = f"fromscratch-test:{tag}"
    try:
        container = client.containers.create(
            image,
            ["/busybox", "httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/www"],
            healthcheck={
                "test": CHECK,
                "interval": SECOND,
                "timeout": 3 * SECOND,
                "retries": 1,
            },
            user="65532",
            network_mode="none",  # a loopback of its own, and nothing else
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            labels={LABEL: str(os.getpid())},
        )
        try:
            container.start()
            yield container
        finally:
            container.remove(force=True, v=True)
    finally:
        client.images.remove(image, force=True)


def health_of(container: Any) -> dict[str, Any]:
    container.reload()
    assert container.status in {"created", "running"}, container.logs()
    state: dict[str, Any] = container.attrs["State"]["Health"]
    return state


def becomes(container: Any, status: str) -> dict[str, Any]:
    """Wait for it; return the newest line of the log."""
    wait_for(lambda: health_of(container)["Status"] == status, seconds=60, what=status)
    newest: dict[str, Any] = health_of(container)["Log"][-1]
    return newest


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("interpreter", FROZEN)
def test_docker_sees_it_fall_ill_and_recover(
    frozen: Built, interpreter: Interpreter, packed: bool
) -> None:
    program = frozen.file(interpreter.product, packed=packed)
    with (
        engine() as client,
        tempfile.TemporaryDirectory() as name,
        container_of(client, program, Path(name)) as container,
    ):
        assert health_of(container)["Status"] == "starting"

        line = becomes(container, "healthy")
        assert line["ExitCode"] == 0
        assert line["Output"].startswith(f"healthy: http {URL}: 200, contains as expected in ")

        broken = container.exec_run(["/busybox", "mv", "/www/health", "/www/gone"], user="0")
        assert broken.exit_code == 0, broken.output
        line = becomes(container, "unhealthy")
        assert line["ExitCode"] == 1
        assert line["Output"].startswith(f"unhealthy: http {URL}: 404, not in 200-399")

        mended = container.exec_run(["/busybox", "mv", "/www/gone", "/www/health"], user="0")
        assert mended.exit_code == 0, mended.output
        assert becomes(container, "healthy")["ExitCode"] == 0
