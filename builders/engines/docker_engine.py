"""The docker engine, and its builder image: a base that lends sh and coreutils, and our toolchain. Made once for both.

Output bytes do not depend on the base, so any glibc user land will do: an image by digest when the settings name one,
else Debian's own packages by mmdebstrap.
"""

import hashlib
import platform
import re
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import docker
import docker.errors

from builders.engines.directory import fresh_directory
from builders.engines.docker import (
    STEP_USER,
    DockerEngine,
    as_root,
    connect,
    engine_errors,
    examine_docker,
    owned,
)
from builders.engines.docker_root import docker_environment
from builders.engines.engine import EngineKind, EngineSetup
from builders.engines.process import run_process
from builders.toolchain import BOX, INSIDE
from core.errors import EngineError, MissingToolError, RecipeError

REPOSITORY = "fromscratch-builder"
BOOTSTRAP = "mmdebstrap"
PACKAGES = "libstdc++6"
"""What the wheels' cmake and ninja need beyond an essential Debian."""

SECONDS = 900
BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


def make_docker(setup: EngineSetup) -> DockerEngine:
    """Return the engine. Raises EngineError when none answers, or its builder image cannot be made."""
    client = connect()
    return DockerEngine(client, builder_image(client, setup), setup.cancel, scratch=setup.scratch)


def builder_image(client: docker.DockerClient, setup: EngineSetup) -> str:
    """Return the tag of the builder image, making it when it is missing.

    Raises EngineError when neither a base image nor a bootstrap tool can be had, RecipeError when
    the base image has no digest.
    """
    base, toolchain = setup.base_image, setup.toolchain
    if base and not BY_DIGEST.fullmatch(base):
        msg = f"The base image '{base}' is not named by its digest."
        raise RecipeError(msg, next="write it as name@sha256:<64 hex digits>")
    digest = hashlib.sha256(
        f"{toolchain.digest} {base} {PACKAGES} {STEP_USER}".encode()
    ).hexdigest()
    name = digest[:16]
    tag = f"{REPOSITORY}:{name}"
    with engine_errors(), suppress(docker.errors.ImageNotFound):
        client.images.get(tag)
        return tag
    with fresh_directory(setup.scratch, "base") as directory:
        archive = directory / "base.tar"
        if base:
            _export(client, base, archive)
        else:
            _bootstrap(archive, setup)
        with tarfile.open(archive, "a") as tar:
            # A volume begins as the directory that it lies over, with its owner.
            box = tarfile.TarInfo(str(BOX).lstrip("/"))
            box.type, box.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(owned(box, STEP_USER))
            for inside, path in toolchain.parts():
                tar.add(path, arcname=str(INSIDE / inside).lstrip("/"), filter=_lean)
        with engine_errors():
            client.api.import_image_from_file(str(archive), repository=REPOSITORY, tag=name)
    return tag


def _lean(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what no step reads: bytecode."""
    return None if "__pycache__" in member.name else as_root(member)


def _export(client: docker.DockerClient, base: str, archive: Path) -> None:
    with engine_errors():
        client.images.pull(base)
        container = client.containers.create(base, ["true"])
        try:
            with archive.open("wb") as file:
                file.writelines(container.export())
        finally:
            container.remove(force=True, v=True)


def _bootstrap(archive: Path, setup: EngineSetup) -> None:
    if shutil.which(BOOTSTRAP) is None:
        purpose = "make the base of the builder image (or name one: FROMSCRATCH_BASE_IMAGE)"
        raise MissingToolError(program=BOOTSTRAP, package=BOOTSTRAP, purpose=purpose)
    argv = [BOOTSTRAP, "--quiet", "--variant=essential", f"--include={PACKAGES}", "--format=tar"]
    # The machine's own suite, since its mirror surely has it.
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    argv += [suite, str(archive), *(mirror for mirror in setup.mirrors[:1] if mirror)]
    doing = f"the base of the builder image, by {BOOTSTRAP}"
    with tempfile.TemporaryFile() as errors:
        ended = run_process(
            argv, stdout=errors, stderr=errors, seconds=SECONDS, cancel=setup.cancel, doing=doing
        )
        errors.seek(0)
        last = errors.read().decode("utf-8", "replace").strip().splitlines()[-3:]
    if ended is None:
        msg = f"{BOOTSTRAP} did not end within {SECONDS} s."
        raise EngineError(msg, why="a slow Debian mirror")
    if ended.code:
        msg = f"{BOOTSTRAP} could not make a base: {' / '.join(last)}"
        raise EngineError(
            msg, why="the Debian mirror is out of reach", next="--engine sandbox needs no base"
        )


ENGINE = EngineKind(make=make_docker, examine=examine_docker, smoke=docker_environment)
