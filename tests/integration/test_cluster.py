"""Many machines: a scheduler, two workers with a cache and a key of their own each, and a registry as the store."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builders.plan import Step
from core.target import Target
from recipes.model import RecipeKind
from tests.behaviour.servers import free_port
from tests.built import Built
from tests.integration.command import Done, Inv, by_path, finish
from tests.integration.registry import registry
from tests.integration.seeded_cache import CURLS, SeededCache, all_but
from tests.integration.traces import processes_at, wait_for

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

PRODUCT = "curl:mini"
NAMES = ("one", "two")
PLATFORMS = (Target.AMD64, Target.ARM64, Target.RISCV64)
SECONDS = 240.0
RUNS = re.compile(r"curl:mini \S+ linux/\S+ on (one|two)$", re.MULTILINE)


@dataclass
class Service:
    """A scheduler or a worker, and what it said."""

    process: "subprocess.Popen[str]"
    log: Path

    def said(self, pattern: str, seconds: float = 60) -> str:
        """Wait until it says something, and return the first group of it."""

        def look() -> str:
            found = re.search(pattern, self.log.read_text("utf-8"))
            return found[1] if found else ""

        said: str = wait_for(look, seconds=seconds, what=f"'{pattern}'")
        return said

    def kill(self) -> None:
        """End it and all that it started, as a machine ends that loses its power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Machines:
    """A scheduler, and workers by name."""

    directory: Path
    inv: Inv
    stack: ExitStack
    address: str = ""
    workers: dict[str, Service] = field(default_factory=dict)

    def serve(self, name: str, *words: str, **settings: str | Path) -> Service:
        log = self.directory / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*self.inv.words, "cluster", *words],
                cwd=self.directory,
                env=self.inv.set(**settings)._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                process_group=0,
            )
        service = Service(process, log)
        self.stack.callback(self.end, service)
        return service

    def end(self, service: Service) -> None:
        """Tell it to end, and see that it does."""
        if service.process.poll() is None:
            service.process.terminate()
            try:
                service.process.wait(30)
            except subprocess.TimeoutExpired:
                service.kill()
                raise

    def cache(self, name: str) -> Path:
        return self.directory / name / "cache"

    def join(self, name: str) -> Service:
        """Let a worker join, as one that was there before does again."""
        worker = self.workers[name] = self.serve(
            name,
            "join",
            self.address,
            f"--name={name}",
            "--jobs=1",
            "--engine=sandbox",
            cache=self.cache(name),
            builder_key=self.directory / name / "builder.key",
        )
        worker.said(r"(joined) tls")
        return worker

    def left(self) -> list[str]:
        """What steps left on the workers."""
        folders = [self.cache(name) / folder for name in NAMES for folder in ("boxes", "tmp")]
        return [str(path) for folder in folders if folder.is_dir() for path in folder.iterdir()]

    def client(self, cache: Path, artifacts: Path) -> Inv:
        """A client that believes the workers."""
        keys = [worker.said(r"TRUSTED_BUILDERS=(RW\S+)") for worker in self.workers.values()]
        return self.inv.set(
            cluster=self.address,
            trusted_builders=" ".join(keys),
            cache=cache,
            artifacts=artifacts,
        )


@pytest.fixture(scope="module")
def machines(
    tmp_path_factory: pytest.TempPathFactory, mirror: Path, built: Built
) -> Iterator[Machines]:
    directory = tmp_path_factory.mktemp("machines")
    with ExitStack() as stack:
        place = stack.enter_context(registry(directory / "registry", free_port()))
        inv = Inv(directory=directory).set(
            mirrors=f"file://{mirror}",
            offline="1",
            store=f"oci://{place}/team/cache",
            cluster_keys=directory / "keys",
        )
        machines = Machines(directory, inv, stack)
        scheduler = machines.serve("scheduler", "start", "--listen=tls://127.0.0.1:0")
        machines.address = scheduler.said(r"scheduler: (tls://\S+)")
        for name in NAMES:
            machines.join(name)
        yield machines
    for name in NAMES:
        assert processes_at(machines.cache(name)) == []


@dataclass
class Client:
    """Who builds: a cache that knows all but the product."""

    inv: Inv
    artifacts: Path

    def start(self) -> "subprocess.Popen[str]":
        return self.inv.start("build", PRODUCT, "--rebuild", "--timings")

    def sha256(self) -> dict[str, str]:
        manifest = json.loads((self.artifacts / "manifest.json").read_text("utf-8"))
        return {entry["path"]: entry["sha256"] for entry in manifest["artifacts"]}


@pytest.fixture
def client(machines: Machines, seeded_cache: SeededCache, tmp_path: Path) -> Client:
    cache = seeded_cache.copy(tmp_path / "cache", all_but(PRODUCT))
    artifacts = tmp_path / "artifacts"
    return Client(machines.client(cache, artifacts), artifacts)


@contextmanager
def running(client: Client) -> "Iterator[tuple[subprocess.Popen[str], str, list[str]]]":
    """Build until the product's step runs somewhere; lend the process, where that is, and what it said until then."""
    with client.start() as process:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if found := RUNS.search(line):
                time.sleep(1)
                yield process, found[1], said
                return
        raise AssertionError(said)


