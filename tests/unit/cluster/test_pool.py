"""Steps on other machines: the same results, believed for their signature, whatever becomes of a worker."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from builders.outcome import Outcome
from builders.plan import Step, topological_order
from core.cancel import Cancelled
from core.errors import EngineError, LostInputs, StepError, StoreError
from core.kinds import EntryKind
from tests.fakes import BuildHarness, Running, make_something
from tests.unit.cluster.conftest import Client, Cluster, until

MUSL = "musl-1.0-linux-amd64"


def plan(cluster: Cluster) -> tuple[Step, ...]:
    return topological_order(cluster.harness.world.plan("hello:secure"))


def outputs(done: dict[Step, Outcome]) -> dict[str, str]:
    return {step.slug: outcome.output for step, outcome in done.items()}


@contextmanager
def running(client: Client, steps: tuple[Step, ...]) -> Iterator[list[BaseException]]:
    """Build meanwhile, and wait for the end of it; lends what becomes of it."""
    ended: list[BaseException] = []

    def run() -> None:
        try:
            client.run(steps)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        thread.join(30)
        assert not thread.is_alive()


def test_what_workers_make_is_what_would_be_made_here(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add("one")
    cluster.add("two")
    steps = plan(cluster)
    done = cluster.client().run(steps)
    assert sorted(cluster.ran()) == sorted(step.slug for step in steps)
    assert cluster.harness.engine.ran == []  # nothing here
    here = BuildHarness.open(tmp_path / "here")
    here.toolchain = cluster.harness.toolchain
    same = here.run(topological_order(here.world.plan("hello:secure")))
    assert outputs(same) == outputs(done)
    assert sorted(cluster.harness.report.finished) == sorted(step.name for step in steps)
    until(lambda: len(cluster.harness.report.started) == len(steps))


def test_a_second_client_finds_it_all_and_moves_nothing_that_it_does_not_need(
    cluster: Cluster,
) -> None:
    one = cluster.add("one")
    steps = plan(cluster)
    first = cluster.client().run(steps)
    one.engine.ran.clear()
    other = cluster.client(name="other")
    again = other.run(steps)
    assert one.engine.ran == []
    assert outputs(again) == outputs(first)
    assert [step.slug for step in steps if other.cache.local.blob(again[step].output)] == []


def test_two_clients_share_a_step_that_runs(cluster: Cluster) -> None:
    begun = threading.Event()

    def script(running: Running) -> int:
        begun.set()
        time.sleep(1)
        return make_something(running)

    one = cluster.add("one", script, jobs=2)
    two = cluster.add("two", script, jobs=2)
    steps = [step for step in plan(cluster) if step.slug == MUSL]
    clients = [cluster.client(name="first"), cluster.client(name="second")]
    with ThreadPoolExecutor() as threads:
        done = list(threads.map(lambda client: client.run(tuple(steps)), clients))
    assert [*one.engine.ran, *two.engine.ran] == [MUSL]
    assert outputs(done[0]) == outputs(done[1])


def test_the_timings_have_a_lane_for_each_worker(cluster: Cluster) -> None:
    cluster.add("one")
    cluster.add("two", jobs=2)
    client = cluster.client()
    client.run(plan(cluster))
    trace = client.builder.timings.trace()
    lanes = {
        event["tid"]: event["args"]["name"]
        for event in trace["traceEvents"]
        if event["name"] == "thread_name"
    }
    assert set(lanes.values()) <= {"main", "one_0", "two_0", "two_1"}
    steps = [event for event in trace["traceEvents"] if event.get("cat") == "step"]
    assert len(steps) == len(plan(cluster))
    for event in steps:
        assert lanes[event["tid"]].partition("_")[0] == event["args"]["worker"]
        assert event["ts"] >= 0
        assert event["dur"] > 0


# --- what is believed


def test_what_a_stranger_signed_is_not_believed(cluster: Cluster) -> None:
    honest = cluster.add("honest")
    cluster.wait(honest.leave)
    stranger = cluster.add("stranger", claims=honest)
    client = cluster.client(trusts=[honest])
    with pytest.raises(StepError, match=r"What stranger made of .* is not believed") as caught:
        client.run(plan(cluster))
    assert stranger.keys.own_line in caught.value.next
    assert client.cache.local.entries() == [
        entry for entry in client.cache.local.entries() if entry.kind is not EntryKind.ACTION
    ]


def test_nobody_waits_for_a_worker_that_is_not_trusted(cluster: Cluster) -> None:
    stranger = cluster.add("stranger")
    with pytest.raises(EngineError, match=r"No worker of .* is trusted here") as caught:
        cluster.client(trusts=[]).run(plan(cluster))
    assert f"FROMSCRATCH_TRUSTED_BUILDERS={stranger.keys.own_line}" in caught.value.why
    cluster.harness.report.warnings.clear()
    cluster.harness.cancel.clear()
    one = cluster.add("one")
    client = cluster.client(trusts=[one])
    client.run(plan(cluster))
    assert sorted(one.engine.ran) == sorted(step.slug for step in plan(cluster))
    assert stranger.engine.ran == []
    warnings = [text for text in cluster.harness.report.warnings if "not trusted here" in text]
    assert len(warnings) == 1
    assert stranger.keys.own_line in warnings[0]


def test_a_worker_believes_no_stranger_either(cluster: Cluster) -> None:
    """What another worker has put into the store is made again by one that does not trust it."""
    one = cluster.add("one")
    steps = plan(cluster)
    cluster.client().run(steps)
    cluster.wait(one.leave)
    two = cluster.add("two")
    cluster.client(name="other", trusts=[two]).run(steps)
    assert sorted(two.engine.ran) == sorted(step.slug for step in steps)


def test_another_commit_or_toolchain_runs_nothing(cluster: Cluster) -> None:
    other = cluster.add("one")
    client = cluster.client()
    with pytest.raises(EngineError, match=r"No worker of .* can run this client's steps"):
        client.run(plan(cluster), label="tools-of-another-commit")
    assert other.engine.ran == []


# --- what goes wrong


def test_a_failed_step_is_final_and_its_log_comes_back(cluster: Cluster) -> None:
    def script(running: Running) -> int:
        running.say("undefined reference to 'x'\n")
        return 3

    one, two = cluster.add("one", script), cluster.add("two", script)
    client = cluster.client()
    musl = tuple(step for step in plan(cluster) if step.slug == MUSL)
    with pytest.raises(StepError, match=r"musl 1\.0 linux/amd64 failed with exit code 3") as caught:
        client.run(musl)
    assert len(one.engine.ran + two.engine.ran) == 1
    assert "undefined reference" in caught.value.what
    assert "It was run by" in caught.value.what
    log = Path(caught.value.next.removeprefix("read the whole log: "))
    assert log.is_relative_to(client.builder.logs)
    assert log.read_text("utf-8") == "undefined reference to 'x'\n"


def test_the_log_of_a_step_that_worked_comes_back_too(cluster: Cluster) -> None:
    def script(running: Running) -> int:
        running.say(f"made {running.step}\n")
        return make_something(running)

    cluster.add("one", script)
    client = cluster.client()
    client.run(plan(cluster))
    logs = {path.name.rpartition("-")[0]: path for path in client.builder.logs.iterdir()}
    assert set(logs) == {step.slug for step in plan(cluster)}
    assert logs[MUSL].read_text("utf-8") == f"made {MUSL}\n"


def test_a_step_of_a_lost_worker_goes_elsewhere(cluster: Cluster) -> None:
    begun = threading.Event()

    def script(running: Running) -> int:
        if begun.is_set():
            return make_something(running)
        begun.set()
        return running.until_stopped()

    machines = [cluster.add("one", script), cluster.add("two", script)]
    steps = plan(cluster)
    with running(cluster.client(), steps) as ended:
        assert begun.wait(15)
        (lost,) = [one for one in machines if len(one.engine.ran) > len(one.engine.ended)]
        cluster.wait(lost.vanish)
    assert ended == []
    (other,) = [one for one in machines if one is not lost]
    assert {*other.engine.ran, *lost.engine.ran} == {step.slug for step in steps}
    assert set(lost.engine.ran) <= set(other.engine.ran)
    until(lambda: lost.engine.ended == lost.engine.ran)


def test_ctrl_c_ends_what_runs_on_workers(cluster: Cluster) -> None:
    begun = threading.Event()

    def script(running: Running) -> int:
        begun.set()
        return running.until_stopped()

    one = cluster.add("one", script)
    with running(cluster.client(), plan(cluster)) as ended:
        assert begun.wait(15)
        cluster.harness.cancel.set()
        since = time.monotonic()
    assert isinstance(ended[0], Cancelled)
    until(lambda: one.engine.ended == one.engine.ran, 10)
    assert time.monotonic() - since < 10
    until(lambda: not list((one.cache.root / "tmp").iterdir()))
    assert one.engine.open_sandboxes == 0


def test_who_is_cancelled_does_not_take_another_s_step_along(cluster: Cluster) -> None:
    begun = threading.Event()
    let = threading.Event()

    def script(running: Running) -> int:
        begun.set()
        while not let.wait(0.05):
            running.cancel.check("musl")
        return make_something(running)

    cluster.add("one", script)
    musl = tuple(step for step in plan(cluster) if step.slug == MUSL)
    stays, goes = cluster.client(name="stays"), cluster.client(name="goes", alone=True)
    with running(stays, musl) as ended:
        assert begun.wait(15)
        with running(goes, musl) as other:
            time.sleep(1)
            goes.cancel.set()
        assert isinstance(other[0], Cancelled)
        time.sleep(2)  # longer than a watcher takes
        let.set()
    assert ended == []


def test_what_the_store_lost_is_made_again(cluster: Cluster) -> None:
    """A need's output goes from the store, and from every machine, before the step that needs it begins."""
    client = cluster.client()

    def script(running: Running) -> int:
        if running.step == "hello-2.0-linux-amd64-checks" and not gone:
            look = cluster.client(name="look")
            until(lambda: "tls-1.0-linux-amd64" in look.look_up(plan(cluster)))
            output = look.look_up(plan(cluster))["tls-1.0-linux-amd64"].output
            gone.append(output)
            cluster.stored(output).unlink()
            (one.cache.root / "cas" / output[:2] / output).unlink()
        return make_something(running)

    gone: list[str] = []
    one = cluster.add("one", script, jobs=2)
    done = client.run(plan(cluster))
    assert gone
    assert one.engine.ran.count("tls-1.0-linux-amd64") == 2
    assert len(done) == len(plan(cluster))


