"""Verdicts and smoke runs of several products: at the same time, told in one order, and ended with the run."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.request import urlopen

import pytest

from core.cancel import Cancelled, CancelToken
from core.scratch import RunResult
from tests.fakes import wait_for_threads
from tests.unit.flow.conftest import FINE, Harness
from verify.servers import serving


@dataclass
class Meeting:
    """An environment that lets nobody go before two are in it; who asked first is answered last."""

    how: str = "sandbox"
    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))
    came: list[str] = field(default_factory=list)
    met: threading.local = field(default_factory=threading.local)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> Iterator["Meeting"]:
        self.came.append(threading.current_thread().name)
        if not getattr(self.met, "done", False):
            self.met.done = True
            # It breaks, and fails the test, when the other one never comes.
            if self.together.wait(20) == 0:
                time.sleep(0.2)
        yield self

    def run(self, args: Sequence[str], *, seconds: float) -> RunResult:
        return FINE


def test_products_are_tried_out_at_the_same_time_and_told_in_the_order_asked_for(
    harness: Harness,
) -> None:
    environment = harness.environment = Meeting()  # type: ignore[assignment]
    made = harness.build("hello:secure", "hello:plain", jobs="2")
    assert [(one.product, one.packed) for one in made] == [
        ("hello:secure", False),
        ("hello:secure", True),
        ("hello:plain", False),
        ("hello:plain", True),
    ]
    assert set(environment.came) == {"verify_0", "verify_1"}


@dataclass
class Interrupted(Meeting):
    """Ctrl-C comes during the first smoke run."""

    cancel: CancelToken = field(default_factory=CancelToken)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> Iterator["Meeting"]:
        self.came.append(threading.current_thread().name)
        self.cancel.set()
        msg = "Cancelled: a smoke run"
        raise Cancelled(msg)
        yield self


def test_what_ends_one_smoke_run_begins_no_other(harness: Harness) -> None:
    environment = harness.environment = Interrupted(cancel=harness.cancel)  # type: ignore[assignment]
    with pytest.raises(Cancelled):
        harness.build("hello:secure", "hello:plain", jobs="1")
    wait_for_threads("verify")
    assert len(environment.came) == 1
    assert harness.files() == []


def test_servers_of_one_smoke_run_know_nothing_of_another_s(harness: Harness) -> None:
    def ask(places: Mapping[str, str]) -> int:
        try:
            with urlopen(f"{places['http']}/flaky", timeout=10) as answer:
                return int(answer.status)
        except OSError as error:
            code: int = error.code  # type: ignore[attr-defined]
            getattr(error, "close", lambda: None)()
            return code

    with serving() as one, serving() as other:
        assert [ask(one.placeholders), ask(other.placeholders)] == [503, 503]
        assert [ask(one.placeholders), ask(other.placeholders)] == [200, 200]
        one.reset()
        assert [ask(one.placeholders), ask(other.placeholders)] == [503, 200]
