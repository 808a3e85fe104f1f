"""Verdicts and smoke runs on other machines: signed where they were found, believed for that, never kept when bad."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders.sources.shared import SharedCache
from core.errors import LostInputs, StepError
from core.scratch import RunResult
from core.target import Target
from flow.cluster.errand import Errand
from flow.cluster.proofs import LOAD, Proofs
from recipes.load import find_product
from tests.fakes import put_bytes
from tests.fixtures.make_elf import DIRECTORY
from tests.unit.cluster.conftest import Client, Cluster
from tests.unit.flow.conftest import FINE, GOOD, FakeEnvironment
from verify.actions import Judgement, Trial
from verify.policy import find_policy
from verify.results import ResultCache
from verify.smoke import Smoke


def judgement(client: Client, data: bytes = GOOD) -> Judgement:
    sha256 = put_bytes(client.cache.local, data)
    policy = replace(find_policy("static"), target=Target.AMD64, build_paths=("/box", "/toolchain"))
    return Judgement(file=sha256, unpacked=None, original=sha256, policy=policy)


def trial(client: Client) -> Trial:
    sha256 = put_bytes(client.cache.local, GOOD)
    product = find_product("hello:plain", client.cluster.harness.world.load())
    return Trial.of(sha256, product, product.recipe.releases[0], Target.AMD64)


@pytest.fixture
def client(cluster: Cluster) -> Client:
    cluster.environment = FakeEnvironment()
    cluster.add("one")
    return cluster.client()


@pytest.fixture
def proofs(client: Client) -> Iterator[Proofs]:
    with Proofs(client.pool()) as proofs:
        yield proofs


def signer(cache: SharedCache, proof: Judgement | Trial) -> str:
    """The one key that signed what is known."""
    (statement,) = cache.local.statements(proof.key, kind=proof.kind)
    (key,) = statement.signers
    return key.line


def test_a_verdict_is_found_and_signed_elsewhere(
    cluster: Cluster, client: Client, proofs: Proofs
) -> None:
    asked = judgement(client)
    proofs.judge(asked)
    known = client.cache.local.get_action(asked.key, kind=asked.kind)
    assert known == asked.perform(client.blob, own=())
    assert known["ok"]
    # Who publishes must be able to tell who found that out.
    assert signer(client.cache, asked) == cluster.machines[0].keys.own_line


def test_a_bad_verdict_comes_back_too(client: Client, proofs: Proofs) -> None:
    asked = judgement(client, b"no program")
    proofs.judge(asked)
    known = client.cache.get_action(asked.key, kind=asked.kind)
    assert known
    assert not known["ok"]
    assert known["findings"]


def test_a_smoke_run_happens_elsewhere(cluster: Cluster, client: Client, proofs: Proofs) -> None:
    asked = trial(client)
    assert proofs.try_out(asked) == Smoke(ran=True, ok=True, how="sandbox")
    assert isinstance(cluster.environment, FakeEnvironment)
    assert cluster.environment.tried == [GOOD]
    assert signer(client.cache, asked) == cluster.machines[0].keys.own_line
    assert proofs.try_out(asked).ok  # again: it is known there
    assert cluster.environment.tried == [GOOD]


def test_a_smoke_run_that_failed_is_told_and_kept_by_nobody(
    cluster: Cluster, client: Client, proofs: Proofs
) -> None:
    assert isinstance(cluster.environment, FakeEnvironment)
    cluster.environment.answer = replace_code(FINE, 7)
    asked = trial(client)
    result = proofs.try_out(asked)
    assert (result.ran, result.ok) == (True, False)
    assert any("exit code 7" in failure for failure in result.failures)
    assert client.cache.get_action(asked.key, kind=asked.kind) is None
    assert cluster.machines[0].cache.get_action(asked.key, kind=asked.kind) is None
    assert cluster.store.result(asked.kind, asked.key) is None


def replace_code(result: RunResult, code: int) -> RunResult:
    return RunResult(code, result.stdout, result.stderr)


def test_where_nobody_there_can_run_it_it_is_run_here(cluster: Cluster) -> None:
    cluster.add("one")  # it has no place to try anything out
    client = cluster.client()
    here = Smoke(ran=True, ok=True, how="qemu")
    with Proofs(client.pool()) as proofs:
        results = ResultCache(cache=client.cache, elsewhere=proofs)
        assert results.smoke(trial(client), lambda: here) == here


def test_what_is_known_is_not_asked_for(client: Client, proofs: Proofs) -> None:
    asked = judgement(client)
    results = ResultCache(cache=client.cache, elsewhere=proofs)
    first = results.verdict(asked, client.blob, own=())
    assert first["ok"]
    nobody = ResultCache(
        cache=client.cache, elsewhere=Proofs(client.pool(address="tcp://127.0.0.1:9"))
    )
    assert nobody.verdict(asked, client.blob, own=()) == first


def test_who_judges_again_judges_here(client: Client, proofs: Proofs) -> None:
    asked = judgement(client)
    results = ResultCache(cache=client.cache, elsewhere=proofs, judge_again=True)
    results.verdict(asked, client.blob, own=())
    assert signer(client.cache, asked) == client.cache.keys.own_line
    assert not proofs.open


def test_a_stranger_s_verdict_is_not_believed(cluster: Cluster) -> None:
    honest = cluster.add("honest")
    cluster.wait(honest.leave)
    cluster.add("stranger", claims=honest)
    client = cluster.client(trusts=[honest])
    asked = judgement(client)
    with (
        Proofs(client.pool()) as proofs,
        pytest.raises(StepError, match="What stranger made of the verdict"),
    ):
        proofs.judge(asked)
    assert client.cache.get_action(asked.key, kind=asked.kind) is None


def test_a_file_that_nobody_has_is_named(client: Client, proofs: Proofs) -> None:
    asked = judgement(client)
    (client.cache.root / "cas" / asked.file[:2] / asked.file).unlink()
    with pytest.raises(LostInputs) as caught:
        proofs.judge(asked)
    assert caught.value.names == (asked.file,)


def test_what_is_called_otherwise_than_it_is_is_refused(client: Client, proofs: Proofs) -> None:
    """A client that verifies with other code has other keys, and no worker answers for them."""
    proofs.judge(judgement(client))  # connects
    asked = judgement(client)
    errand = Errand(kind=asked.kind, key="a" * 64, name="a verdict", data=asked.json())
    with pytest.raises(StepError, match="another verdict than it is called"):
        proofs.pool.ask_for(errand, asked.inputs, LOAD)
    bad = replace(errand, key="b" * 64, data="{}")
    with pytest.raises(StepError, match="is no verdict"):
        proofs.pool.ask_for(bad, asked.inputs, LOAD)


def test_its_own_directories_are_those_of_where_it_is_judged(
    client: Client, tmp_path: Path
) -> None:
    """A verdict is the same for everybody who asks; only who judges adds what no file may name there."""
    data = (DIRECTORY / "build-paths").read_bytes()
    data = data.replace(b"/home/ann/curl/lib/url.c", b"/else/ann/curl/lib/urlsc").replace(
        b"/build/out", b"/buxxd/out"
    )
    asked = judgement(client, data)
    here = asked.perform(client.blob, own=())
    there = asked.perform(client.blob, own=("/else/ann",))
    assert "no-build-paths" not in {finding["rule"] for finding in here["findings"]}
    assert "no-build-paths" in {finding["rule"] for finding in there["findings"]}
    assert str(tmp_path) not in asked.json()