def test_what_the_store_has_damaged_is_put_over(cluster: Cluster) -> None:
    """A client's own input, as everything that it has itself, needs nobody to make it again."""
    source = next(step for step in plan(cluster) if step.slug == MUSL).release.source
    assert source
    cluster.client().cache.offer_blob(source.sha256)
    blob = cluster.stored(source.sha256)
    blob.write_bytes(b"not a frame")
    one = cluster.add("one")
    cluster.client(name="other").run(plan(cluster))
    assert one.engine.ran.count(MUSL) == 1
    assert blob.read_bytes() != b"not a frame"


def test_what_one_machine_alone_cannot_hold_runs_all_the_same(cluster: Cluster) -> None:
    cluster.add("small", memory=float(1 << 20))
    done = cluster.client().run(plan(cluster))
    assert len(done) == len(plan(cluster))


def test_no_more_runs_on_a_worker_than_its_memory_allows(cluster: Cluster) -> None:
    now: list[str] = []
    most: list[int] = []

    def script(running: Running) -> int:
        if running.step.startswith(("tls", "data", "upx")):
            now.append(running.step)
            most.append(len(now))
            time.sleep(0.1)
            now.remove(running.step)
        return make_something(running)

    cluster.harness.world.edit("data", 'kind = "library"', 'kind = "library"\nneeds = ["musl"]')
    for name, kind in (("tls", "library"), ("data", "library"), ("upx", "tool")):
        cluster.harness.world.edit(name, f'kind = "{kind}"', f'kind = "{kind}"\nmemory = "30G"')
    cluster.add("one", script, jobs=4, memory=float(31 << 30))
    cluster.client().run(plan(cluster))
    assert max(most) == 1


