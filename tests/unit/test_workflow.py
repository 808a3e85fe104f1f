"""The workflows and the action: they call what exists, may do no more than they need, and believe nobody's text."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.sources.cache import FOLDERS, Cache
from console.program import contexts_of
from core.builder_keys import BuilderKeys
from core.progress import Report
from core.settings import Settings
from core.target import Target
from flow.context import ROOT, Context
from tasks import namespace
from tests.fakes import put_bytes
from tests.yaml_file import read_yaml

DIRECTORY = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(DIRECTORY.glob("*.yml"))
ACTION = ROOT / "action.yml"
GITLAB = ROOT / "docs" / "examples" / "gitlab" / "gitlab-ci.yml"
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
PACKED = ["ac", "cas", "origin", "rebuilt", "smoke", "took", "verdict"]
"""What of a cache is worth handing on."""

WRITES = {"contents", "packages", "id-token", "attestations"}
"""What publishing needs, and nothing else does."""


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read_yaml(path)["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    if path == ACTION:
        own: list[dict[str, Any]] = read_yaml(path)["runs"]["steps"]
        return own
    return [step for job in jobs(path).values() for step in job["steps"]]


def commands(path: Path) -> list[list[str]]:
    """Every call of ./inv, as words."""
    found = []
    for step in steps(path):
        script = step.get("run", "").replace("\\\n", " ")
        for call in re.findall(r"\./inv [^|&;)\n]*", script):
            found.append(shlex.split(call)[1:])
    return found


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["publish.yml", "test.yml"]
    for path in WORKFLOWS:
        assert commands(path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_command_exists_with_these_flags(path: Path) -> None:
    contexts = contexts_of(namespace)
    for task, *words in commands(path):
        assert task in contexts, task
        flags = set(contexts[task].flag_names())
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= flags, f"inv {task}: {used - flags}"


def test_what_is_run_before_a_release_is_what_runs_anywhere() -> None:
    first = [words[0] for words in commands(DIRECTORY / "publish.yml")]
    order = ["build", "smoke", "verify", "image", "publish"]
    assert [first.index(name) for name in order] == sorted(map(first.index, order))
    said = [" ".join(words) for words in commands(DIRECTORY / "publish.yml")]
    assert "publish --to $RUNNER_TEMP/release --flat ${again[@]}" in said
    assert "verify --release $RUNNER_TEMP/release" in said
    assert "publish --to oci://$REGISTRY --latest --rebuild" in said
    assert {"check", "build", "test"} <= {words[0] for words in commands(DIRECTORY / "test.yml")}


def test_one_job_for_every_target_that_anything_is_built_for() -> None:
    matrix = jobs(DIRECTORY / "publish.yml")["build"]["strategy"]["matrix"]["target"]
    assert matrix == [target.value for target in Target]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nobody_may_write_but_the_job_that_publishes(path: Path) -> None:
    assert read_yaml(path)["permissions"] == {"contents": "read"}
    for name, job in jobs(path).items():
        granted = job.get("permissions", {})
        assert set(granted) == (WRITES if name == "publish" else set())
        assert set(granted.values()) <= {"write"}


def test_only_the_job_that_attests_has_an_identity_and_it_attests_the_release_s_own_list() -> None:
    """Whoever may write `id-token` can sign as this project: https://docs.github.com/actions/concepts/security/openid-connect."""
    keyless = {"id-token", "attestations"}
    for path in WORKFLOWS:
        assert not keyless & set(read_yaml(path).get("permissions", {}))
        for job in jobs(path).values():
            attests = any("actions/attest@" in step.get("uses", "") for step in job["steps"])
            granted = {name for name in keyless if name in job.get("permissions", {})}
            assert granted == (keyless if attests else set())
    assert not any("attest" in step.get("uses", "") for step in steps(ACTION))
    found = jobs(DIRECTORY / "publish.yml")["publish"]["steps"]
    attested = {step["name"]: step["with"] for step in found if "attest@" in step.get("uses", "")}
    # No predicate: the action makes GitHub's provenance, which `gh attestation verify` asks for.
    assert attested == {
        "Attest the files": {"subject-checksums": "${{ runner.temp }}/release/SHA256SUMS"},
        "Attest the images": {"subject-checksums": "${{ runner.temp }}/images"},
    }
    order = [step.get("name") or step.get("run") or step["uses"] for step in found]
    released = ["Put the release together", "Let others check it", "Attest the files"]
    assert [order.index(name) for name in [*released, "Make the release"]] == sorted(
        map(order.index, [*released, "Make the release"])
    )
    scripts = {step.get("name"): step.get("run", "") for step in found}
    assert '--to "$RUNNER_TEMP/release" --flat' in scripts["Put the release together"]
    assert '"$RUNNER_TEMP"/release/*' in scripts["Make the release"]
    assert '>"$RUNNER_TEMP/images"' in scripts["Push the images"]


