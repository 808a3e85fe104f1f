"""`inv cluster`: what it refuses before anything is started, and what it shows."""

from pathlib import Path

import pytest

from commands.cluster import Stay, cluster_text, manage_cluster
from core.errors import UsageError
from core.settings import Settings
from flow.cluster.join import open_pool
from flow.cluster.workshop import label, shared
from flow.context import Context
from tests.fakes import Lines


def context(tmp_path: Path, **flags: str) -> Context:
    given = {"cache": str(tmp_path / "cache"), "cluster_keys": str(tmp_path / "keys"), **flags}
    settings = Settings.read(given, environment={}, directory=tmp_path)
    return Context(settings=settings, report=Lines())


def say(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize("words", [[], ["begin"], ["start", "x"], ["join", "a", "b"]])
def test_an_unknown_word_is_refused_with_those_that_are_known(
    tmp_path: Path, words: list[str]
) -> None:
    with pytest.raises(UsageError, match="is not known") as caught:
        manage_cluster(context(tmp_path), words, Stay(), say=say)
    assert "inv cluster keys | start | join" in caught.value.next


def test_a_worker_must_be_told_where(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Which cluster"):
        manage_cluster(context(tmp_path), ["join"], Stay(), say=say)


@pytest.mark.parametrize("word", ["join", "status"])
def test_nobody_is_asked_without_tls(tmp_path: Path, word: str) -> None:
    with pytest.raises(UsageError, match="would let everybody"):
        manage_cluster(context(tmp_path), [word, "tcp://build.example:8786"], Stay(), say=say)


def test_a_scheduler_without_tls_is_for_this_machine_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would let everybody"):
        manage_cluster(context(tmp_path), ["start"], Stay(listen="tcp://0.0.0.0:8786"), say=say)


def test_keys_are_made_once_and_shown(tmp_path: Path) -> None:
    here = context(tmp_path)
    shown = manage_cluster(here, ["keys"], Stay(), say=say)
    assert shown["made"]
    assert set(shown["files"]) == {"scheduler", "worker", "client"}
    assert "authority.key" not in str(shown["files"])  # nobody else needs it
    again = manage_cluster(here, ["keys"], Stay(), say=say)
    assert not again["made"]
    assert "run any code on every worker" in cluster_text(again)


def test_a_cluster_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="A cluster needs a store"):
        shared(context(tmp_path))


def test_a_pool_is_made_without_asking_anybody(tmp_path: Path) -> None:
    store = f"file://{tmp_path}/store"
    here = context(tmp_path, cluster="tcp://127.0.0.1:9", store=store)
    pool = open_pool(here, here.builder())
    assert pool.address == "tcp://127.0.0.1:9"
    assert pool.label == label(here)


def test_status_says_who_cannot_help() -> None:
    worker = {"name": "one", "jobs": 2, "memory": 3 << 30, "ours": True, "running": ["musl 1.0"]}
    shown = {
        "address": "tls://build.example:8786",
        "dashboard": "http://127.0.0.1:1/info/main/workers.html",
        "store": "",
        "workers": [worker, {**worker, "name": "two", "ours": False, "running": []}],
    }
    text = cluster_text(shown)
    assert "musl 1.0" in text
    assert "NO: another commit or machine" in text
    assert "none is named here: --store URL" in text
    assert "no worker has joined" in cluster_text({**shown, "workers": []})
