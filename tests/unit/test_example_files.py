"""docs/examples: versions that are the newest, names that are nobody's, and what Kubernetes would refuse."""

import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tasks
from commands.cluster import WORDS
from commands.docs_tables import image_rows
from core.settings import SETTINGS
from flow.context import ROOT
from recipes.images import load_images
from recipes.load import load_recipes
from tests.yaml_file import read_yaml

DIRECTORY = ROOT / "docs" / "examples"
FILES = sorted(path for path in DIRECTORY.rglob("*") if path.is_file() and path.name != "health")
DOCKERFILES = [
    path
    for path in FILES
    if re.search("Dockerfile|Containerfile", path.name) and path.parent.name != "cluster"
]
"""Those of images that have a health check."""
PAGE = ROOT / "docs" / "images.md"
VARIABLE = {"CURL": "static-curl", "PROBE": "probe", "TOOLS": "static-tools"}


@pytest.fixture(scope="module")
def newest() -> set[str]:
    """Every image there could be now: ``static-curl:8.21.0-http``."""
    recipes = load_recipes()
    return {row[0].strip("`") for row in image_rows(load_images(recipes), recipes)}


def named(text: str) -> list[str]:
    """Our images that a file names: by a variable's default, or by a reference."""
    names = "|".join(map(re.escape, VARIABLE.values()))
    found = re.findall(rf"/({names}):([\w.][\w.-]*)", text)
    found += [
        (VARIABLE[name], tag)
        for name, tag in re.findall(rf"\b({'|'.join(VARIABLE)})(?:=|:-)([\w.-]+)", text)
    ]
    return [f"{name}:{tag}" for name, tag in found]


@pytest.mark.parametrize("path", [*FILES, PAGE], ids=lambda path: path.name)
def test_every_image_that_is_named_is_the_newest(path: Path, newest: set[str]) -> None:
    assert set(named(path.read_text("utf-8"))) <= newest


def test_the_images_of_the_examples_are_found_at_all() -> None:
    assert all(named(path.read_text("utf-8")) for path in DOCKERFILES)


@pytest.mark.parametrize("path", [*FILES, PAGE], ids=lambda path: path.name)
def test_they_come_from_the_reader_s_own_registry(path: Path) -> None:
    text = path.read_text("utf-8")
    for host in re.findall(r"([\w.-]+(?::\d+)?)/[\w./-]*(?:static-curl|static-tools|probe):", text):
        assert host in {"127.0.0.1:5000", "registry.example"}, host


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_dockerfile_has_one_check_that_ends_by_itself_first(path: Path) -> None:
    text = path.read_text("utf-8").replace("\\\n", " ")
    (check,) = re.findall(r"(?m)^HEALTHCHECK (.*)$", text)
    options, _, command = check.partition(" CMD ")
    limit = int(re.findall(r"--timeout=(\d+)s", options)[0])
    words = command.split() if "shell" in str(path.parent) else json.loads(command)
    own = words[words.index("-m" if "-m" in words else "--timeout") + 1]
    assert int(own.rstrip("s")) < limit


@pytest.mark.parametrize("name", ["pod.yml", "init-container.yml"])
def test_pods_have_exec_probes_that_end_by_themselves_and_no_rights(name: str) -> None:
    pod = read_yaml(DIRECTORY / f"kubernetes/{name}")
    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", pod["metadata"]["name"])
    (container,) = pod["spec"]["containers"]
    probes = {key: value for key, value in container.items() if key.endswith("Probe")}
    assert {"livenessProbe", "readinessProbe"} <= set(probes)
    for probe in probes.values():
        words = probe["exec"]["command"]
        assert words[0].startswith("/")
        own = words[words.index("-m" if "-m" in words else "--timeout") + 1]
        assert int(own.rstrip("s")) < probe["timeoutSeconds"]
        numbers = set(probe) - {"exec"}
        assert numbers <= {"periodSeconds", "timeoutSeconds", "failureThreshold"}
    for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])):
        rights = container["securityContext"]
        assert rights["runAsUser"] == 65532
        assert rights["runAsNonRoot"] is rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounts <= {volume["name"] for volume in pod["spec"].get("volumes", [])}


def test_compose_and_swarm_say_what_they_are_about() -> None:
    compose, stack = (
        read_yaml(DIRECTORY / "compose/compose.yaml"),
        read_yaml(DIRECTORY / "swarm/stack.yml"),
    )
    assert compose["services"]["client"]["depends_on"] == {"app": {"condition": "service_healthy"}}
    assert stack["services"]["app"]["deploy"]["update_config"]["failure_action"] == "rollback"
    for app in (compose["services"]["app"], stack["services"]["app"]):
        assert app["healthcheck"]["test"][:2] == ["CMD", "/curl"]


def test_the_cluster_s_commands_are_ours() -> None:
    services = read_yaml(DIRECTORY / "cluster/compose.yaml")["services"]
    ours = {name: one for name, one in services.items() if name != "registry"}
    flags = set(inspect.signature(tasks.cluster.body).parameters)
    for name in ("keys", "scheduler", "worker"):
        task, word, *rest = ours[name]["command"]
        assert task == "cluster"
        assert f"cluster {word}" in WORDS or f"| {word}" in WORDS
        assert all(flag.removeprefix("--").partition("=")[0] in flags for flag in rest)
    assert ours["client"]["entrypoint"][1:] == ["build"]
    known = {f"FROMSCRATCH_{setting.name.upper()}" for setting in SETTINGS}
    volumes = set(read_yaml(DIRECTORY / "cluster/compose.yaml")["volumes"])
    for service in ours.values():
        given = {name for name in service["environment"] if name.startswith("FROMSCRATCH_")}
        assert given <= known
        named = {volume.partition(":")[0] for volume in service["volumes"]}
        assert {name for name in named if name.isidentifier() or "-" in name} - volumes <= {
            "${ARTIFACTS"
        }
        assert (DIRECTORY / "cluster" / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    # Whoever runs steps cannot change who is let in.
    assert "keys:/state/cluster:ro" in ours["worker"]["volumes"]


def test_compose_takes_the_cluster_s_file(tmp_path: Path) -> None:
    if not (compose := shutil.which("docker-compose")):
        pytest.skip("docker-compose is not installed")
    done = subprocess.run(
        [compose, "--file", DIRECTORY / "cluster" / "compose.yaml", "config", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_directory_is_in_the_list() -> None:
    page = (DIRECTORY / "README.md").read_text("utf-8")
    for path in DIRECTORY.iterdir():
        assert path.is_file() or f"[{path.name}]({path.name})" in page