def test_what_leaves_leaves_for_a_tag_only() -> None:
    path = DIRECTORY / "publish.yml"
    assert set(read_yaml(path)[True]) == {"push", "workflow_dispatch"}
    assert read_yaml(path)[True]["push"] == {"tags": ["v*"]}
    assert jobs(path)["publish"]["environment"] == "release"
    leaving = re.compile(r"gh release|docker login|oci://")
    for step in jobs(path)["publish"]["steps"]:
        script = "\n".join(
            line for line in step.get("run", "").splitlines() if "--dry-run" not in line
        )
        if leaving.search(script) or step.get("uses", "").startswith("actions/attest@"):
            assert step["if"] == "github.ref_type == 'tag'", step["name"]


def test_caches_that_are_joined_are_signed_by_the_key_of_the_last_job() -> None:
    path = DIRECTORY / "publish.yml"
    for name, job in jobs(path).items():
        scripts = [step.get("run", "") for step in job["steps"]]
        key = next(n for n, text in enumerate(scripts) if "FROMSCRATCH_BUILDER_KEY=" in text)
        builds = next(n for n, text in enumerate(scripts) if "inv build" in text)
        assert key < builds, name
        assert job["steps"][key]["env"] == {"KEY": "${{ secrets.BUILDER_KEY }}"}
        assert scripts[key].startswith("umask 077\n")
    packed = next(step["run"] for step in jobs(path)["build"]["steps"] if step.get("id") == "steps")
    assert shlex.split(packed.split("tar --create")[1].splitlines()[0])[4:] == PACKED
    assert set(PACKED) == {"cas", *FOLDERS.values()}
    uploaded = jobs(path)["build"]["steps"][-1]["with"]["path"].splitlines()
    assert [word.rpartition(".")[2] for word in uploaded] == ["tar"]


def test_steps_of_jobs_are_joined_by_the_workflows_own_scripts(
    tmp_path: Path,
) -> None:
    """The scripts run, with what a runner gives them; only ./inv is not called."""
    path = DIRECTORY / "publish.yml"
    named = {
        (job, step["name"]): step["run"]
        for job, found in jobs(path).items()
        for step in found["steps"]
        if "run" in step and "name" in step
    }

    assert BuilderKeys(path=tmp_path / "builder.key").own
    secret = (tmp_path / "builder.key").read_text("ascii").rstrip("\n")
    hides = "Put the builder key where nobody else can read it"

    def run(job: str, name: str, **more: str) -> int:
        temp, variables = (
            tmp_path / f"{job}-{more.get('TARGET', '')}".replace("/", "-"),
            tmp_path / "env",
        )
        temp.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(temp),
            "GITHUB_ENV": str(variables),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "FROMSCRATCH_CACHE": str(temp / "cache"),
            "KEY": secret,
            **more,
        }
        words = ["bash", "-euo", "pipefail", "-c", named[job, name]]
        return subprocess.run(words, env=environment, check=False).returncode

    joined = tmp_path / "publish-" / "steps"
    joined.mkdir(parents=True)
    for target in ("linux/amd64", "linux/arm64"):
        temp = tmp_path / f"build-{target}".replace("/", "-")
        assert run("build", hides, TARGET=target) == 0
        own = Cache(temp / "cache", keys=BuilderKeys(path=temp / "builder.key"))
        put_bytes(own, target.encode())
        own.put_action(f"key-{temp.name}", {"target": target})
        assert run("build", "Pack the steps up", TARGET=target) == 0
        for file in temp.glob("*.tar"):
            shutil.copy(file, joined)
    assert run("publish", "Join the steps") == 0
    assert run("publish", hides) == 0
    assert run("publish", hides, KEY="") == 1
    name, _, value = (tmp_path / "env").read_text("utf-8").splitlines()[-1].partition("=")
    assert name == "FROMSCRATCH_BUILDER_KEY"
    context = Context(
        settings=Settings.read(
            {
                "builder_key": value,
                "cache": str(tmp_path / "publish-" / "cache"),
            }
        ),
        report=Report(),
    )
    for target in ("linux/amd64", "linux/arm64"):
        key = f"key-build-{target}".replace("/", "-")
        assert context.cache.get_action(key) == {"target": target}
    assert context.cache.strangers == set()


