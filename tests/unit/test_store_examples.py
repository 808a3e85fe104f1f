"""docs/examples/store: what a build service reads fits its schema, what a shell runs does what the page says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.program import contexts_of
from core.settings import SETTINGS
from core.target import Target
from flow.context import ROOT
from flow.store import SCHEMES
from tasks import namespace
from tests.yaml_file import read_yaml

DIRECTORY = ROOT / "docs" / "examples" / "store"
GITHUB, KUBERNETES, ARRAY = (
    DIRECTORY / name for name in ("github.yml", "kubernetes.yml", "array.sh")
)
TARGETS = [target.value for target in Target]
PAGE = (ROOT / "docs" / "cluster.md").read_text("utf-8")

RECORDER = """#!/bin/sh
case $1 in
list) cat "$TABLE" ;;
*)
    echo "$*" >>"$LOG"
    env | grep ^FROMSCRATCH_ | sort >>"$LOG"
    if [ -n "${FAIL:-}" ]; then exit 5; fi
    ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose ./inv notes what it is told."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed: apt-get install -y jq")
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "inv").write_text(RECORDER)
    (directory / "inv").chmod(0o755)
    rows = [
        {"product": "curl:mini", "unsupported": {}},
        {"product": "probe:nuitka", "unsupported": {"linux/mips64le": "no", "linux/s390x": "no"}},
    ]
    (tmp_path / "table").write_text(json.dumps(rows))
    return directory


def run(project: Path, words: list[str], **more: str) -> tuple[int, list[str], dict[str, str]]:
    """Run a script; return its exit code, the commands it gave, and the settings it gave them with."""
    top = project.parent
    environment = {
        "PATH": f"{top}/bin:{os.environ['PATH']}",
        "HOME": str(top),
        "TMPDIR": str(top),
        "LOG": str(top / "log"),
        "TABLE": str(top / "table"),
        **more,
    }
    done = subprocess.run(words, cwd=project, env=environment, check=False, capture_output=True)
    lines = (top / "log").read_text("utf-8").splitlines() if (top / "log").exists() else []
    settings = dict(line.split("=", 1) for line in lines if line.startswith("FROMSCRATCH_"))
    return done.returncode, [ln for ln in lines if not ln.startswith("FROMSCRATCH_")], settings


def supported(number: int) -> str:
    return "curl:mini" if TARGETS[number] in {"linux/s390x"} else "curl:mini probe:nuitka"


@pytest.mark.parametrize("number", range(len(TARGETS)))
def test_a_task_of_the_array_builds_its_target_and_leaves_nothing(
    project: Path, number: int
) -> None:
    code, calls, settings = run(
        project, ["sh", str(ARRAY)], SLURM_ARRAY_TASK_ID=str(number), SLURM_CPUS_PER_TASK="4"
    )
    assert code == 0
    assert calls == [f"build --exact --target {TARGETS[number]} {supported(number)}"]
    assert settings["FROMSCRATCH_STORE"] == f"file://{project.parent}/fromscratch-store"
    assert settings["FROMSCRATCH_JOBS"] == "4"
    assert not Path(settings["FROMSCRATCH_CACHE"]).exists()
    assert settings["FROMSCRATCH_CACHE"].startswith(str(project.parent))


def test_a_task_that_fails_says_so_and_leaves_nothing(project: Path) -> None:
    code, _, settings = run(project, ["sh", str(ARRAY)], SLURM_ARRAY_TASK_ID="0", FAIL="1")
    assert code == 5
    assert not Path(settings["FROMSCRATCH_CACHE"]).exists()


def test_the_array_has_a_task_for_every_target() -> None:
    text = ARRAY.read_text("utf-8")
    assert f"#SBATCH --array=0-{len(TARGETS) - 1}\n" in text
    assert os.access(ARRAY, os.X_OK)


def job() -> tuple[dict[str, Any], dict[str, Any]]:
    made = read_yaml(KUBERNETES)
    assert (made["apiVersion"], made["kind"]) == ("batch/v1", "Job")
    (container,) = made["spec"]["template"]["spec"]["containers"]
    return made["spec"], container


def test_the_job_has_a_pod_for_every_target_that_ends() -> None:
    spec, container = job()
    assert spec["completions"] == len(TARGETS)
    assert spec["completionMode"] == "Indexed"
    assert spec["activeDeadlineSeconds"] > 0
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert all(mount["readOnly"] for mount in mounts.values())
    assert all(volume["secret"]["defaultMode"] == 0o400 for volume in pod["volumes"])


