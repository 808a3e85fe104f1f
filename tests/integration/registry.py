"""Debian's docker-registry, on the loopback interface, with its images in a directory of the test's."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.integration.traces import wait_for

CONFIG = """version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {images}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextlib.contextmanager
def registry(directory: Path, port: int, *, inside: Sequence[str] = ()) -> Iterator[str]:
    """Serve what is pushed to ``127.0.0.1:<port>``; yield that address. ``inside`` are words before the command."""
    process = start(directory, port, inside=inside)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def start(
    directory: Path, port: int, *, inside: Sequence[str] = (), **settings: str
) -> "subprocess.Popen[bytes]":
    """Start one and return once it answers; whoever starts it ends it. ``settings`` are of its configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    config, log = directory / "config.yml", directory / "log"
    config.write_text(CONFIG.format(images=directory / "images", port=port))
    with log.open("a") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *inside, "docker-registry", "serve", str(config)],
            env={**os.environ, **{f"REGISTRY_{name}": value for name, value in settings.items()}},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        ask = [*inside, "curl", "-fsS", "-o", "/dev/null", f"http://127.0.0.1:{port}/v2/"]

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            return subprocess.run(ask, capture_output=True, check=False).returncode == 0

        wait_for(answers, seconds=30, what="the registry's first answer")
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process