def same(client: Client, built: Built) -> bool:
    made = client.sha256()
    return len(made) == 2 and all(built.sha256[path] == sha256 for path, sha256 in made.items())


def end(process: "subprocess.Popen[str]") -> Done:
    return finish(process, seconds=SECONDS)


def is_tool(step: Step) -> bool:
    """A step that makes what others are made with."""
    return step.recipe.kind is RecipeKind.TOOL


def test_two_workers_with_nothing_make_three_curls_for_three_platforms(
    machines: Machines, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    """The first of all, as the workers' caches are empty yet; the client has UPX."""
    (tmp_path / "here").mkdir()
    here = Built.once(tmp_path / "here", *CURLS, targets=PLATFORMS)
    client = machines.client(seeded_cache.copy(tmp_path / "cache", is_tool), tmp_path / "there")
    done = client("build", *CURLS, "--target", ",".join(PLATFORMS), "--timings", seconds=1200)
    assert done.code == 0, done.stderr
    manifest = json.loads((tmp_path / "there" / "manifest.json").read_text("utf-8"))["artifacts"]
    assert by_path(manifest) == here.sha256
    assert {(entry["product"], entry["target"]) for entry in manifest} == {
        (product, target) for product in CURLS for target in PLATFORMS
    }
    assert all(entry["verdict"]["ok"] for entry in manifest)
    trace = json.loads((tmp_path / "there" / "timings.json").read_text("utf-8"))
    for kind in ("step", "verdict", "smoke"):
        spans = [event for event in trace["traceEvents"] if event.get("cat") == kind]
        assert {event["args"].get("worker") for event in spans} & set(NAMES), kind
    assert machines.left() == []


def test_two_workers_make_the_same_bytes(machines: Machines, client: Client, built: Built) -> None:
    with client.start() as process:
        done = end(process)
    assert done.code == 0, done.stderr
    assert RUNS.search(done.stderr)
    assert same(client, built)
    trace = json.loads((client.artifacts / "timings.json").read_text("utf-8"))
    steps = [event for event in trace["traceEvents"] if event.get("cat") == "step"]
    ran = [event for event in steps if event["args"].get("worker")]
    assert {event["args"]["worker"] for event in ran} <= set(NAMES)
    assert len(ran) == 2  # the build, and the packing of it: not what was only found
    assert machines.left() == []
    entry = json.loads((client.artifacts / "manifest.json").read_text("utf-8"))["artifacts"][0]
    assert entry["verdict"]["ok"]
    assert entry["smoke"]["ok"]


def test_status_says_who_is_there(machines: Machines, client: Client) -> None:
    done = client.inv("cluster", "status", "--json")
    assert done.code == 0, done.stderr
    shown = json.loads(done.stdout)
    assert {worker["name"] for worker in shown["workers"]} == set(NAMES)
    assert all(worker["ours"] for worker in shown["workers"])
    assert shown["dashboard"].startswith("http://127.0.0.1:")


def test_who_has_no_certificate_is_not_let_in(
    machines: Machines, client: Client, tmp_path: Path
) -> None:
    stranger = client.inv.set(cluster_keys=tmp_path / "keys")
    assert stranger("cluster", "keys").code == 0  # an authority of their own
    done = stranger("cluster", "status")
    assert done.code == 6
    assert "cannot be reached" in done.stderr


def test_a_worker_that_is_killed_is_replaced(
    machines: Machines, client: Client, built: Built
) -> None:
    with running(client) as (process, name, _):
        machines.workers[name].kill()
        # Its step is gone with it, on this machine too.
        wait_for(lambda: processes_at(machines.cache(name)) == [], seconds=10, what="the end")
        done = end(process)
    assert done.code == 0, done.stderr
    assert same(client, built)
    assert machines.left()  # nobody was there to tidy up
    machines.join(name)
    assert machines.left() == []


def test_the_steps_of_a_client_that_is_killed_end(
    machines: Machines, client: Client, built: Built
) -> None:
    with running(client) as (process, name, _):
        process.kill()
        killed = time.monotonic()
        wait_for(lambda: not machines.left(), seconds=10, what="an end of what nobody wants")
        assert time.monotonic() - killed < 10
    assert processes_at(machines.cache(name) / "boxes") == []
    with client.start() as again:
        done = end(again)
    assert done.code == 0, done.stderr
    assert same(client, built)


def test_workers_end_with_their_scheduler(machines: Machines) -> None:
    scheduler = machines.serve("second", "start", "--listen=tcp://127.0.0.1:0")
    address = scheduler.said(r"scheduler: (tcp://\S+)")
    worker = machines.serve(
        "orphan",
        "join",
        address,
        "--name=orphan",
        "--jobs=1",
        "--engine=sandbox",
        cache=machines.cache("orphan"),
        builder_key=machines.directory / "orphan" / "builder.key",
    )
    worker.said(r"(joined) tcp")
    scheduler.kill()
    assert worker.process.wait(60) == 6
    assert "has gone" in worker.log.read_text("utf-8")
    assert processes_at(machines.cache("orphan")) == []