@pytest.mark.parametrize("number", [0, 7, 8])
def test_a_pod_builds_its_target(project: Path, number: int) -> None:
    _, container = job()
    top = project.parent
    programs = top / "bin"
    programs.mkdir()
    for name in ("apt-get", "git"):
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
        (programs / name).chmod(0o755)
    (top / "key").write_text("secret")
    (script,) = container["args"]
    # In this machine's own places.
    for place, here in (
        ("/run/builder/builder.key", str(top / "key")),
        ("/tmp/builder.key", str(top / "copy")),
        ("cd /project", f"cd {project}"),
    ):
        assert place in script
        script = script.replace(place, here)
    values = {pair["name"]: pair["value"] for pair in container["env"]}
    code, calls, settings = run(
        project, [*container["command"], script], JOB_COMPLETION_INDEX=str(number), **values
    )
    assert code == 0
    assert calls == [f"build --exact --target {TARGETS[number]} {supported(number)}"]
    assert settings["FROMSCRATCH_STORE"] == values["FROMSCRATCH_STORE"]
    assert (top / "copy").stat().st_mode & 0o777 == 0o600


def steps() -> list[dict[str, Any]]:
    (made,) = read_yaml(GITHUB)["jobs"].values()
    assert made["strategy"]["matrix"]["target"] == TARGETS
    found: list[dict[str, Any]] = made["steps"]
    return found


@pytest.mark.parametrize("key", ["a key", ""])
def test_a_job_has_the_key_or_reads_only(project: Path, key: str) -> None:
    scripts = [step.get("run", "") for step in steps()]
    hides = next(script for script in scripts if "builder.key" in script)
    builds = next(script for script in scripts if "./inv build" in script)
    top = project.parent
    more = {"RUNNER_TEMP": str(top), "GITHUB_ENV": str(top / "env"), "TARGET": TARGETS[0]}
    more |= {"KEY": key, "TRUSTED": "RWline"}
    bash = ["bash", "-euo", "pipefail", "-c"]
    assert run(project, [*bash, hides], **more)[0] == 0
    said = dict(line.split("=", 1) for line in (top / "env").read_text("utf-8").splitlines())
    code, calls, settings = run(project, [*bash, builds], **more, **said)
    assert code == 0
    assert calls == [f"build --target {TARGETS[0]} curl:mini probe:nuitka"]
    if key:
        assert Path(settings["FROMSCRATCH_BUILDER_KEY"]).read_text("utf-8") == "a key\n"
        assert Path(settings["FROMSCRATCH_BUILDER_KEY"]).stat().st_mode & 0o077 == 0
        assert "FROMSCRATCH_STORE_READ_ONLY" not in settings
    else:
        assert settings["FROMSCRATCH_STORE_READ_ONLY"] == "1"
        assert settings["FROMSCRATCH_TRUSTED_BUILDERS"] == "RWline"
        assert not (top / "builder.key").exists()


def test_only_a_push_is_given_the_key_and_scripts_have_no_expressions() -> None:
    given = [step["env"]["KEY"] for step in steps() if "KEY" in step.get("env", {})]
    assert given == ["${{ github.event_name == 'push' && secrets.BUILDER_KEY || '' }}"]
    for step in steps():
        assert "${{" not in step.get("run", "")
    ours = (ROOT / ".github" / "workflows" / "publish.yml").read_text("utf-8")
    for line in GITHUB.read_text("utf-8").splitlines():
        if "uses:" in line:
            assert line.strip().removeprefix("- ") in ours


@pytest.mark.parametrize(
    "words",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(GITHUB)],
        ["zizmor", "--offline", "--quiet", "--no-progress", str(GITHUB)],
    ],
    ids=lambda words: words[0],
)
def test_linters_have_nothing_to_say_of_the_workflow(words: list[str]) -> None:
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: apt-get install -y shellcheck")
    (script,) = job()[1]["args"]
    (tmp_path / "pod").write_text(f"#!/bin/sh\nset -eu\n{script}")
    for path in (ARRAY, tmp_path / "pod"):
        done = subprocess.run(
            ["shellcheck", "-s", "sh", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_every_command_and_setting_that_is_named_exists() -> None:
    contexts = contexts_of(namespace)
    known = {setting.variable for setting in SETTINGS}
    for path in (GITHUB, KUBERNETES, ARRAY, ROOT / "docs" / "cluster.md"):
        text = path.read_text("utf-8")
        assert set(re.findall(r"FROMSCRATCH_[A-Z_]+[A-Z]", text)) <= known, path
        for task, rest in re.findall(r"\./inv (\w+)([^|\n`)]*)", text):
            used = set(re.findall(r"--[a-z-]+", rest))
            assert used <= set(contexts[task].flag_names()), f"{path}: inv {task} {used}"


def test_the_page_names_every_kind_of_store_and_every_example() -> None:
    for scheme in SCHEMES:
        assert f"`{scheme}://" in PAGE
    for path in DIRECTORY.iterdir():
        assert f"(examples/store/{path.name})" in PAGE