def test_pull_requests_get_no_secrets() -> None:
    path = DIRECTORY / "test.yml"
    assert set(read_yaml(path)[True]) == {"pull_request", "push"}
    assert "secrets." not in path.read_text("utf-8")


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.name)
def test_scripts_have_no_expressions_in_them(path: Path) -> None:
    """Whoever may choose a title or the name of a branch would write our scripts; the environment is only data."""
    for step in steps(path):
        assert not EXPRESSION.search(step.get("run", "")), step
    assert "github.event" not in path.read_text("utf-8")
    assert "pull_request_target" not in path.read_text("utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_the_version_beside_it(path: Path) -> None:
    lines = [line for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for step in steps(path))
    for line in lines:
        assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
    pins = [re.sub(r".*uses: ", "", line) for line in lines]
    assert len({pin.partition("@")[0] for pin in pins}) == len(set(pins))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_checkouts_leave_no_token_and_jobs_end(path: Path) -> None:
    for job in jobs(path).values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_no_more_than_the_commit_is_needed() -> None:
    """What is made follows from the tree: a shallow clone gives the same."""
    for path in WORKFLOWS:
        for job in jobs(path).values():
            assert "fetch-depth" not in job["steps"][0]["with"]


def test_a_release_restores_no_cache_and_is_built_twice() -> None:
    path = DIRECTORY / "publish.yml"
    for step in steps(path):
        assert not step.get("uses", "").startswith("actions/cache"), step
        assert not {"cache", "lookup-only"} & set(step.get("with", {})), step
    build = next(s["run"] for s in steps(path) if "--rebuild-and-compare" in s.get("run", ""))
    assert '[ "$GITHUB_REF_TYPE" != tag ] || again=(--rebuild --rebuild-and-compare)' in build


def test_what_is_published_is_never_overwritten_and_is_checked_as_it_is_downloaded() -> None:
    scripts = [step.get("run", "") for step in jobs(DIRECTORY / "publish.yml")["publish"]["steps"]]
    (script,) = [text for text in scripts if "gh release upload" in text]
    order = [
        "--json isDraft",
        "exit 1",
        "--clobber",
        "release download",
        "inv verify",
        "draft=false",
    ]
    assert [script.index(words) for words in order] == sorted(map(script.index, order))
    assert not any("tar --create" in text and "release" in text.split() for text in scripts)


LINTERS = [
    ["zizmor", "--offline", "--quiet", "--no-progress", ".github", "action.yml"],
    ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)],
    ["check-jsonschema", "--builtin-schema", "vendor.github-actions", str(ACTION)],
    ["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", str(GITLAB)],
]