def test_a_store_that_takes_nothing_is_said_to(cluster: Cluster) -> None:
    cluster.add("one")
    client = cluster.client(read_only=True)
    with pytest.raises(StoreError, match="does not take what the workers need"):
        client.run(plan(cluster))


def test_a_cluster_that_is_not_there_is_said_to_be_missing(cluster: Cluster) -> None:
    client = cluster.client()
    with pytest.raises(EngineError, match=r"The cluster at tcp://127\.0\.0\.1:9 cannot be reached"):
        client.run(plan(cluster), address="tcp://127.0.0.1:9")


def test_a_cluster_that_goes_is_said_to_be_lost(cluster: Cluster) -> None:
    begun = threading.Event()

    def script(running: Running) -> int:
        begun.set()
        return running.until_stopped()

    one = cluster.add("one", script)
    with running(cluster.client(), plan(cluster)) as ended:
        assert begun.wait(15)
        cluster.wait(cluster.scheduler.close)
    assert isinstance(ended[0], EngineError)
    assert "was lost" in ended[0].what
    until(lambda: one.engine.ended == one.engine.ran)


def test_inputs_that_nobody_has_are_named(cluster: Cluster) -> None:
    cluster.add("one")
    client = cluster.client()
    for entry in client.cache.local.entries():
        (client.cache.root / "cas" / entry.name[:2] / entry.name).unlink()
    with pytest.raises(LostInputs, match="is neither here nor in the store"):
        client.run(plan(cluster))


def test_what_is_built_again_is_what_is_taken(cluster: Cluster) -> None:
    """A step that is not the same every time: what is remembered here is not mistaken for what was made now."""
    made: list[bytes] = []

    def script(running: Running) -> int:
        made.append(str(len(made)).encode())
        running.make("result", made[-1])
        return 0

    cluster.add("one", script)
    client = cluster.client()
    musl = tuple(step for step in plan(cluster) if step.slug == MUSL)
    (first,) = client.run(musl).values()
    client.builder = replace(client.builder, rebuild=frozenset({"musl"}))
    (second,) = client.run(musl).values()
    assert (first.cached, second.cached) == (False, False)
    assert first.output != second.output
    client.builder = replace(client.builder, rebuild=frozenset())
    assert outputs(client.run(musl)) == {MUSL: second.output}


def test_what_was_made_here_stays_so_where_others_make_the_same(cluster: Cluster) -> None:
    cluster.add("one")
    client = cluster.client()
    musl = tuple(step for step in plan(cluster) if step.slug == MUSL)
    here = client.builder.run(musl[0], {})
    client.builder = replace(client.builder, rebuild=frozenset({"musl"}))
    assert outputs(client.run(musl)) == {MUSL: here.output}
    (statement,) = client.cache.local.statements(here.key)
    assert client.cache.keys.own_line in [signer.line for signer in statement.signers]