@pytest.mark.parametrize("words", LINTERS, ids=lambda words: " ".join(words[:3]))
def test_linters_have_nothing_to_say(words: list[str]) -> None:
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run(
        [program, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_linter_finds_a_release_that_restores_a_cache(tmp_path: Path) -> None:
    text = (DIRECTORY / "publish.yml").read_text("utf-8")
    cache = f"      - uses: actions/cache@{'2' * 40} # v5.0.5\n        with: {{path: x, key: y}}\n"
    place = "      - name: Build, verify, pack"
    assert place in text
    (tmp_path / "publish.yml").write_text(text.replace(place, cache + place), "utf-8")
    words = [str(Path(sys.executable).with_name("zizmor")), "--offline", "--quiet", "--no-progress"]
    words.append(str(tmp_path / "publish.yml"))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "cache-poisoning" in done.stdout


class TestGitLab:
    """The recipe for GitLab's own CI: there is none here to run it, so it is held against the other."""

    def test_every_command_exists_with_these_flags(self) -> None:
        contexts = contexts_of(namespace)
        found = re.findall(r"\./inv [^|&;)\n`]*", gitlab_script())
        calls = [shlex.split(call.partition(" <")[0])[1:] for call in found]
        assert {words[0] for words in calls} == {"list", "build", "publish", "verify"}
        for task, *words in calls:
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= set(contexts[task].flag_names()), f"inv {task}: {used}"

    def test_it_builds_for_the_same_targets_and_hands_on_the_same(self) -> None:
        (matrix,) = read_yaml(GITLAB)["build"]["parallel"]["matrix"]
        assert matrix["TARGET"] == [target.value for target in Target]
        packed = gitlab_script().split("tar --create")[1].splitlines()[0]
        assert shlex.split(packed)[4:] == PACKED

    def test_its_scripts_are_posix_sh(self, tmp_path: Path) -> None:
        if shutil.which("shellcheck") is None:
            pytest.skip("shellcheck is not installed: apt-get install -y shellcheck")
        (tmp_path / "script").write_text(f"#!/bin/sh\n{gitlab_script()}")
        words = ["shellcheck", "-s", "sh", "-e", "SC2103,SC2153,SC2164", str(tmp_path / "script")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout

    def test_keys_come_by_standard_input_or_as_a_copy(self) -> None:
        for line in gitlab_script().splitlines():
            assert "MINISIGN_KEY" not in line or '--key - <"$MINISIGN_KEY"' in line, line
        assert 'install -m 600 "$BUILDER_KEY"' in gitlab_script()

    def test_nothing_leaves_but_for_a_tag(self) -> None:
        script = read_yaml(GITLAB)["publish"]["script"]
        ends = next(n for n, text in enumerate(script) if "exit\nfi" in text)
        leaving = [
            n for n, text in enumerate(script) if "--upload-file" in text or "oci://" in text
        ]
        assert leaving
        assert all(n > ends for n in leaving)


def gitlab_script() -> str:
    recipe = read_yaml(GITLAB)
    jobs = [recipe["default"]["before_script"], recipe["build"]["script"]]
    return "\n".join(line for job in [*jobs, recipe["publish"]["script"]] for line in job)


def test_the_action_hands_its_inputs_to_the_script_and_the_outputs_back() -> None:
    action = read_yaml(ACTION)
    (step,) = steps(ACTION)
    script = (ROOT / ".github" / "action.sh").read_text("utf-8")
    for name in set(step["env"]) - {"ACTION"}:
        assert f"${{{name}:-" in script, name
    used = {
        word for text in step["env"].values() for word in re.findall(r"inputs\.([a-z-]+)", text)
    }
    assert used == set(action["inputs"])
    for name, output in action["outputs"].items():
        assert f'"{name}=' in script
        assert output["value"] == f"${{{{ steps.{step['id']}.outputs.{name} }}}}"
    for name, given in action["inputs"].items():
        assert given.get("required") or "default" in given, name
        assert given["description"]


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_has_nothing_to_say() -> None:
    done = subprocess.run(
        ["actionlint", "-no-color", *WORKFLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
